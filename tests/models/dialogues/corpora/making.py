"""Small corpora in exactly their published form.

Their audio is loud where somebody speaks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf

from turnstream.cli import main
from turnstream.models.dialogues.activity import Segment, runs
from turnstream.models.dialogues.annotation import speech_activity
from turnstream.models.dialogues.manifest import Dialogue, read_manifest


def voices(speakers: Sequence[Sequence[Segment]], seconds: float, rate_hz: int) -> np.ndarray:
    """Return noise while each speaker speaks, and almost silence elsewhere, (C, N) in [-1, 1]."""
    rng = np.random.default_rng(0)
    audio = 0.001 * rng.standard_normal((len(speakers), round(seconds * rate_hz)))
    for row, segments in zip(audio, speakers, strict=True):
        for start, end in segments:
            part = row[round(start * rate_hz) : round(end * rate_hz)]
            part += 0.2 * rng.standard_normal(len(part))
    return np.clip(audio, -1, 1)


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


def write_audio(
    path: Path, speakers: Sequence[Sequence[Segment]], seconds: float, rate_hz: int = 8000
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, voices(speakers, seconds, rate_hz).T, rate_hz)
    return path


def sphere_header(samples: int, coding: str, bytes_per_sample: int, byte_format: str) -> bytes:
    """Return the 1024 bytes before the samples of a stereo SPHERE file of 8 kHz."""
    lines = [
        "NIST_1A",
        "   1024",
        "conversation_id -s4 2001",
        "channel_count -i 2",
        f"sample_count -i {samples}",
        "sample_rate -i 8000",
        f"sample_n_bytes -i {bytes_per_sample}",
        f"sample_byte_format -s{len(byte_format)} {byte_format}",
        f"sample_coding -s{len(coding)} {coding}",
        "end_head",
        "",
    ]
    return "\n".join(lines).encode().ljust(1024, b" ")


def mu_law(audio: np.ndarray) -> np.ndarray:
    """Return G.711 mu-law bytes of samples in [-1, 1].

    It follows the definition: sign, exponent and mantissa, all inverted.
    """
    biased = np.minimum(np.abs(audio) * 32768, 32635).astype(np.int64) + 132
    exponent = np.floor(np.log2(biased)).astype(np.int64) - 7
    mantissa = (biased >> (exponent + 3)) & 0x0F
    return (~(((audio < 0).astype(np.int64) << 7) | (exponent << 4) | mantissa) & 0xFF).astype(
        np.uint8
    )


def write_sphere(
    path: Path, speakers: Sequence[Sequence[Segment]], seconds: float, coding: str = "ulaw"
) -> Path:
    """Write stereo SPHERE, 8 kHz: `ulaw` as in Switchboard, or `pcm`."""
    audio = voices(speakers, seconds, 8000).T  # (N, 2): the channels alternate
    samples, size, order = (
        (mu_law(audio), 1, "1") if coding == "ulaw" else ((audio * 32767).astype("<i2"), 2, "01")
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sphere_header(len(audio), coding, size, order) + samples.tobytes())
    return path


def listed(corpus: str, folder: Path, *options: str) -> list[Dialogue]:
    """Return the dialogues that `turnstream manifest` finds in a folder.

    Unless the options say otherwise, none is held out.
    """
    out = folder.parent / "manifest.jsonl"
    assert (
        main(["manifest", corpus, str(folder), "--out", str(out), "--val-share", "0", *options])
        == 0
    )
    return read_manifest(out)


def spoken(dialogue: Dialogue) -> list[list[Segment]]:
    """Return who spoke when, in seconds, from the labels that training reads."""
    activity, _ = speech_activity(dialogue)
    return [[(start / 50, end / 50) for start, end in runs(row)] for row in activity]


def words(dialogue: Dialogue) -> list[tuple[int, str]]:
    """Return channel and text of the words that are stored beside the manifest."""
    assert dialogue.words is not None
    return [
        (word["ch"], word["text"])
        for word in json.loads(dialogue.words.read_text(encoding="utf-8"))
    ]


SWITCHBOARD_SPEAKERS = [[(0.98, 2.1), (5.0, 6.2)], [(2.6, 4.5)]]
SWITCHBOARD_SIDE_A = """sw2001A-ms98-a-0001 0.000000 0.977625 [silence]
sw2001A-ms98-a-0002 0.977625 1.500000 hi
sw2001A-ms98-a-0002 1.500000 2.100000 [laughter-um]
sw2001A-ms98-a-0003 2.100000 3.000000 [laughter]
sw2001A-ms98-a-0003 3.000000 5.000000 [silence]
sw2001A-ms98-a-0004 5.000000 5.600000 about_1
sw2001A-ms98-a-0004 5.600000 6.200000 th[at]-
sw2001A-ms98-a-0005 6.200000 7.000000 [noise]
"""
SWITCHBOARD_SIDE_B = """sw2001B-ms98-a-0001 0.000000 2.600000 <b_aside>
sw2001B-ms98-a-0002 2.600000 3.500000 {yuppiedom}
sw2001B-ms98-a-0002 3.500000 4.500000 [splace/space]
sw2001B-ms98-a-0003 4.500000 7.000000 [vocalized-noise]
"""


def write_switchboard(folder: Path) -> Path:
    """Write a Switchboard corpus of one conversation of 7 s."""
    write_sphere(folder / "swb1_d1" / "data" / "sw02001.sph", SWITCHBOARD_SPEAKERS, 7.0)
    words = folder / "swb_ms98_transcriptions" / "20" / "2001"
    write(words / "sw2001A-ms98-a-word.text", SWITCHBOARD_SIDE_A)
    write(words / "sw2001B-ms98-a-word.text", SWITCHBOARD_SIDE_B)
    write(
        folder / "tables" / "conv_tab.csv", "2001, Y, 1020, 1044, 303, 0, 910304, 1218, 1222, ,\n"
    )
    return folder
