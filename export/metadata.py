"""The metadata of an exported ONNX file. With it, a runtime needs no other file.

It is also written as JSON beside the ONNX file, for runtimes that do not show metadata. One
metadata entry holds one JSON object; `stream/contract.py` defines its key. `describe` documents
its fields.
"""

from __future__ import annotations

import json
from typing import Any

from ..models.checkpoint import weights_sha256
from ..models.config import ModelConfig
from ..models.projection import FUTURE_BINS, NOW_BINS
from ..models.receptive_field import receptive_field
from ..models.turn_model import TurnModel
from ..stream.contract import FORMAT_VERSION, LABELS
from .step_input import StepInput


def describe(model: TurnModel, step_input: StepInput, name: str, version: str) -> dict[str, Any]:
    """Returns the JSON object for the file's metadata.

    Its fields:

    - format_version: version of this format.
    - name, version: name and version of the model.
    - input, input_name, input_shape: the kind of input ("pcm" or "mel"), the name of the input
      tensor, and its shape without the batch.
    - sample_rate_hz, frame_samples, frame_rate_hz: sample rate, and length and rate of the frames.
    - outputs: name of each output, with its shape (without the batch) and its meaning.
    - state: size S of the packed state, size of one speaker's half, and the name, shape and offset
      of each tensor within one speaker's half.
    - receptive_field: how far back the encoder sees, in feature frames and in samples. Recurrent
      layers see further.
    - config: configuration of the network.
    - weights_sha256: hash of the weights.
    """
    config = model.config
    layout = step_input.layout(model)
    hidden = {"latent": config.dialogue_rnn.hidden, "latent_speaker": config.speaker_rnn.hidden}
    shapes: dict[str, list[int]] = {
        label: [2, hidden[label]] if label in hidden else [2] for label in LABELS
    }
    shapes["next_state"] = [layout.size]
    field = receptive_field(config.encoder)
    return {
        "format_version": FORMAT_VERSION,
        "name": name,
        "version": version,
        "input": step_input.kind,
        "input_name": step_input.name,
        "input_shape": list(step_input.shape(config)),
        "sample_rate_hz": config.features.sample_rate_hz,
        "frame_samples": config.frame_samples,
        "frame_rate_hz": config.frame_rate_hz,
        "outputs": {
            label: {"shape": shapes[label], "meaning": meaning}
            for label, meaning in _meanings(config).items()
        },
        "state": {
            "size": layout.size,
            "speaker_size": layout.speaker_size,
            "entries": [
                {"name": e.name, "shape": list(e.shape), "offset": e.offset} for e in layout.entries
            ],
        },
        "receptive_field": {"frames": field.size, "samples": field.size_samples(config.features)},
        "config": json.loads(config.to_json()),
        "weights_sha256": weights_sha256(model),
    }


def _meanings(config: ModelConfig) -> dict[str, str]:
    """Returns the meaning of each output. `p_now` and `p_future` get this network's time spans."""
    edges_s = config.bin_edges_s
    spans = {
        label: f"{edges_s[bins[0]]:g}-{edges_s[bins[-1] + 1]:g} s ahead"
        for label, bins in (("p_now", NOW_BINS), ("p_future", FUTURE_BINS))
    }
    return {
        label: f"{meaning}; {spans[label]}" if label in spans else meaning
        for label, meaning in LABELS.items()
    }
