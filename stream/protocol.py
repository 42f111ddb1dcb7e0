"""The websocket protocol: converts bytes and text to typed messages and back. No I/O.

Both ends use this module. The server parses controls and writes messages; the client writes
controls and parses messages. PROTOCOL.md is the specification, and
`tests/stream/test_protocol.py` parses every example in it. `settings.py` parses the query string
and `sources.py` decodes the audio. The server decides what a message does to a conversation.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from .errors import ProtocolError
from .prediction import EVENT_TYPES, EventType, Pair, Prediction, TurnEvent
from .settings import Configure, StreamSettings
from .wire_values import (
    count_field,
    number_field,
    object_field,
    pair_field,
    parse_object,
    show,
    text_field,
    to_json,
)

PROTOCOL_VERSION = 1
STREAM_PATH = "/v1/stream"
DEFAULT_PORT = 8765

LatentKind = Literal["latent", "latent_speaker"]

# Error code: websocket close code that follows it (RFC 6455, section 7.4.1).
CLOSE_CODES: dict[str, int] = {
    "bad_control": 1007,
    "bad_setting": 1007,
    "bad_audio": 1007,
    "message_too_big": 1009,
    "slow_reader": 1008,
    "idle": 1008,
    "resumed_elsewhere": 1008,
    "internal_error": 1011,
}
CLOSE_NORMAL, CLOSE_GOING_AWAY = 1000, 1001


# ---- controls: client to server ----


@dataclass(frozen=True, slots=True)
class Flush:
    """Pad the unfinished frame with silence, so that predictions cover all audio sent so far."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Forget the conversation. The next frame is frame 0 of a new one; the settings stay."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Tell the server that the client is alive although it sends no audio. No other effect."""


@dataclass(frozen=True, slots=True)
class Close:
    """End the audio. The server processes what was sent, sends `termination`, and closes."""


Control = Configure | Flush | Reset | KeepAlive | Close

_PLAIN_CONTROLS: dict[str, Control] = {
    "flush": Flush(),
    "reset": Reset(),
    "keep_alive": KeepAlive(),
    "close": Close(),
}
_CONTROL_NAMES = {type(control): name for name, control in _PLAIN_CONTROLS.items()}


def control_to_json(control: Control) -> str:
    """Returns the text message that `parse_control` reads."""
    if isinstance(control, Configure):
        return to_json({"type": "configure", **control.to_wire()})
    return to_json({"type": _CONTROL_NAMES[type(control)]})


def parse_control(text: str) -> Control:
    """Parse one text message of a client.

    Raises:
        ProtocolError: bad_control if the text is not JSON, has an unknown type or field, or is a
            `configure` without fields; bad_setting if a value is out of range.
    """
    words = parse_object(text, "bad_control")
    kind = words.pop("type", None)
    if kind == "configure":
        return Configure.from_wire(words)
    if not isinstance(kind, str) or kind not in _PLAIN_CONTROLS:
        raise ProtocolError(
            "bad_control",
            f"type: expected one of configure, {', '.join(_PLAIN_CONTROLS)}; got {show(kind)}",
        )
    if words:
        raise ProtocolError(
            "bad_control", f"{kind}: expected no other field, got {show(next(iter(words)))}"
        )
    return _PLAIN_CONTROLS[kind]


# ---- messages: server to client ----


@dataclass(frozen=True, slots=True)
class BeginMessage:
    """The first message of a session; it describes the session.

    Attributes:
        session: id of the session, for logs.
        model_name, model_version, model_sha256: the model that predicts.
        frame_rate_hz: predictions per second of audio.
        latent_sizes: length H of "latent" and of "latent_speaker", per speaker.
        settings: the settings as the server understood them.
        resume_token: a later connection sends it to resume this session. None if the server cannot
            resume.
        resume_s: time after a lost connection within which the session can be resumed, in seconds.
            0 if the server cannot resume.
    """

    session: str
    model_name: str
    model_version: str
    model_sha256: str
    frame_rate_hz: float
    latent_sizes: dict[LatentKind, int]
    settings: StreamSettings
    resume_token: str | None = None
    resume_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ResumedMessage:
    """The first message of a connection that resumes a session. Neither side counts it.

    Attributes:
        session: id of the session.
        received: messages of the client that the server has received. The client must send the
            later ones again.
        missed: frame messages that the server dropped because too many were waiting. The client
            never gets them. From here on they count as received.
    """

    session: str
    received: int
    missed: int


@dataclass(frozen=True, slots=True)
class FrameMessage:
    """One prediction: the fields of `Prediction` without latents and levels.

    Probabilities are rounded to 4 decimals; `time_s` is exact.
    """

    frame: int
    time_s: float
    holder: int | None
    p_shift: float | None
    p_hold: float | None
    vad: Pair
    p_now: Pair
    p_future: Pair
    p_next: Pair
    p_backchannel: Pair


@dataclass(frozen=True, slots=True, eq=False)
class LatentMessage:
    """The latent states of both speakers after one frame; `values` is (2, H) float32."""

    frame: int
    kind: LatentKind
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WarningMessage:
    """A probable problem with the audio or the connection. The session continues.

    Attributes:
        code: the kind of problem; PROTOCOL.md lists the codes.
        severity: "info" if everything may be correct, else "warning".
        message: one line for a person.
    """

    code: str
    severity: str
    message: str


@dataclass(frozen=True, slots=True)
class ErrorMessage:
    """The reason why the server ends the session. Only the websocket close follows it.

    Attributes:
        code: a key of `CLOSE_CODES`.
        message: one line for a person.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class TerminationMessage:
    """The last message of a session that ends without an error.

    Attributes:
        frames: number of predictions made, sent or not.
        seconds: audio received, in seconds.
        reason: "close" (the client asked) or "shutdown" (the server stops).
    """

    frames: int
    seconds: float
    reason: str


