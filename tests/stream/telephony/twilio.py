"""What Twilio sends for a recording: a stand-in without sockets, and the bundled call as mu-law."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any

import soundfile
from numpy.typing import NDArray

from turnstream.stream.pcm import encode_pcm
from turnstream.stream.sources import bundled_sample
from turnstream.stream.telephony.messages import clear_message, media_message

CALL_SID, STREAM_SID = "CA" + 32 * "a", "MZ" + 32 * "b"
CHUNK = 160  # samples, 20 ms


def bundled_call(seconds: float, start_s: float = 0.0) -> tuple[bytes, bytes]:
    """Return a part of the bundled call: caller and agent, one byte of mu-law per sample."""
    audio: NDArray[Any] = soundfile.read(
        bundled_sample(), dtype="float32", start=round(start_s * 8000), frames=round(seconds * 8000)
    )[0]
    return encode_pcm(audio[:, 0], "mulaw"), encode_pcm(audio[:, 1], "mulaw")


def interleaved(first: bytes, second: bytes) -> bytes:
    both = bytearray(2 * len(first))
    both[::2], both[1::2] = first, second
    return bytes(both)


def connected() -> str:
    return json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})


def start(*tracks: str, format_change: dict[str, Any] | None = None, **parameters: str) -> str:
    media_format = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    return json.dumps(
        {
            "event": "start",
            "sequenceNumber": "1",
            "start": {
                "accountSid": "AC1",
                "streamSid": STREAM_SID,
                "callSid": CALL_SID,
                "tracks": tracks or ["inbound"],
                "mediaFormat": {**media_format, **(format_change or {})},
                "customParameters": parameters,
            },
            "streamSid": STREAM_SID,
        }
    )


def media(samples: bytes, time_ms: int, track: str = "inbound", **change: Any) -> str:
    words = {
        "track": track,
        "chunk": "1",
        "timestamp": str(time_ms),
        "payload": base64.b64encode(samples).decode(),
        **change,
    }
    return json.dumps(
        {"event": "media", "sequenceNumber": "2", "media": words, "streamSid": STREAM_SID}
    )


speech = partial(media_message, STREAM_SID)  # what a bot sends to be played
clear = partial(clear_message, STREAM_SID)


def mark(name: str, **more: str) -> str:
    return json.dumps({"event": "mark", "streamSid": STREAM_SID, "mark": {"name": name}, **more})


def echo(name: str) -> str:
    """Return a mark as Twilio sends it back."""
    return mark(name, sequenceNumber="4")


def dtmf(digit: str) -> str:
    words = {"track": "inbound_track", "digit": digit}
    return json.dumps(
        {"event": "dtmf", "streamSid": STREAM_SID, "sequenceNumber": "5", "dtmf": words}
    )


def stop() -> str:
    words = {"accountSid": "AC1", "callSid": CALL_SID}
    return json.dumps(
        {"event": "stop", "sequenceNumber": "9", "stop": words, "streamSid": STREAM_SID}
    )


class Loudspeaker:
    """Plays a bot's messages as Twilio does.

    Attributes:
        played: samples that the caller has heard.
    """

    def __init__(self) -> None:
        self.played = 0
        self._queue: deque[int | str] = deque()  # samples, and names of marks

    async def take(self, message: str) -> None:
        """Take a message of the bot; an AssertionError is one that Twilio would not take."""
        words = json.loads(message)
        assert words["streamSid"] == STREAM_SID
        match words["event"]:
            case "media":
                self._queue.append(len(base64.b64decode(words["media"]["payload"], validate=True)))
            case "mark":
                self._queue.append(words["mark"]["name"])
            case event:
                assert event == "clear"
                self._queue = deque(name for name in self._queue if isinstance(name, str))

    def play(self, count: int) -> Iterator[str]:
        """Play for so many samples, and yield the marks that have been played."""
        while self._queue:
            first = self._queue.popleft()
            if isinstance(first, str):
                yield echo(first)
                continue
            heard = min(first, count)
            self.played, count = self.played + heard, count - heard
            if heard < first:
                self._queue.appendleft(first - heard)
                return


def chunks(samples: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield time in milliseconds and samples of each chunk."""
    for position in range(0, len(samples), CHUNK):
        yield position // 8, samples[position : position + CHUNK]


def both_tracks(inbound: bytes, outbound: bytes) -> Iterator[str]:
    """Yield the messages of a call whose two tracks Twilio sends."""
    yield connected()
    yield start("inbound", "outbound")
    for (time_ms, first), (_, second) in zip(chunks(inbound), chunks(outbound), strict=True):
        yield media(first, time_ms)
        yield media(second, time_ms, "outbound")
    yield stop()
