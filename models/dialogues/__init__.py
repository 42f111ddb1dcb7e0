"""Two-channel dialogues: reading real corpora, simulating dialogues, and training labels."""
