"""The manifest of dialogues: one JSON object per line, for real and for simulated corpora.

    {"audio": "a.flac", "corpus": "bank", "speakers": ["60", "17"], "words": "a.words.json"}
    {"audio": ["b_1.wav", "b_2.wav"], "licence": "CC BY 4.0", "split": "train", "activity": "b.npz"}
    {"audio": "c.wav", "segments": "c.rttm", "segments_of": ["ann", "bob"], "start_s": 60}

Paths are relative to the manifest. Only `audio` is required: one stereo file, or two mono files
with speaker 0 first. Four sources can say who spoke when:

    words     a JSON list of {ch, start, end} in seconds, one entry per word or group of words, with
              `text` where it is known
    segments  one RTTM or TextGrid file, or one for each channel. `segments_of` names the RTTM
              speaker or the tier of channel 0 and of channel 1 (default: `speakers`). A file of one
              channel with a single tier or speaker needs no name.
    activity  an .npz with boolean frames `activity` and, if known, `backchannel`, (2, T) at 50 Hz
    audio     a detector that runs over the audio

`activity_from` chooses one of the four. Without it annotation.py decides. loading.py reads the
files.
With `start_s` and `end_s` the dialogue is a part of its files. All times in the files still count
from the start of the recording.
`split` is "train" (used for training, also if not given), "val" or "test" (held out), or "mixed"
(used for neither, since one of the speakers is held out and the other is not).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...stream.errors import DialogueError
from .activity import Segment

ACTIVITY_SOURCES = ("activity", "words", "segments", "audio")


@dataclass(frozen=True)
class Dialogue:
    """One two-party conversation.

    Attributes:
        id: unique in its manifest; by default the stem of the (first) audio file.
        audio: one stereo file or two mono files; .npy files hold int16 (2, N) or (1, N).
        speakers: names of the two speakers; by default "<id>/0" and "<id>/1".
        corpus, licence: the source of the dialogue; "" when not given.
        split: "train", "val", "test" or "mixed"; "" when not given.
        sample_rate_hz: needed for .npy audio only; other files contain theirs.
        words: JSON list of {ch, start, end}, or None.
        activity: .npz of boolean frames, or None.
        segments: RTTM or TextGrid files: none, one for both channels, or one for each.
        segments_of: names in these files for channel 0 and channel 1; None if they are `speakers`.
        activity_from: which source says who spoke when, one of ACTIVITY_SOURCES; "" when not given.
        start_s, end_s: the part of the files that is this dialogue; an `end_s` of None means the
            end of the files.
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
        """Convert times of the recording to times of the dialogue, in order.

        Times are cut at its start and end; what lies outside is left out.
        """
        end_s = math.inf if self.end_s is None else self.end_s
        return sorted(
            (max(a, self.start_s) - self.start_s, min(b, end_s) - self.start_s)
            for a, b in times
            if b > self.start_s and a < end_s
        )


def read_manifest(path: str | Path) -> list[Dialogue]:
    """Read a manifest.

    Raises:
        DialogueError: the file is missing, a line is not a dialogue (the message has its number),
            or an id occurs twice.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DialogueError(
            f"{path}: expected a manifest of dialogues (JSON Lines), got: {error.strerror}"
        ) from None
    except UnicodeDecodeError as error:
        raise DialogueError(
            f"{path}: expected a manifest of dialogues (JSON Lines in UTF-8), got: {error}"
        ) from None
    dialogues: dict[str, Dialogue] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise DialogueError(
                f"{where}: expected a JSON object, got {line[:60]!r}: {error}"
            ) from None
        dialogue = _dialogue(entry, path.parent, where)
        if dialogue.id in dialogues:
            raise DialogueError(f"{where}: expected every id once, got {dialogue.id!r} again")
        dialogues[dialogue.id] = dialogue
    return list(dialogues.values())


def write_manifest(path: str | Path, dialogues: Iterable[Dialogue]) -> None:
    """Write a manifest, with paths relative to it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as out:
        for dialogue in dialogues:
            out.write(json.dumps(_entry(dialogue, path.parent), ensure_ascii=False) + "\n")


def _dialogue(entry: Any, folder: Path, where: str) -> Dialogue:
    if not isinstance(entry, dict) or "audio" not in entry:
        raise DialogueError(f"{where}: expected an object with `audio`, got {str(entry)[:60]}")
    audio = _names(entry["audio"])
    if audio is None:
        raise DialogueError(
            f"{where}: expected `audio` to be one stereo file or two mono files, "
            f"got {entry['audio']!r}"
        )
    segments = _names(entry["segments"]) if entry.get("segments") else []
    if segments is None:
        raise DialogueError(
            f"{where}: expected `segments` to be one file or one for each channel, "
            f"got {entry['segments']!r}"
        )
    name = str(entry.get("id", Path(audio[0]).stem))
    for key in ("speakers", "segments_of"):
        if key in entry and not (isinstance(entry[key], list) and len(entry[key]) == 2):
            raise DialogueError(f"{where}: expected two `{key}`, got {entry[key]!r}")
    for key in ("words", "activity"):
        if entry.get(key) and not isinstance(entry[key], str):
            raise DialogueError(f"{where}: expected `{key}` to be one file, got {entry[key]!r}")
    rate = entry.get("sample_rate_hz")
    if rate is not None and not (isinstance(rate, int) and rate > 0):
        raise DialogueError(
            f"{where}: expected `sample_rate_hz` to be a positive integer, got {rate!r}"
        )
    start_s, end_s = entry.get("start_s", 0.0), entry.get("end_s")
    if (
        not _is_number(start_s)
        or start_s < 0
        or not (end_s is None or (_is_number(end_s) and end_s > start_s))
    ):
        raise DialogueError(
            f"{where}: expected 0 <= `start_s` < `end_s` in seconds, got {start_s!r} and {end_s!r}"
        )
    source = entry.get("activity_from", "")
    if source and (source not in ACTIVITY_SOURCES or (source != "audio" and not entry.get(source))):
        raise DialogueError(
            f"{where}: expected `activity_from` to be audio, or words, segments or activity "
            f"of this line, got {source!r}"
        )
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
        segments_of=(str(entry["segments_of"][0]), str(entry["segments_of"][1]))
        if "segments_of" in entry
        else None,
        activity_from=source,
        start_s=float(start_s),
        end_s=None if end_s is None else float(end_s),
    )


def _names(value: Any) -> list[str] | None:
    """One or two file names; None if the value is something else."""
    names = [value] if isinstance(value, str) else value
    return (
        names
        if isinstance(names, list)
        and len(names) in (1, 2)
        and all(isinstance(name, str) for name in names)
        else None
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _entry(dialogue: Dialogue, folder: Path) -> dict[str, Any]:
    def relative(paths: Sequence[Path | None]) -> Any:
        names = [
            Path(os.path.relpath(path, folder)).as_posix() for path in paths if path is not None
        ]
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
