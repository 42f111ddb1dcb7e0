"""The input of every measure: the predictions of a system for a dialogue, and its voice activity.

All arrays are at 50 Hz and as long as the activity. Column t is the newest prediction at the time
at which t + 1 whole frames of audio were available, so it never looks ahead. torch_runner.py and
onnx_runner.py make these predictions with a network; baselines.py and judge.py with other systems.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...stream.contract import PROBABILITIES
from ...stream.errors import DialogueError
from ..dialogues.activity import FRAME_RATE_HZ, BoolFrames

Setting = Literal["stereo", "mono"]
Frames = NDArray[np.float32]


@dataclass(frozen=True)
class DialoguePrediction:
    """The predictions of a system for one dialogue.

    Every field is float32 (2, T), one row per speaker, in [0, 1].

    Attributes:
        vad: is speaking.
        p_now: share of the speech in the next 0-0.6 s.
        p_future: share of the speech in the next 0.6-2 s.
        p_next: holds the floor next.
        p_backchannel: gives a backchannel now or soon.
    """

    vad: Frames
    p_now: Frames
    p_future: Frames
    p_next: Frames
    p_backchannel: Frames

    @classmethod
    def from_outputs(
        cls, outputs: Mapping[str, Frames], frame_rate_hz: float, frames: int
    ) -> DialoguePrediction:
        """Bring the outputs of a network to 50 Hz.

        Args:
            outputs: by name of PROBABILITIES, each (2, T) at the network's frame rate.
            frame_rate_hz: frame rate of the network.
            frames: length of the dialogue at 50 Hz.
        Raises:
            DialogueError: the outputs have no frame.
        """
        return cls(
            **{
                name: at_activity_rate(outputs[name], frame_rate_hz, frames)
                for name in PROBABILITIES
            }
        )


@dataclass(frozen=True)
class EvaluatedDialogue:
    """One dialogue with its predictions, ready to be scored.

    Attributes:
        id: id of the dialogue.
        activity: voice activity, (2, T).
        backchannel: known backchannels, (2, T); all False where unknown.
        stereo: predictions with both channels as input.
        mono: mono[s] holds the predictions with only speaker s's channel as input; the other
            channel is silent. Empty if the system was run in stereo alone.
    Raises:
        DialogueError: shapes do not fit each other.
    """

    id: str
    activity: BoolFrames
    backchannel: BoolFrames
    stereo: DialoguePrediction
    mono: tuple[DialoguePrediction, ...] = ()

    def __post_init__(self) -> None:
        if self.activity.ndim != 2 or len(self.activity) != 2:
            raise DialogueError(
                f"dialogue {self.id!r}: expected activity of two speakers, (2, T), got shape "
                f"{self.activity.shape}"
            )
        shapes = {"backchannel": self.backchannel.shape}
        named = {"stereo": self.stereo} | {f"mono[{s}]": one for s, one in enumerate(self.mono)}
        for setting, prediction in named.items():
            shapes |= {
                f"{setting}.{name}": getattr(prediction, name).shape for name in PROBABILITIES
            }
        for name, shape in shapes.items():
            if shape != self.activity.shape:
                raise DialogueError(
                    f"dialogue {self.id!r}: expected {name} to be as long as the activity, "
                    f"{self.activity.shape}, got {shape}"
                )

    def predictions_for(self, setting: Setting, speaker: int) -> DialoguePrediction:
        """Return the predictions with which events of `speaker` are scored.

        In "stereo" both channels were input; in "mono" only the channel of `speaker` was.
        """
        if setting == "stereo":
            return self.stereo
        assert self.mono, f"dialogue {self.id!r} was run in stereo alone"
        return self.mono[speaker]


def setting_of(system: str) -> Setting:
    """Return the setting of a system of the report: all but "stereo" get one channel alone."""
    return "stereo" if system == "stereo" else "mono"


def at_activity_rate(outputs: Frames, frame_rate_hz: float, frames: int) -> Frames:
    """Return the newest prediction at the end of every 50 Hz frame.

    Before the first prediction, the first one is used; after the last one, the last.

    Args:
        outputs: of a system, (2, T); column i is known (i + 1) / frame_rate_hz seconds into
            the dialogue.
        frame_rate_hz: frame rate of the system.
        frames: length of the dialogue at 50 Hz.
    Returns:
        (2, frames).
    Raises:
        DialogueError: there are no predictions.
    """
    if outputs.shape[1] == 0:
        raise DialogueError(
            f"expected predictions (2, T) of at least one frame, got shape {outputs.shape}"
        )
    complete = ((np.arange(frames) + 1) * (frame_rate_hz / FRAME_RATE_HZ) + 1e-6).astype(int)
    return np.ascontiguousarray(
        outputs[:, np.clip(complete - 1, 0, outputs.shape[1] - 1)], np.float32
    )


def last_frame_at(start_frame: int, seconds: float, frames: int) -> int:
    """Return the last whole frame at `seconds` after `start_frame` began, within the dialogue."""
    return min(max(start_frame + int(seconds * FRAME_RATE_HZ + 1e-6) - 1, 0), frames - 1)
