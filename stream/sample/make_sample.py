"""Make two_speakers.ogg: a short telephone conversation, written for this project and spoken by flite's free voices.

Channel 0 is the caller (voice slt), channel 1 the bike repair shop (voice rms). The conversation has what a turn-taking model must
tell apart: quick answers, thinking pauses inside turns, a backchannel, and an interruption with overlap.

Run: python stream/sample/make_sample.py [OUT.ogg]     (needs flite on the path, numpy and soundfile)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16000
VOICES = ("slt", "rms")  # caller, agent
SPEECH_DBFS = -23.0
NOISE_DBFS = -66.0
SEED = 20
PACE = 0.84  # of flite's own durations, which are slow for a conversation


@dataclass(frozen=True)
class Utterance:
    """An inter-pausal unit.

    Attributes:
        speaker: 0 caller, 1 agent.
        gap_s: start, counted from the end of the utterance before it in the list; negative overlaps it.
        text: what is said.
        stretch: flite's duration factor; above 1 is slower.
        level_db: louder or softer than SPEECH_DBFS.
    """

    speaker: int
    gap_s: float
    text: str
    stretch: float = 1.0
    level_db: float = 0.0


CALLER, AGENT = 0, 1
DIALOGUE = (
    Utterance(AGENT, 0.6, "Riverside Bikes, good morning. How can I help you?"),
    Utterance(CALLER, 0.35, "Hi. My back wheel is making a noise, and I'd like to, um", 1.05),
    Utterance(CALLER, 0.9, "I'd like to bring it in on", 1.1),
    Utterance(CALLER, 1.2, "Thursday, if that's possible."),
    Utterance(AGENT, 0.3, "Thursday is fine. What kind of noise is it?"),
    Utterance(CALLER, 0.5, "It's a sort of", 1.15),
    Utterance(CALLER, 0.8, "clicking, mostly when I go uphill in a low gear,"),
    Utterance(AGENT, -0.25, "Mhm.", 1.0, -5.0),
    Utterance(CALLER, 0.3, "and it has been getting worse since the weekend."),
    Utterance(AGENT, 0.25, "Okay. That sounds like the chain, or maybe", 1.1),
    Utterance(AGENT, 0.7, "maybe a loose spoke. Did you have an accident, or did you perhaps ride"),
    Utterance(CALLER, -0.6, "No, no accident."),
    Utterance(AGENT, 0.4, "Good. So, Thursday at nine?"),
    Utterance(CALLER, 0.2, "Yes."),
    Utterance(AGENT, 0.3, "And your name, please?"),
    Utterance(CALLER, 0.25, "Anna Miller. How much will it cost?"),
    Utterance(AGENT, 0.6, "Let me see.", 1.1),
    Utterance(AGENT, 1.3, "About forty euros, with a new chain."),
    Utterance(CALLER, 0.3, "Great, thank you. See you on Thursday."),
    Utterance(AGENT, 0.15, "See you then. Bye."),
)
TAIL_S = 0.8


def speak(utterance: Utterance, folder: Path) -> NDArray[np.float64]:
    """Let flite say it; (N,) at 16 kHz, silence at both ends removed, at its level."""
    wav = folder / "utterance.wav"
    command = ["flite", "-voice", VOICES[utterance.speaker], "--setf", f"duration_stretch={PACE * utterance.stretch:.3f}", "-t", utterance.text, "-o", str(wav)]
    subprocess.run(command, check=True)
    reader: Any = soundfile
    samples, rate_hz = reader.read(wav, dtype="float64")
    if rate_hz != SAMPLE_RATE_HZ:
        raise ValueError(f"expected {SAMPLE_RATE_HZ} Hz from flite, got {rate_hz} Hz")
    frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
    level = np.sqrt((frames**2).mean(axis=1))
    heard = np.flatnonzero(level > 0.02 * level.max())
    speech = samples[heard[0] * 160 : (heard[-1] + 1) * 160]
    fade = np.minimum(1, np.arange(len(speech)) / 80)
    speech = speech * fade * fade[::-1]
    active_rms = np.sqrt((level[level > 0.1 * level.max()] ** 2).mean())
    return speech * 10 ** ((SPEECH_DBFS + utterance.level_db) / 20) / active_rms


def render(folder: Path) -> NDArray[np.float32]:
    """Place all utterances; (N, 2) at 16 kHz."""
    placed: list[tuple[int, int, NDArray[np.float64]]] = []
    end = 0
    for utterance in DIALOGUE:
        speech = speak(utterance, folder)
        start = end + round(utterance.gap_s * SAMPLE_RATE_HZ)
        placed.append((utterance.speaker, start, speech))
        end = start + len(speech)
    total = max(start + len(speech) for _, start, speech in placed) + round(TAIL_S * SAMPLE_RATE_HZ)
    conversation = np.random.default_rng(SEED).standard_normal((total, 2)) * 10 ** (NOISE_DBFS / 20)  # a quiet line, not digital silence
    for speaker, start, speech in placed:
        conversation[start : start + len(speech), speaker] += speech
    return conversation.astype(np.float32)


def main() -> None:
    """Write the file named on the command line, or two_speakers.ogg beside this script."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("two_speakers.ogg")
    with tempfile.TemporaryDirectory() as folder:
        conversation = render(Path(folder))
    writer: Any = soundfile
    with writer.SoundFile(out, "w", SAMPLE_RATE_HZ, conversation.shape[1], format="OGG", subtype="VORBIS", compression_level=0.75) as file:
        for start in range(0, len(conversation), SAMPLE_RATE_HZ):  # libsndfile's Vorbis encoder fails on very long single writes
            file.write(conversation[start : start + SAMPLE_RATE_HZ])
    print(f"{out}: {len(conversation) / SAMPLE_RATE_HZ:.1f} s, {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
