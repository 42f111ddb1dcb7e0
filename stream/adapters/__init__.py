"""Turnstream as the turn detector of voice-agent frameworks; each module needs its extra."""