ServerMessage = (
    BeginMessage
    | ResumedMessage
    | FrameMessage
    | LatentMessage
    | TurnEvent
    | WarningMessage
    | ErrorMessage
    | TerminationMessage
)

_PAIRS = ("vad", "p_now", "p_future", "p_next", "p_backchannel")
_FRAME_JSON = (
    '{"type":"frame","frame":%d,"time_s":%s,"holder":%s,"p_shift":%s,"p_hold":%s,'
    + ",".join(f'"{name}":[%.4f,%.4f]' for name in _PAIRS)
    + "}"
)


def frame_to_json(p: Prediction | FrameMessage) -> str:
    """Returns one frame message.

    It fills a template, which is faster than `json`: the server writes thousands of them a second.
    """
    if p.holder is None or p.p_shift is None or p.p_hold is None:
        holder = p_shift = p_hold = "null"
    else:
        holder, p_shift, p_hold = str(p.holder), f"{p.p_shift:.4f}", f"{p.p_hold:.4f}"
    time_s = float.__repr__(p.time_s)  # the shortest text that parses to exactly this number
    return _FRAME_JSON % (
        p.frame,
        time_s,
        holder,
        p_shift,
        p_hold,
        *p.vad,
        *p.p_now,
        *p.p_future,
        *p.p_next,
        *p.p_backchannel,
    )


def message_to_json(
    message: BeginMessage
    | ResumedMessage
    | FrameMessage
    | TurnEvent
    | WarningMessage
    | ErrorMessage
    | TerminationMessage,
) -> str:
    """Returns the text of any server message except latents, which are binary."""
    match message:
        case FrameMessage():
            return frame_to_json(message)
        case TurnEvent():
            words: dict[str, object] = {
                "type": message.type,
                "speaker": message.speaker,
                "time_s": message.time_s,
                "probability": round(message.probability, 4),
            }
        case WarningMessage():
            words = {
                "type": "warning",
                "code": message.code,
                "severity": message.severity,
                "message": message.message,
            }
        case ErrorMessage():
            words = {"type": "error", "code": message.code, "message": message.message}
        case TerminationMessage():
            words = {
                "type": "termination",
                "frames": message.frames,
                "seconds": message.seconds,
                "reason": message.reason,
            }
        case BeginMessage():
            words = {
                "type": "begin",
                "protocol": PROTOCOL_VERSION,
                "session": message.session,
                "model": {
                    "name": message.model_name,
                    "version": message.model_version,
                    "sha256": message.model_sha256,
                },
                "frame_rate_hz": message.frame_rate_hz,
                "latent_sizes": message.latent_sizes,
                "settings": message.settings.to_wire(),
                "resume_token": message.resume_token,
                "resume_s": message.resume_s,
            }
        case ResumedMessage():
            words = {
                "type": "resumed",
                "session": message.session,
                "received": message.received,
                "missed": message.missed,
            }
    return to_json(words)


def parse_message(wire: str | bytes) -> ServerMessage:
    """Parse one message of a server. Unknown fields are ignored.

    Raises:
        ProtocolError: bad_message; the message is not JSON, has an unknown type, or has a missing
            or wrong field.
    """
    if isinstance(wire, bytes):
        return parse_latents(wire)
    words = parse_object(wire, "bad_message")
    kind = words.get("type")
    if isinstance(kind, str) and kind in _PARSERS:
        return _PARSERS[kind](words)
    raise ProtocolError(
        "bad_message", f"type: expected one of {', '.join(_PARSERS)}; got {show(kind)}"
    )


