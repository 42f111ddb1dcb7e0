"""The websocket protocol: converts bytes and text to typed messages and back. No I/O.

Both ends use this module. The server parses controls and writes messages; the client writes
controls and parses messages. PROTOCOL.md is the specification, and
`tests/stream/test_protocol.py` parses every example in it. `settings.py` parses the query string,
`pcm.py` decodes the audio, and `latent_message.py` holds the binary messages. The server decides
what a message does to a conversation. This is one file, as the protocol is one text.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

from .contract import PROBABILITIES
from .errors import ProtocolError
from .latent_message import LatentKind, LatentMessage, parse_latents
from .prediction import EVENT_TYPES, FrameMessage, Speaker, TurnEvent
from .settings import CHANGEABLE, Configure, StreamSettings
from .wire import (
    PROTOCOL_VERSION,
    Count,
    Number,
    Object,
    Text,
    check_fields,
    parse_object,
    read_struct,
    show,
)

STREAM_PATH = "/v1/stream"
DEFAULT_PORT = 8765

Names = Annotated[tuple[str, ...], Meta(description="a list of names")]
LatentSizes = Annotated[dict[LatentKind, Count], Meta(description="a size of each kind of latent")]

# Error code: websocket close code that follows it (RFC 6455, section 7.4.1).
CLOSE_CODES: dict[str, int] = {
    "bad_control": 1007,
    "bad_setting": 1007,
    "bad_audio": 1007,
    "message_too_big": 1009,
    "too_many_messages": 1008,
    "slow_reader": 1008,
    "idle": 1008,
    "no_audio": 1008,
    "unfinished_message": 1008,
    "resumed_elsewhere": 1008,
    "internal_error": 1011,
}
CLOSE_NORMAL, CLOSE_GOING_AWAY = 1000, 1001


# ---- controls: client to server ----


class Flush(msgspec.Struct, frozen=True):
    """Pad the unfinished frame with silence, so that predictions cover all audio sent so far."""


class Reset(msgspec.Struct, frozen=True):
    """Forget the conversation. The next frame is frame 0 of a new one; the settings stay."""


class KeepAlive(msgspec.Struct, frozen=True):
    """Tell the server that the client is alive although it sends no audio. No other effect."""


class EndTurn(msgspec.Struct, frozen=True, tag="end_turn"):
    """End a turn now, because the client knows that it is over.

    Attributes:
        speaker: whose turn ends (0 user, 1 other). Nothing happens if it is not in a turn.

    Raises:
        ProtocolError: bad_setting; there is no such speaker.
    """

    speaker: Speaker = 0

    def __post_init__(self) -> None:
        check_fields(EndTurn, {"speaker": self.speaker}, "bad_setting")


class Close(msgspec.Struct, frozen=True):
    """End the audio. The server processes what was sent, sends `termination`, and closes."""


Control = Configure | EndTurn | Flush | Reset | KeepAlive | Close

_PLAIN_CONTROLS: dict[str, Control] = {
    "flush": Flush(),
    "reset": Reset(),
    "keep_alive": KeepAlive(),
    "close": Close(),
}
_CONTROL_NAMES = {type(control): name for name, control in _PLAIN_CONTROLS.items()}
_CONTROL_FIELDS: dict[str, tuple[str, ...]] = {
    "configure": CHANGEABLE,
    "end_turn": EndTurn.__struct_fields__,
    **dict.fromkeys(_PLAIN_CONTROLS, ()),
}


def control_to_json(control: Control) -> str:
    """Returns the text message that `parse_control` reads."""
    if isinstance(control, Configure):
        return _to_json({"type": "configure", **control.to_wire()})
    if isinstance(control, EndTurn):
        return _to_json(control)
    return _to_json({"type": _CONTROL_NAMES[type(control)]})


def parse_control(text: str) -> tuple[Control | None, str]:
    """Parse one text message of a client.

    Returns:
        The control, or None if its type is unknown; and what was not understood, or an empty text.
        Unknown fields of a known control are left out.
    Raises:
        ProtocolError: bad_control if the text is not a JSON object; bad_setting if a value is out
            of range.
    """
    words = parse_object(text, "bad_control")
    kind = words.pop("type", None)
    if not isinstance(kind, str) or kind not in _CONTROL_FIELDS:
        expected = ", ".join(_CONTROL_FIELDS)
        return None, f"type: expected one of {expected}; got {show(kind)}"
    known = _CONTROL_FIELDS[kind]
    remark = ", ".join(show(name) for name in words if name not in known)
    if remark:
        remark = f"{kind}: expected {', '.join(known) or 'no other field'}; got {remark}"
    if kind == "configure":
        return Configure.from_wire(words), remark
    if kind == "end_turn":
        return read_struct(EndTurn, words, "bad_setting"), remark
    return _PLAIN_CONTROLS[kind], remark


# ---- messages: server to client ----


class BeginMessage(msgspec.Struct, frozen=True, tag="begin"):
    """The first message of a session; it describes the session.

    Attributes:
        session: id of the session, for logs.
        model_name, model_version: the model that predicts.
        model_sha256: hash of its weights; of an int8 model, of those that it was made from.
        frame_rate_hz: predictions per second of audio.
        latent_sizes: length H of "latent" and of "latent_speaker", per speaker.
        settings: the settings that hold, with all values of the policy.
        resume_token: a later connection sends it to resume this session. None if the server cannot
            resume.
        resume_s: time after a lost connection within which the session can be resumed, in seconds.
            0 if the server cannot resume.
        policies: names of the presets that can be asked for.
        saves: whether the server saves the session, and tells so with `saved`. Then the client must
            keep its messages until they are saved, because the server may die.
        pause_model: whether the pause model is asked in the pauses of this session.
    """

    session: Text
    model_name: Text
    model_version: Text
    model_sha256: Text
    frame_rate_hz: Number
    latent_sizes: LatentSizes
    settings: StreamSettings
    resume_token: Text | None = None
    resume_s: Number = 0.0
    policies: Names = ()
    saves: bool = False
    pause_model: bool = False


class ConfiguredMessage(msgspec.Struct, frozen=True, tag="configured"):
    """The answer to `configure`: the settings that hold from here on.

    Attributes:
        settings: as in `BeginMessage`.
    """

    settings: StreamSettings


class ResumedMessage(msgspec.Struct, frozen=True, tag="resumed"):
    """The first message of a connection that resumes a session. Neither side counts it.

    Attributes:
        session: id of the session.
        received: messages of the client that the server has received. The client must send the
            later ones again.
    """

    session: Text
    received: Count


class SavedMessage(msgspec.Struct, frozen=True, tag="saved"):
    """The server has saved the session. Neither side counts this message.

    Attributes:
        received: messages of the client that the saved state contains. The client never has to
            send them again.
    """

    received: Count


class WarningMessage(msgspec.Struct, frozen=True, tag="warning", omit_defaults=True):
    """A probable problem with the audio or the connection. The session continues.

    Neither side counts this message.

    Attributes:
        code: the kind of problem; PROTOCOL.md lists the codes.
        severity: "info" if everything may be correct, else "warning".
        message: one line for a person.
        missed: messages that the server left out here ("thinned" only). They count as received.
    """

    code: Text
    severity: Text
    message: Text
    missed: Count = 0


class ErrorMessage(msgspec.Struct, frozen=True, tag="error"):
    """The reason why the server ends the session. Only the websocket close follows it.

    Attributes:
        code: a key of `CLOSE_CODES`.
        message: one line for a person.
    """

    code: Text
    message: Text


class TerminationMessage(msgspec.Struct, frozen=True, tag="termination"):
    """The last message of a session that ends without an error.

    Attributes:
        frames: number of predictions made, sent or not.
        seconds: audio received, in seconds.
        reason: "close" (the client asked) or "shutdown" (the server stops).
    """

    frames: Count
    seconds: Number
    reason: Text


ServerMessage = (
    BeginMessage
    | ConfiguredMessage
    | ResumedMessage
    | SavedMessage
    | FrameMessage
    | LatentMessage
    | TurnEvent
    | WarningMessage
    | ErrorMessage
    | TerminationMessage
)

_FRAME_JSON = (
    '{"type":"frame","frame":%d,"time_s":%s,"holder":%s,"p_shift":%s,"p_hold":%s,'
    + ",".join(f'"{name}":[%.4f,%.4f]' for name in PROBABILITIES)
    + "}"
)


def frame_to_json(p: FrameMessage) -> str:
    """Returns one frame message.

    It fills a template: the server writes thousands of them a second, and msgspec cannot write
    numbers with 4 decimals.
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
    | ConfiguredMessage
    | ResumedMessage
    | SavedMessage
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
            words = msgspec.structs.asdict(message)
            words["probability"] = round(message.probability, 4)
            if message.trigger is None:
                del words["trigger"]
            return _to_json(words)
        case ConfiguredMessage():
            return _to_json({"type": "configured", "settings": message.settings.to_wire()})
        case BeginMessage():
            return _to_json(
                {
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
                    "policies": message.policies,
                    "resume_token": message.resume_token,
                    "resume_s": message.resume_s,
                    "saves": message.saves,
                    "pause_model": message.pause_model,
                }
            )
        case _:
            return _to_json(message)


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
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ProtocolError(
            "bad_message", f"type: expected one of {', '.join(_TYPES)}; got {show(kind)}"
        )
    if kind == "begin":
        words = _flat_begin(words)
    elif kind == "configured":
        held = read_struct(_ConfiguredObjects, words, "bad_message").settings
        words = {"settings": _settings(held)}
    return read_struct(_TYPES[kind], words, "bad_message")


