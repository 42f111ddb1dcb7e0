"""Distillation: a small causal network learns to predict the output of a large teacher."""
