"""What the agent says, laid beside what the user says, sample for sample. No I/O.

The user's clock is the one there is: `take(n)` is called with every n samples that the microphone gave. What is said between two
takes begins to sound with the next one, or later by as much as the loudspeaker's latency. So the second channel of a stream holds
the agent's voice when it was heard, not when it was made, which may be seconds of speech in an instant.

    voice.say(speech)                       # where the speech is handed to the loudspeaker
    stream = np.stack([user, voice.take(len(user))], axis=1)
    cut = voice.stop()                      # where the loudspeaker is silenced, because the user cuts in

Bound: ten minutes of speech may wait to be taken; `say` refuses what goes beyond it.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import AudioFormatError, ConfigError
from ..resample import StreamingResampler, check_rate, to_float32

_WAITING_S = 600.0  # longer than any utterance; 38 MB at 16 kHz


@dataclass(frozen=True, slots=True)
class Cut:
    """How an utterance was cut off.

    Attributes:
        played_s: how much of it was, or will still be, heard.
        dropped_s: how much of it will not.
    """

    played_s: float
    dropped_s: float


class AgentVoice:
    """The agent's voice on the user's clock. Methods may be called from any thread.

    Args:
        sample_rate_hz: of the user's audio, and of what `take` gives.
        delay_s: latency of the loudspeaker: what is said now sounds so much later, and what is stopped now falls silent so much later.

    Raises:
        AudioFormatError: a rate outside 8-192 kHz.
        ConfigError: a delay below 0.
    """

    def __init__(self, sample_rate_hz: int, *, delay_s: float = 0.0) -> None:
        check_rate(sample_rate_hz)
        self.sample_rate_hz = sample_rate_hz
        self.delay_s = delay_s
        self._lock = threading.Lock()
        self._resampler: StreamingResampler | None = (
            None  # of the utterance that is being said, if its rate is another
        )
        self._sounds: deque[tuple[int, NDArray[np.float32]]] = (
            deque()
        )  # (position of the first sample, samples), in order, without overlap
        self._taken = 0  # position of the next sample to be taken
        self._end = 0  # position after the last sample queued, or where the first one will be
        self._said = 0  # samples of the present utterance

    @property
    def delay_s(self) -> float:
        """Latency of the loudspeaker; may be set at any time, and holds for what is said from then on."""
        return self._delay / self.sample_rate_hz

    @delay_s.setter
    def delay_s(self, delay_s: float) -> None:
        if not 0 <= delay_s < 60:
            raise ConfigError(f"expected a delay from 0 to 60 s, got {delay_s!r}")
        self._delay = round(delay_s * self.sample_rate_hz)

    @property
    def speaking(self) -> bool:
        """Whether something sounds, or is about to."""
        with self._lock:
            return self._is_speaking

    @property
    def waiting_samples(self) -> int:
        """How much can be taken until it falls silent, without what is still being resampled."""
        with self._lock:
            return max(0, self._end - self._taken)

    def say(self, samples: ArrayLike, sample_rate_hz: int | None = None) -> None:
        """Queue what the agent begins to play now, or after what it plays already; speech that is made piece by piece is said piece by piece.

        Args:
            samples: float32 or float64 in [-1, 1] or int16, (N,) or (N, 1), any N.
            sample_rate_hz: theirs; the user's if not given.
        Raises:
            AudioFormatError: another shape, type or range, a rate outside 8-192 kHz, or more than ten minutes would wait; nothing is queued.
        """
        mono = to_float32(samples, 1)
        rate_hz = self.sample_rate_hz if sample_rate_hz is None else sample_rate_hz
        check_rate(rate_hz)
        with self._lock:
            waiting_s = max(0, self._end - self._taken) / self.sample_rate_hz + len(mono) / rate_hz
            if waiting_s > _WAITING_S:
                raise AudioFormatError(
                    f"expected at most {_WAITING_S:g} s of speech that waits for the user's audio, got {waiting_s:.1f} s"
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
        """Drop what was not yet played: the user cuts in. What the loudspeaker has already taken, `delay_s` of it, is still heard.

        Returns what became of the present utterance; zeros if the agent is silent.
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
        """What sounds during the next `count` samples of the user: (count,) float32, silence where nothing does.

        Raises:
            ConfigError: a count below 0.
        """
        if count < 0:
            raise ConfigError(f"expected a count of at least 0 samples, got {count}")
        sounding = np.zeros(count, np.float32)
        with self._lock:
            end = self._taken + count
            if end > self._end:
                self._finish()  # nothing more was said in time, so the utterance is over
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
        """End the utterance: queue what the resampler still owes."""
        if self._resampler is not None:
            self._queue(self._resampler.flush())
            self._resampler = None

    def _queue(self, samples: NDArray[np.float32]) -> None:
        if len(samples):
            self._sounds.append((self._end, samples[:, 0]))
            self._end += len(samples)
            self._said += len(samples)
