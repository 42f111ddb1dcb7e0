"""Exports one step of the network as an ONNX graph with a packed state and a dynamic batch."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..models.turn_model import TurnModel, TurnOutput
from ..stream.contract import LABELS, METADATA_KEY
from ..stream.errors import MissingExtraError
from .flatten import flatten
from .metadata import InputKind, describe


class Step(nn.Module):
    """One step of the network with the outputs that a runtime needs.

    Args of forward:
        x: audio (B, 2, frame_samples), or log-mel frames (B, 2, stride, mel_bins).
        state: packed state, (B, S).
    Returns:
        vad, p_now, p_future, p_next and p_backchannel, each (B, 2); latent and latent_speaker, each
        (B, 2, H); next state (B, S).
    """

    def __init__(self, model: TurnModel, kind: InputKind) -> None:
        super().__init__()
        self.model, self.kind = model, kind

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, ...]:
        output: TurnOutput
        output, after = (
            self.model(x, state) if self.kind == "pcm" else self.model.forward_mel(x, state)
        )
        probabilities = [p[:, :, -1] for p in self.model.probabilities(output)]
        return *probabilities, output.latent[:, :, -1], output.latent_speaker[:, :, -1], after


def example_inputs(model: TurnModel, kind: InputKind, batch: int) -> tuple[Tensor, Tensor]:
    """Returns inputs for one step: reproducible random audio or mel, and the initial state."""
    generator = torch.Generator().manual_seed(0)
    config = model.config
    state = model.init_state(batch) if kind == "pcm" else model.init_mel_state(batch)
    shape = (
        (batch, 2, config.frame_samples)
        if kind == "pcm"
        else (batch, 2, config.encoder.stride, config.features.mel_bins)
    )
    return 0.1 * torch.randn(shape, generator=generator), state


def build(model: TurnModel, kind: InputKind, name: str, version: str) -> bytes:
    """Export one step with its metadata.

    Args:
        model: the network, in evaluation mode.
        kind: input of the graph: "pcm" for audio, "mel" for log-mel frames.
        name, version: name and version of the model, for the metadata.
    Returns:
        The serialized ONNX model.
    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
        ConfigError: kind is "mel", but no layer after the features has a state.
        ExportError: a tensor's shape depends on the batch in a way that `flatten` cannot handle.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # pyright: ignore[reportUnusedImport]  the exporter needs it
    except ImportError as error:
        raise MissingExtraError(error.name or "onnx", "export") from None
    step = Step(model, kind).eval()
    names = ["audio" if kind == "pcm" else "mel", "state"]
    batch = torch.export.Dim("batch")
    exporter = cast("Any", torch.onnx).export  # its types are incomplete
    with _quiet_exporter():
        program = exporter(
            step,
            example_inputs(model, kind, batch=3),
            input_names=names,
            output_names=list(LABELS),
            dynamic_shapes=({0: batch}, {0: batch}),
            dynamo=True,
            verbose=False,
        )
    proto: Any = program.model_proto
    flatten(
        proto,
        {
            name: x.numpy()
            for name, x in zip(names, example_inputs(model, kind, batch=1), strict=True)
        },
    )
    del proto.metadata_props[:]
    for node in proto.graph.node:  # remove the exporter's stack traces
        del node.metadata_props[:]
        node.doc_string = ""
    proto.producer_name = "turnstream"
    onnx.helper.set_model_props(
        proto, {METADATA_KEY: json.dumps(describe(model, kind, name, version))}
    )
    cast("Any", onnx.checker).check_model(proto, full_check=True)
    return proto.SerializeToString()


@contextmanager
def _quiet_exporter() -> Generator[None, None, None]:
    """Silence the exporter's warnings about its own internals. `verify` checks the result."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
