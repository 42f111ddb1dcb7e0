"""Sound cards: microphones, playback, and the second channel of a conversation at this machine."""
