"""Single units and gates: what they track, how often they are saturated, what survives a seed."""
