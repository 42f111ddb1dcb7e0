"""What the network is, how it learns, and the dialogues that it learns from.

`config`, `state`, `receptive_field` and `projection` need no extra. These need no torch, but some of the `train` extra's other packages:
`dialogues`, `evaluation` (without `listening`), `teachers`, and the settings and commands of `training`, `pretraining`, `distillation` and
`comparison`. `latents/command` and `latents/collection` need the `latents` extra's. All the rest needs torch.
"""

if __name__ != "turnstream.models":
    raise ImportError(
        f"this folder is installed as turnstream.models, but was imported as {__name__!r}; run `pip install .` and `import turnstream`"
    )
