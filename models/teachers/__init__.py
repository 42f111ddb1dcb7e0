"""Frozen networks that the turn-taking network learns from: a speech encoder, and judges of how complete a turn sounds."""
