"""A conversation as a film: points light up in both layers, with its sound."""
