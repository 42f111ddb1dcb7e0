"""A dialogue as it is given to a system that is evaluated: its audio, and who spoke when."""

from __future__ import annotations

from dataclasses import dataclass

from ..dialogues.activity import BoolFrames, Samples
from ..dialogues.annotation import load_annotated
from ..dialogues.manifest import Dialogue

SAMPLE_RATE_HZ = 16000


@dataclass(frozen=True)
class Recording:
    """A dialogue as it was recorded.

    Attributes:
        id: id of the dialogue.
        audio: samples in [-1, 1] at 16 kHz, or at the rate that was asked for, (2, N).
        activity: voice activity, (2, T) at 50 Hz.
        backchannel: known backchannels, (2, T) at 50 Hz; all False where unknown.
    """

    id: str
    audio: Samples
    activity: BoolFrames
    backchannel: BoolFrames


def load_recording(dialogue: Dialogue, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Recording:
    """Return the audio and the voice activity of a dialogue.

    Raises:
        DialogueError: a file cannot be read, is empty, or has another length than the others.
        MissingExtraError: a detector is needed, and silero-vad is not installed.
    """
    return Recording(dialogue.id, *load_annotated(dialogue, sample_rate_hz))
