"""The live commands: the view in the terminal, and recordings of the session."""
