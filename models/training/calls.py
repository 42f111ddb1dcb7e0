"""Training on real calls. No torch.

Real calls are few, so each is used often, but every time in another variation. Speed, loudness,
equalisation, noise and crosstalk are drawn anew; the labels are stretched with the speed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import firwin2, oaconvolve

from ...stream.errors import DialogueError
from ..dialogues.activity import Samples
from ..dialogues.annotation import load_annotated
from ..dialogues.channel import Surroundings
from ..dialogues.manifest import Dialogue
from ..dialogues.noise import hiss, looped
from .labelled import LabelledAudio, label_audio
from .settings import TrainingSettings
from .sources import ConversationSource

SPEEDS = (0.88, 1.14)
EQUALISED_SHARE, NOISE_SHARE, BLEED_SHARE = 0.7, 0.6, 0.25
EQUALISER_HZ, EQUALISER_DB, TAPS = (0, 250, 500, 1000, 2000, 4000, 8000), 5.0, 129
NOISE_DB, BLEED_DB = (-65.0, -32.0), (-45.0, -20.0)  # level re full scale; re the other channel
_SHARE_DRAW, _CALL_DRAW = 5, 6  # purposes of generators; others use 0 to 3

Judged = Mapping[str, NDArray[np.float32]]


class VariedCalls(ConversationSource):
    """Real calls, drawn at random, each time in another variation.

    Args:
        calls: at least one call.
        settings: seed and network configuration.
        surroundings: noises to draw from.
        judged: turn completeness according to a judge, by call id: (2, T) at 50 Hz, NaN where the
            judge was not asked.
    Raises:
        DialogueError: there are no calls.
    """

    def __init__(
        self,
        calls: Sequence[Dialogue],
        settings: TrainingSettings,
        surroundings: Surroundings,
        judged: Judged,
    ) -> None:
        if not calls:
            raise DialogueError("expected real calls to learn from, got none")
        self._settings, self._surroundings, self._judged = settings, surroundings, judged
        rate_hz = settings.model.features.sample_rate_hz
        self._calls = [(call.id, *load_annotated(call, rate_hz)) for call in calls]

    @property
    def fingerprint(self) -> str:
        names = "\n".join(name for name, *_ in self._calls)
        return f"{len(self._calls)} varied calls, {hashlib.sha256(names.encode()).hexdigest()[:12]}"

    def conversation(self, number: int) -> LabelledAudio:
        rng = np.random.default_rng([self._settings.seed, number, _CALL_DRAW])
        name, audio, activity, backchannel = self._calls[int(rng.integers(len(self._calls)))]
        judged = self._judged.get(name)
        speed = float(np.exp(rng.uniform(*np.log(SPEEDS))))
        varied = vary(audio, speed, self._surroundings, rng)
        frames = int(activity.shape[1] / speed)
        source = np.minimum((np.arange(frames) * speed).astype(np.int64), activity.shape[1] - 1)
        stretched = None if judged is None else _stretch(judged, activity.shape[1], source)
        audio, labels = label_audio(
            varied, activity[:, source], backchannel[:, source], self._settings.model, stretched
        )
        if labels.vad.shape[1] < self._settings.chunks.frames:
            raise DialogueError(
                f"call {name!r}: expected at least {self._settings.chunk_s:g} s, "
                f"got {labels.vad.shape[1]} frames"
            )
        return audio, labels

    def prefetch(self, numbers: Sequence[int]) -> None:
        """Do nothing: a call takes too little time to prepare."""

    def close(self) -> None:
        """Do nothing: nothing is open."""


class MixedConversations(ConversationSource):
    """Conversations of one source, with a share of conversations of another source.

    Args:
        most: main source.
        others: source of the share.
        share: probability that a conversation comes from `others`, 0-1.
        seed: of the draws.
    """

    def __init__(
        self, most: ConversationSource, others: ConversationSource, share: float, seed: int
    ) -> None:
        self._most, self._others, self._share, self._seed = most, others, share, seed
        self.workers = most.workers

    @property
    def fingerprint(self) -> str:
        return f"{self._most.fingerprint}; {self._share:g} of them {self._others.fingerprint}"

    def conversation(self, number: int) -> LabelledAudio:
        return (self._others if self._is_other(number) else self._most).conversation(number)

    def prefetch(self, numbers: Sequence[int]) -> None:
        self._most.prefetch([number for number in numbers if not self._is_other(number)])

    def close(self) -> None:
        self._most.close()

    def _is_other(self, number: int) -> bool:
        return bool(np.random.default_rng([self._seed, number, _SHARE_DRAW]).random() < self._share)


def vary(
    audio: Samples, speed: float, surroundings: Surroundings, rng: np.random.Generator
) -> Samples:
    """Return a random variation of a two-channel recording, (2, N) to (2, N / speed).

    The result is faster by `speed`. Gain, equalisation, noise and crosstalk are drawn.
    """
    varied = soxr.resample(audio.T, 16000, 16000 / speed, quality="HQ").T.astype(np.float32)
    for number in range(len(varied)):
        channel = varied[number]
        if rng.random() < EQUALISED_SHARE:
            gains_db = rng.normal(0, EQUALISER_DB, len(EQUALISER_HZ))
            channel = oaconvolve(
                channel, firwin2(TAPS, EQUALISER_HZ, 10 ** (gains_db / 20), fs=16000), mode="same"
            )
        channel = channel * np.float32(10 ** (rng.uniform(-6, 6) / 20))
        if rng.random() < NOISE_SHARE:
            noises = surroundings.noises
            noise = (
                hiss(len(channel), rng)
                if not noises or rng.random() < 0.6
                else looped(noises[int(rng.integers(len(noises)))], len(channel), rng)
            )
            channel = channel + noise * np.float32(10 ** (rng.uniform(*NOISE_DB) / 20))
        varied[number] = channel
    if rng.random() < BLEED_SHARE:
        varied = varied + varied[::-1] * np.float32(10 ** (rng.uniform(*BLEED_DB) / 20))
    return np.clip(varied, -1, 1, dtype=np.float32)


def _stretch(
    judged: NDArray[np.float32], frames: int, source: NDArray[np.int64]
) -> NDArray[np.float32]:
    fitted = np.full((2, frames), np.nan, np.float32)
    both = min(frames, judged.shape[1])
    fitted[:, :both] = judged[:, :both]
    return fitted[:, source]
