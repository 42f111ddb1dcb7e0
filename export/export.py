"""One command from checkpoint to verified ONNX, with golden inputs and outputs for tests in other languages."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from ..models.checkpoint import load_checkpoint
from ..stream.errors import ExportError
from ..stream.onnx_session import open_session
from .metadata import InputKind
from .onnx_graph import build
from .verify import Verification, run_frames, run_torch, verification_audio, verify


def export(
    checkpoint: Path,
    out: Path,
    *,
    kind: InputKind = "pcm",
    name: str = "turnstream",
    version: str = "1",
    golden: Path | None = None,
) -> Verification:
    """Export a checkpoint, verify the graph, and only then write it.

    Args:
        checkpoint: folder with model.safetensors and config.json.
        out: the .onnx file to write.
        kind: "pcm" (audio in) or "mel" (log-mel frames in).
        name, version: of the model, for the metadata.
        golden: also write inputs, and what the graph makes of them, as an .npz: `input` (B, 2, T, ...), the frames in order; every
            output (B, T, ...); `next_state` (B, S) after the last frame. The first state is all zeros. Outputs of a right
            implementation differ by 1e-5 at most.
    Raises:
        ConfigError: the checkpoint cannot be read, or describes no network with this kind of input.
        ExportError: the graph does not compute what the network computes, or a file cannot be written.
    """
    model = load_checkpoint(checkpoint)
    graph = build(model, kind, name, version)
    found = verify(graph, model, kind)
    _write(out, graph)
    if golden is not None:
        x, _ = run_torch(model, kind, verification_audio(model))
        outputs: dict[str, Any] = run_frames(open_session(graph), model, kind, x)
        archive = io.BytesIO()
        np.savez_compressed(archive, input=x, **outputs)
        _write(golden, archive.getvalue())
    return found


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise ExportError(
            f"expected a file that can be written, got {str(path)!r}: {error.strerror}"
        ) from None
