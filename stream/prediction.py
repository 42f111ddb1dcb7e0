"""The typed results of the runtime: one `Prediction` per frame, and the `TurnEvent`s a policy makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

EventType = Literal[
    "start_of_turn",
    "eager_end_of_turn",
    "turn_resumed",
    "end_of_turn",
    "backchannel",
    "interruption",
]
EVENT_TYPES: tuple[EventType, ...] = (
    "start_of_turn",
    "eager_end_of_turn",
    "turn_resumed",
    "end_of_turn",
    "backchannel",
    "interruption",
)

Pair = tuple[float, float]  # one value per speaker: (user, other)
SILENCE_DBFS = -120.0  # level given to digital silence


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says after one frame of audio.

    Attributes:
        frame: index of the frame, from 0.
        time_s: end of the frame in seconds of audio heard; nothing after it was used.
        holder: speaker who last spoke alone (0 user, 1 other), None before anyone has.
        p_shift: probability that the floor goes to the other speaker next; None without a holder.
        p_hold: 1 - p_shift; None without a holder.
        vad: probability that each speaker is speaking now.
        p_now: share of speech expected from each speaker in the next 0-0.6 s, sums to 1.
        p_future: the same for 0.6-2 s.
        p_next: probability that each speaker holds the floor next, sums to 1.
        p_backchannel: probability that each speaker is, or within 0.5 s will be, giving a backchannel. Experimental: on real
            calls it is not reliable yet.
        latent: last layer's state, both speakers, (2, H) float32.
        latent_speaker: per-speaker layer's state, (2, H) float32.
        level_dbfs: RMS level of each channel in this frame, without its mean, in dB re full scale, at least SILENCE_DBFS;
            None where it was not measured.
    """

    frame: int
    time_s: float
    holder: int | None
    p_shift: float | None
    p_hold: float | None
    vad: Pair
    p_now: Pair
    p_future: Pair
    p_next: Pair
    p_backchannel: Pair
    latent: NDArray[np.float32]
    latent_speaker: NDArray[np.float32]
    level_dbfs: Pair | None = None

    @property
    def frame_s(self) -> float:
        """Length of a frame in seconds."""
        return self.time_s / (self.frame + 1)


@dataclass(frozen=True, slots=True)
class TurnEvent:
    """Something a dialogue system acts on.

    Attributes:
        type: one of EVENT_TYPES.
        speaker: whose turn it is about (0 user, 1 other).
        time_s: when it was decided, in seconds of audio heard.
        probability: what decided it: vad for starts and resumptions, p_next of the other speaker for ends, p_backchannel for
            backchannels, 1 - p_backchannel for interruptions.
    """

    type: EventType
    speaker: int
    time_s: float
    probability: float
