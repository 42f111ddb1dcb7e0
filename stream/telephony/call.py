"""Both sides of a call, from the messages of a Twilio stream. No I/O.

Channel 0 is the caller. Channel 1 is what the caller hears. Where Twilio sends the outbound track
(`<Start><Stream track="both_tracks">`), that is it. Else (`<Connect><Stream>`) it is the speech in
the messages that the bot sends.
"""

from __future__ import annotations

from typing import get_args

from ..errors import ProtocolError
from ..wire import show
from .messages import Clear, Mark, Media, Start, Stop, Track, parse_message
from .tracks import AlignedTracks
from .voice import BotVoice


class Call:
    """One stream of one call.

    Attributes:
        start: Twilio's description of the call; None before it has come.
        stopped: whether the stream has ended. Later messages have no effect.
        voice: the bot's speech.
    """

    def __init__(self) -> None:
        self.start: Start | None = None
        self.stopped = False
        self.voice = BotVoice()
        self._tracks = AlignedTracks()
        self._has_outbound = False  # otherwise the bot's voice is what the caller hears

    def receive(self, wire: str | bytes) -> bytes:
        """Process the next message of the stream, of Twilio or of the bot, in the order of sending.

        Returns:
            Mu-law at 8 kHz, two channels, interleaved; empty if no audio is complete.
        Raises:
            ProtocolError: bad_control or bad_audio; the message does not belong here, or cannot be
                read, or too much speech waits. It has no effect then.
        """
        message, stream_sid = parse_message(wire)
        if self.stopped or message is None:
            return b""
        if isinstance(message, Start):
            if self.start is not None:
                raise ProtocolError("bad_control", "start: expected once, got it twice")
            self.start = message
            self._has_outbound = "outbound" in message.tracks
            names = get_args(Track)
            self._tracks = AlignedTracks([names.index(t) for t in message.tracks if t in names])
            return b""
        if self.start is None:
            raise ProtocolError(
                "bad_control",
                f"expected start before any other message, got {type(message).__name__.lower()}",
            )
        if stream_sid != self.start.stream_sid:
            raise ProtocolError(
                "bad_control",
                f"streamSid: expected {show(self.start.stream_sid)}, got {show(stream_sid)}",
            )
        match message:
            case Media():
                return self._hear(message)
            case Mark(name, is_echo=True):
                self.voice.returned(name)
            case Mark(name):
                self.voice.mark(name)
            case Clear():
                self.voice.clear()
            case Stop():
                self.stopped = True
                return self._both(*self._tracks.flush())
        return b""

    def _hear(self, media: Media) -> bytes:
        if media.track is None:
            self.voice.say(media.payload)
            return b""
        number = get_args(Track).index(media.track)
        self._has_outbound |= number == 1
        return self._both(*self._tracks.push(number, media.timestamp_ms, media.payload))

    def _both(self, inbound: bytes, outbound: bytes) -> bytes:
        spoken = self.voice.take(len(inbound))
        both = bytearray(2 * len(inbound))
        both[::2], both[1::2] = inbound, outbound if self._has_outbound else spoken
        return bytes(both)
