"""Where states lie: projections, how far they can be believed, and a page to explore them."""
