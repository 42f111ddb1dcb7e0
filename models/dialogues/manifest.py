"""The list of dialogues: one JSON object per line, the same for real corpora and for simulated ones.

    {"audio": "a.flac", "corpus": "harper_valley", "speakers": ["60", "17"], "words": "a.words.json"}
    {"audio": ["b_doctor.wav", "b_patient.wav"], "licence": "CC BY 4.0", "split": "train", "activity": "b.npz"}
    {"audio": "c.wav", "segments": "c.rttm", "segments_of": ["ann", "bob"], "activity_from": "segments", "start_s": 60, "end_s": 360}

Paths are relative to the manifest. Only `audio` is needed: a stereo file, or two mono files, speaker 0 first. Who spoke when is said by
    words     JSON list of {ch, start, end} in seconds, and `text` where it is known: words, or stretches of them
    segments  an RTTM or TextGrid file, or one for each channel; `segments_of` names the RTTM speaker or the tier of channel 0 and of
              channel 1 (`speakers` unless given; a file of one channel that holds a single tier or speaker needs no name)
    activity  an .npz of boolean frames (`activity` and, if known, `backchannel`, (2, T) at 50 Hz)
    audio     a detector
and `activity_from` chooses one of the four; annotation.py decides where it is not given. With `start_s` and `end_s` the dialogue is that
part of its files, whose times stay those of the whole recording. Dialogues are trained on when `split` is "train" or not given; those of
"val" and "test" are held out, and those of "mixed" (one speaker of each kind) are used for neither.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from ..errors import DialogueError
from .activity import FRAME_RATE_HZ, BoolFrames, Samples, Segment
from .segments import read_segments
from .sphere import needs_unpacking

ACTIVITY_SOURCES = ("activity", "words", "segments", "audio")


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
        segments: RTTM or TextGrid files: none, one for both channels, or one for each.
        segments_of: names in them of who is on channel 0 and on channel 1; None for the speakers' names.
        activity_from: which of them says who spoke when: one of ACTIVITY_SOURCES, or "" when not given.
        start_s, end_s: the part of the files that is this dialogue; None for their end.
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
    segments: tuple[Path, ...] = ()
    segments_of: tuple[str, str] | None = None
    activity_from: str = ""
    start_s: float = 0.0
    end_s: float | None = None

    def cut(self, times: Iterable[Segment]) -> list[Segment]:
        """Times of the recording, in order and as times of the dialogue; what lies outside of it is left out."""
        end_s = math.inf if self.end_s is None else self.end_s
        return sorted((max(a, self.start_s) - self.start_s, min(b, end_s) - self.start_s) for a, b in times if b > self.start_s and a < end_s)


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
        samples, rate = _read(path, dialogue)
        _check_channels(path, len(samples), dialogue)
        channels += [row if rate == sample_rate_hz else soxr.resample(row, rate, sample_rate_hz) for row in samples]
    length = max(len(row) for row in channels)
    return np.stack([np.pad(row, (0, length - len(row))) for row in channels])


def duration_s(dialogue: Dialogue) -> float:
    """Length of the dialogue in seconds, from its files' headers.

    Raises:
        DialogueError: a file that cannot be read, ends before the dialogue starts, or has a number of channels other than promised.
    """
    lengths_s: list[float] = []
    for path in dialogue.audio:
        channels, samples, rate = _shape(path, dialogue.sample_rate_hz)
        _check_channels(path, channels, dialogue)
        lengths_s.append(samples / rate)
    end_s = max(lengths_s) if dialogue.end_s is None else min(max(lengths_s), dialogue.end_s)
    if end_s <= dialogue.start_s:
        raise DialogueError(f"dialogue {dialogue.id!r}: expected audio beyond its start at {dialogue.start_s:g} s, got {end_s:g} s")
    return end_s - dialogue.start_s


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
    return [dialogue.cut(words) for words in found]


def load_segments(dialogue: Dialogue) -> list[list[Segment]]:
    """Stretches of speech of both speakers in seconds, in order, from RTTM or TextGrid.

    Raises:
        DialogueError: the dialogue has no segments, or its files are broken or lack a speaker.
    """
    if not dialogue.segments:
        raise DialogueError(f"dialogue {dialogue.id!r}: expected a file of segments, got none in the manifest")
    recordings = [dialogue.id, *(path.stem for path in dialogue.audio)]
    found: list[list[Segment]] = []
    for channel in (0, 1):
        names = dialogue.segments_of or dialogue.speakers
        path = dialogue.segments[min(channel, len(dialogue.segments) - 1)]
        found.append(dialogue.cut(read_segments(path, names[channel], recordings, own_file=len(dialogue.segments) == 2)))
    return found


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
    part = _part(dialogue, FRAME_RATE_HZ)
    return activity[:, part], backchannel[:, part]


def load_finality(dialogue: Dialogue) -> NDArray[np.float32] | None:
    """How finished each speaker's last words sound, 0-1 or NaN, (2, T) at 50 Hz, where the activity file says; else None.

    Raises:
        DialogueError: the file does not hold what it should.
    """
    if dialogue.activity is None:
        return None
    try:
        with np.load(dialogue.activity) as frames:
            if "finality" not in frames:
                return None
            finality, activity = frames["finality"].astype(np.float32), frames["activity"]
    except (OSError, ValueError, KeyError) as error:
        raise DialogueError(f"{dialogue.activity}: expected an .npz with `activity`, got: {error}") from None
    if finality.shape != activity.shape:
        raise DialogueError(f"{dialogue.activity}: expected `finality` of the activity's shape {activity.shape}, got {finality.shape}")
    return finality[:, _part(dialogue, FRAME_RATE_HZ)]


def _part(dialogue: Dialogue, rate_hz: float) -> slice:
    return slice(round(dialogue.start_s * rate_hz), None if dialogue.end_s is None else round(dialogue.end_s * rate_hz))


def _check_channels(path: Path, channels: int, dialogue: Dialogue) -> None:
    expected = 3 - len(dialogue.audio)
    if channels != expected:
        raise DialogueError(f"{path}: expected {expected} channel{'s' * (expected > 1)}, got {channels}")


def _read(path: Path, dialogue: Dialogue) -> tuple[NDArray[np.float32], int]:
    """The dialogue's part of one file, (C, N), and its rate."""
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
        raise _unreadable(path, error) from None


