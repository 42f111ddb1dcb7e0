"""The settings of a stream: from the query string, and changed by a `configure` message. No I/O.

PROTOCOL.md defines the names on the wire: `sample_rate` there is `sample_rate_hz` here.
"""

from __future__ import annotations

from typing import Annotated, Literal, cast
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import Meta

from .errors import ProtocolError
from .pcm import Encoding
from .policy import PRESETS
from .resample import MAX_RATE_HZ, MIN_RATE_HZ
from .wire import check_fields, show, whole_number

MAX_FRAMES_STEP = 3000  # one frame message per minute at 50 frames per second

LatentChoice = Literal["none", "final", "all"]
FramesStep = Annotated[int, whole_number(0, MAX_FRAMES_STEP)]
PolicyName = Annotated[
    str, Meta(pattern=rf"^({'|'.join(PRESETS)})\Z", description=f"one of {', '.join(PRESETS)}")
]


class _Checked(msgspec.Struct, frozen=True):
    """A struct that refuses wrong values, also when Python code creates it."""

    def __post_init__(self) -> None:
        fields = msgspec.structs.fields(self)
        words = {field.encode_name: getattr(self, field.name) for field in fields}
        check_fields(type(self), words, "bad_setting")


class StreamSettings(_Checked, frozen=True):
    """What a client asks for when it connects.

    Attributes:
        sample_rate_hz: sample rate of the client's audio ("sample_rate" on the wire).
        channels: 1 (the user) or 2 (the user and the other speaker, interleaved).
        encoding: encoding of one sample.
        frames: the server sends every Nth frame message. 1 is "all" and 0 is "none" on the wire.
        latents: "final" adds the last layer's state to each frame message that is sent. "all" adds
            the per-speaker layer's state, too.
        policy: preset that turns predictions into events.

    Raises:
        ProtocolError: bad_setting; a value is out of range, or latents are requested without
            frames.
    """

    sample_rate_hz: Annotated[int, whole_number(MIN_RATE_HZ, MAX_RATE_HZ)] = msgspec.field(
        default=16000, name="sample_rate"
    )
    channels: Annotated[int, whole_number(1, 2)] = 2
    encoding: Encoding = "pcm_s16le"
    frames: FramesStep = 1
    latents: LatentChoice = "none"
    policy: PolicyName = "balanced"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latents != "none" and self.frames == 0:
            raise ProtocolError(
                "bad_setting",
                f"latents={self.latents}: expected frames=all or a number, "
                "because latents come with frames; got frames=none",
            )

    @classmethod
    def from_wire(cls, words: dict[str, object]) -> StreamSettings:
        """Returns settings from values by their names on the wire.

        Missing settings keep their defaults. Unknown names are ignored.

        Raises:
            ProtocolError: bad_setting; a value is out of range.
        """
        return cls(
            **{  # pyright: ignore[reportArgumentType]
                _SETTINGS[name]: frames_from_wire(word) if name == "frames" else word
                for name, word in words.items()
                if name in _SETTINGS
            }
        )

    def to_wire(self) -> dict[str, str | int]:
        """Returns the settings by their names on the wire."""
        words = {name: getattr(self, field) for name, field in _SETTINGS.items()}
        return words | {"frames": frames_to_wire(self.frames)}

    def to_query(self) -> str:
        """Returns the query string that `parse_query` reads."""
        return urlencode(self.to_wire())

    def configured(self, changes: Configure) -> StreamSettings:
        """Returns these settings with the changes of one `configure`.

        Raises:
            ProtocolError: bad_setting; the result has latents without frames.
        """
        return msgspec.structs.replace(
            self,
            frames=self.frames if changes.frames is None else changes.frames,
            latents=self.latents if changes.latents is None else changes.latents,
            policy=self.policy if changes.policy is None else changes.policy,
        )


class Resume(_Checked, frozen=True):
    """What a client sends to resume a session after its connection was lost.

    Attributes:
        token: the `resume_token` of `begin`.
        received: messages that the client has received in this session, including `begin`.

    Raises:
        ProtocolError: bad_setting; `received` is not a number from 0 to 999999999.
    """

    token: str
    received: Annotated[int, whole_number(0, 10**9 - 1)]

    def to_query(self) -> str:
        """Returns the query string that `parse_query` reads."""
        return urlencode({"resume": self.token, "received": self.received})


