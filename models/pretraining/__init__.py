"""Encoders that learn from audio without labels: autoencoder, VQ-VAE, VQ-VAE-2 and CPC.

`turnstream train --encoder` starts with such an encoder.
"""
