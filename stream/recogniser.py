"""A small speech recogniser, asked for one thing: whether the speaker's words complete a sentence.

It writes down what the speaker said, token by token, as if nothing but silence followed. After the
last word, the marks that end a sentence and the end of the text compete with the comma and with
further words. Their probability is the answer. English only.

Source: Jeffries et al. 2024, "Moonshine: Speech Recognition for Live Transcription and Voice
Commands". export/recogniser_graph.py writes its files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from .engine import bundled_file
from .errors import ModelError
from .onnx_session import LateSession

SAMPLE_RATE_HZ = 16000
WINDOW_S = 6.0  # a longer part costs more, and the answer is no better (model card)
SILENCE_S = 0.5  # of silence that follows the audio; without it the last word is often lost
MOST_TOKENS = 64  # 6 s of fast speech have 40; a recogniser that repeats itself is stopped
LARGEST_LOGIT = 8.0
LEAST_CONFIDENCE = -0.8  # below that, the language or the noise is not one that it knows
MIDDLE_LOGIT = 2.0  # of a sentence end, averaged over the pauses of calls

# Inputs of the encoder and of the decoder; all others of the decoder are its cache.
AUDIO = "input_values"
TOKEN, HEARD, CACHED = "input_ids", "encoder_hidden_states", "use_cache_branch"
LOGITS = "logits"

Float32 = NDArray[np.float32]


class Tokens(msgspec.Struct, frozen=True):
    """What the tokens of a recogniser mean here.

    Attributes:
        name: the recogniser, in words.
        begin, end: the tokens that begin and end a text.
        complete: the marks that end a sentence.
        incomplete: the marks inside a sentence.
    """

    name: str
    begin: int
    end: int
    complete: tuple[int, ...]
    incomplete: tuple[int, ...]


@dataclass(frozen=True)
class Transcript:
    """What was written down.

    Attributes:
        tokens: its tokens.
        logit: the logit that a sentence ends with its last word, within +-LARGEST_LOGIT.
        confidence: mean logarithm of the tokens' probabilities.
    """

    tokens: tuple[int, ...]
    logit: float
    confidence: float


class Recogniser:
    """A speech recogniser. It keeps no state, so conversations and threads can share it.

    Args:
        path: the encoder, NAME_encoder.onnx; NAME_decoder.onnx and NAME.json are beside it. None is
            the bundled one.
        threads: number of threads in one call.
    Raises:
        ModelError: a file does not exist, or is not what `turnstream export` writes. A graph that
            is damaged inside is found when it is loaded.
        OSError: a file cannot be read.
    """

    def __init__(self, path: Path | None = None, *, threads: int = 1) -> None:
        path = bundled_file("recogniser_encoder.onnx") if path is None else path
        name = path.name.removesuffix("_encoder.onnx")
        self._encoder = LateSession(
            path, "the encoder of a recogniser", threads=threads, keep_memory=False
        )
        decoder = path.with_name(f"{name}_decoder.onnx")
        self._decoder = LateSession(
            decoder, "the decoder of a recogniser", threads=threads, keep_memory=False
        )
        self._tokens = read_tokens(path.with_name(f"{name}.json"))
        inputs = self._encoder.signature.inputs, self._decoder.signature.inputs
        outputs = self._decoder.signature.outputs
        caches = {
            name: shape for name, shape in inputs[1].items() if name not in (TOKEN, HEARD, CACHED)
        }
        self._outputs = [LOGITS, *(name.replace("past_key_values", "present") for name in caches)]
        if (
            set(inputs[0]) != {AUDIO}
            or not {TOKEN, HEARD, CACHED} < set(inputs[1])
            or not set(self._outputs) <= set(outputs)
        ):
            raise ModelError(
                f"{path}: expected a recogniser, whose encoder takes {AUDIO} and whose decoder "
                f"takes {TOKEN}, {HEARD}, {CACHED} and a cache, and gives {LOGITS} and the cache, "
                f"got {_listed(inputs[0])}; {_listed(inputs[1])}; {_listed(outputs)}"
            )
        self._empty = {  # sizes that vary are 0 at the start of a text
            name: np.zeros([size or 0 for size in (1, *shape[1:])], np.float32)
            for name, shape in caches.items()
        }
        self._complete = np.array([*self._tokens.complete, self._tokens.end])
        self._marks = {*self._tokens.complete, *self._tokens.incomplete}
        self._path = path

    def load(self) -> None:
        """Load the graphs now, if that is not done.

        Raises:
            ModelError: ONNX Runtime cannot load one.
            OSError: a file cannot be read any more.
        """
        self._encoder.load()
        self._decoder.load()

    def load_soon(self) -> None:
        """Load the graphs in threads, if that has not begun; an error is raised when they run."""
        self._encoder.load_soon()
        self._decoder.load_soon()

    def completeness(self, audio: Float32) -> float:
        """Return how complete the last sentence is: a logit, 0 where it cannot tell.

        It cannot tell if the confidence is small, or if it does not come to an end of the text.

        Args:
            audio: one speaker up to now, in [-1, 1] at 16 kHz, (N,) float32, N >= 1. Of a longer
                one the last WINDOW_S are used.
        Raises:
            ModelError: a graph cannot be loaded, or gave NaN or infinity.
            OSError: a file cannot be read any more.
        """
        text = self.transcribe(audio)
        is_sure = text.confidence >= LEAST_CONFIDENCE and text.tokens[-1] == self._tokens.end
        return text.logit - MIDDLE_LOGIT if is_sure else 0.0

    def transcribe(self, audio: Float32) -> Transcript:
        """Write down the audio; arguments and errors are those of `completeness`."""
        kept = audio[-round(WINDOW_S * SAMPLE_RATE_HZ) :]
        padded = np.pad(kept, (0, round(SILENCE_S * SAMPLE_RATE_HZ)))[None]
        (heard,) = self._encoder.load().run(None, {AUDIO: padded})
        after_word = True
        logits = np.zeros(0, np.float32)
        tokens: list[int] = []
        surprise = 0.0
        for token, found in self._decode(heard):
            if after_word:
                logits = found
            after_word = token not in self._marks
            tokens.append(token)
            surprise += _log_sum(found) - float(found[token])
        if self._complete.max() >= len(logits):
            raise ModelError(
                f"{self._path}: expected a decoder of the tokens up to {self._complete.max()}, "
                f"got one of {len(logits)} tokens"
            )
        complete = np.zeros(len(logits), bool)
        complete[self._complete] = True
        logit = _log_sum(logits[complete]) - _log_sum(logits[~complete])
        if not math.isfinite(logit + surprise):
            raise ModelError(f"{self._path}: expected finite logits, got {logit} and {surprise}")
        logit = min(max(logit, -LARGEST_LOGIT), LARGEST_LOGIT)
        return Transcript(tuple(tokens), logit, -surprise / len(tokens))

    def _decode(self, heard: Float32) -> Iterator[tuple[int, Float32]]:
        """Yield each token of the text, the most probable one, and the logits of all tokens."""
        decoder, cache = self._decoder.load(), self._empty
        token = self._tokens.begin
        for position in range(MOST_TOKENS):
            inputs = {
                TOKEN: np.array([[token]], np.int64),
                HEARD: heard,
                CACHED: np.array([position > 0]),
                **cache,
            }
            logits, *present = decoder.run(self._outputs, inputs)
            new = dict(zip(cache, present, strict=True))
            # What was heard does not change, and is computed at the first token only.
            cache = (
                new if not position else {n: cache[n] if ".encoder." in n else new[n] for n in new}
            )
            token = int(logits[0, -1].argmax())
            yield token, logits[0, -1]
            if token == self._tokens.end:
                return


def _log_sum(logits: Float32) -> float:
    largest = float(logits.max())
    return largest + math.log(float(np.exp(logits - largest).sum()))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def read_tokens(path: Path) -> Tokens:
    """Return what the tokens of a recogniser mean.

    Raises:
        ModelError: there is no such file, or it is another one.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Tokens)
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelError(f"{path}: expected the tokens of a recogniser, got: {error}") from None
