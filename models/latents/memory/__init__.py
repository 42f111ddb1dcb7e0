"""How far back a network looks, and what more knowledge would mend."""