def _parse_begin(words: dict[str, object]) -> BeginMessage:
    model, sizes, settings = (
        object_field(words, "model"),
        object_field(words, "latent_sizes"),
        object_field(words, "settings"),
    )
    try:
        parsed_settings = StreamSettings.from_wire(settings)
    except ProtocolError as error:
        raise ProtocolError("bad_message", f"settings: {error}") from None
    return BeginMessage(
        session=text_field(words, "session"),
        model_name=text_field(model, "name"),
        model_version=text_field(model, "version"),
        model_sha256=text_field(model, "sha256"),
        frame_rate_hz=number_field(words, "frame_rate_hz"),
        latent_sizes={
            "latent": count_field(sizes, "latent"),
            "latent_speaker": count_field(sizes, "latent_speaker"),
        },
        settings=parsed_settings,
        resume_token=None
        if words.get("resume_token") is None
        else text_field(words, "resume_token"),
        resume_s=number_field(words, "resume_s") if "resume_s" in words else 0.0,
    )


def _parse_frame(words: dict[str, object]) -> FrameMessage:
    known = words.get("holder") is not None
    return FrameMessage(
        frame=count_field(words, "frame"),
        time_s=number_field(words, "time_s"),
        holder=count_field(words, "holder") if known else None,
        p_shift=number_field(words, "p_shift") if known else None,
        p_hold=number_field(words, "p_hold") if known else None,
        vad=pair_field(words, "vad"),
        p_now=pair_field(words, "p_now"),
        p_future=pair_field(words, "p_future"),
        p_next=pair_field(words, "p_next"),
        p_backchannel=pair_field(words, "p_backchannel"),
    )


def _parse_event(words: dict[str, object]) -> TurnEvent:
    return TurnEvent(
        cast(EventType, words["type"]),
        count_field(words, "speaker"),
        number_field(words, "time_s"),
        number_field(words, "probability"),
    )


_PARSERS: dict[str, Callable[[dict[str, object]], ServerMessage]] = {
    "begin": _parse_begin,
    "resumed": lambda words: ResumedMessage(
        text_field(words, "session"), count_field(words, "received"), count_field(words, "missed")
    ),
    "frame": _parse_frame,
    **dict.fromkeys(EVENT_TYPES, _parse_event),
    "warning": lambda words: WarningMessage(
        text_field(words, "code"), text_field(words, "severity"), text_field(words, "message")
    ),
    "error": lambda words: ErrorMessage(text_field(words, "code"), text_field(words, "message")),
    "termination": lambda words: TerminationMessage(
        count_field(words, "frames"), number_field(words, "seconds"), text_field(words, "reason")
    ),
}


# ---- latents: binary, server to client ----

# Fields: magic, version, kind, dtype, zero, frame, rows, columns.
_LATENT_HEADER = struct.Struct("<4sBBBBQHH")
_LATENT_MAGIC = b"TSLT"
_LATENT_KINDS: dict[int, LatentKind] = {1: "latent", 2: "latent_speaker"}
_LATENT_KIND_NUMBERS = {name: number for number, name in _LATENT_KINDS.items()}
_FLOAT32 = 1


def latents_to_bytes(message: LatentMessage) -> bytes:
    """Returns the binary message that `parse_latents` reads."""
    rows, columns = message.values.shape
    header = _LATENT_HEADER.pack(
        _LATENT_MAGIC,
        PROTOCOL_VERSION,
        _LATENT_KIND_NUMBERS[message.kind],
        _FLOAT32,
        0,
        message.frame,
        rows,
        columns,
    )
    return header + message.values.astype("<f4", copy=False).tobytes()


def parse_latents(wire: bytes) -> LatentMessage:
    """Parse one binary message of a server.

    Raises:
        ProtocolError: bad_message; the header is wrong, or the message has fewer or more bytes
            than its header announces.
    """
    if len(wire) < _LATENT_HEADER.size:
        raise ProtocolError(
            "bad_message",
            f"expected a latent header of {_LATENT_HEADER.size} bytes, got {len(wire)} bytes",
        )
    magic, version, kind, dtype, _, frame, rows, columns = cast(
        tuple[bytes, int, int, int, int, int, int, int], _LATENT_HEADER.unpack_from(wire)
    )
    if magic != _LATENT_MAGIC:
        raise ProtocolError(
            "bad_message",
            f"expected a latent header that starts with {_LATENT_MAGIC!r}, got {magic!r}",
        )
    if version != PROTOCOL_VERSION or kind not in _LATENT_KINDS or dtype != _FLOAT32:
        expected = (
            f"version {PROTOCOL_VERSION}, kind {' or '.join(map(str, _LATENT_KINDS))}, "
            f"dtype {_FLOAT32}"
        )
        raise ProtocolError(
            "bad_message",
            f"expected latents of {expected}; got version {version}, kind {kind}, dtype {dtype}",
        )
    expected_bytes = _LATENT_HEADER.size + rows * columns * 4
    if len(wire) != expected_bytes:
        raise ProtocolError(
            "bad_message",
            f"expected {expected_bytes} bytes for latents of shape ({rows}, {columns}), "
            f"got {len(wire)}",
        )
    values = (
        np.frombuffer(wire, "<f4", offset=_LATENT_HEADER.size)
        .astype(np.float32)
        .reshape(rows, columns)
    )
    return LatentMessage(frame, _LATENT_KINDS[kind], values)
