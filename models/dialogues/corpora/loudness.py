"""Assigns speakers to the channels of a stereo file by loudness, where a corpus does not say.

While one speaker speaks alone, their own channel is the louder one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf

from ....stream.errors import DialogueError
from ..activity import LEVEL_RATE_HZ, Segment, level_db, segments_to_frames
from ..sphere import unreadable_audio

LEAST_DIFFERENCE_DB = 3.0  # two close-talking microphones differ by more


def first_is_on_channel_0(audio: Path, speakers: Sequence[Sequence[Segment]]) -> bool:
    """Whether channel 0 of a stereo file holds the first of two speakers.

    Args:
        audio: stereo file.
        speakers: segments of both speakers, in seconds.
    Raises:
        DialogueError: the file cannot be read or is not stereo, one of the speakers never speaks
            alone, or the channels are too similar.
    """
    try:
        samples, rate = sf.read(audio, dtype="float32", always_2d=True)
    except (sf.LibsndfileError, OSError) as error:
        raise unreadable_audio(audio, error) from None
    if samples.shape[1] != 2:
        raise DialogueError(f"{audio}: expected 2 channels, got {samples.shape[1]}")
    left, right = (level_db(channel, rate) for channel in samples.T)
    active = segments_to_frames(speakers, len(left), LEVEL_RATE_HZ)
    alone = active & ~active[::-1]
    if not alone.any(axis=1).all():
        raise DialogueError(
            f"{audio}: expected both speakers to speak alone somewhere, "
            "to tell whose channel is whose"
        )
    first_db, second_db = (float(np.mean((left - right)[frames])) for frames in alone)
    if abs(first_db - second_db) < LEAST_DIFFERENCE_DB:
        raise DialogueError(
            f"{audio}: expected one speaker on each channel, got channels that differ by "
            f"{abs(first_db - second_db):.1f} dB with the speaker"
        )
    return first_db > second_db
