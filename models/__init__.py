"""What the network is, how it learns, what it holds.

`config`, `state`, `errors` and `receptive_field` need no torch; the runtime imports only those.
Everything else in this folder needs the `train` extra.
"""

if __name__ != "turnstream.models":
    raise ImportError(f"this folder is installed as turnstream.models, but was imported as {__name__!r}; run `pip install .` and `import turnstream`")
