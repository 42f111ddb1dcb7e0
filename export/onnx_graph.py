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

from ..models.turn_model import TurnModel
from ..stream.contract import LABELS, METADATA_KEY
from ..stream.errors import MissingExtraError
from .flatten import flatten
from .fold_constants import fold_constants
from .gru_products import gru_products
from .metadata import describe
from .node_names import name_parts
from .step_input import StepInput


class Step(nn.Module):
    """One step of the network with the outputs that a runtime needs.

    Args of forward:
        x: input of the step, (B, *step_input.shape).
        state: packed state, (B, S).
    Returns:
        vad, p_now, p_future, p_next and p_backchannel, each (B, 2); latent and latent_speaker, each
        (B, 2, H); next state (B, S).
    """

    def __init__(self, model: TurnModel, step_input: StepInput) -> None:
        super().__init__()
        self.model, self.step_input = model, step_input

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, ...]:
        output, after = self.step_input.forward(self.model, x, state)
        probabilities = [p[:, :, -1] for p in self.model.probabilities(output)]
        return *probabilities, output.latent[:, :, -1], output.latent_speaker[:, :, -1], after


def example_inputs(model: TurnModel, step_input: StepInput, batch: int) -> tuple[Tensor, Tensor]:
    """Returns inputs for one step: reproducible random numbers, and the initial state."""
    generator = torch.Generator().manual_seed(0)
    x = 0.1 * torch.randn(batch, *step_input.shape(model.config), generator=generator)
    return x, step_input.init_state(model, batch)


def build(model: TurnModel, step_input: StepInput, name: str, version: str) -> bytes:
    """Export one step with its metadata.

    Args:
        model: the network, in evaluation mode.
        step_input: input of the graph: PCM for audio, MEL for log-mel frames.
        name, version: name and version of the model, for the metadata.
    Returns:
        The serialized ONNX model.
    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
        ConfigError: the input is MEL, but no layer after the features has a state.
        ExportError: a tensor's shape depends on the batch in a way that `flatten` cannot handle.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # pyright: ignore[reportUnusedImport]  the exporter needs it
    except ImportError as error:
        raise MissingExtraError(error.name or "onnx", "export") from None
    step = Step(model, step_input).eval()
    names = [step_input.name, "state"]
    batch = torch.export.Dim("batch")
    exporter = cast("Any", torch.onnx).export  # its types are incomplete
    with quiet_exporter():
        program = exporter(
            step,
            example_inputs(model, step_input, batch=3),
            input_names=names,
            output_names=list(LABELS),
            dynamic_shapes=({0: batch}, {0: batch}),
            dynamo=True,
            verbose=False,
        )
    proto: Any = program.model_proto
    name_parts(proto)
    fold_constants(proto)
    gru_products(proto)
    flatten(
        proto,
        {
            name: x.numpy()
            for name, x in zip(names, example_inputs(model, step_input, batch=1), strict=True)
        },
    )
    del proto.metadata_props[:]
    for node in proto.graph.node:  # remove the exporter's stack traces
        del node.metadata_props[:]
        node.doc_string = ""
    proto.producer_name = "turnstream"
    onnx.helper.set_model_props(
        proto, {METADATA_KEY: json.dumps(describe(model, step_input, name, version))}
    )
    cast("Any", onnx.checker).check_model(proto, full_check=True)
    return proto.SerializeToString()


@contextmanager
def quiet_exporter() -> Generator[None, None, None]:
    """Silence the exporter's warnings about its own internals. `verify` checks the result."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
