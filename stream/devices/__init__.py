"""Sound cards: microphones, playback, and the second channel of a local conversation."""
