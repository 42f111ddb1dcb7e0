"""The settings of a stream: from the query string, and changed by a `configure` message. No I/O.

PROTOCOL.md defines the names on the wire: `sample_rate` there is `sample_rate_hz` here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Literal, cast
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import Meta

from .errors import PolicyError, ProtocolError
from .pcm import Encoding
from .policy_settings import POLICY_VALUES, Policies, PolicySettings, check_value
from .resample import MAX_RATE_HZ, MIN_RATE_HZ
from .wire import Text, check_fields, show, whole_number

MAX_FRAMES_STEP = 3000  # one frame message per minute at 50 frames per second

LatentChoice = Literal["none", "final", "all"]
FramesStep = Annotated[int, whole_number(0, MAX_FRAMES_STEP)]
PolicyValues = Annotated[dict[str, float], Meta(description="numbers by name")]


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
        policy: name of the preset that turns predictions into events; None is the server's
            default. A server can have presets of its own.
        policy_values: values that replace those of the preset, by their names in `PolicySettings`.
            On the wire they stand beside the other settings. A `begin` has all values.

    Raises:
        ProtocolError: bad_setting; a value is unknown or out of range, or latents are requested
            without frames.
    """

    sample_rate_hz: Annotated[int, whole_number(MIN_RATE_HZ, MAX_RATE_HZ)] = msgspec.field(
        default=16000, name="sample_rate"
    )
    channels: Annotated[int, whole_number(1, 2)] = 2
    encoding: Encoding = "pcm_s16le"
    frames: FramesStep = 1
    latents: LatentChoice = "none"
    policy: Text | None = None
    policy_values: PolicyValues = msgspec.field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_values(self.policy_values)
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
            },
            policy_values=_values_of(words),
        )

    def to_wire(self) -> dict[str, str | int | float]:
        """Returns the settings by their names on the wire."""
        words = {name: getattr(self, field) for name, field in _SETTINGS.items()}
        words["frames"] = frames_to_wire(self.frames)
        if self.policy is None:
            del words["policy"]
        return words | self.policy_values

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
            policy_values=changes.policy_values
            if changes.policy is not None
            else {**self.policy_values, **changes.policy_values},
        )

    def resolved(self, policies: Policies) -> StreamSettings:
        """Returns these settings with the name of a preset and all values of the policy.

        Raises:
            ProtocolError: bad_setting; there is no such preset, or its values do not go together.
        """
        try:
            held = policies.settings(self.policy, self.policy_values)
        except PolicyError as error:
            raise ProtocolError("bad_setting", str(error)) from None
        return msgspec.structs.replace(
            self, policy=self.policy or policies.default, policy_values=asdict(held)
        )

    @property
    def policy_settings(self) -> PolicySettings:
        """The policy that holds, if these settings are resolved, as those of a `begin` are."""
        return PolicySettings(**self.policy_values)


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
    policy: Text | None = None
    policy_values: PolicyValues = msgspec.field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_values(self.policy_values)

    @classmethod
    def from_wire(cls, words: Mapping[str, object]) -> Configure:
        """Returns the changes from the fields of a `configure` message. Unknown ones are ignored.

        Raises:
            ProtocolError: bad_setting; a value is out of range.
        """
        return cls(
            **{  # pyright: ignore[reportArgumentType]
                name: frames_from_wire(word) if name == "frames" else _given(name, word)
                for name, word in words.items()
                if name in _PLAIN_CHANGES
            },
            policy_values=_values_of(words),
        )

    def to_wire(self) -> dict[str, object]:
        """Returns the changes by their names on the wire."""
        words = {
            "frames": None if self.frames is None else frames_to_wire(self.frames),
            "latents": self.latents,
            "policy": self.policy,
            **self.policy_values,
        }
        return {name: word for name, word in words.items() if word is not None}


_RESUME = ("resume", "received")
_PLAIN_CHANGES = ("frames", "latents", "policy")
CHANGEABLE = (*_PLAIN_CHANGES, *POLICY_VALUES)  # fields of a `configure`
_SETTINGS = {  # name on the wire: attribute of StreamSettings
    field.encode_name: field.name
    for field in msgspec.structs.fields(StreamSettings)
    if field.name != "policy_values"
}


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


def _check_values(values: Mapping[str, object]) -> None:
    for name, value in values.items():
        if name not in POLICY_VALUES:
            raise ProtocolError(
                "bad_setting",
                f"expected values of a policy ({', '.join(POLICY_VALUES)}), got {show(name)}",
            )
        try:
            check_value(name, value)
        except PolicyError as error:
            raise ProtocolError("bad_setting", str(error)) from None


def _values_of(words: Mapping[str, object]) -> dict[str, float]:
    """Returns the fields that are values of a policy. The struct that takes them checks them."""
    values = {name: word for name, word in words.items() if name in POLICY_VALUES}
    _check_values(values)
    return cast(dict[str, float], values)


def _number(name: str, word: str) -> object:
    """Returns the value of a query as a number, if it is one."""
    if name in POLICY_VALUES:
        try:
            return float(word)
        except ValueError:
            return word
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 9 else word


def _query_words(query: str) -> dict[str, object]:
    """Returns the settings of a query string. Values that are numbers become int or float.

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
        if name not in _SETTINGS and name not in POLICY_VALUES and name not in _RESUME:
            raise ProtocolError(
                "bad_setting",
                f"unknown setting {show(name)}; "
                f"expected one of {', '.join((*_SETTINGS, *POLICY_VALUES))}",
            )
        if name in words:
            raise ProtocolError("bad_setting", f"{name}: expected once, got it twice")
        words[name] = word if name in ("resume", "policy") else _number(name, word)
    return words
