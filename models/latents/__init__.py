"""What the network holds in mind: its latent states, made visible. Needs no torch."""
