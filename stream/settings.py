"""What a client asks of a stream: the settings in the query string, and a `configure` that changes them. No I/O.

Names on the wire are those of PROTOCOL.md: `sample_rate` there is `sample_rate_hz` here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast
from urllib.parse import parse_qsl, urlencode

from .errors import ProtocolError
from .policy import PRESETS
from .resample import MAX_RATE_HZ, MIN_RATE_HZ
from .sources import ENCODINGS, Encoding
from .wire_values import check_choice, check_range, show

LatentChoice = Literal["none", "final", "all"]

LATENT_CHOICES: tuple[LatentChoice, ...] = ("none", "final", "all")
POLICY_NAMES = tuple(PRESETS)
MAX_FRAMES_STEP = 3000  # one frame message a minute at 50 frames a second


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What a client asks for when it connects; the names on the wire are those of the query string.

    Attributes:
        sample_rate_hz: rate of the audio that will be sent ("sample_rate").
        channels: 1 (the user) or 2 (the user, the other speaker), interleaved.
        encoding: form of one sample.
        frames: send every Nth frame message; 1 is "all", 0 is "none".
        latents: "final" adds the last layer's state to each frame that is sent, "all" the per-speaker layer's too.
        policy: preset that turns predictions into events.

    Raises:
        ProtocolError: bad_setting; a value out of range, or latents without frames.
    """

    sample_rate_hz: int = 16000
    channels: int = 2
    encoding: Encoding = "pcm_s16le"
    frames: int = 1
    latents: LatentChoice = "none"
    policy: str = "balanced"

    def __post_init__(self) -> None:
        check_range("sample_rate", self.sample_rate_hz, MIN_RATE_HZ, MAX_RATE_HZ)
        check_range("channels", self.channels, 1, 2)
        check_choice("encoding", self.encoding, ENCODINGS)
        check_range("frames", self.frames, 0, MAX_FRAMES_STEP)
        check_choice("latents", self.latents, LATENT_CHOICES)
        check_choice("policy", self.policy, POLICY_NAMES)
        if self.latents != "none" and self.frames == 0:
            raise ProtocolError(
                "bad_setting",
                f"latents={self.latents}: expected frames=all or a number, because latents come with frames; got frames=none",
            )

    @classmethod
    def from_words(cls, words: dict[str, object]) -> StreamSettings:
        """Build from values under their names on the wire; what is missing keeps its default, unknown names are skipped.

        Raises:
            ProtocolError: bad_setting; a value out of range.
        """
        return cls(
            **{
                _SETTINGS[name]: frames_from_word(word) if name == "frames" else word
                for name, word in words.items()
                if name in _SETTINGS
            }
        )  # pyright: ignore[reportArgumentType]

    def to_words(self) -> dict[str, str | int]:
        """The settings under their names on the wire."""
        words = {name: getattr(self, field) for name, field in _SETTINGS.items()}
        return words | {"frames": frames_to_word(self.frames)}

    def to_query(self) -> str:
        """Write what `parse_query` reads."""
        return urlencode(self.to_words())

    def configured(self, changes: Configure) -> StreamSettings:
        """These settings with the changes of one `configure`.

        Raises:
            ProtocolError: bad_setting; the changes leave latents without frames.
        """
        return replace(
            self,
            frames=self.frames if changes.frames is None else changes.frames,
            latents=self.latents if changes.latents is None else changes.latents,
            policy=self.policy if changes.policy is None else changes.policy,
        )


@dataclass(frozen=True, slots=True)
class Resume:
    """What a client shows to go on with a session whose connection was lost.

    Attributes:
        token: the `resume_token` of `begin`.
        received: messages that the client has got in this session, `begin` included.

    Raises:
        ProtocolError: bad_setting; a count below 0.
    """

    token: str
    received: int

    def __post_init__(self) -> None:
        check_range("received", self.received, 0, _MAX_MESSAGES)

    def to_query(self) -> str:
        """Write what `parse_query` reads."""
        return urlencode({"resume": self.token, "received": self.received})


def parse_query(query: str) -> StreamSettings | Resume:
    """Parse a query string without its question mark: a new stream's settings, or a `resume`; a `token` in it is left to the server.

    Raises:
        ProtocolError: bad_setting; names the setting, what was got and what was expected.
    """
    words = _query_words(query)
    if "resume" not in words:
        if "received" in words:
            raise ProtocolError("bad_setting", "received: expected only together with resume")
        return StreamSettings.from_words(words)
    if set(words) != {"resume", "received"}:
        raise ProtocolError(
            "bad_setting",
            f"resume: expected received and no other setting with it, got {', '.join(sorted(set(words) - {'resume'})) or 'none'}",
        )
    token, received = str(words["resume"]), words["received"]
    return Resume(token, cast(int, received))


@dataclass(frozen=True, slots=True)
class Configure:
    """Change settings from here on; None leaves a setting as it is.

    Raises:
        ProtocolError: bad_setting; a value out of range.
    """

    frames: int | None = None
    latents: LatentChoice | None = None
    policy: str | None = None

    def __post_init__(self) -> None:
        if self.frames is not None:
            check_range("frames", self.frames, 0, MAX_FRAMES_STEP)
        if self.latents is not None:
            check_choice("latents", self.latents, LATENT_CHOICES)
        if self.policy is not None:
            check_choice("policy", self.policy, POLICY_NAMES)

    @classmethod
    def from_words(cls, words: dict[str, object]) -> Configure:
        """Build from the fields of a `configure` message, without its type.

        Raises:
            ProtocolError: bad_control (an unknown field, or none) or bad_setting (a value out of range).
        """
        unknown = [name for name in words if name not in _CHANGEABLE]
        if unknown or not words:
            raise ProtocolError(
                "bad_control",
                f"configure: expected {', '.join(_CHANGEABLE)}; got {show(unknown[0]) if unknown else 'none of them'}",
            )
        return cls(
            **{
                name: frames_from_word(word) if name == "frames" else _given(name, word)
                for name, word in words.items()
            }
        )  # pyright: ignore[reportArgumentType]

    def to_words(self) -> dict[str, object]:
        """The changes under their names on the wire."""
        words = {
            "frames": None if self.frames is None else frames_to_word(self.frames),
            "latents": self.latents,
            "policy": self.policy,
        }
        return {name: word for name, word in words.items() if word is not None}


_CHANGEABLE = ("frames", "latents", "policy")
_RESUME = ("resume", "received")
_MAX_MESSAGES = 10**9 - 1

_SETTINGS = {  # name on the wire: attribute of StreamSettings
    "sample_rate": "sample_rate_hz",
    "channels": "channels",
    "encoding": "encoding",
    "frames": "frames",
    "latents": "latents",
    "policy": "policy",
}


def frames_from_word(word: object) -> int:
    """Read "all", "none" or a number; 1 is all, 0 is none."""
    if word in ("all", "none"):
        return 1 if word == "all" else 0
    if not isinstance(word, int) or isinstance(word, bool) or word < 1:
        raise ProtocolError(
            "bad_setting",
            f"frames: expected all, none or a whole number from 1 to {MAX_FRAMES_STEP}; got {show(word)}",
        )
    return word


def frames_to_word(frames: int) -> str | int:
    """Write what `frames_from_word` reads."""
    return {0: "none", 1: "all"}.get(frames, frames)


def _given(name: str, word: object) -> object:
    if word is None:
        raise ProtocolError("bad_setting", f"{name}: expected a value, got null")
    return word


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 9


def _query_words(query: str) -> dict[str, object]:
    """The settings of a query string, each once, numbers as numbers."""
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
