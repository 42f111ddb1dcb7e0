"""Converts a checkpoint to verified ONNX files, with their metadata as JSON beside them.

It can also write golden inputs and outputs for tests of other implementations.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from ..models.checkpoint import load_checkpoint
from ..stream.contract import METADATA_KEY
from ..stream.errors import ExportError
from ..stream.onnx_session import open_session
from .onnx_graph import build
from .quantize import quantize
from .speech import calibration_frames, comparison_frames
from .step_input import PCM, StepInput
from .verify import Verification, run_frames, run_torch, verification_audio, verify
from .verify_int8 import Int8Verification, verify_int8
from .write_file import write_file


def export(
    checkpoint: Path,
    out: Path,
    *,
    step_input: StepInput = PCM,
    name: str = "turnstream",
    version: str = "1",
    golden: Path | None = None,
) -> Verification:
    """Export a checkpoint and verify the graph. Write the file only if the verification succeeds.

    The metadata is in the ONNX file, and again in a JSON file of the same name, because ONNX
    Runtime for the web does not show an ONNX file's metadata.

    Args:
        checkpoint: folder with model.safetensors and config.json.
        out: the .onnx file to write; the metadata is written to the same path with .json.
        step_input: input of the graph: PCM for audio, MEL for log-mel frames.
        name, version: name and version of the model, for the metadata.
        golden: if given, also write example inputs and the graph's outputs to this .npz file. It
            holds `input` (B, 2, T, ...), the frames in order; every output (B, T, ...); and
            `next_state` (B, S) after the last frame. The first state is all zeros. The outputs of a
            correct implementation differ by at most 1e-5.
    Returns:
        The differences that the verification found.
    Raises:
        ConfigError: the checkpoint cannot be read, or its network cannot have this input.
        ExportError: the graph's outputs differ from the network's, out does not end in .onnx, or a
            file cannot be written.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    if out.suffix != ".onnx":
        raise ExportError(f"expected the name of an .onnx file to write, got {str(out)!r}")
    model = load_checkpoint(checkpoint)
    graph = build(model, step_input, name, version)
    found = verify(graph, model, step_input)
    _write(graph, out)
    if golden is not None:
        x, _ = run_torch(model, step_input, verification_audio(model))
        outputs: dict[str, Any] = run_frames(open_session(graph), model, step_input, x)
        archive = io.BytesIO()
        np.savez_compressed(archive, input=x, **outputs)
        write_file(golden, archive.getvalue())
    return found


def int8_file(out: Path) -> Path:
    """Returns the path of the int8 graph that belongs to a float graph."""
    return out.with_suffix(".int8.onnx")


def export_int8(checkpoint: Path, out: Path, *, step_input: StepInput = PCM) -> Int8Verification:
    """Quantise a graph that `export` wrote, and write the result to `int8_file(out)`.

    The scales are measured on the first half of the bundled call, and the graphs are compared on
    its second half.

    Args:
        checkpoint, out, step_input: as they were given to `export`.
    Returns:
        The differences between the two graphs.
    Raises:
        ExportError: the int8 graph's outputs differ too much, or a file cannot be written.
    """
    model, plain = load_checkpoint(checkpoint), out.read_bytes()
    small = quantize(plain, calibration_frames(model, step_input))
    found = verify_int8(small, plain, model, step_input, comparison_frames(model, step_input))
    _write(small, int8_file(out))
    return found


def _write(graph: bytes, out: Path) -> None:
    """Write a graph, and its metadata as JSON beside it."""
    stored = open_session(graph).get_modelmeta().custom_metadata_map[METADATA_KEY]
    about = json.dumps(json.loads(stored), indent=1)
    write_file(out, graph)
    write_file(out.with_suffix(".json"), f"{about}\n".encode())
