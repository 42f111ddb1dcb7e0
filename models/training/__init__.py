"""How the network learns: losses, loop, evaluation."""
