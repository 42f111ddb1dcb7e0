"""Cross-validation on real calls: each is measured by a network that was trained without it."""
