"""The list of dialogues: one JSON object per line, the same for real corpora and for simulated ones.

    {"audio": "a.flac", "corpus": "harper_valley", "speakers": ["60", "17"], "words": "a.words.json"}
    {"audio": ["b_doctor.wav", "b_patient.wav"], "licence": "CC BY 4.0", "split": "train", "activity": "b.npz"}

Paths are relative to the manifest. Only `audio` is needed: a stereo file, or two mono files, speaker 0 first. `words` is a JSON
list of {ch, start, end} in seconds, `activity` an .npz of boolean frames (`activity` and, if known, `backchannel`, (2, T) at 50 Hz);
which of them says who spoke when is decided in annotation.py. Dialogues whose `split` is "val" or "test" are never trained on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from ..errors import DialogueError
from .activity import FRAME_RATE_HZ, BoolFrames, Samples, Segment


@dataclass(frozen=True)
class Dialogue:
    """One two-party conversation.

    Attributes:
        id: unique in its manifest; the audio file's stem unless given.
        audio: one stereo file or two mono files; .npy holds int16 (2, N).
        speakers: names of the two speakers; "0" and "1" of this dialogue unless given.
        corpus, licence: where it comes from; "" when not given.
        split: "train", "val" or "test"; "" when not given.
        sample_rate_hz: needed for .npy only; other files know theirs.
        words: JSON list of {ch, start, end}, or None.
        activity: .npz of boolean frames, or None.
    """

    id: str
    audio: tuple[Path, ...]
    speakers: tuple[str, str]
    corpus: str = ""
    licence: str = ""
    split: str = ""
    sample_rate_hz: int | None = None
    words: Path | None = None
    activity: Path | None = None


def read_manifest(path: str | Path) -> list[Dialogue]:
    """Read a manifest.

    Raises:
        DialogueError: no such file, a line that is not a dialogue (with its number), or an id given twice.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DialogueError(f"{path}: expected a manifest of dialogues (JSON Lines), got: {error.strerror}") from None
    dialogues: dict[str, Dialogue] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise DialogueError(f"{where}: expected a JSON object, got {line[:60]!r}: {error}") from None
        dialogue = _dialogue(entry, path.parent, where)
        if dialogue.id in dialogues:
            raise DialogueError(f"{where}: expected every id once, got {dialogue.id!r} again")
        dialogues[dialogue.id] = dialogue
    return list(dialogues.values())


