"""Frozen teachers of the turn-taking network: a speech encoder, and judges of turn completeness."""
