"""A neural voice, and sets of clips spoken by it.

The package has one English voice. Played back at different speeds, it serves as several speakers.
synthesis.py decides what is said.
A hash of its line is part of a clip's file name, and the manifest is written last. So an
interrupted run leaves no complete set, and the next run reuses the finished clips.

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
# Play-back speed of the lowest and of the highest speaker. It moves pitch and formants together.
PLAYBACK_FACTORS = (0.80, 1.12)
CUT_EARLIER_S, CUT_LATER_S = 0.22, 0.08  # search range around the expected end of a cut text
CUT_FADE_S, SILENCE_AFTER_CUT_S = 0.01, 0.3


class Synthesiser(Protocol):
    """A text-to-speech voice: hibari.Hibari or a replacement for tests.

    Attributes:
        sample_rate: of the returned samples, in Hz.
    """

    sample_rate: int

    def __call__(self, text: str, speed: float = 1.0, seed: int | None = None) -> Samples:
        """Return the spoken text, (N,). The seed fixes the random part of the voice."""
        ...


@dataclass(frozen=True)
class Line:
    """One clip to render.

    Attributes:
        speaker: number of the speaker, from 0.
        text: what is said.
        pace: speech rate; 1 is the voice's own.
        continued: the rest of the sentence after `text`, if the clip is to be cut out of the whole
            sentence; else "".
    """

    speaker: int
    text: str
    pace: float
    continued: str = ""

    @property
    def speaker_name(self) -> str:
        return f"hibari_{self.speaker:02d}"


def open_synthesiser() -> Synthesiser:
    """Load the neural voice.

    Raises:
        MissingExtraError: hibari-tts is not installed.
    """
    try:
        from hibari import Hibari
    except ImportError:
        raise MissingExtraError("hibari-tts", "voices") from None
    return Hibari()


def speak(synthesiser: Synthesiser, line: Line, seed: int) -> Samples:
    """Return the line in the voice of its speaker, (N,) at 16 kHz, in [-1, 1]."""
    factor = float(np.linspace(*PLAYBACK_FACTORS, SPEAKERS)[line.speaker])

    def say(text: str) -> Samples:
        # Play-back at `factor` times the speed moves pitch and formants. The division by `factor`
        # keeps the pace.
        clear = re.sub(r"\bno\.", "[no](/nˈO/).", text)  # else the voice reads "number"
        spoken = synthesiser(clear, speed=line.pace / factor, seed=seed)
        resampled = soxr.resample(spoken, synthesiser.sample_rate * factor, SAMPLE_RATE_HZ)
        return np.clip(resampled, -1.0, 1.0).astype(np.float32)

    if line.text[-1] in FINAL_MARKS:
        return say(line.text)
    # The voice lowers its pitch at the end of any text. Before an ellipsis it does so least.
    open_end = say(line.text.rstrip(",") + "…")
    return _cut(say(f"{line.text} {line.continued}"), open_end) if line.continued else open_end


def _cut(whole: Samples, start: Samples) -> Samples:
    """Cut a whole sentence where its first part ends.

    Args:
        whole: the whole sentence.
        start: its first part, spoken alone. Its length says roughly where to cut; the quietest
            place near there is taken.
    """
    segments = energy_segments(start, SAMPLE_RATE_HZ)
    if not segments:
        return start
    level = np.convolve(level_db(whole, SAMPLE_RATE_HZ), np.full(3, 1 / 3), mode="same")
    # The voice lengthens the last word of a text, so the true end lies mostly earlier.
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
    """Write the lines as a set to `folder`, and return the folder.

    Clips that are already there are kept.

    Args:
        lines: clips to render; may be endless if `hours` is given.
        folder: the set.
        hours: about how much to render; None renders all lines.
        synthesiser: the voice; by default the neural voice.
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
    """Yield the manifest row of each line, and the seconds of sound so far."""
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
