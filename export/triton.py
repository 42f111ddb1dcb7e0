"""Writes a model repository for NVIDIA Triton: the ONNX file, and its config.pbtxt.

Triton keeps the state of each conversation ("implicit state" of its sequence batcher): a client
sends audio alone, with a sequence id. Conversations share steps: the "oldest" strategy takes at
most one frame of each into a batch, in their order. The state before the first frame is zero.

Source: https://github.com/triton-inference-server/server, docs/user_guide/
implicit_state_management.md, and common's protobuf/model_config.proto.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..stream.contract import LABELS
from ..stream.engine import Engine, ModelMetadata
from ..stream.errors import ExportError
from .write_file import write_file

_MAX_BATCH = 64  # larger steps make a frame hardly cheaper
_MAX_SEQUENCES = 1024
_MAX_DELAY_US = 2000  # that a frame waits for others to share its step
_MAX_IDLE_S = 60  # between two frames of a conversation; then Triton forgets its state
_VERSION = "1"

_CONFIG = """\
# Written by `turnstream export --triton`. One request is {frame_s:g} s of audio.
name: "{name}"
backend: "onnxruntime"
max_batch_size: {max_batch}
sequence_batching {{
  max_sequence_idle_microseconds: {max_idle_us}
  oldest {{
    max_candidate_sequences: {max_sequences}
    max_queue_delay_microseconds: {max_delay_us}
  }}
  state [
    {{
      input_name: "state"
      output_name: "next_state"
      data_type: TYPE_FP32
      dims: [ {state_size} ]
      initial_state: [
        {{
          name: "silence"
          data_type: TYPE_FP32
          dims: [ {state_size} ]
          zero_data: true
        }}
      ]
    }}
  ]
}}
input [
{inputs}
]
output [
{outputs}
]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
parameters [
  {{ key: "intra_op_thread_count" value: {{ string_value: "1" }} }},
  {{ key: "inter_op_thread_count" value: {{ string_value: "1" }} }}
]
"""
_TENSOR = '  {{ name: "{name}" data_type: TYPE_FP32 dims: [ {dims} ] }}'


def write_triton(model: Path, repository: Path) -> Path:
    """Write the folder of one model into a Triton model repository.

    Args:
        model: an ONNX file written by `turnstream export`, with audio as its input.
        repository: folder of the repository; the model gets a folder of its own name in it.
    Returns:
        The folder of the model.
    Raises:
        ModelError: the file is not such a model.
        ExportError: the model's name cannot be that of a folder, or a file cannot be written.
        OSError: the file cannot be read.
    """
    about = Engine(model).metadata
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", about.name):
        raise ExportError(
            f"{model}: expected a model whose name has letters, digits, '.', '_' and '-' only, "
            f"because its folder gets this name, got {about.name!r}"
        )
    folder = repository / about.name
    write_file(folder / _VERSION / "model.onnx", model.read_bytes())
    write_file(folder / "config.pbtxt", _config(about).encode())
    return folder


def _config(about: ModelMetadata) -> str:
    sizes = {"latent": about.latent_size, "latent_speaker": about.latent_speaker_size}
    outputs = [
        _TENSOR.format(name=name, dims=f"2, {sizes[name]}" if name in sizes else "2")
        for name in LABELS
        if name != "next_state"
    ]
    return _CONFIG.format(
        name=about.name,
        frame_s=1 / about.frame_rate_hz,
        max_batch=_MAX_BATCH,
        max_idle_us=_MAX_IDLE_S * 1_000_000,
        max_sequences=_MAX_SEQUENCES,
        max_delay_us=_MAX_DELAY_US,
        state_size=about.state_size,
        inputs=_TENSOR.format(name="audio", dims=f"2, {about.frame_samples}"),
        outputs=",\n".join(outputs),
    )
