"""The results of the runtime: one frame after 20 ms of audio, and the `TurnEvent`s of a policy.

A `FrameMessage` is a frame as the websocket carries it. A `Prediction` is the same frame in the
process that predicted it, with what only that process has.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from .wire import Count, Number, ShortSignature, whole_number

EventType = Literal[
    "start_of_turn",
    "eager_end_of_turn",
    "turn_resumed",
    "end_of_turn",
    "backchannel",
    "interruption",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
Trigger = Literal["model", "timeout", "other_spoke", "forced"]

Speaker = Annotated[int, whole_number(0, 1)]
# One value per speaker: (user, other).
Pair = Annotated[tuple[Number, Number], Meta(description="two numbers")]
_SPEAKERS = ("user", "other")
SILENCE_DBFS = -120.0  # level of digital silence


class TurnEvent(msgspec.Struct, frozen=True, metaclass=ShortSignature):
    """An event that a dialogue system can act on.

    Attributes:
        type: one of EVENT_TYPES.
        speaker: speaker whose speech or turn the event describes (0 user, 1 other).
        time_s: time of the decision, in seconds of audio since the start.
        probability: the probability behind the decision: vad for starts and resumptions, p_next of
            the other speaker for ends, p_backchannel for backchannels, and 1 - p_backchannel for
            interruptions.
        turn_index: number of turns that this speaker has ended before. All events of one turn have
            the same index. An event outside a turn has the index of the speaker's next turn.
        trigger: why the turn ended, for `end_of_turn`: "model" (the probability reached the
            threshold), "timeout" (the silence lasted too long), "other_spoke" (the other speaker
            took the floor) or "forced" (by `end_turn`). None for other events.
    """

    type: EventType
    speaker: Speaker
    time_s: Number
    probability: Number
    turn_index: Count = 0
    trigger: Trigger | None = None


class FrameMessage(msgspec.Struct, frozen=True, tag="frame", metaclass=ShortSignature):
    """The model's prediction after one frame of audio.

    A server rounds the probabilities to 4 decimals; `time_s` is exact.

    Attributes:
        frame: index of the frame, from 0.
        time_s: end of the frame, in seconds of audio since the start. No later audio was used.
        holder: speaker who last spoke alone (0 user, 1 other); None before anyone has.
        p_shift: probability that the speaker who is not the holder has the floor next: p_next of
            that speaker. None without a holder.
        p_hold: 1 - p_shift; None without a holder.
        vad: probability that each speaker is speaking now.
        p_now: share of the speech of the next 0-0.6 s expected from each speaker; sums to 1.
        p_future: the same for the next 0.6-2 s.
        p_next: probability that each speaker holds the floor next; sums to 1. The policy reads it.
            In a pause it contains the pause model's answer, if there is one.
        p_backchannel: probability that each speaker gives a backchannel now or within 0.5 s.
            Experimental: it is not reliable on real calls yet.
    """

    frame: Count
    time_s: Number
    holder: Speaker | None
    p_shift: Number | None
    p_hold: Number | None
    vad: Pair
    p_now: Pair
    p_future: Pair
    p_next: Pair
    p_backchannel: Pair


class Prediction(FrameMessage, frozen=True, eq=False):
    """A frame in the process that predicted it: a `FrameMessage` with these attributes more.

    Printed, it is one short line. `msgspec.structs.asdict` returns all values.

    Attributes:
        latent: state of the last layer for both speakers, (2, H) float32.
        latent_speaker: state of the per-speaker layer, (2, H) float32.
        active: whether each speaker is speaking now: `vad` with hysteresis.
        level_dbfs: RMS level of each channel in this frame, without its mean, in dB re full scale;
            at least SILENCE_DBFS. None if it was not measured.
        events: turn events of this frame; none without a policy.
    """

    latent: NDArray[np.float32]
    latent_speaker: NDArray[np.float32]
    active: tuple[bool, bool]
    level_dbfs: Pair | None = None
    events: tuple[TurnEvent, ...] = ()

    def __str__(self) -> str:
        """Return the time, the floor, who speaks and the events in one short line."""
        floor = "nobody has had the floor"
        if self.holder is not None and self.p_shift is not None:
            floor = f"{_SPEAKERS[self.holder]} has the floor, p_shift {self.p_shift:.2f}"
        vad = " ".join(f"{one:.2f}" for one in self.vad)
        events = "".join(f", {one.type} of {_SPEAKERS[one.speaker]}" for one in self.events)
        return f"{self.time_s:.2f} s: {floor}, vad {vad}{events}"

    def __repr__(self) -> str:
        """Return the frame, and what `str` returns; the latents would fill a page."""
        return f"<Prediction of frame {self.frame}, {self}>"

    @property
    def frame_s(self) -> float:
        """Length of the frame in seconds."""
        return self.time_s / (self.frame + 1)
