"""Checks that an exported graph computes what the network computes, before a file is written.

The audio consists of bursts of noise and silence. Two comparisons must agree to 1e-5:

- torch on the whole sequence, and the graph frame by frame;
- the graph on a batch of conversations, and on each conversation alone.

Two controls must differ clearly, to prove that the comparison can fail:

- the graph with its convolution caches set to zero after every frame;
- the graph with its recurrent states set to zero after every frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.receptive_field import receptive_field
from ..models.state import StateEntry
from ..models.turn_model import TurnModel
from ..stream.contract import LABELS
from ..stream.errors import ExportError
from ..stream.onnx_session import open_session
from .step_input import StepInput

TOLERANCE = 1e-5
CONVERSATIONS = 3
SHORTEST_FRAMES = 60  # minimum length; twice the receptive field if that is longer

Float32 = NDArray[np.float32]
Outputs = dict[str, Float32]  # each (B, T, ...); next_state is (B, S) after the last frame


@dataclass(frozen=True)
class Verification:
    """The largest difference in each comparison and control.

    Attributes:
        whole_against_frames: torch on the whole sequence against the graph frame by frame.
        batch_against_single: the graph on a batch against the graph on single conversations.
        without_conv_caches: effect of losing the convolution caches.
        without_recurrent_state: effect of losing the recurrent states.
    """

    whole_against_frames: float
    batch_against_single: float
    without_conv_caches: float  # must be large
    without_recurrent_state: float  # must be large

    def __str__(self) -> str:
        return (
            f"torch whole against ONNX frame by frame {self.whole_against_frames:.1e}, "
            f"batch against single {self.batch_against_single:.1e}; "
            f"controls: without convolution caches {self.without_conv_caches:.1e}, "
            f"without recurrent state {self.without_recurrent_state:.1e}"
        )


def verify(graph: bytes, model: TurnModel, step_input: StepInput) -> Verification:
    """Compare a graph with the network it was exported from.

    Args:
        graph: serialized ONNX model.
        model: the network, in evaluation mode.
        step_input: input of the graph: PCM for audio, MEL for log-mel frames.
    Returns:
        The largest differences.
    Raises:
        ExportError: a comparison differs by more than 1e-5, or a control by 1e-3 or less.
    """
    session = open_session(graph)
    x, expected = run_torch(model, step_input, verification_audio(model))
    frames = run_frames(session, model, step_input, x)
    single = [run_frames(session, model, step_input, x[b : b + 1]) for b in range(CONVERSATIONS)]
    entries = step_input.layout(model).entries
    caches = [entry for entry in entries if entry.name.startswith(("features", "encoder"))]
    recurrent = [entry for entry in entries if "_rnn" in entry.name]
    found = Verification(
        whole_against_frames=_largest_difference(expected, frames),
        batch_against_single=_largest_difference(
            {name: np.concatenate([one[name] for one in single]) for name in frames}, frames
        ),
        without_conv_caches=_largest_difference(
            expected, run_frames(session, model, step_input, x, forget=caches), "latent"
        ),
        without_recurrent_state=_largest_difference(
            expected, run_frames(session, model, step_input, x, forget=recurrent), "latent"
        ),
    )
    for name, value in (
        ("whole against frames", found.whole_against_frames),
        ("batch against single", found.batch_against_single),
    ):
        if not value <= TOLERANCE:
            raise ExportError(
                f"{name}: expected differences up to {TOLERANCE:g}, got {value:.3g}; "
                "the graph was not written"
            )
    for name, value, entries in (
        ("caches", found.without_conv_caches, caches),
        ("states", found.without_recurrent_state, recurrent),
    ):
        if entries and not value > 100 * TOLERANCE:
            raise ExportError(
                f"losing the {name} changes the output by only {value:.3g}; "
                "a comparison that cannot fail proves nothing"
            )
    return found


def verification_audio(model: TurnModel) -> Float32:
    """Returns reproducible bursts of noise and silence, (CONVERSATIONS, 2, N)."""
    rng = np.random.default_rng(0)
    # Longer than any cache.
    frames = max(SHORTEST_FRAMES, 2 * receptive_field(model.config.encoder).size)
    samples = model.config.frame_samples * frames
    bursts = np.repeat(
        rng.random((CONVERSATIONS, 2, frames)) < 0.6, model.config.frame_samples, axis=2
    )
    return (0.2 * rng.standard_normal((CONVERSATIONS, 2, samples)) * bursts).astype(np.float32)


def run_torch(model: TurnModel, step_input: StepInput, audio: Float32) -> tuple[Float32, Outputs]:
    """Run the network over the whole audio (B, 2, N) at once.

    Returns:
        The graph's input for every frame, (B, 2, T, ...), and the network's outputs.
    """
    batch = len(audio)
    with torch.inference_mode():
        whole = step_input.from_audio(model, torch.tensor(audio))
        output, state = step_input.forward(model, whole, step_input.init_state(model, batch))
        values = [*model.probabilities(output), output.latent, output.latent_speaker]
    outputs = {
        name: value.transpose(1, 2).numpy() for name, value in zip(LABELS, values, strict=False)
    }
    channels, *step = step_input.shape(model.config)
    x = whole.reshape(batch, channels, -1, *step)
    return x.numpy(), {**outputs, "next_state": state.numpy()}


def run_frames(
    session: Any,
    model: TurnModel,
    step_input: StepInput,
    x: Float32,
    forget: list[StateEntry] | None = None,
) -> Outputs:
    """Step the graph over all frames.

    Args:
        session: ONNX Runtime session of the graph.
        model: the network, for the layout of the state.
        step_input: input of the graph.
        x: frames in order, (B, 2, T, ...).
        forget: entries of the state to set to zero after every frame.
    """
    layout = step_input.layout(model)
    state: Float32 = np.zeros((x.shape[0], layout.size), np.float32)
    steps: list[list[Float32]] = []
    for t in range(x.shape[2]):
        *values, state = session.run(
            list(LABELS),
            {step_input.name: np.ascontiguousarray(x[:, :, t]), "state": state},
        )
        steps.append(values)
        for entry in forget or []:
            rows = state.reshape(-1, layout.speaker_size)
            rows[:, entry.offset : entry.offset + entry.size] = 0
    outputs = {
        name: np.stack(column, axis=1)
        for name, column in zip(LABELS, zip(*steps, strict=True), strict=False)
    }
    return {**outputs, "next_state": state}


def _largest_difference(a: Outputs, b: Outputs, only: str | None = None) -> float:
    """Returns the largest difference between outputs.

    The difference is absolute for values of `a` up to 1. For larger values, such as the cells of an
    LSTM, it is relative to the value.
    """
    names = [only] if only else list(a)
    return max(
        float((np.abs(a[name] - b[name]) / np.maximum(1, np.abs(a[name]))).max()) for name in names
    )
