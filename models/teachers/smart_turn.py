"""Smart Turn v3: the probability that a turn is complete, from the last 8 s of one speaker.

The network is Pipecat's (8 M parameters, BSD-2-Clause). It comes with the pipecat-ai package,
which is never imported. It is the teacher of the simulator's pauses, and a baseline of the
evaluation. The runtime does not need it.

Source: Pipecat's smart-turn v3.2; features as Whisper's (Radford et al. 2022) over 8 s.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import ConfigError, MissingExtraError
from ...stream.onnx_session import open_session

SAMPLE_RATE_HZ = 16000
INPUT_SAMPLES = 8 * SAMPLE_RATE_HZ
WINDOW_SAMPLES, HOP_SAMPLES, MEL_BINS = 400, 160, 80

Samples = NDArray[np.float32]


class SmartTurn:
    """The network, ready to score.

    Raises:
        MissingExtraError: pipecat-ai is not installed.
        ConfigError: the package has no network of this version.
    """

    def __init__(self) -> None:
        found = importlib.util.find_spec("pipecat")
        if found is None or not found.submodule_search_locations:
            raise MissingExtraError("pipecat-ai", "bench")
        path = (
            Path(found.submodule_search_locations[0])
            / "audio"
            / "turn"
            / "smart_turn"
            / "data"
            / "smart-turn-v3.2-cpu.onnx"
        )
        if not path.is_file():
            raise ConfigError(
                f"{path}: expected the network of Smart Turn v3.2 in the pipecat-ai package, got "
                "no such file"
            )
        self._session: Any = open_session(path)

    def scores(self, clips: Sequence[Samples]) -> NDArray[np.float32]:
        """Return the probability that the turn is complete, (B,).

        Args:
            clips: for each decision, all audio of the speaker up to it, (N,) at 16 kHz. Only the
                last 8 s are used. The network was made for decisions about 0.2 s into a silence.
        """
        features = (log_mel(clip) for clip in clips)  # one at a time: a batch is no faster
        return np.array(
            [self._session.run(None, {"input_features": mel[None]})[0].item() for mel in features],
            np.float32,
        )


def log_mel(clip: Samples) -> NDArray[np.float32]:
    """Return Whisper's log-mel features of the last 8 s, (80, 800).

    Shorter clips are padded with zeros in front.
    """
    samples = np.asarray(clip, np.float32)[-INPUT_SAMPLES:]
    samples = np.pad(samples, (INPUT_SAMPLES - len(samples), 0))
    samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    padded = np.pad(samples, WINDOW_SAMPLES // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[
        :INPUT_SAMPLES:HOP_SAMPLES
    ]
    power = np.abs(np.fft.rfft(windows * np.hanning(WINDOW_SAMPLES + 1)[:-1])) ** 2  # (800, 201)
    level = np.log10(np.maximum(power @ _mel_filters(), 1e-10)).T
    return ((np.maximum(level, level.max() - 8) + 4) / 4).astype(np.float32)


@cache
def _mel_filters() -> NDArray[np.float64]:
    """Return triangles of equal area on Slaney's mel scale, 0-8 kHz, (201, 80)."""
    bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, WINDOW_SAMPLES // 2 + 1)
    knee_mel, per_octave = 15.0, np.log(6.4) / 27  # linear below 1 kHz, logarithmic above
    mels = np.linspace(0, knee_mel + np.log(SAMPLE_RATE_HZ / 2 / 1000) / per_octave, MEL_BINS + 2)
    edges_hz = np.where(
        mels < knee_mel, mels * 200 / 3, 1000 * np.exp(per_octave * (mels - knee_mel))
    )
    low, centre, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising, falling = (
        (bins_hz[:, None] - low) / (centre - low),
        (high - bins_hz[:, None]) / (high - centre),
    )
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
