"""Who spoke when in a dialogue, from the best there is.

The manifest's `activity_from` chooses. Where it does not: the dialogue's activity file, else a detector run over its audio,
else, where the detector is not installed, its words or segments. Times of words are exact only in some corpora (corpora/ says in which),
and utterances that a transcriber marked hold pauses that are silences to a listener, hence that order.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..errors import MissingExtraError
from .activity import FRAME_RATE_HZ, BoolFrames, bridge_gaps, segments_to_frames
from .manifest import Dialogue, duration_s, load_activity, load_audio, load_segments, load_words
from .silero import SAMPLE_RATE_HZ, detect_activity


@lru_cache(maxsize=512)
def speech_activity(dialogue: Dialogue) -> tuple[BoolFrames, BoolFrames]:
    """Activity and backchannel frames, each (2, T) at 50 Hz; only an activity file knows backchannels.

    Silences of a speaker shorter than 0.2 s are bridged, except in an activity file, which is taken as it is.

    Raises:
        DialogueError: the files cannot be read.
        MissingExtraError: a detector is needed, and silero-vad is not installed.
    """
    source = dialogue.activity_from or ("activity" if dialogue.activity is not None else "")
    if source == "activity":
        return load_activity(dialogue)
    if source in ("words", "segments"):
        activity = _annotated(dialogue, source)
    else:
        try:
            activity = detect_activity(load_audio(dialogue, SAMPLE_RATE_HZ))
        except MissingExtraError:
            annotated = "words" if dialogue.words is not None else "segments" if dialogue.segments else ""
            if source or not annotated:
                raise
            activity = _annotated(dialogue, annotated)
    return activity, np.zeros_like(activity)


def _annotated(dialogue: Dialogue, source: str) -> BoolFrames:
    spoken = load_words(dialogue) if source == "words" else load_segments(dialogue)
    frames = int(np.ceil(duration_s(dialogue) * FRAME_RATE_HZ - 1e-6))
    return segments_to_frames([bridge_gaps(segments) for segments in spoken], frames)
