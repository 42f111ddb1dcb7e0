"""The pool of recorded utterances that dialogues are built from.

A set is a folder with a `manifest.csv`, `speech/<set>/manifest.csv` in the data of `turnstream
simulate`. The set has the name of its folder. The manifest's columns are file, speaker and
transcript; others are ignored. `file` is relative to the manifest and holds one utterance of one
speaker. `transcript` may be empty or missing; its last mark tells whether the clip ends a sentence.
All clips of a set are decoded once, into one int16 file. For each clip the pool knows:
- what is said, and whether it ends a sentence;
- where speech starts and ends, and its inner pauses;
- its energy dips: quiet spots between words where a speaker could stop;
- its pitch, and a steady vowel;
- turn completeness at the end and at pauses and dips, if a judge scored them (completeness.py).
"""

from __future__ import annotations

import csv
import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from ...stream.errors import DialogueError
from ..work import HERE, Workers, map_tasks
from .activity import LEVEL_RATE_HZ, Samples, energy_segments, level_db
from .completeness import read_completeness

SAMPLE_RATE_HZ = 16000
MARGIN_S = 0.3  # kept around the speech of a clip
POOL_VERSION = 6  # part of the cache key: raise it when the analysis changes
AUDIO, INDEX = "audio.int16", "index.json"  # files of a decoded set
FINAL_MARKS = ".?!。।؟…"
OPEN_MARKS = ",;:-–—"
# Names of sets whose clips are prompts, read one by one. They are whole sentences even if the
# transcript is missing or has no full stop.
SETS_OF_WHOLE_SENTENCES = (
    "cv_en_d13",
    "cv_multi",
    "speechocean762",
    "picovoice_s2i",
    "kathleen",
    "kerstin",
    "vctk",
)
FINISHED, UNFINISHED, UNKNOWN = 1, 0, -1


@dataclass(frozen=True)
class Utterance:
    """One clip. Its times are samples from the start of the clip in the pool.

    Attributes:
        index: index in the pool.
        speaker: id of the speaker.
        set_name: name of the set.
        onset, offset: where speech starts and ends.
        pauses: start and end of inner silences of at least 0.12 s, (n, 2).
        dips: energy minima inside speech, (n,).
        finished: whether it ends a sentence: FINISHED, UNFINISHED or UNKNOWN.
        pitch_hz: median pitch, 0 if unvoiced.
        vowel: middle of its steadiest voiced stretch, -1 if there is none.
        vowel_hz: pitch there.
        level_db: RMS of its speech, dB re full scale.
        transcript: what is said; "" if the set does not tell.
        completeness: turn completeness in 0-1, by sample where the speech could end (`offset`,
            starts of pauses, dips).
    """

    index: int
    speaker: str
    set_name: str
    onset: int
    offset: int
    pauses: NDArray[np.int32]
    dips: NDArray[np.int32]
    finished: int
    pitch_hz: float
    vowel: int
    vowel_hz: float
    level_db: float
    transcript: str = ""
    completeness: dict[int, float] = field(default_factory=dict[int, float])

    @property
    def speech_s(self) -> float:
        return (self.offset - self.onset) / SAMPLE_RATE_HZ


class UtterancePool:
    """Read-only access to the decoded clips of some sets.

    Args:
        folders: folders of the decoded sets.
        completeness: folder with turn completeness scores (completeness.py), one file per set;
            None for no scores.
    """

    def __init__(self, folders: Sequence[Path], completeness: Path | None = None) -> None:
        self.sets = tuple(folder.name for folder in folders)
        self.utterances: list[Utterance] = []
        self._places: list[tuple[Path, int, int]] = []  # file, start and length of each clip
        for folder in folders:
            scores = (
                read_completeness(completeness / f"{folder.name}.npz")
                if completeness is not None
                else {}
            )
            for i, entry in enumerate(json.loads((folder / INDEX).read_text(encoding="utf-8"))):
                self._places.append((folder / AUDIO, entry["start"], entry["length"]))
                self.utterances.append(
                    Utterance(
                        index=len(self.utterances),
                        speaker=entry["speaker"],
                        set_name=entry["set"],
                        onset=entry["onset"],
                        offset=entry["offset"],
                        pauses=np.array(entry["pauses"], np.int32).reshape(-1, 2),
                        dips=np.array(entry["dips"], np.int32),
                        finished=entry["finished"],
                        pitch_hz=entry["pitch_hz"],
                        vowel=entry["vowel"],
                        vowel_hz=entry["vowel_hz"],
                        level_db=entry["level_db"],
                        transcript=entry["transcript"],
                        completeness=scores.get(i, {}),
                    )
                )

    @cached_property
    def _samples(self) -> dict[Path, NDArray[np.int16]]:
        return {
            path: np.memmap(path, np.int16, "r")
            for path in dict.fromkeys(path for path, _, _ in self._places)
        }

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_samples"}

    def samples(self, utterance: Utterance) -> int:
        """Length of the clip, in samples at 16 kHz."""
        return self._places[utterance.index][2]

    def set_folder(self, utterance: Utterance) -> str:
        """Name of the decoded set's folder that holds the clip."""
        return self._places[utterance.index][0].parent.name

    def audio(self, utterance: Utterance) -> Samples:
        """The clip's samples in [-1, 1], (N,) at 16 kHz."""
        path, start, length = self._places[utterance.index]
        return self._samples[path][start : start + length].astype(np.float32) / 32768.0