_TYPES: dict[str, type[Any]] = {
    **{
        str(message.__struct_config__.tag): message
        for message in (
            BeginMessage,
            ConfiguredMessage,
            ResumedMessage,
            SavedMessage,
            FrameMessage,
            WarningMessage,
            ErrorMessage,
            TerminationMessage,
        )
    },
    **dict.fromkeys(EVENT_TYPES, TurnEvent),
}


class _BeginObjects(msgspec.Struct):
    """The objects within a `begin`."""

    model: Object
    latent_sizes: Object
    settings: Object


class _ConfiguredObjects(msgspec.Struct):
    """The object within a `configured`."""

    settings: Object


def _flat_begin(words: dict[str, object]) -> dict[str, object]:
    """Returns the fields of a `begin` by the names of `BeginMessage`."""
    if words.get("protocol") != PROTOCOL_VERSION:
        raise ProtocolError(
            "bad_message",
            f"protocol: expected version {PROTOCOL_VERSION}, got {show(words.get('protocol'))}",
        )
    objects = read_struct(_BeginObjects, words, "bad_message")
    return {
        **words,
        **{f"model_{name}": word for name, word in objects.model.items()},
        "latent_sizes": {kind: objects.latent_sizes.get(kind) for kind in get_args(LatentKind)},
        "settings": _settings(objects.settings),
    }


def _settings(words: dict[str, object]) -> StreamSettings:
    try:
        return StreamSettings.from_wire(words)
    except ProtocolError as error:
        raise ProtocolError("bad_message", f"settings: {error}") from None


def _to_json(words: object) -> str:
    return msgspec.json.encode(words).decode()
