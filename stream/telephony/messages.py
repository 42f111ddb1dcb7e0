"""The messages of Twilio Media Streams: parses those of a call, and writes those of a bot. No I/O.

A stream carries messages in both directions, and `parse_message` reads both. From Twilio come
`connected`, `start`, `media`, `mark`, `dtmf` and `stop`; the bot sends `media`, `mark` and `clear`.
Twilio's own messages are numbered, so `is_echo` tells a mark that Twilio returns from one that the
bot sends. A bot's `media` has no track.

Source:
    twilio.com/docs/voice/media-streams/websocket-messages
"""

from __future__ import annotations

import binascii
import json
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ..errors import ProtocolError
from ..wire import Object, Text, parse_object, read_struct, show

RATE_HZ = 8000
Track = Literal["inbound", "outbound"]
MAX_TIMESTAMP_MS = 10**9 - 1  # 11 days; a call lasts a day at most

_FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": RATE_HZ, "channels": 1}
_MAX_START = 65536  # characters; Twilio's own have some 1000
_Sid = Annotated[str, Meta(max_length=64, description="text of at most 64 characters")]
_MarkName = Annotated[str, Meta(max_length=256, description="text of at most 256 characters")]
_Tracks = Annotated[tuple[Text, ...], Meta(description="a list of tracks")]


class Start(msgspec.Struct, frozen=True, rename="camel"):
    """The call begins.

    Attributes:
        stream_sid, call_sid: Twilio's names of the stream and of the call.
        tracks: which tracks come: "inbound" (the caller), "outbound" (what the caller hears).
        custom_parameters: the `<Parameter>`s of the TwiML, by their names.
    """

    stream_sid: _Sid
    call_sid: _Sid
    media_format: Object
    tracks: _Tracks = ("inbound",)
    custom_parameters: Object = {}


class Media(msgspec.Struct, frozen=True):
    """Audio of Twilio, or speech of the bot.

    Attributes:
        payload: mu-law, one byte per sample at 8 kHz.
        track: whose audio it is; None for the bot's speech.
        timestamp_ms: time of the first sample since the start of the stream; 0 for the bot's.
    """

    payload: bytes
    track: Track | None = None
    timestamp_ms: int = 0


class Mark(msgspec.Struct, frozen=True):
    """A place in the bot's speech, or Twilio's echo when that place has been played.

    Attributes:
        name: as the bot has chosen it.
        is_echo: whether Twilio sent it.
    """

    name: str
    is_echo: bool


class Clear(msgspec.Struct, frozen=True):
    """The bot drops the speech that was not played yet."""


class Stop(msgspec.Struct, frozen=True):
    """The call, or its stream, has ended."""


Message = Start | Media | Mark | Clear | Stop


class _MediaWords(msgspec.Struct):
    payload: Text
    track: Track | None = None


class _MarkWords(msgspec.Struct):
    name: _MarkName


def parse_message(wire: str | bytes) -> tuple[Message | None, str]:
    """Parse one message of a stream, in either direction.

    Returns:
        The message, or None if it has nothing to do with the audio (`connected`, `dtmf`, and those
        that Twilio may add); and the `streamSid` that it names, or an empty text.
    Raises:
        ProtocolError: bad_control if it is not one of Twilio's messages; bad_audio if its audio
            cannot be read, or is not 8 kHz mu-law.
    """
    if isinstance(wire, bytes):
        raise ProtocolError(
            "bad_control", f"expected a text message of Twilio, got {len(wire)} bytes of binary"
        )
    words = parse_object(wire, "bad_control")
    event, stream = words.get("event"), words.get("streamSid", "")
    if not isinstance(event, str):
        raise ProtocolError("bad_control", f"event: expected text, got {show(event)}")
    if not isinstance(stream, str):
        raise ProtocolError("bad_control", f"streamSid: expected text, got {show(stream)}")
    match event:
        case "start":
            if len(wire) > _MAX_START:
                raise ProtocolError(
                    "bad_control",
                    f"start: expected at most {_MAX_START} characters, got {len(wire)}",
                )
            start = read_struct(Start, _object(words, "start"), "bad_control")
            _check_format(start.media_format)
            return start, start.stream_sid
        case "media":
            return _media(_object(words, "media")), stream
        case "mark":
            mark = read_struct(_MarkWords, _object(words, "mark"), "bad_control")
            return Mark(mark.name, is_echo="sequenceNumber" in words), stream
        case "clear":
            return Clear(), stream
        case "stop":
            return Stop(), stream
        case _:
            return None, ""


def media_message(stream_sid: str, payload: bytes) -> str:
    """Return the message that plays mu-law audio to the caller, after what plays already."""
    encoded = binascii.b2a_base64(payload, newline=False).decode()
    return _to_json({"event": "media", "streamSid": stream_sid, "media": {"payload": encoded}})


def mark_message(stream_sid: str, name: str) -> str:
    """Return the message that Twilio sends back when the speech before it has been played."""
    return _to_json({"event": "mark", "streamSid": stream_sid, "mark": {"name": name}})


def clear_message(stream_sid: str) -> str:
    """Return the message that drops the speech that was not played yet."""
    return _to_json({"event": "clear", "streamSid": stream_sid})


def _media(words: dict[str, object]) -> Media:
    media = read_struct(_MediaWords, words, "bad_audio")
    try:
        payload = binascii.a2b_base64(media.payload, strict_mode=True)
    except ValueError as error:
        raise ProtocolError(
            "bad_audio", f"payload: expected base64, got {show(media.payload)}: {error}"
        ) from None
    if media.track is None:
        return Media(payload)
    return Media(payload, media.track, _timestamp_ms(words.get("timestamp")))


def _timestamp_ms(word: object) -> int:
    """Return a time. Twilio writes it as text."""
    digits = str(word) if isinstance(word, int | str) else ""
    if digits.isascii() and digits.isdigit() and len(digits) <= len(str(MAX_TIMESTAMP_MS)):
        return int(digits)
    raise ProtocolError(
        "bad_audio",
        f"timestamp: expected milliseconds, a whole number from 0 to {MAX_TIMESTAMP_MS}; "
        f"got {show(word)}",
    )


def _check_format(found: dict[str, object]) -> None:
    for name, expected in _FORMAT.items():
        if found.get(name) != expected:
            raise ProtocolError(
                "bad_audio", f"mediaFormat.{name}: expected {expected}, got {show(found.get(name))}"
            )


def _object(words: dict[str, object], name: str) -> dict[str, object]:
    found = words.get(name)
    if not isinstance(found, dict):
        raise ProtocolError("bad_control", f"{name}: expected an object, got {show(found)}")
    return found  # pyright: ignore[reportUnknownVariableType]


def _to_json(words: object) -> str:
    return json.dumps(words, separators=(",", ":"))
