"""Run whole recordings through the engine, many in one batch, with the same steps as live."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...stream.contract import PROBABILITIES as OUTPUTS
from ...stream.engine import Engine

Float32 = NDArray[np.float32]
Outputs = dict[str, Float32]  # every output by its name, (2, T)
# Input channels of the three rows: both channels, the first alone, the second alone.
HEARD = np.array([[1, 1], [1, 0], [0, 1]], np.float32)[:, :, None]


def step_recordings(
    engine: Engine, recordings: Sequence[Float32]
) -> list[tuple[Outputs, Outputs, Outputs]]:
    """Run every recording from its own beginning to its own end, three times in one batch.

    Args:
        engine: the model.
        recordings: samples in [-1, 1] at the model's sample rate, (2, N) each; an incomplete last
            frame is padded with zeros.
    Returns:
        For each recording, the outputs with both channels as input, with the first channel alone,
        and with the second alone. The missing channel is digital silence. Each output is (2,
        ceil(N / frame_samples)).
    """
    size = engine.metadata.frame_samples
    frames = [-(-audio.shape[1] // size) for audio in recordings]
    # Longest first: recordings that are still running are then the first batch rows.
    order = sorted(range(len(frames)), key=lambda index: -frames[index])
    said = [
        {name: np.zeros((len(HEARD), 2, count), np.float32) for name in OUTPUTS} for count in frames
    ]
    state = engine.init_state(len(HEARD) * len(recordings))
    for t in range(max(frames, default=0)):
        running = [index for index in order if frames[index] > t]
        audio = np.zeros((len(running), len(HEARD), 2, size), np.float32)
        for row, index in zip(audio, running, strict=True):
            heard = recordings[index][:, t * size : (t + 1) * size]
            row[:, :, : heard.shape[1]] = heard * HEARD
        output, state = engine.step(audio.reshape(-1, 2, size), state[: len(HEARD) * len(running)])
        for name in OUTPUTS:
            for index, values in zip(
                running, getattr(output, name).reshape(-1, len(HEARD), 2), strict=True
            ):
                said[index][name][:, :, t] = values

    def of(index: int, row: int) -> Outputs:
        return {name: said[index][name][row] for name in OUTPUTS}

    return [(of(index, 0), of(index, 1), of(index, 2)) for index in range(len(recordings))]
