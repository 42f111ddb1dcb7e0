"""Who spoke when in a dialogue, from the best there is: its activity file, else a detector run over its audio."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .activity import BoolFrames
from .manifest import Dialogue, load_activity, load_audio
from .silero import SAMPLE_RATE_HZ, detect_activity


@lru_cache(maxsize=512)
def speech_activity(dialogue: Dialogue) -> tuple[BoolFrames, BoolFrames]:
    """Activity and backchannel frames, each (2, T) at 50 Hz; detected activity knows no backchannels.

    Raises:
        DialogueError: the files cannot be read.
        MissingExtraError: the activity must be detected and silero-vad is not installed.
    """
    if dialogue.activity is not None:
        return load_activity(dialogue)
    activity = detect_activity(load_audio(dialogue, SAMPLE_RATE_HZ))
    return activity, np.zeros_like(activity)