def write_manifest(path: str | Path, dialogues: Iterable[Dialogue]) -> None:
    """Write a manifest whose paths are relative to it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as out:
        for dialogue in dialogues:
            out.write(json.dumps(_entry(dialogue, path.parent), ensure_ascii=False) + "\n")


def load_audio(dialogue: Dialogue, sample_rate_hz: int = 16000) -> Samples:
    """Both channels in [-1, 1], (2, N) at the rate asked for; mono files of unequal length are padded with silence.

    Raises:
        DialogueError: a file that cannot be read, or a number of channels other than promised.
    """
    channels: list[Samples] = []
    for path in dialogue.audio:
        samples, rate = _read(path, dialogue.sample_rate_hz)
        expected = 3 - len(dialogue.audio)
        if len(samples) != expected:
            raise DialogueError(f"{path}: expected {expected} channel{'s' * (expected > 1)}, got {len(samples)}")
        channels += [row if rate == sample_rate_hz else soxr.resample(row, rate, sample_rate_hz) for row in samples]
    length = max(len(row) for row in channels)
    return np.stack([np.pad(row, (0, length - len(row))) for row in channels])


def load_words(dialogue: Dialogue) -> list[list[Segment]]:
    """Word times of both speakers in seconds, in order.

    Raises:
        DialogueError: the dialogue has no words, or its file is not a list of {ch, start, end}.
    """
    if dialogue.words is None:
        raise DialogueError(f"dialogue {dialogue.id!r}: expected a file of words, got none in the manifest")
    try:
        entries = json.loads(dialogue.words.read_text(encoding="utf-8"))
        found: list[list[Segment]] = [[], []]
        for entry in entries:
            found[entry["ch"]].append((float(entry["start"]), float(entry["end"])))
    except OSError as error:
        raise DialogueError(f"{dialogue.words}: expected a file of words, got: {error.strerror}") from None
    except (json.JSONDecodeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise DialogueError(f"{dialogue.words}: expected a JSON list of {{ch, start, end}} with ch 0 or 1, got: {error!r}") from None
    return [sorted(words) for words in found]


def load_activity(dialogue: Dialogue) -> tuple[BoolFrames, BoolFrames]:
    """Activity and backchannel frames, each (2, T) at 50 Hz; without backchannel labels these are all False.

    Raises:
        DialogueError: the dialogue has no activity file, or it does not hold boolean frames (2, T).
    """
    if dialogue.activity is None:
        raise DialogueError(f"dialogue {dialogue.id!r}: expected a file of activity, got none in the manifest")
    try:
        with np.load(dialogue.activity) as frames:
            activity = frames["activity"]
            backchannel = frames["backchannel"] if "backchannel" in frames else np.zeros_like(activity)
    except (OSError, ValueError, KeyError) as error:
        raise DialogueError(f"{dialogue.activity}: expected an .npz with `activity`, got: {error}") from None
    for array in (activity, backchannel):
        if array.dtype != np.bool_ or array.ndim != 2 or array.shape != (2, activity.shape[-1]):
            raise DialogueError(f"{dialogue.activity}: expected boolean frames (2, T) at {FRAME_RATE_HZ:g} Hz, got {array.dtype} {array.shape}")
    return activity, backchannel


def _read(path: Path, npy_rate_hz: int | None) -> tuple[NDArray[np.float32], int]:
    if path.suffix == ".npy":
        if npy_rate_hz is None:
            raise DialogueError(f"{path}: expected sample_rate_hz in the manifest beside .npy audio, got none")
        try:
            samples = np.load(path)
        except (OSError, ValueError) as error:
            raise DialogueError(f"{path}: expected int16 samples (C, N), got: {error}") from None
        if samples.dtype != np.int16 or samples.ndim != 2:
            raise DialogueError(f"{path}: expected int16 samples (C, N), got {samples.dtype} {samples.shape}")
        return samples.astype(np.float32) / 32768, npy_rate_hz
    try:
        audio, rate = sf.read(path, dtype="float32", always_2d=True)
    except (sf.LibsndfileError, OSError) as error:
        raise DialogueError(f"{path}: expected an audio file that libsndfile reads, got: {error}") from None
    return np.ascontiguousarray(audio.T, np.float32), rate


def _dialogue(entry: Any, folder: Path, where: str) -> Dialogue:
    if not isinstance(entry, dict) or "audio" not in entry:
        raise DialogueError(f"{where}: expected an object with `audio`, got {str(entry)[:60]}")
    audio = [entry["audio"]] if isinstance(entry["audio"], str) else entry["audio"]
    if not isinstance(audio, list) or len(audio) not in (1, 2) or not all(isinstance(name, str) for name in audio):
        raise DialogueError(f"{where}: expected `audio` to be one stereo file or two mono files, got {entry['audio']!r}")
    name = str(entry.get("id", Path(audio[0]).stem))
    speakers = entry.get("speakers", [f"{name}/0", f"{name}/1"])
    if not isinstance(speakers, list) or len(speakers) != 2:
        raise DialogueError(f"{where}: expected two `speakers`, got {speakers!r}")
    rate = entry.get("sample_rate_hz")
    if rate is not None and not (isinstance(rate, int) and rate > 0):
        raise DialogueError(f"{where}: expected `sample_rate_hz` to be a positive integer, got {rate!r}")
    return Dialogue(
        id=name,
        audio=tuple(folder / file for file in audio),
        speakers=(str(speakers[0]), str(speakers[1])),
        corpus=str(entry.get("corpus", "")),
        licence=str(entry.get("licence", "")),
        split=str(entry.get("split", "")),
        sample_rate_hz=rate,
        words=folder / entry["words"] if entry.get("words") else None,
        activity=folder / entry["activity"] if entry.get("activity") else None,
    )


def _entry(dialogue: Dialogue, folder: Path) -> dict[str, Any]:
    def relative(path: Path | None) -> str | None:
        return None if path is None else Path(os.path.relpath(path, folder)).as_posix()

    audio = [relative(path) for path in dialogue.audio]
    entry: dict[str, Any] = {
        "id": dialogue.id,
        "audio": audio[0] if len(audio) == 1 else audio,
        "speakers": list(dialogue.speakers),
        "corpus": dialogue.corpus,
        "licence": dialogue.licence,
        "split": dialogue.split,
        "sample_rate_hz": dialogue.sample_rate_hz,
        "words": relative(dialogue.words),
        "activity": relative(dialogue.activity),
    }
    return {key: value for key, value in entry.items() if value}
