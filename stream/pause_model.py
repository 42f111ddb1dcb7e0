"""The pause model: says, in each pause, how complete the speaker's turn sounds.

It hears the last 8 s of the speaker. It can be left out. Two parts answer, and their logits are
added: a large speech encoder (models/weights/pause.onnx) with a small head (pause.json), and a
speech recogniser (recogniser.py), which knows whether the words complete a sentence.
pause_tracker.py decides when it is asked, and what its answer changes.

Loading takes time and memory, so it waits until somebody speaks. The files are checked before.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from copy import copy
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from .engine import Engine, bundled_file
from .errors import ModelError, ShapeError
from .onnx_session import LateSession
from .recogniser import Recogniser

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
        bias: added to the weighted sum.
        mix: how it is combined with the network.
        words: weight of the recogniser's logit. It is added as well; the result is the logit that
            the turn is complete. With 0 the recogniser is not asked.
    """

    name: str
    weights: tuple[float, ...]
    bias: float
    mix: PauseMix
    words: float = 0.0


class PauseModel:
    """A pause model. It keeps no state, so conversations and threads can share it.

    Its graphs are loaded by `load`, `load_soon` or the first `logit`, whichever comes first.

    Args:
        path: the encoder, an ONNX file written by `turnstream export`; None is the bundled one.
        head: the head; None is the file of the same name that ends in .json.
        recogniser: the recogniser; None is the bundled one.
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
        self,
        path: str | Path | None = None,
        *,
        head: PauseHead | None = None,
        recogniser: Recogniser | None = None,
        threads: int = 1,
    ) -> None:
        self.path = Path(path) if path is not None else bundled_pause_model()
        self._encoder = LateSession(self.path, "an ONNX pause model", threads=threads)
        self._recogniser = recogniser or Recogniser(threads=threads)
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
        """Load the graphs now, if that is not done, so that the first pause is as quick as others.

        Raises:
            ModelError: ONNX Runtime cannot load one.
            OSError: a file cannot be read any more.
        """
        self._encoder.load()
        if self.head.words:
            self._recogniser.load()

    def load_soon(self) -> None:
        """Load the graphs in threads, if that has not begun. `logit` waits until it is done.

        An error is raised by `logit`.
        """
        self._encoder.load_soon()
        if self.head.words:
            self._recogniser.load_soon()

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
        """Return the same model with another head of as many weights."""
        other = copy(self)
        other.head, other._weights = head, np.array(head.weights, np.float32)
        return other

    def logit(self, audio: Float32) -> float:
        """Return the logit that the turn is complete.

        Args:
            audio: the speaker's channel up to now, in [-1, 1] at 16 kHz, (N,) float32; it should
                end with some 0.1 to 0.3 s of the pause. Of a longer one the last `samples` are
                used; a shorter one is padded with silence in front.
        Raises:
            ShapeError: the audio has another shape or type, or is empty.
            ModelError: a graph cannot be loaded, or gave NaN or infinity.
            OSError: a file cannot be read any more.
        """
        if audio.ndim != 1 or audio.dtype != np.float32 or not len(audio):
            raise ShapeError(f"expected float32 audio (N >= 1,), got {audio.dtype} {audio.shape}")
        kept = audio[-self.samples :]
        if not self.head.words:
            logit = self._encoder_logit(kept)
        else:
            words = _CallInThread(lambda: self._recogniser.completeness(kept))
            try:
                logit = self._encoder_logit(kept)
            finally:
                words.join()
            logit += self.head.words * words.result()
        if not math.isfinite(logit):
            raise ModelError(f"{self.path}: expected a finite logit, got {logit}")
        return logit

    def _encoder_logit(self, audio: Float32) -> float:
        """Return the logit of the encoder and its head."""
        window = np.zeros((1, self.samples), np.float32)
        window[0, self.samples - len(audio) :] = audio
        (embedding,) = self._encoder.load().run(["embedding"], {"audio": window})
        return float(embedding[0] @ self._weights) + self.head.bias


class _CallInThread:
    """A call in a thread of its own, so that two parts of an answer take no longer than one."""

    def __init__(self, call: Callable[[], float]) -> None:
        self._call = call
        self._outcome: float | Exception = 0.0
        self._thread = threading.Thread(target=self._run, name="recogniser")
        try:
            self._thread.start()
        except RuntimeError:  # no thread can be started
            self._run()

    def _run(self) -> None:
        try:
            self._outcome = self._call()
        except Exception as error:
            self._outcome = error

    def join(self) -> None:
        """Wait for the end of the call."""
        if self._thread.ident is not None:
            self._thread.join()

    def result(self) -> float:
        """Return the value of a call that has ended; raise its error."""
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


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
