"""Reads the files of a dialogue: audio, word times, segments and activity.

If a dialogue is only a part of its files, only that part is returned. manifest.py describes the
files. annotation.py chooses which of them says who spoke when.
"""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from ...stream.errors import DialogueError
from .activity import FRAME_RATE_HZ, BoolFrames, Samples, Segment
from .manifest import Dialogue
from .segments import read_segments
from .sphere import unreadable_audio


def load_audio(dialogue: Dialogue, sample_rate_hz: int = 16000) -> Samples:
    """Both channels in [-1, 1], (2, N), at the given sample rate.

    Mono files of unequal length are padded with silence.

    Raises:
        DialogueError: a file cannot be read, or its number of channels is wrong.
    """
    import soxr

    channels: list[Samples] = []
    for path in dialogue.audio:
        samples, rate = _read(path, dialogue)
        _check_channels(path, len(samples), dialogue)
        channels += [
            row if rate == sample_rate_hz else soxr.resample(row, rate, sample_rate_hz)
            for row in samples
        ]
    length = max(len(row) for row in channels)
    return np.stack([np.pad(row, (0, length - len(row))) for row in channels])


def duration_s(dialogue: Dialogue) -> float:
    """Length of the dialogue in seconds, from the headers of its audio files.

    Raises:
        DialogueError: a file cannot be read, ends before the dialogue starts, or has a wrong number
            of channels.
    """
    lengths_s: list[float] = []
    for path in dialogue.audio:
        channels, samples, rate = _shape(path, dialogue.sample_rate_hz)
        _check_channels(path, channels, dialogue)
        lengths_s.append(samples / rate)
    end_s = max(lengths_s) if dialogue.end_s is None else min(max(lengths_s), dialogue.end_s)
    if end_s <= dialogue.start_s:
        raise DialogueError(
            f"dialogue {dialogue.id!r}: expected audio beyond its start at "
            f"{dialogue.start_s:g} s, got {end_s:g} s"
        )
    return end_s - dialogue.start_s


def load_words(dialogue: Dialogue) -> list[list[Segment]]:
    """Word times of both speakers in seconds, in order.

    Raises:
        DialogueError: the dialogue has no word file, or the file is not a list of {ch, start, end}.
    """
    if dialogue.words is None:
        raise DialogueError(
            f"dialogue {dialogue.id!r}: expected a file of words, got none in the manifest"
        )
    found: list[list[Segment]] = [[], []]
    for channel, segment, _ in _read_words(dialogue.words):
        found[channel].append(segment)
    return [dialogue.cut(words) for words in found]


def _read_words(path: Path) -> list[tuple[int, Segment, str]]:
    """Channel, times and text of every entry; the text is "" where there is none."""
    try:
        found: list[tuple[int, Segment, str]] = []
        for entry in json.loads(path.read_text(encoding="utf-8")):
            start_s, end_s = float(entry["start"]), float(entry["end"])
            if entry["ch"] not in (0, 1) or not (math.isfinite(start_s) and math.isfinite(end_s)):
                raise ValueError(entry)
            found.append((entry["ch"], (start_s, end_s), str(entry.get("text") or "")))
    except OSError as error:
        raise DialogueError(f"{path}: expected a file of words, got: {error.strerror}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DialogueError(
            f"{path}: expected a JSON list of {{ch, start, end}} with ch 0 or 1, got: {error!r}"
        ) from None
    return found


def load_texts(dialogue: Dialogue) -> list[list[tuple[Segment, str]]]:
    """Times and text of words, or of groups of words, of both speakers, in order.

    The lists are empty where the dialogue has no word file or its entries have no text.

    Raises:
        DialogueError: the word file is not a list of {ch, start, end}.
    """
    found: list[list[tuple[Segment, str]]] = [[], []]
    if dialogue.words is None:
        return found
    for channel, segment, text in _read_words(dialogue.words):
        for cut in dialogue.cut([segment]):
            if text:
                found[channel].append((cut, text))
    return [sorted(texts) for texts in found]


def load_segments(dialogue: Dialogue) -> list[list[Segment]]:
    """Stretches of speech of both speakers in seconds, in order, from RTTM or TextGrid.

    Raises:
        DialogueError: the dialogue has no segments, or its files are broken or lack a speaker.
    """
    if not dialogue.segments:
        raise DialogueError(
            f"dialogue {dialogue.id!r}: expected a file of segments, got none in the manifest"
        )
    recordings = [dialogue.id, *(path.stem for path in dialogue.audio)]
    found: list[list[Segment]] = []
    for channel in (0, 1):
        names = dialogue.segments_of or dialogue.speakers
        path = dialogue.segments[min(channel, len(dialogue.segments) - 1)]
        found.append(
            dialogue.cut(
                read_segments(
                    path, names[channel], recordings, own_file=len(dialogue.segments) == 2
                )
            )
        )
    return found


