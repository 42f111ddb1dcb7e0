"""Who spoke when in a dialogue, from the best there is: its activity file, else a detector run over its audio, else its words."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..errors import MissingExtraError
from .activity import FRAME_RATE_HZ, BoolFrames, bridge_gaps, segments_to_frames
from .manifest import Dialogue, load_activity, load_audio, load_words
from .silero import SAMPLE_RATE_HZ, detect_activity


@lru_cache(maxsize=512)
def speech_activity(dialogue: Dialogue) -> tuple[BoolFrames, BoolFrames]:
    """Activity and backchannel frames, each (2, T) at 50 Hz; only an activity file knows backchannels.

    Words are used where silero-vad is not installed; silences between them shorter than 0.2 s are bridged.

    Raises:
        DialogueError: the files cannot be read.
        MissingExtraError: there is neither an activity file, nor silero-vad, nor words.
    """
    if dialogue.activity is not None:
        return load_activity(dialogue)
    audio = load_audio(dialogue, SAMPLE_RATE_HZ)
    try:
        activity = detect_activity(audio)
    except MissingExtraError:
        if dialogue.words is None:
            raise
        frames = -(-audio.shape[1] * round(FRAME_RATE_HZ) // SAMPLE_RATE_HZ)
        activity = segments_to_frames([bridge_gaps(words) for words in load_words(dialogue)], frames)
    return activity, np.zeros_like(activity)
