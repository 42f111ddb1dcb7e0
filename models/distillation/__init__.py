"""A small causal network learns what a large teacher makes of speech."""
