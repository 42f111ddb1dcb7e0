"""How the space and the memory of networks come about over training."""
