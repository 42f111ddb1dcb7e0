"""Averaging the weights of networks that were trained from the same start."""
