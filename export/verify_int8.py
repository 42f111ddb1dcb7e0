"""Checks that an int8 graph predicts what its float graph predicts, before a file is written.

Both graphs run frame by frame over real speech that the int8 graph was not calibrated on. Rounding
errors pass through the recurrent states from frame to frame, so the comparison is of the whole
call, not of single frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..models.turn_model import TurnModel
from ..stream.contract import LABELS
from ..stream.errors import ExportError
from ..stream.onnx_session import open_session
from .step_input import StepInput
from .verify import TOLERANCE, Float32, run_frames

# Limits of a probability's difference. The bundled network needs a third of them.
MOST_MEAN, MOST_LARGEST = 0.01, 0.15
BATCH_FRAMES = 100  # of the comparison of a batch with single conversations


@dataclass(frozen=True)
class Int8Verification:
    """Agreement of the int8 graph with the float graph.

    Attributes:
        differences: largest and mean difference of every output.
        crossed: share of the frames in which p_shift is on the other side of 0.5.
        batch_against_single: largest difference between a batch and single conversations.
    """

    differences: dict[str, tuple[float, float]]
    crossed: float
    batch_against_single: float

    def __str__(self) -> str:
        each = ", ".join(
            f"{name} {largest:.1e} ({mean:.1e})"
            for name, (largest, mean) in self.differences.items()
        )
        largest, mean = self.differences["p_next"]
        return (
            f"int8 against float, largest (mean) difference: {each}; p_shift changes by "
            f"{mean:.1e} on average and {largest:.1e} at most, and crosses 0.5 in "
            f"{self.crossed:.2%} of the frames; batch against single "
            f"{self.batch_against_single:.1e}"
        )


def verify_int8(
    small: bytes, plain: bytes, model: TurnModel, step_input: StepInput, x: Float32
) -> Int8Verification:
    """Compare an int8 graph with the float graph that it was made from.

    Args:
        small, plain: the serialized int8 and float graphs.
        model: the network, for the layout of the state.
        step_input: input of the graphs.
        x: frames of speech, (1, 2, T, ...).
    Raises:
        ExportError: a probability differs by more than MOST_LARGEST, or on average by more than
            MOST_MEAN; or a batch gives other numbers than single conversations.
    """
    session = open_session(small)
    expected = run_frames(open_session(plain), model, step_input, x)
    found = run_frames(session, model, step_input, x)
    gaps = {name: np.abs(found[name] - expected[name]) for name in LABELS}
    # p_shift is p_next of one of the speakers, so their differences are the same.
    sides = (found["p_next"] > 0.5) != (expected["p_next"] > 0.5)
    pieces = np.concatenate(
        [x[:, :, start : start + BATCH_FRAMES] for start in (0, BATCH_FRAMES, 2 * BATCH_FRAMES)]
    )
    together = run_frames(session, model, step_input, pieces)
    alone = [run_frames(session, model, step_input, piece[None]) for piece in pieces]
    verification = Int8Verification(
        differences={name: (float(gap.max()), float(gap.mean())) for name, gap in gaps.items()},
        crossed=float(sides.any(axis=-1).mean()),
        batch_against_single=max(
            float(np.abs(together[name] - np.concatenate([one[name] for one in alone])).max())
            for name in LABELS
        ),
    )
    for name, (largest, mean) in verification.differences.items():
        is_probability = not name.startswith(("latent", "next_state"))
        if is_probability and not (largest <= MOST_LARGEST and mean <= MOST_MEAN):
            raise ExportError(
                f"int8: expected {name} to change by at most {MOST_LARGEST:g}, and by "
                f"{MOST_MEAN:g} on average, got {largest:.3g} and {mean:.3g}; "
                "the int8 graph was not written"
            )
    if not verification.batch_against_single <= TOLERANCE:
        raise ExportError(
            f"int8: expected a batch to give the numbers of single conversations, got differences "
            f"up to {verification.batch_against_single:.3g}; the int8 graph was not written"
        )
    return verification
