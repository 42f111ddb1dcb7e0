"""turnstream: streaming, real-time turn-taking prediction."""

__version__ = "0.1.0"
