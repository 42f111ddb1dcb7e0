"""Who spoke when in a dialogue, from the best source there is, alone or with the audio.

The manifest's `activity_from` chooses the source. Without it the order is: the dialogue's activity
file; a detector that runs over the audio; and, where the detector is not installed, words, then
segments. The reason for this order: word times are exact in some corpora only (see corpora/), and
transcribed utterances include pauses that a listener hears as silence.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...stream.errors import DialogueError
from .activity import FRAME_RATE_HZ, BoolFrames, Samples, bridge_gaps, segments_to_frames
from .loading import duration_s, load_activity, load_audio, load_segments, load_words
from .manifest import Dialogue
from .silero import SAMPLE_RATE_HZ, detect_activity, is_installed

MOST_APART_S = 1.0  # largest difference between the lengths of audio and activity
NAMES = {  # of ACTIVITY_SOURCES
    "activity": "activity file",
    "words": "words",
    "segments": "segments",
    "audio": "detector",
}


def load_annotated(
    dialogue: Dialogue, sample_rate_hz: int
) -> tuple[Samples, BoolFrames, BoolFrames]:
    """Audio (2, N) at the given rate, and activity and backchannel frames, (2, T) each, 50 Hz.

    Raises:
        DialogueError: the files cannot be read, are empty, or differ by more than 1 s in length.
        MissingExtraError: as in speech_activity.
    """
    audio = load_audio(dialogue, sample_rate_hz)
    activity, backchannel = speech_activity(dialogue)
    if not audio.shape[1] or not activity.shape[1]:
        raise DialogueError(
            f"dialogue {dialogue.id!r}: expected audio, got {audio.shape[1]} samples "
            f"and {activity.shape[1]} frames of activity"
        )
    audio_s, activity_s = audio.shape[1] / sample_rate_hz, activity.shape[1] / FRAME_RATE_HZ
    if abs(audio_s - activity_s) > MOST_APART_S:
        raise DialogueError(
            f"dialogue {dialogue.id!r}: expected activity as long as the audio, "
            f"{audio_s:.1f} s, got {activity_s:.1f} s"
        )
    return audio, activity, backchannel


def activity_source(dialogue: Dialogue) -> str:
    """Name of the source: "activity file", "words", "segments" or "detector" (Silero VAD)."""
    if dialogue.activity_from:
        return NAMES[dialogue.activity_from]
    if dialogue.activity is not None:
        return "activity file"
    if not is_installed():
        if dialogue.words is not None:
            return "words"
        if dialogue.segments:
            return "segments"
    return "detector"


@lru_cache(maxsize=512)
def speech_activity(dialogue: Dialogue) -> tuple[BoolFrames, BoolFrames]:
    """Activity and backchannel frames, (2, T) each, 50 Hz.

    Backchannels are known from activity files only; otherwise these frames are all False. Silences
    of one speaker shorter than 0.2 s are bridged, except in an activity file, which is used
    unchanged.

    Raises:
        DialogueError: the files cannot be read.
        MissingExtraError: a detector is needed, and silero-vad is not installed.
    """
    source = activity_source(dialogue)
    if source == "activity file":
        return load_activity(dialogue)
    activity = (
        detect_activity(load_audio(dialogue, SAMPLE_RATE_HZ))
        if source == "detector"
        else _annotated(dialogue, source)
    )
    return activity, np.zeros_like(activity)


def _annotated(dialogue: Dialogue, source: str) -> BoolFrames:
    spoken = load_words(dialogue) if source == "words" else load_segments(dialogue)
    frames = int(np.ceil(duration_s(dialogue) * FRAME_RATE_HZ - 1e-6))
    return segments_to_frames([bridge_gaps(segments) for segments in spoken], frames)
