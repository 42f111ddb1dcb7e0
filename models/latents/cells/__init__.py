"""Single units and gates: what they track, and how often they are saturated."""
