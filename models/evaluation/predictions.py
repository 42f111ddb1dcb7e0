"""What a system said of a dialogue, and who really spoke when: all that a measure needs.

Everything is at 50 Hz and as long as the activity. Column t is the newest that was said when t + 1 whole frames had been
heard, so nothing in it looks ahead; `at_activity_rate` brings a network of another frame rate to this form.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import DialogueError
from ..dialogues.activity import FRAME_RATE_HZ, BoolFrames

Setting = Literal["stereo", "mono"]
Frames = NDArray[np.float32]


@dataclass(frozen=True)
class Prediction:
    """What a system said of one dialogue; every field is float32 (2, T), one row per speaker, in [0, 1].

    Attributes:
        vad: is speaking.
        p_now: share of the speech in the next 0-0.6 s.
        p_future: share of the speech in the next 0.6-2 s.
        p_next: holds the floor next.
        p_backchannel: is, or soon will be, giving a backchannel.
    """

    vad: Frames
    p_now: Frames
    p_future: Frames
    p_next: Frames
    p_backchannel: Frames


@dataclass(frozen=True)
class EvaluatedDialogue:
    """One dialogue, ready to be scored.

    Attributes:
        id: of the dialogue.
        activity: who spoke when, (2, T).
        backchannel: known backchannels, (2, T); all False where unknown.
        stereo: said with both channels heard.
        mono: mono[s] was said with only speaker s's channel heard, the other silent.
    Raises:
        DialogueError: shapes that do not fit each other.
    """

    id: str
    activity: BoolFrames
    backchannel: BoolFrames
    stereo: Prediction
    mono: tuple[Prediction, Prediction]

    def __post_init__(self) -> None:
        if self.activity.ndim != 2 or len(self.activity) != 2:
            raise DialogueError(
                f"dialogue {self.id!r}: expected activity of two speakers, (2, T), got shape {self.activity.shape}"
            )
        shapes = {"backchannel": self.backchannel.shape}
        for setting, prediction in (
            ("stereo", self.stereo),
            ("mono[0]", self.mono[0]),
            ("mono[1]", self.mono[1]),
        ):
            shapes |= {
                f"{setting}.{field.name}": getattr(prediction, field.name).shape
                for field in fields(prediction)
            }
        for name, shape in shapes.items():
            if shape != self.activity.shape:
                raise DialogueError(
                    f"dialogue {self.id!r}: expected {name} to be as long as the activity, {self.activity.shape}, got {shape}"
                )

    def heard(self, setting: Setting, speaker: int) -> Prediction:
        """What was said in a setting about something that this speaker did: in mono only their channel was heard."""
        return self.stereo if setting == "stereo" else self.mono[speaker]


def at_activity_rate(said: Frames, frame_rate_hz: float, frames: int) -> Frames:
    """The newest prediction at the end of every 50 Hz frame.

    Before the first prediction its value stands, after the last one that one.

    Args:
        said: a system's output, (2, T); column i is said (i + 1) / frame_rate_hz seconds into the dialogue.
        frame_rate_hz: of the system.
        frames: of the dialogue at 50 Hz.
    Returns:
        (2, frames).
    Raises:
        DialogueError: nothing was said.
    """
    if said.shape[1] == 0:
        raise DialogueError(
            f"expected predictions (2, T) of at least one frame, got shape {said.shape}"
        )
    complete = ((np.arange(frames) + 1) * (frame_rate_hz / FRAME_RATE_HZ) + 1e-6).astype(int)
    return np.ascontiguousarray(said[:, np.clip(complete - 1, 0, said.shape[1] - 1)], np.float32)


def heard_frame(start_frame: int, seconds: float, frames: int) -> int:
    """The last frame heard in full `seconds` after `start_frame` began; within the dialogue."""
    return min(max(start_frame + int(seconds * FRAME_RATE_HZ + 1e-6) - 1, 0), frames - 1)