def parse_query(query: str) -> StreamSettings | Resume:
    """Parse a query string, without its question mark.

    It holds either the settings of a new stream or a `resume`. A `token` is ignored here; the
    server checks it.

    Raises:
        ProtocolError: bad_setting; the message names the setting, the value and the expected value.
    """
    words = _query_words(query)
    if "resume" not in words:
        if "received" in words:
            raise ProtocolError("bad_setting", "received: expected only together with resume")
        return StreamSettings.from_wire(words)
    if set(words) != {"resume", "received"}:
        raise ProtocolError(
            "bad_setting",
            "resume: expected received and no other setting with it, "
            f"got {', '.join(sorted(set(words) - {'resume'})) or 'none'}",
        )
    token, received = str(words["resume"]), words["received"]
    return Resume(token, cast(int, received))


class Configure(_Checked, frozen=True):
    """The control that changes settings from here on. None leaves a setting unchanged.

    The attributes mean what they mean in `StreamSettings`.

    Raises:
        ProtocolError: bad_setting; a value is out of range.
    """

    frames: FramesStep | None = None
    latents: LatentChoice | None = None
    policy: PolicyName | None = None

    @classmethod
    def from_wire(cls, words: dict[str, object]) -> Configure:
        """Returns the changes from the fields of a `configure` message, without its type.

        Raises:
            ProtocolError: bad_control if a field is unknown or there is no field; bad_setting if a
                value is out of range.
        """
        unknown = [name for name in words if name not in _CHANGEABLE]
        if unknown or not words:
            raise ProtocolError(
                "bad_control",
                f"configure: expected {', '.join(_CHANGEABLE)}; "
                f"got {show(unknown[0]) if unknown else 'none of them'}",
            )
        return cls(
            **{  # pyright: ignore[reportArgumentType]
                name: frames_from_wire(word) if name == "frames" else _given(name, word)
                for name, word in words.items()
            }
        )

    def to_wire(self) -> dict[str, object]:
        """Returns the changes by their names on the wire."""
        words = {
            "frames": None if self.frames is None else frames_to_wire(self.frames),
            "latents": self.latents,
            "policy": self.policy,
        }
        return {name: word for name, word in words.items() if word is not None}


_RESUME = ("resume", "received")
_CHANGEABLE = Configure.__struct_fields__
_SETTINGS = dict(  # name on the wire: attribute of StreamSettings
    zip(StreamSettings.__struct_encode_fields__, StreamSettings.__struct_fields__, strict=True)
)


def frames_from_wire(word: object) -> int:
    """Returns the step between frame messages: 1 for "all", 0 for "none", or the number itself.

    Raises:
        ProtocolError: bad_setting; not "all", "none" or a whole number from 1. The upper limit is
            not checked here.
    """
    if word in ("all", "none"):
        return 1 if word == "all" else 0
    if not isinstance(word, int) or isinstance(word, bool) or word < 1:
        raise ProtocolError(
            "bad_setting",
            f"frames: expected all, none or a whole number from 1 to {MAX_FRAMES_STEP}; "
            f"got {show(word)}",
        )
    return word


def frames_to_wire(frames: int) -> str | int:
    """Returns the value that `frames_from_wire` reads."""
    return {0: "none", 1: "all"}.get(frames, frames)


def _given(name: str, word: object) -> object:
    if word is None:
        raise ProtocolError("bad_setting", f"{name}: expected a value, got null")
    return word


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 9


def _query_words(query: str) -> dict[str, object]:
    """Returns the settings of a query string. Values that are digits become int.

    Raises:
        ProtocolError: bad_setting; the text is not a query string, or a setting is unknown or given
            twice.
    """
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=32
        )
    except ValueError:
        raise ProtocolError(
            "bad_setting",
            f"expected a query string like sample_rate=16000&channels=2, got {show(query)}",
        ) from None
    words: dict[str, object] = {}
    for name, word in pairs:
        if name == "token":
            continue
        if name not in _SETTINGS and name not in _RESUME:
            raise ProtocolError(
                "bad_setting",
                f"unknown setting {show(name)}; expected one of {', '.join(_SETTINGS)}",
            )
        if name in words:
            raise ProtocolError("bad_setting", f"{name}: expected once, got it twice")
        words[name] = int(word) if _is_number(word) and name != "resume" else word
    return words