def load_activity(dialogue: Dialogue) -> tuple[BoolFrames, BoolFrames]:
    """Activity and backchannel frames, (2, T) each, 50 Hz.

    Without backchannel labels the backchannel frames are all False.

    Raises:
        DialogueError: the dialogue has no activity file, or it does not hold boolean frames (2, T).
    """
    if dialogue.activity is None:
        raise DialogueError(
            f"dialogue {dialogue.id!r}: expected a file of activity, got none in the manifest"
        )
    frames = _frames(dialogue.activity)
    activity = frames["activity"]
    backchannel = frames.get("backchannel", np.zeros_like(activity))
    for array in (activity, backchannel):
        if array.dtype != np.bool_ or array.ndim != 2 or array.shape != (2, activity.shape[-1]):
            raise DialogueError(
                f"{dialogue.activity}: expected boolean frames (2, T) at {FRAME_RATE_HZ:g} Hz, "
                f"got {array.dtype} {array.shape}"
            )
    part = _part(dialogue, FRAME_RATE_HZ)
    return activity[:, part], backchannel[:, part]


def load_completeness(dialogue: Dialogue) -> NDArray[np.float32] | None:
    """Turn completeness of both speakers, (2, T) at 50 Hz, in 0-1 or NaN.

    Returns:
        The frames, or None where the dialogue has no activity file or the file has no scores.
    Raises:
        DialogueError: the file is broken, or the scores do not have the shape of the activity.
    """
    if dialogue.activity is None:
        return None
    frames = _frames(dialogue.activity)
    if "completeness" not in frames:
        return None
    completeness, activity = frames["completeness"].astype(np.float32), frames["activity"]
    if completeness.shape != activity.shape:
        raise DialogueError(
            f"{dialogue.activity}: expected `completeness` of the activity's shape "
            f"{activity.shape}, got {completeness.shape}"
        )
    return completeness[:, _part(dialogue, FRAME_RATE_HZ)]


def _frames(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an activity file; `activity` is one of them."""
    try:
        with path.open("rb") as opened, np.load(opened) as arrays:
            frames = dict(arrays)
    # TypeError comes from an .npy file, which holds a single array.
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DialogueError(f"{path}: expected an .npz with `activity`, got: {error}") from None
    if "activity" not in frames:
        raise DialogueError(
            f"{path}: expected an .npz with `activity`, "
            f"got one with {', '.join(frames) or 'nothing'}"
        )
    return frames


def _part(dialogue: Dialogue, rate_hz: float) -> slice:
    return slice(
        round(dialogue.start_s * rate_hz),
        None if dialogue.end_s is None else round(dialogue.end_s * rate_hz),
    )


def _check_channels(path: Path, channels: int, dialogue: Dialogue) -> None:
    expected = 3 - len(dialogue.audio)
    if channels != expected:
        raise DialogueError(
            f"{path}: expected {expected} channel{'s' * (expected > 1)}, got {channels}"
        )


def _read(path: Path, dialogue: Dialogue) -> tuple[NDArray[np.float32], int]:
    """The dialogue's part of one file, (C, N), and its sample rate."""
    if path.suffix == ".npy":
        samples, rate = _open_npy(path, dialogue.sample_rate_hz)
        return samples[:, _part(dialogue, rate)].astype(np.float32) / np.float32(32768), rate
    try:
        with sf.SoundFile(path) as file:
            start, end, _ = _part(dialogue, file.samplerate).indices(file.frames)
            file.seek(start)
            samples = file.read(max(0, end - start), dtype="float32", always_2d=True)
            return np.ascontiguousarray(samples.T, np.float32), file.samplerate
    except (sf.LibsndfileError, OSError) as error:
        raise unreadable_audio(path, error) from None


def _shape(path: Path, npy_rate_hz: int | None) -> tuple[int, int, int]:
    """Number of channels, number of samples, and sample rate of one file."""
    if path.suffix == ".npy":
        samples, rate = _open_npy(path, npy_rate_hz)
        return len(samples), samples.shape[1], rate
    try:
        header = sf.info(path)
    except (sf.LibsndfileError, OSError) as error:
        raise unreadable_audio(path, error) from None
    return header.channels, header.frames, header.samplerate


def _open_npy(path: Path, rate_hz: int | None) -> tuple[NDArray[np.int16], int]:
    if rate_hz is None:
        raise DialogueError(
            f"{path}: expected sample_rate_hz in the manifest beside .npy audio, got none"
        )
    try:
        samples = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DialogueError(f"{path}: expected int16 samples (C, N), got: {error}") from None
    if samples.dtype != np.int16 or samples.ndim != 2:
        raise DialogueError(
            f"{path}: expected int16 samples (C, N), got {samples.dtype} {samples.shape}"
        )
    return samples, rate_hz
