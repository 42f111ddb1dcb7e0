"""Encoders that learn from audio without labels: autoencoder, VQ-VAE, VQ-VAE-2, CPC; `turnstream train --encoder` goes on from them."""
