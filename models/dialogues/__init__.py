"""Two-channel conversations: real corpora, simulation, and the labels learned from them."""
