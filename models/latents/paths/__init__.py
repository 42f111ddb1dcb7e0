"""Conversations and events as lines through a projection."""
