"""The pause model: says, once in each pause, how complete the speaker's turn sounds.

It hears the last 8 s of the speaker. A pause costs as much as seven seconds of the network. It can
be left out. It is a large speech encoder (models/weights/pause.onnx) with a small head
(pause.json). pause_tracker.py decides when it is asked, and what its answer changes.

Loading the encoder takes some 50 ms and 44 MB, so it waits until somebody speaks. The files are
checked before.
"""

from __future__ import annotations

import math
from copy import copy
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from .engine import Engine, bundled_file
from .errors import ModelError, ShapeError
from .onnx_session import LateSession

SAMPLE_RATE_HZ = 16000

Float32 = NDArray[np.float32]


def bundled_pause_model() -> Path:
    """Return the path of the pause model that is installed with the package."""
    return bundled_file("pause.onnx")


class PauseMix(msgspec.Struct, frozen=True):
    """How the pause model's answer is combined with the network's p_next.

    In a pause, the logit of a shift is `network` times the network's plus `pause` times the pause
    model's.
    """

    network: float
    pause: float


class PauseHead(msgspec.Struct, frozen=True):
    """The part of a pause model that was fitted on silences of calls and on texts.

    Attributes:
        name: what it was fitted on, in words.
        weights: one weight for each dimension of the embedding, (D,).
        bias: added to the weighted sum; the result is the logit that the turn is complete.
        mix: how it is combined with the network.
    """

    name: str
    weights: tuple[float, ...]
    bias: float
    mix: PauseMix


class PauseModel:
    """A pause model. It keeps no state, so conversations and threads can share it.

    The encoder is loaded by `load`, `load_soon` or the first `logit`, whichever comes first.

    Args:
        path: the encoder, an ONNX file written by `turnstream export`; None is the bundled one.
        head: the head; None is the file of the same name that ends in .json.
        threads: number of threads in one call.
    Raises:
        ModelError: a file does not exist, or is not what `turnstream export` writes. A graph that
            is damaged inside is found when it is loaded.
        OSError: a file cannot be read.
    Attributes:
        head: the same.
        samples: number of samples that it hears.
    """

    def __init__(
        self, path: str | Path | None = None, *, head: PauseHead | None = None, threads: int = 1
    ) -> None:
        self.path = Path(path) if path is not None else bundled_pause_model()
        self._encoder = LateSession(self.path, "an ONNX pause model", threads=threads)
        self.head = read_head(self.path) if head is None else head
        inputs, outputs = self._encoder.signature.inputs, self._encoder.signature.outputs
        match list(inputs.items()), list(outputs.items()):
            case [("audio", (_, int(samples)))], [("embedding", (_, int(dimensions)))]:
                self.samples = samples
            case _:
                raise ModelError(
                    f"{self.path}: expected a pause model, with input audio (B, N) and output "
                    f"embedding (B, D), got {_listed(inputs)} and {_listed(outputs)}"
                )
        self._weights = np.array(self.head.weights, np.float32)
        if dimensions != len(self._weights):
            raise ModelError(
                f"{self.path}: its embeddings have {dimensions} dimensions, its head "
                f"has {len(self._weights)}"
            )

    def load(self) -> None:
        """Load the encoder now, if that is not done, so that the first pause is as quick as others.

        Raises:
            ModelError: ONNX Runtime cannot load it.
            OSError: the file cannot be read any more.
        """
        self._encoder.load()

    def load_soon(self) -> None:
        """Load the encoder in a thread, if that has not begun. `logit` waits until it is done.

        An error is raised by `logit`.
        """
        self._encoder.load_soon()

    def check_fits(self, sample_rate_hz: int) -> None:
        """Check that a model with this sample rate can be used beside the pause model.

        Raises:
            ModelError: it has another rate.
        """
        if sample_rate_hz != SAMPLE_RATE_HZ:
            raise ModelError(
                f"expected a model of {SAMPLE_RATE_HZ} Hz beside the pause model, got one of "
                f"{sample_rate_hz} Hz; use it without the pause model (--no-pause-model)"
            )

    def with_head(self, head: PauseHead) -> PauseModel:
        """Return the same encoder with another head of as many weights."""
        other = copy(self)
        other.head, other._weights = head, np.array(head.weights, np.float32)
        return other

    def logit(self, audio: Float32) -> float:
        """Return the logit that the turn is complete.

        Args:
            audio: the speaker's channel up to now, in [-1, 1] at 16 kHz, (N,) float32; it should
                end with about 0.2 s of the pause. Of a longer one the last `samples` are used; a
                shorter one is padded with silence in front.
        Raises:
            ShapeError: the audio has another shape or type, or is empty.
            ModelError: the encoder cannot be loaded, or gave NaN or infinity.
            OSError: the encoder's file cannot be read any more.
        """
        if audio.ndim != 1 or audio.dtype != np.float32 or not len(audio):
            raise ShapeError(f"expected float32 audio (N >= 1,), got {audio.dtype} {audio.shape}")
        window = np.zeros((1, self.samples), np.float32)
        kept = audio[-self.samples :]
        window[0, self.samples - len(kept) :] = kept
        (embedding,) = self._encoder.load().run(["embedding"], {"audio": window})
        logit = float(embedding[0] @ self._weights) + self.head.bias
        if not math.isfinite(logit):
            raise ModelError(f"{self.path}: expected a finite logit, got {logit}")
        return logit


def _listed(shapes: dict[str, tuple[int | None, ...]]) -> str:
    return ", ".join(
        f"{name} ({', '.join('B' if size is None else str(size) for size in shape)})"
        for name, shape in shapes.items()
    )


@cache
def shared_pause_model() -> PauseModel:
    """Return the bundled pause model, which all conversations of the process share."""
    return PauseModel()


def choose_pause_model(chosen: bool | PauseModel | None, engine: Engine) -> PauseModel | None:
    """Return the pause model to use beside a model; None for none.

    Args:
        chosen: a loaded pause model; True for the bundled one; False for none; None for the
            bundled one beside the bundled model, with which it was measured, and none beside
            another model.
        engine: the model.
    Raises:
        ModelError: the pause model does not fit the model, or cannot be loaded.
    """
    if chosen is None:
        chosen = engine.is_bundled
    if isinstance(chosen, bool):
        if not chosen:
            return None
        chosen = shared_pause_model()
    chosen.check_fits(engine.metadata.sample_rate_hz)
    return chosen


def read_head(path: Path) -> PauseHead:
    """Return the head of a pause model, from the JSON file beside its ONNX file.

    Args:
        path: the ONNX file.
    Raises:
        ModelError: there is no such head.
    """
    path = path.with_suffix(".json")
    try:
        return msgspec.json.decode(path.read_bytes(), type=PauseHead)
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelError(f"{path}: expected the head of a pause model, got: {error}") from None