def decode_speech(folder: Path, cache: Path, workers: Workers = HERE) -> list[Path]:
    """Decode all sets of `folder`/speech/*/manifest.csv; return their folders, sorted by set name.

    Raises:
        DialogueError: there are no sets, or a clip cannot be read.
    """
    manifests = sorted((folder / "speech").glob("*/manifest.csv"))
    if not manifests:
        raise DialogueError(f"{folder}: expected utterances in speech/*/manifest.csv, got none")
    return [decode_set(manifest.parent, cache, workers) for manifest in manifests]


def decode_set(set_folder: Path, cache: Path, workers: Workers = HERE) -> Path:
    """Return the folder with the decoded clips of one set.

    The folder lies in `cache`. It is made only if it is not there yet.

    Raises:
        DialogueError: the manifest is missing or lacks a column, or a clip cannot be read.
    """
    manifest = set_folder / "manifest.csv"
    if not manifest.is_file():
        raise DialogueError(f"{manifest}: expected a list of utterances, got no such file")
    key = hashlib.sha256(
        str(POOL_VERSION).encode() + str(manifest.resolve()).encode() + manifest.read_bytes()
    )
    folder = cache / f"{set_folder.name}-{key.hexdigest()[:16]}"
    if not (folder / INDEX).is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="unfinished-") as unfinished:
            _build(manifest, Path(unfinished), workers)
            folder.mkdir(exist_ok=True)
            for name in (AUDIO, INDEX):  # the index marks a complete set, so it is last
                (Path(unfinished) / name).replace(folder / name)
    return folder


def is_validation_speaker(speaker: str) -> bool:
    """Whether a speaker is kept for validation: about one in ten.

    A hash of the id decides, so that the split never changes.
    """
    return hashlib.sha256(speaker.encode()).digest()[0] % 10 == 0


def ends_sentence(set_name: str, transcript: str) -> int:
    """FINISHED, UNFINISHED or UNKNOWN, from the last mark of the transcript and the kind of set."""
    last = transcript.strip().rstrip("\"'”’)")[-1:]
    if last and last in FINAL_MARKS:
        return FINISHED
    if last and last in OPEN_MARKS:
        return UNFINISHED
    if set_name in SETS_OF_WHOLE_SENTENCES:
        return FINISHED
    punctuated_elsewhere = transcript != transcript.lower() and transcript != transcript.upper()
    return UNFINISHED if punctuated_elsewhere else UNKNOWN


def _read_rows(manifest: Path) -> list[tuple[str, str, str, str]]:
    """(path, speaker, set, transcript) of each row."""
    with manifest.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        missing = {"file", "speaker"} - set(reader.fieldnames or ())
        if missing:
            raise DialogueError(
                f"{manifest}: expected columns file and speaker, "
                f"got {', '.join(reader.fieldnames or ['an empty file'])}"
            )
        name = manifest.parent.name
        return [
            (
                str(manifest.parent / row["file"]),
                row["speaker"],
                name,
                (row.get("transcript") or "").strip(),
            )
            for row in reader
        ]


def _build(manifest: Path, folder: Path, workers: Workers) -> None:
    rows = _read_rows(manifest)
    entries: list[dict[str, object]] = []
    position = 0
    with (folder / AUDIO).open("wb") as out:
        for entry, samples in map_tasks(
            _analyse, rows, workers, desc=manifest.parent.name, unit="clip"
        ):
            if entry is None:
                continue
            out.write(samples.tobytes())
            entries.append({"start": position, "length": len(samples), **entry})
            position += len(samples)
    if not entries:
        raise DialogueError(f"{manifest}: expected clips with speech, found none in {len(rows)}")
    (folder / INDEX).write_text(json.dumps(entries), encoding="utf-8")


