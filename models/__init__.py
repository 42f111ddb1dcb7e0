"""What the network is, how it learns, and the dialogues that it learns from.

The runtime imports only `errors`, `contract`, `onnx_session` and `latents/space/saved_projection`. These, `config`, `state`, `receptive_field` and
`projection` need no extra. `dialogues/`, `evaluation/`, `teachers` and, in `training/`, `settings`, `command`, `hardware`, `labelled`, `sources` and
`simulated`, in `pretraining/`, `settings` and `command`, and in `comparison/`, `grid` and `command` need no torch, but some of the `train` extra's other
packages; `latents/command` and `latents/collection` need the `latents` extra's.
All the rest needs torch.
"""

if __name__ != "turnstream.models":
    raise ImportError(f"this folder is installed as turnstream.models, but was imported as {__name__!r}; run `pip install .` and `import turnstream`")
