"""Turn-taking on a telephone call of Twilio Media Streams, in the bot's own server. No I/O.

A `TwilioCall` takes the messages that Twilio sends and those that the bot sends, and returns the
call's audio: the caller, and what the caller hears. A predictor or a client takes it from there, as
README.md shows.

The bot speaks with `say`. Or it sends its messages by itself, and tells them to `sent`. Twilio
plays them one after the other, so the caller's audio tells how much was heard, and the marks that
Twilio returns correct it. Speech that `clear` drops is not heard.

Nothing here needs an extra. `examples/twilio_bot.py` is a whole bot.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ProtocolError
from ..pcm import decode_pcm, encode_pcm, to_float32
from ..prediction import TurnEvent
from ..resample import StreamingResampler
from ..telephony.call import Call
from ..telephony.messages import RATE_HZ, Start, clear_message, mark_message, media_message

CALLER = 0
_MESSAGE = RATE_HZ // 2  # samples of speech in one message
_CUT_IN = ("start_of_turn", "interruption")


class TwilioCall:
    """One stream of one call.

    Every method raises a ProtocolError for a message that is not one of Twilio's or does not belong
    here, for audio that cannot be read, and when more than five minutes of speech wait to be heard.
    Such a message has no effect.
    """

    def __init__(self) -> None:
        self._call = Call()
        # Of the present utterance; None between utterances.
        self._resampler: StreamingResampler | None = None

    # ---- the call ----

    @property
    def started(self) -> bool:
        """Whether Twilio's `start` has come."""
        return self._call.start is not None

    @property
    def stopped(self) -> bool:
        """Whether Twilio's `stop` has come. Later messages have no effect."""
        return self._call.stopped

    @property
    def call_sid(self) -> str:
        """Twilio's name of the call, once it has started."""
        return self._start.call_sid

    @property
    def stream_sid(self) -> str:
        """Twilio's name of the stream, once it has started."""
        return self._start.stream_sid

    @property
    def parameters(self) -> Mapping[str, object]:
        """The `<Parameter>`s of the TwiML by their names, once it has started."""
        return self._start.custom_parameters

    def receive(self, message: str | bytes) -> NDArray[np.float32]:
        """Process a message of Twilio.

        Returns:
            The audio that is complete now, (N, 2) at 8 kHz: channel 0 is the caller, channel 1 what
            the caller hears. N may be 0.
        """
        return decode_pcm(self._call.receive(message), "mulaw", 2)

    # ---- the bot's voice ----

    @property
    def speaking(self) -> bool:
        """Whether speech of the bot waits to be heard."""
        return self._call.voice.waiting > 0

    @property
    def heard_s(self) -> float:
        """Seconds of the bot's speech that the caller has heard, over the whole call."""
        return self._call.voice.heard / RATE_HZ

    @property
    def dropped_s(self) -> float:
        """Seconds of the bot's speech that were dropped before they were heard."""
        return self._call.voice.dropped / RATE_HZ

    def say(self, samples: ArrayLike, sample_rate_hz: int = RATE_HZ) -> list[str]:
        """Return the messages to Twilio that play a piece of speech after what plays already.

        An utterance may come in several pieces of one sample rate; `mark` ends it.

        Args:
            samples: float32 or float64 in [-1, 1], or int16; (N,) or (N, 1); any N.
            sample_rate_hz: their rate.
        Raises:
            AudioFormatError: wrong shape, type or range, or a rate outside 8-192 kHz.
        """
        mono = to_float32(samples, 1)
        resampler, self._resampler = self._resampler, None  # if this fails, the utterance ends
        if resampler is None or resampler.input_rate_hz != sample_rate_hz:
            resampler = StreamingResampler(sample_rate_hz, RATE_HZ, 1)
        messages = self._played(resampler.push(mono))
        self._resampler = resampler
        return messages

    def mark(self, name: str) -> list[str]:
        """End the utterance; return the messages with its last samples, and with a mark.

        Twilio sends the mark back when the utterance has been heard, or was dropped.
        """
        resampler, self._resampler = self._resampler, None
        messages = [] if resampler is None else self._played(resampler.flush())
        return [*messages, self._sent(mark_message(self.stream_sid, name))]

    def clear(self) -> str:
        """Return the message to Twilio that drops all speech that was not heard yet."""
        self._resampler = None
        return self._sent(clear_message(self.stream_sid))

    def barge_in(self, event: TurnEvent) -> str | None:
        """Return the message of `clear` if the caller cuts in while the bot speaks, else None.

        A backchannel of the caller is no reason to stop.
        """
        cuts_in = event.speaker == CALLER and event.type in _CUT_IN
        return self.clear() if cuts_in and self.speaking else None

    def sent(self, message: str) -> None:
        """Note a message that the bot has sent to Twilio and did not get from this object."""
        self._call.receive(message)

    @property
    def _start(self) -> Start:
        if self._call.start is None:
            raise ProtocolError("bad_control", "expected Twilio's start before this, got none")
        return self._call.start

    def _played(self, samples: NDArray[np.float32]) -> list[str]:
        speech = encode_pcm(samples, "mulaw")
        self._call.voice.check_room(len(speech))
        return [
            self._sent(media_message(self.stream_sid, speech[at : at + _MESSAGE]))
            for at in range(0, len(speech), _MESSAGE)
        ]

    def _sent(self, message: str) -> str:
        self.sent(message)
        return message