def _analyse(row: tuple[str, str, str, str]) -> tuple[dict[str, object] | None, NDArray[np.int16]]:
    """Decode one clip and analyse it; the entry is None if the clip has no speech."""
    import soxr

    path, speaker, set_name, transcript = row
    try:
        audio, rate = sf.read(path, dtype="float32", always_2d=True)
    except (sf.LibsndfileError, OSError) as error:
        raise DialogueError(
            f"{path}: expected an audio file that libsndfile reads, got: {error}"
        ) from None
    mono = audio.mean(axis=1)
    if rate != SAMPLE_RATE_HZ:
        mono = soxr.resample(mono, rate, SAMPLE_RATE_HZ)
    segments = energy_segments(mono, SAMPLE_RATE_HZ)
    if not segments or segments[-1][1] - segments[0][0] < 0.15:
        return None, np.zeros(0, np.int16)
    first = max(0, round((segments[0][0] - MARGIN_S) * SAMPLE_RATE_HZ))
    last = min(len(mono), round((segments[-1][1] + MARGIN_S) * SAMPLE_RATE_HZ))
    clip = mono[first:last]
    pauses = [
        (_sample(a[1]) - first, _sample(b[0]) - first)
        for a, b in zip(segments, segments[1:], strict=False)
    ]
    onset, offset = _sample(segments[0][0]) - first, min(_sample(segments[-1][1]), last) - first
    speech = clip[onset:offset]
    pitch_hz, vowel, vowel_hz = _pitch(clip, onset, offset)
    entry: dict[str, object] = {
        "speaker": speaker,
        "set": set_name,
        "onset": onset,
        "offset": offset,
        "pauses": pauses,
        "dips": _dips(clip, onset, offset, pauses),
        "transcript": transcript,
        "finished": ends_sentence(set_name, transcript),
        "pitch_hz": pitch_hz,
        "vowel": vowel,
        "vowel_hz": vowel_hz,
        "level_db": float(10 * np.log10(np.mean(speech.astype(np.float64) ** 2) + 1e-12)),
    }
    return entry, np.clip(np.round(clip * 32767), -32768, 32767).astype(np.int16)


def _sample(time_s: float) -> int:
    return round(time_s * SAMPLE_RATE_HZ)


def _dips(clip: Samples, onset: int, offset: int, pauses: list[tuple[int, int]]) -> list[int]:
    """Energy minima that lie at least 10 dB below their surroundings.

    They are 0.3 s away from any edge of speech, and 0.2 s apart.
    """
    from scipy.signal import find_peaks

    level = np.convolve(level_db(clip, SAMPLE_RATE_HZ), np.full(3, 1 / 3), mode="same")
    found, _ = find_peaks(-level, prominence=10, distance=20)
    edges = np.array([onset, offset, *(edge for pause in pauses for edge in pause)])
    centres = ((found + 0.5) * SAMPLE_RATE_HZ / LEVEL_RATE_HZ).astype(int)
    return [
        int(c)
        for c in centres
        if onset < c < offset and np.abs(edges - c).min() > 0.3 * SAMPLE_RATE_HZ
    ]


def _pitch(clip: Samples, onset: int, offset: int) -> tuple[float, int, float]:
    """Median pitch in Hz, and middle and pitch of the steadiest voiced frame.

    The method is autocorrelation, 70-400 Hz. Returns (0, -1, 0) for unvoiced clips.
    """
    window = round(0.04 * SAMPLE_RATE_HZ)
    starts = np.arange(onset, offset - window, round(0.02 * SAMPLE_RATE_HZ))
    if len(starts) < 3:
        return 0.0, -1, 0.0
    frames = clip[starts[:, None] + np.arange(window)]
    power = (frames**2).mean(axis=1)
    loud = power > power.max() / 100
    starts, frames = starts[loud], frames[loud] - frames[loud].mean(axis=1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(frames, 2 * window, axis=1)) ** 2
    correlation = np.fft.irfft(spectrum, axis=1)[:, :window] * (window / np.arange(window, 0, -1))
    low, high = SAMPLE_RATE_HZ // 400, SAMPLE_RATE_HZ // 70
    lags = correlation[:, low : high + 1]
    best = lags.argmax(axis=1)
    strength = lags.max(axis=1) / (correlation[:, 0] + 1e-9)
    pitch = SAMPLE_RATE_HZ / (best + low)
    voiced = strength > 0.6
    if voiced.sum() < 3:
        return 0.0, -1, 0.0
    median = float(np.median(pitch[voiced]))
    steady = np.where(
        voiced & (np.abs(np.log2(pitch / median)) < 0.4),
        strength + 0.1 * np.log10(power[loud] / power.max()),
        -np.inf,
    )
    vowel = int(steady.argmax())
    if not np.isfinite(steady[vowel]):
        return median, -1, 0.0
    return median, int(starts[vowel]) + window // 2, float(pitch[vowel])
