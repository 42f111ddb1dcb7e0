"""Counts a client's small messages: controls, pings, pongs, and audio of a few samples.

Each costs as much as a message of audio and is worth little, so a client may not send many. A
client that sends more than a few waits for its turn (`turns.py`). One that sends too many for some
seconds must go.
"""

from __future__ import annotations

import time

from websockets.frames import Frame, Opcode

SMALL_BYTES = 80  # a message of audio of this size is not small: 10 ms in the smallest format
_AUDIO_TEXT_BYTES = 16384  # of a text message with audio; larger ones are rare
BURST_S = 5.0  # time over which the rate is measured
_CALM_PER_S, _CALM_MESSAGES = 10.0, 20  # a client that sends no more is calm


class _Rate:
    """Counts messages against a rate that is allowed: a leaky bucket."""

    __slots__ = ("_level", "_per_s", "_then_s")

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._level = self._then_s = 0.0

    def level(self, now_s: float) -> float:
        """Return how many messages the client is above the rate."""
        self._level = max(0.0, self._level - self._per_s * (now_s - self._then_s))
        self._then_s = now_s
        return self._level

    def count(self, now_s: float) -> float:
        """Count one message, and return the level after it."""
        self._level = self.level(now_s) + 1
        return self._level


class SmallMessages:
    """The count of one client.

    Args:
        max_per_s: small messages per second that are allowed.
    Attributes:
        is_noisy: whether the client has sent more than a few, lately.
        audio_in_text: whether its audio comes in text messages. They are limited to the rate, too.
    """

    __slots__ = ("_all", "_max_per_s", "_noise", "audio_in_text", "is_noisy")

    def __init__(self, max_per_s: float) -> None:
        self.is_noisy = self.audio_in_text = False
        self._max_per_s = max_per_s
        self._noise, self._all = _Rate(_CALM_PER_S), _Rate(max_per_s)

    def is_calm(self) -> bool:
        """Return whether the client sends only a few, and update `is_noisy`."""
        if self.is_noisy:
            self.is_noisy = self._noise.level(time.monotonic()) > _CALM_MESSAGES
        return not self.is_noisy

    def count(self, frame: Frame) -> bool:
        """Count a frame if it is small; return whether the client has sent too many."""
        if len(frame.data) >= SMALL_BYTES and frame.opcode in (Opcode.BINARY, Opcode.CONT):
            return False
        now_s = time.monotonic()
        is_text = frame.opcode is Opcode.TEXT and len(frame.data) <= _AUDIO_TEXT_BYTES
        if not (self.audio_in_text and is_text):
            self.is_noisy |= self._noise.count(now_s) > _CALM_MESSAGES
        return self._all.count(now_s) > BURST_S * self._max_per_s

    @property
    def complaint(self) -> str:
        """What to tell a client that has sent too many."""
        return (
            f"expected at most {self._max_per_s:g} messages a second that are controls, pings, or "
            f"audio of less than {SMALL_BYTES} bytes, got more for {BURST_S:g} s"
        )
