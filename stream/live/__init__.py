"""What a person at this machine sees and says: microphones, the agent's voice, the terminal, recordings."""
