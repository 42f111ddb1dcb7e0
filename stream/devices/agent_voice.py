"""Aligns the agent's voice with the user's audio, sample by sample. No I/O.

The user's audio is the only clock: call `take(n)` for every n samples of the microphone. Speech
that is passed to `say` between two calls of `take` begins in the second of them, delayed by the
latency of the loudspeaker. So the second channel of a stream holds the agent's voice at the time
when it was heard. This is not the time when it was made: a synthesizer makes seconds of speech in
an instant.

    voice.say(speech)                       # where the loudspeaker gets the speech
    stream = np.stack([user, voice.take(len(user))], axis=1)
    cut = voice.stop()                      # where the loudspeaker stops, because the user cuts in

Bound: ten minutes of speech may wait to be taken. `say` raises an error beyond it.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import AudioFormatError, ConfigError
from ..pcm import to_float32
from ..resample import StreamingResampler, check_rate

_WAITING_S = 600.0  # longer than any utterance; 38 MB at 16 kHz


@dataclass(frozen=True, slots=True)
class Cut:
    """How an utterance was cut off.

    Attributes:
        played_s: seconds of the utterance that were heard or will still be heard.
        dropped_s: seconds of the utterance that will not be heard.
    """

    played_s: float
    dropped_s: float


class AgentVoice:
    """The agent's voice on the user's clock. Methods may be called from any thread.

    Args:
        sample_rate_hz: rate of the user's audio and of the result of `take`.
        delay_s: latency of the loudspeaker, in seconds. `say` and `stop` take effect after it.

    Raises:
        AudioFormatError: the rate is outside 8-192 kHz.
        ConfigError: the delay is below 0 s, or 60 s or more.
    """

    def __init__(self, sample_rate_hz: int, *, delay_s: float = 0.0) -> None:
        check_rate(sample_rate_hz)
        self.sample_rate_hz = sample_rate_hz
        self.delay_s = delay_s
        self._lock = threading.Lock()
        # Resampler of the present utterance; None between utterances.
        self._resampler: StreamingResampler | None = None
        # (position of the first sample, samples), in order, without overlap.
        self._sounds: deque[tuple[int, NDArray[np.float32]]] = deque()
        self._taken = 0  # position of the next sample to be taken
        self._end = 0  # position after the last queued sample
        self._said = 0  # samples of the present utterance

    @property
    def delay_s(self) -> float:
        """Latency of the loudspeaker in seconds, in [0, 60).

        It may be set at any time. The new value holds for later calls of `say` and `stop`.
        """
        return self._delay / self.sample_rate_hz

    @delay_s.setter
    def delay_s(self, delay_s: float) -> None:
        if not 0 <= delay_s < 60:
            raise ConfigError(f"expected a delay from 0 to 60 s, got {delay_s!r}")
        self._delay = round(delay_s * self.sample_rate_hz)

    @property
    def speaking(self) -> bool:
        """Whether the agent's voice sounds now, or speech is queued."""
        with self._lock:
            return self._is_speaking

    @property
    def waiting_samples(self) -> int:
        """Samples that can be taken before silence; samples inside the resampler do not count."""
        with self._lock:
            return max(0, self._end - self._taken)

    def say(self, samples: ArrayLike, sample_rate_hz: int | None = None) -> None:
        """Queue speech that the agent begins to play now, or after the speech that it plays now.

        An utterance may be queued in several pieces.

        Args:
            samples: float32 or float64 in [-1, 1], or int16; (N,) or (N, 1); any N.
            sample_rate_hz: rate of the samples; the user's rate if not given.
        Raises:
            AudioFormatError: wrong shape, type or range, a rate outside 8-192 kHz, or more than ten
                minutes would wait. Nothing is queued.
        """
        mono = to_float32(samples, 1)
        rate_hz = self.sample_rate_hz if sample_rate_hz is None else sample_rate_hz
        check_rate(rate_hz)
        with self._lock:
            waiting_s = max(0, self._end - self._taken) / self.sample_rate_hz + len(mono) / rate_hz
            if waiting_s > _WAITING_S:
                raise AudioFormatError(
                    f"expected at most {_WAITING_S:g} s of speech that waits for the user's audio, "
                    f"got {waiting_s:.1f} s"
                )
            if not self._is_speaking:
                self._said = 0
            start = self._taken + self._delay
            if self._resampler is not None and (
                self._resampler.input_rate_hz != rate_hz or start > self._end
            ):
                self._finish()
            if self._resampler is None:
                self._resampler = StreamingResampler(rate_hz, self.sample_rate_hz, 1)
            self._end = max(self._end, start)
            self._queue(self._resampler.push(mono))

    def stop(self) -> Cut:
        """Drop the speech that was not yet played, because the user cuts in.

        The loudspeaker still plays the `delay_s` of speech that it holds already.

        Returns:
            How much of the present utterance was played and dropped; zeros if the agent is silent.
        """
        with self._lock:
            if not self._is_speaking:
                self._said = 0
            self._finish()
            last = self._taken + self._delay
            dropped = 0
            while self._sounds and self._sounds[-1][0] + len(self._sounds[-1][1]) > last:
                position, samples = self._sounds.pop()
                kept = max(0, last - position)
                dropped += len(samples) - kept
                if kept:
                    self._sounds.append((position, samples[:kept]))
            self._end = min(self._end, last)
            played, self._said = self._said - dropped, 0
            return Cut(played / self.sample_rate_hz, dropped / self.sample_rate_hz)

    def take(self, count: int) -> NDArray[np.float32]:
        """Return the agent's voice during the next `count` samples of the user.

        Returns:
            Samples, (count,) float32; 0 where the agent is silent.
        Raises:
            ConfigError: the count is below 0.
        """
        if count < 0:
            raise ConfigError(f"expected a count of at least 0 samples, got {count}")
        sounding = np.zeros(count, np.float32)
        with self._lock:
            end = self._taken + count
            if end > self._end:
                self._finish()  # no more speech came in time, so the utterance is over
            while self._sounds and self._sounds[0][0] < end:
                position, samples = self._sounds.popleft()
                start = position - self._taken
                fitting = samples[: count - start]
                sounding[start : start + len(fitting)] = fitting
                if len(fitting) < len(samples):
                    self._sounds.appendleft((end, samples[len(fitting) :]))
            self._taken = end
        return sounding

    @property
    def _is_speaking(self) -> bool:
        return self._end > self._taken or (
            self._resampler is not None and self._resampler.delay_s > 0
        )

    def _finish(self) -> None:
        """End the utterance: queue the samples that the resampler still holds."""
        if self._resampler is not None:
            self._queue(self._resampler.flush())
            self._resampler = None

    def _queue(self, samples: NDArray[np.float32]) -> None:
        if len(samples):
            self._sounds.append((self._end, samples[:, 0]))
            self._end += len(samples)
            self._said += len(samples)
