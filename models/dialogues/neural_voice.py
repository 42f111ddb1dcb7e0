"""A neural voice, and sets of clips spoken by it.

The package has one English voice. Played back at different speeds, it makes several speakers. What is said is
left to synthesis.py. A clip's file is named by what it says, and the manifest is written last: an interrupted
run leaves no set, and the next run keeps the clips that are there.

Source: hibari-tts (Apache-2.0), distilled from Kokoro-82M.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile as sf
import soxr
from tqdm import tqdm

from ...stream.errors import MissingExtraError
from .activity import LEVEL_RATE_HZ, Samples, energy_segments, level_db
from .utterances import FINAL_MARKS, SAMPLE_RATE_HZ

SPEAKERS = 12
PLAYBACK_FACTORS = (
    0.80,
    1.12,
)  # pitch and formants together, from the lowest speaker to the highest
CUT_EARLIER_S, CUT_LATER_S = 0.22, 0.08  # where the end of an unfinished text is sought
CUT_FADE_S, SILENCE_AFTER_CUT_S = 0.01, 0.3


class Synthesiser(Protocol):
    """What speaks: hibari.Hibari, or a stand-in.

    Attributes:
        sample_rate: of what it returns, in Hz.
    """

    sample_rate: int

    def __call__(self, text: str, speed: float = 1.0, seed: int | None = None) -> Samples:
        """The text as sound, (N,); the seed fixes its noise."""
        ...


@dataclass(frozen=True)
class Line:
    """One clip to render.

    Attributes:
        speaker: number of the speaker, from 0.
        text: what is said.
        pace: of speech, 1 is the voice's own.
        continued: how the text would continue to the end of its sentence, if the clip is to be cut out of that.
    """

    speaker: int
    text: str
    pace: float
    continued: str = ""

    @property
    def speaker_name(self) -> str:
        return f"hibari_{self.speaker:02d}"


def open_synthesiser() -> Synthesiser:
    """The neural voice.

    Raises:
        MissingExtraError: hibari-tts is not installed.
    """
    try:
        from hibari import Hibari
    except ImportError:
        raise MissingExtraError("hibari-tts", "voices") from None
    return Hibari()


def speak(synthesiser: Synthesiser, line: Line, seed: int) -> Samples:
    """The line in the voice of its speaker, (N,) at 16 kHz, in [-1, 1]."""
    factor = float(np.linspace(*PLAYBACK_FACTORS, SPEAKERS)[line.speaker])

    def say(text: str) -> Samples:
        # Play-back at `factor` times the speed moves pitch and formants; the pace is put right before it.
        clear = re.sub(r"\bno\.", "[no](/nˈO/).", text)  # not "number"
        spoken = synthesiser(clear, speed=line.pace / factor, seed=seed)
        resampled = soxr.resample(spoken, synthesiser.sample_rate * factor, SAMPLE_RATE_HZ)
        return np.clip(resampled, -1.0, 1.0).astype(np.float32)

    if line.text[-1] in FINAL_MARKS:
        return say(line.text)
    # The voice lets its pitch fall at the end of any text, least before an ellipsis.
    open_end = say(line.text.rstrip(",") + "…")
    return _cut(say(f"{line.text} {line.continued}"), open_end) if line.continued else open_end


def _cut(whole: Samples, start: Samples) -> Samples:
    """The sentence up to where its start ends: at the quietest place near the length of that start spoken alone."""
    segments = energy_segments(start, SAMPLE_RATE_HZ)
    if not segments:
        return start
    level = np.convolve(level_db(whole, SAMPLE_RATE_HZ), np.full(3, 1 / 3), mode="same")
    # Spoken alone, the last word is drawn out.
    first = round((segments[-1][1] - CUT_EARLIER_S) * LEVEL_RATE_HZ)
    last = min(round((segments[-1][1] + CUT_LATER_S) * LEVEL_RATE_HZ), len(level) - 1)
    if not 0 < first < last:
        return start
    quietest = first + int(level[first:last].argmin())
    cut = whole[: round(quietest / LEVEL_RATE_HZ * SAMPLE_RATE_HZ)].copy()
    fade = min(round(CUT_FADE_S * SAMPLE_RATE_HZ), len(cut))
    cut[len(cut) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return np.concatenate([cut, np.zeros(round(SILENCE_AFTER_CUT_S * SAMPLE_RATE_HZ), np.float32)])


def render_set(
    lines: Iterable[Line],
    folder: Path,
    hours: float | None = None,
    synthesiser: Synthesiser | None = None,
) -> Path:
    """Write the lines as a set to `folder`, all of them or about `hours`; clips that are there already are kept.

    Raises:
        MissingExtraError: hibari-tts is not installed.
    """
    synthesiser = synthesiser or open_synthesiser()
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, str, str]] = []
    limit_s = np.inf if hours is None else hours * 3600
    total = None if hours is None else round(limit_s)
    with tqdm(total=total, desc=folder.name, unit="s") as progress:
        for row, end_s in _render_clips(lines, folder, synthesiser):
            rows.append(row)
            progress.update(round(end_s) - progress.n)
            if end_s >= limit_s:
                break
    _write_manifest(folder, rows)
    return folder


def _render_clips(
    lines: Iterable[Line], folder: Path, synthesiser: Synthesiser
) -> Iterator[tuple[tuple[str, str, str], float]]:
    """Each line's row in the manifest, and the seconds of sound so far."""
    seconds = 0.0
    for line in lines:
        digest = hashlib.sha256(repr(line).encode()).digest()
        path = folder / f"{line.speaker_name}_{digest.hex()[:16]}.flac"
        if not path.is_file():
            unfinished = path.with_suffix(".part")
            sound = speak(synthesiser, line, int.from_bytes(digest[:4], "little"))
            sf.write(unfinished, sound, SAMPLE_RATE_HZ, format="FLAC")
            unfinished.rename(path)
        seconds += sf.info(path).duration
        yield (path.name, line.speaker_name, line.text), seconds


def _write_manifest(folder: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    unfinished = folder / "manifest.part"
    with unfinished.open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(["file", "speaker", "transcript"])
        table.writerows(rows)
    unfinished.rename(folder / "manifest.csv")
