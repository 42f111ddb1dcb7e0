"""What a person at this machine sees: the terminal, and recordings of the session."""
