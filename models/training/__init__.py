"""Training of the network: losses, loop, evaluation."""
