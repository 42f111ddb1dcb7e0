"""Exports the encoder of the pause model as an ONNX graph in int8, and the head as JSON.

The graph's matrix products have int8 weights, and activations that are quantised as they come. It
is written only if its embeddings of bursts of noise agree with those of the network in float32.
"""

from __future__ import annotations

import importlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from ..models.teachers.saved_judge import SavedJudge
from ..models.teachers.whisper_network import WhisperNetwork
from ..stream.errors import ExportError, MissingExtraError
from ..stream.onnx_session import open_session
from .onnx_graph import quiet_exporter
from .write_file import write_file

LEAST_CORRELATION = 0.995  # of the embeddings, int8 against float32
MOST_DIFFERENCE = 1e-3  # of the embeddings, float32 graph against torch


@dataclass(frozen=True)
class PauseVerification:
    """Agreement of the graph with the network on noise bursts.

    Attributes:
        correlation: of the embeddings in int8 with those in float32.
        largest_float_difference: of the embeddings of the float32 graph with torch's.
    """

    correlation: float
    largest_float_difference: float

    def __str__(self) -> str:
        return (
            f"torch against ONNX {self.largest_float_difference:.1e}, correlation of int8 with "
            f"float32 {self.correlation:.4f}"
        )


def export_pause_model(judge: SavedJudge, whisper: Path, out: Path, name: str) -> PauseVerification:
    """Export the pause model of a judge.

    Args:
        judge: the judge whose head is exported.
        whisper: folder of the Whisper model that it was fitted on, in CTranslate2's format.
        out: the .onnx file to write; the head is written to the same path with .json.
        name: what the head was fitted on, in words.
    Raises:
        ConfigError: the folder holds no Whisper model.
        ExportError: int8 changes the embeddings too much; out does not end in .onnx; or a file
            cannot be written.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    if out.suffix != ".onnx":
        raise ExportError(f"expected the name of an .onnx file to write, got {str(out)!r}")
    network = WhisperNetwork(whisper).eval()
    plain = _float_graph(network)
    small = _quantised(plain)
    audio = _bursts(network.samples)
    with torch.inference_mode():
        wanted = network(torch.tensor(audio)).numpy()
    found = PauseVerification(
        float(np.corrcoef(_run(small, audio).ravel(), wanted.ravel())[0, 1]),
        float(np.abs(_run(plain, audio) - wanted).max()),
    )
    if found.correlation < LEAST_CORRELATION:
        raise ExportError(
            f"expected int8 embeddings that correlate by at least {LEAST_CORRELATION} with "
            f"float32, got {found.correlation:.4f}"
        )
    if found.largest_float_difference > MOST_DIFFERENCE:
        raise ExportError(
            f"expected a graph that differs from torch by at most {MOST_DIFFERENCE}, got "
            f"{found.largest_float_difference:.1e}"
        )
    write_file(out, small)
    write_file(
        out.with_suffix(".json"),
        msgspec.json.format(msgspec.json.encode(judge.head(name)), indent=0) + b"\n",
    )
    return found


def _float_graph(network: WhisperNetwork) -> bytes:
    try:
        import onnxscript  # noqa: F401  # pyright: ignore[reportUnusedImport]  the exporter needs it
    except ImportError as error:
        raise MissingExtraError(error.name or "onnx", "export") from None
    exporter = cast("Any", torch.onnx).export  # its types are incomplete
    with quiet_exporter():
        program = exporter(
            network,
            (torch.zeros(2, network.samples),),
            input_names=["audio"],
            output_names=["embedding"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    proto: Any = program.model_proto
    for node in proto.graph.node:  # remove the exporter's stack traces
        del node.metadata_props[:]
        node.doc_string = ""
    proto.producer_name = "turnstream"
    return proto.SerializeToString()


def _quantised(graph: bytes) -> bytes:
    quantization: Any = importlib.import_module("onnxruntime.quantization")  # it has no types

    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "small.onnx"
        plain.write_bytes(graph)
        quantization.quantize_dynamic(
            plain,
            small,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            # Seven bits: processors without VNNI saturate with eight.
            reduce_range=True,
            op_types_to_quantize=["MatMul", "Gemm"],
        )
        return small.read_bytes()


def _run(graph: bytes, audio: NDArray[np.float32]) -> NDArray[np.float32]:
    (embedding,) = open_session(graph).run(["embedding"], {"audio": audio})
    return embedding


def _bursts(samples: int) -> NDArray[np.float32]:
    """Return two rows of noise in bursts, with silence between them."""
    rng = np.random.default_rng(0)
    loud = np.repeat(rng.uniform(0, 1, (2, samples // 1600)) > 0.4, 1600, axis=1)
    return (0.1 * rng.standard_normal((2, samples)) * loud).astype(np.float32)
