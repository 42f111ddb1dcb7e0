"""A tiny model whose speech probability is the loudness of a channel.

So silent channels are silent for it, and there are pauses, in stereo and in mono.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx


def loudness_model(tiny_model: Path, out: Path, gain: float = 20.0) -> Path:
    """Write the model; its `vad` becomes the mean absolute sample times the gain, up to 1."""
    model = onnx.load(str(tiny_model))
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = ["vad_before" if name == "vad" else name for name in names]
    for name, value in (
        ("loudness_axis", np.array([2])),
        ("loudness_gain", np.array(gain, np.float32)),
        ("loudness_ceiling", np.array(1, np.float32)),
    ):
        graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    for kind, inputs, output in (
        ("Abs", ["audio"], "absolute"),
        ("ReduceMean", ["absolute", "loudness_axis"], "loudness_kept"),
        ("Squeeze", ["loudness_kept", "loudness_axis"], "loudness"),
        ("Mul", ["loudness", "loudness_gain"], "louder"),
        ("Min", ["louder", "loudness_ceiling"], "vad"),
    ):
        graph.node.append(onnx.helper.make_node(kind, inputs, [output]))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(out))
    return out
