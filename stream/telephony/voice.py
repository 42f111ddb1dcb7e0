"""What a caller hears of the bot's voice: follows the bot's `media`, `mark` and `clear`. No I/O.

Twilio queues the bot's speech and plays it in real time, so the caller's audio is the clock: for
every n samples of the caller, n samples of the queue are heard. When Twilio returns a mark, the
speech before it has been heard; if the queue still has some of it, that is skipped. A `clear` drops
the queue. Twilio then returns all marks that were in it, which does not mean that they were heard.

Bounds: five minutes of speech and 1000 marks may wait.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ..errors import ProtocolError
from .messages import RATE_HZ
from .tracks import SILENCE

_MAX_WAITING = 300 * RATE_HZ
_MAX_MARKS = 1000


@dataclass(slots=True)
class _Mark:
    name: str
    position: int  # samples before it
    is_cleared: bool = False


class BotVoice:
    """The speech of a bot on the caller's clock: mu-law, one byte per sample at 8 kHz.

    Attributes:
        heard: samples of speech that were heard.
        dropped: samples of speech that a `clear` dropped.
    """

    def __init__(self) -> None:
        self.heard = self.dropped = 0
        self._waiting = bytearray()
        self._marks: deque[_Mark] = deque()  # those that Twilio has not returned

    @property
    def waiting(self) -> int:
        """Samples of speech that will be heard."""
        return len(self._waiting)

    def say(self, payload: bytes) -> None:
        """Add speech of the bot.

        Raises:
            ProtocolError: bad_audio; too much speech would wait.
        """
        self.check_room(len(payload))
        self._waiting += payload

    def check_room(self, samples: int) -> None:
        """Raise the error of `say` if so many more samples may not wait."""
        waiting = len(self._waiting) + samples
        if waiting > _MAX_WAITING:
            raise ProtocolError(
                "bad_audio",
                f"expected at most {_MAX_WAITING // RATE_HZ} s of the bot's speech that waits, "
                f"got {waiting / RATE_HZ:.1f} s",
            )

    def mark(self, name: str) -> None:
        """Add a mark of the bot.

        Raises:
            ProtocolError: bad_control; too many marks wait.
        """
        if len(self._marks) >= _MAX_MARKS:
            raise ProtocolError(
                "bad_control", f"expected at most {_MAX_MARKS} marks that wait to be played"
            )
        self._marks.append(_Mark(name, self.heard + self.dropped + len(self._waiting)))

    def clear(self) -> None:
        """Drop the speech that waits."""
        self.dropped += len(self._waiting)
        self._waiting.clear()
        for mark in self._marks:
            mark.is_cleared = True

    def returned(self, name: str) -> None:
        """Note that Twilio has returned a mark. An unknown one has no effect."""
        if all(mark.name != name for mark in self._marks):
            return
        while (mark := self._marks.popleft()).name != name:
            pass
        if not mark.is_cleared:
            self.take(mark.position - self.heard - self.dropped)

    def take(self, count: int) -> bytes:
        """Return what the caller hears during the next `count` samples. Silence fills the rest."""
        spoken = bytes(self._waiting[: max(0, count)])
        del self._waiting[: len(spoken)]
        self.heard += len(spoken)
        return spoken.ljust(count, SILENCE)
