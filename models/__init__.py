"""The network, its training, and the dialogues that it learns from.

What a module needs when it is imported:

- `config`, `state`, `receptive_field` and `projection` need no extra.
- `dialogues`, `evaluation`, `teachers` (except `whisper_network`), and the settings and commands of
  `training`, `pretraining`, `distillation` and `comparison` need packages of the `train` extra,
  but not torch.
- `latents.command` and `latents.collection` need packages of the `latents` extra, but not torch.
- All other modules need torch, unless their docstring says "No torch".
"""

if __name__ != "turnstream.models":
    raise ImportError(
        f"this folder is installed as turnstream.models, but was imported as {__name__!r}; run "
        f"`pip install .` and `import turnstream`"
    )