def _shape(path: Path, npy_rate_hz: int | None) -> tuple[int, int, int]:
    """Channels, samples and rate of one file."""
    if path.suffix == ".npy":
        samples, rate = _open_npy(path, npy_rate_hz)
        return len(samples), samples.shape[1], rate
    try:
        header = sf.info(path)
    except (sf.LibsndfileError, OSError) as error:
        raise _unreadable(path, error) from None
    return header.channels, header.frames, header.samplerate


def _unreadable(path: Path, error: Exception) -> DialogueError:
    if needs_unpacking(path):
        return DialogueError(f"{path}: expected SPHERE audio that is not packed, got shorten; unpack it with: sph2pipe -f wav {path.name} {path.stem}.wav")
    return DialogueError(f"{path}: expected an audio file that libsndfile reads, got: {error}")


def _open_npy(path: Path, rate_hz: int | None) -> tuple[NDArray[np.int16], int]:
    if rate_hz is None:
        raise DialogueError(f"{path}: expected sample_rate_hz in the manifest beside .npy audio, got none")
    try:
        samples = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DialogueError(f"{path}: expected int16 samples (C, N), got: {error}") from None
    if samples.dtype != np.int16 or samples.ndim != 2:
        raise DialogueError(f"{path}: expected int16 samples (C, N), got {samples.dtype} {samples.shape}")
    return samples, rate_hz


def _dialogue(entry: Any, folder: Path, where: str) -> Dialogue:
    if not isinstance(entry, dict) or "audio" not in entry:
        raise DialogueError(f"{where}: expected an object with `audio`, got {str(entry)[:60]}")
    audio = _names(entry["audio"])
    if audio is None:
        raise DialogueError(f"{where}: expected `audio` to be one stereo file or two mono files, got {entry['audio']!r}")
    segments = _names(entry["segments"]) if entry.get("segments") else []
    if segments is None:
        raise DialogueError(f"{where}: expected `segments` to be one file or one for each channel, got {entry['segments']!r}")
    name = str(entry.get("id", Path(audio[0]).stem))
    for key in ("speakers", "segments_of"):
        if key in entry and not (isinstance(entry[key], list) and len(entry[key]) == 2):
            raise DialogueError(f"{where}: expected two `{key}`, got {entry[key]!r}")
    rate = entry.get("sample_rate_hz")
    if rate is not None and not (isinstance(rate, int) and rate > 0):
        raise DialogueError(f"{where}: expected `sample_rate_hz` to be a positive integer, got {rate!r}")
    start_s, end_s = entry.get("start_s", 0.0), entry.get("end_s")
    if not _is_number(start_s) or start_s < 0 or not (end_s is None or (_is_number(end_s) and end_s > start_s)):
        raise DialogueError(f"{where}: expected 0 <= `start_s` < `end_s` in seconds, got {start_s!r} and {end_s!r}")
    source = entry.get("activity_from", "")
    if source and (source not in ACTIVITY_SOURCES or (source != "audio" and not entry.get(source))):
        raise DialogueError(f"{where}: expected `activity_from` to be audio, or words, segments or activity of this line, got {source!r}")
    speakers = entry.get("speakers", [f"{name}/0", f"{name}/1"])
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
        segments=tuple(folder / file for file in segments),
        segments_of=(str(entry["segments_of"][0]), str(entry["segments_of"][1])) if "segments_of" in entry else None,
        activity_from=source,
        start_s=float(start_s),
        end_s=None if end_s is None else float(end_s),
    )


def _names(value: Any) -> list[str] | None:
    """One or two file names, or None when it is something else."""
    names = [value] if isinstance(value, str) else value
    return names if isinstance(names, list) and len(names) in (1, 2) and all(isinstance(name, str) for name in names) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _entry(dialogue: Dialogue, folder: Path) -> dict[str, Any]:
    def relative(paths: Sequence[Path | None]) -> Any:
        names = [Path(os.path.relpath(path, folder)).as_posix() for path in paths if path is not None]
        return names[0] if len(names) == 1 else names

    entry: dict[str, Any] = {
        "id": dialogue.id,
        "audio": relative(dialogue.audio),
        "speakers": list(dialogue.speakers),
        "corpus": dialogue.corpus,
        "licence": dialogue.licence,
        "split": dialogue.split,
        "sample_rate_hz": dialogue.sample_rate_hz,
        "words": relative([dialogue.words]),
        "activity": relative([dialogue.activity]),
        "segments": relative(dialogue.segments),
        "segments_of": list(dialogue.segments_of or ()),
        "activity_from": dialogue.activity_from,
        "start_s": dialogue.start_s,
        "end_s": dialogue.end_s,
    }
    return {key: value for key, value in entry.items() if value}
