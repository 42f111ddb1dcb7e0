"""Synthetic voices: backchannels and other interjections, lines of real conversations, and dictated numbers and names, by flite and espeak-ng.

They are written as two more sets of utterances (WAV files with a manifest.csv), made once and kept. Recorded people stay the main
material; synthetic ones supply what read speech lacks, and the voice of a dialogue system.
"""

from __future__ import annotations

import csv
import hashlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import DialogueError
from .textgrid import read_textgrid

INTERJECTIONS_SET = "interjections"
SYNTHETIC_SET = "synthetic"
INTERJECTIONS = (
    *("mm hmm.", "mm.", "uh huh.", "yeah.", "yeah yeah.", "yes.", "okay.", "right.", "sure.", "I see.", "oh.", "really?", "oh okay.", "yep."),
    *("of course.", "great.", "alright.", "no.", "wow.", "true.", "exactly.", "ah.", "hmm.", "oh no.", "got it.", "good."),
)
DICTATIONS_PER_VOICE = 12
DIGITS = ("oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPELLED_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
ORDINALS = ("first", "second", "fourth", "seventh", "tenth", "twelfth", "fifteenth", "twenty first", "thirtieth")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
LEAD_INS = ("", "", "it's ", "yes, it's ", "um, ", "so that's ", "okay, ", "uh, let me see, ", "my number is ", "that would be ")
ESPEAK_VARIANTS = ("", *(f"+f{i}" for i in range(1, 6)), *(f"+m{i}" for i in range(1, 9)), "+klatt2", "+klatt4", "+Annie", "+Andy", "+max")
ESPEAK_ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029")
FLITE_VOICES = ("awb", "kal16", "rms", "slt")
SHARE_OF_ESPEAK = 0.4
SYNTHESISERS = ("flite", "espeak-ng")  # programs, and the Debian packages that bring them


@dataclass(frozen=True)
class SyntheticVoice:
    """A program's voice with its own rate and pitch.

    Attributes:
        program: "flite" or "espeak-ng".
        voice: its name there.
        pace: 1 is the program's own, larger is faster.
        pitch: 1 is the voice's own.
    """

    program: str
    voice: str
    pace: float
    pitch: float

    @property
    def name(self) -> str:
        return f"{self.program}_{self.voice}_{self.pace:.2f}_{self.pitch:.2f}"

    def command(self, text: str, out: Path) -> list[str]:
        if self.program == "flite":
            mean_hz = {"awb": 130, "kal16": 105, "rms": 100, "slt": 175}[self.voice] * self.pitch
            settings = ("--setf", f"duration_stretch={1 / self.pace:.3f}", "--setf", f"int_f0_target_mean={mean_hz:.0f}")
            return ["flite", "-voice", self.voice, *settings, "-t", text, "-o", str(out)]
        return ["espeak-ng", "-v", self.voice, "-s", str(round(170 * self.pace)), "-p", str(round(50 * self.pitch)), "-w", str(out), "--", text]


def draw_voices(count: int, rng: np.random.Generator) -> list[SyntheticVoice]:
    """Different voices of the programs that are installed.

    Raises:
        DialogueError: neither program is installed; names the Debian packages.
    """
    installed = [program for program in SYNTHESISERS if shutil.which(program)]
    if not installed:
        raise DialogueError(f"expected a speech synthesiser, got none; on Debian: apt-get install {' '.join(SYNTHESISERS)}")
    voices: list[SyntheticVoice] = []
    while len(voices) < count:
        espeak = "espeak-ng" in installed and (len(installed) == 1 or rng.random() < SHARE_OF_ESPEAK)
        voice = str(rng.choice(ESPEAK_ACCENTS)) + str(rng.choice(ESPEAK_VARIANTS)) if espeak else str(rng.choice(FLITE_VOICES))
        program = "espeak-ng" if espeak else "flite"
        voices.append(SyntheticVoice(program, voice, round(float(rng.uniform(0.85, 1.25)), 2), round(float(rng.uniform(0.8, 1.3)), 2)))
    return voices


def render_interjections(cache: Path, seed: int = 0, voices: int = 24) -> Path:
    """A set folder with every interjection in every voice; made once."""
    rng = np.random.default_rng([seed, 1])
    lines = [(voice, text) for voice in draw_voices(voices, rng) for text in INTERJECTIONS]
    return _render_set(cache, INTERJECTIONS_SET, lines)


def render_scripts(scripts: Path, cache: Path, seed: int = 0, voices: int = 40, lines_per_voice: int = 70) -> Path:
    """A set folder with lines of real conversations (TextGrids under `scripts`) and dictated numbers and names, each voice speaking some; made once.

    Raises:
        DialogueError: no TextGrids there, or no synthesiser.
    """
    rng = np.random.default_rng([seed, 2])
    texts = [text for path in sorted(scripts.rglob("*.TextGrid")) for _, _, said in read_textgrid(path) if (text := _speakable(said))]
    if not texts:
        raise DialogueError(f"{scripts}: expected TextGrids with text, got none")
    lines: list[tuple[SyntheticVoice, str]] = []
    for voice in draw_voices(voices, rng):
        lines += [(voice, texts[i]) for i in rng.choice(len(texts), min(lines_per_voice, len(texts)), replace=False)]
        lines += [(voice, draw_dictation(rng)) for _ in range(DICTATIONS_PER_VOICE)]
    return _render_set(cache, SYNTHETIC_SET, lines)


def draw_dictation(rng: np.random.Generator) -> str:
    """What callers give out piece by piece: a number in groups, a name spelled, a date."""
    kind = int(rng.integers(3))
    if kind == 0:
        groups = [" ".join(DIGITS[i] for i in rng.integers(10, size=rng.integers(2, 5))) for _ in range(rng.integers(2, 4))]
        said = ", ".join(groups)
    elif kind == 1:
        letters = [SPELLED_LETTERS[i] for i in rng.integers(len(SPELLED_LETTERS), size=rng.integers(4, 9))]
        said = ", ".join(" ".join(letters[i : i + 3]) for i in range(0, len(letters), 3))
    else:
        said = f"the {ORDINALS[int(rng.integers(len(ORDINALS)))]} of {MONTHS[int(rng.integers(12))]}, {rng.integers(1940, 2030)}"
    return f"{LEAD_INS[int(rng.integers(len(LEAD_INS)))]}{said}."


def _speakable(said: str) -> str:
    """The text without marks of the transcriber; empty when too little of it can be understood or it is very long."""
    if re.search(r"<(UNIN|INAUDIBLE_SPEECH)/?>", said):
        return ""
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", said)).strip()
    return text if 1 < len(text) < 220 and text[-1] in ".?!" else ""


def _render_set(cache: Path, name: str, lines: Sequence[tuple[SyntheticVoice, str]]) -> Path:
    key = hashlib.sha256(repr(lines).encode()).hexdigest()[:16]
    folder = cache / f"{name}-{key}" / name
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(voice, text, folder / f"{i:05d}.wav") for i, (voice, text) in enumerate(lines)]
    with ThreadPoolExecutor(2) as threads:
        list(tqdm(threads.map(lambda job: _render(*job), jobs), total=len(jobs), desc=name, unit="line"))
    unfinished = manifest.with_suffix(".part")
    with unfinished.open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(["file", "speaker", "transcript"])
        table.writerows([path.name, voice.name, text] for voice, text, path in jobs)
    unfinished.rename(manifest)
    return folder


def _render(voice: SyntheticVoice, text: str, out: Path) -> None:
    done = subprocess.run(voice.command(text, out), capture_output=True, text=True, check=False)
    if done.returncode != 0 or not out.is_file():
        raise DialogueError(f"{voice.program} could not speak {text[:40]!r}: {done.stderr.strip()[:200] or f'exit code {done.returncode}'}")
