"""The messages of Deepgram Flux at `/v2/listen`, so that a client written for Flux can try us.

`parse_query` reads Flux's query, and `FluxDialect` translates the messages of one connection: from
Flux to PROTOCOL.md on the way in, and back on the way out. The conversation behind it is the same
as any other. PROTOCOL.md says what differs from Flux.

Flux's thresholds have a scale of their own. Its default of 0.7 stands for `end_threshold` of the
server's default policy; other thresholds and confidences keep their distance to it in log odds.

Source:
    developers.deepgram.com/reference/speech-to-text/listen-flux; the types of deepgram-sdk 7.17.
"""

from __future__ import annotations

import json
import math
from collections import deque
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import parse_qsl

import msgspec
from websockets.datastructures import Headers

from ..errors import ProtocolError
from ..pcm import Encoding
from ..policy_settings import PolicySettings
from ..settings import StreamSettings
from ..wire import show

FLUX_PATH = "/v2/listen"

_UPDATE_S = 0.25
_ENCODINGS: dict[str, Encoding] = {
    "linear16": "pcm_s16le",
    "linear32": "pcm_f32le",
    "mulaw": "mulaw",
    "alaw": "alaw",
}
_RANGES = {
    "eot_threshold": (0.5, 1.0),
    "eager_eot_threshold": (0.3, 0.9),
    "eot_timeout_ms": (500.0, 60000.0),
}
# What concerns the words, or Deepgram's service.
_IGNORED = {
    "model",
    "keyterm",
    "language_hint",
    "profanity_filter",
    "numerals",
    "redact",
    "mip_opt_out",
    "tag",
    "token",
}
_EVENTS = {
    "start_of_turn": "StartOfTurn",
    "eager_end_of_turn": "EagerEndOfTurn",
    "turn_resumed": "TurnResumed",
    "end_of_turn": "EndOfTurn",
}
_TRIGGERS = {"model": "model", "other_spoke": "model", "timeout": "timeout", "forced": "manual"}
_CONTROLS = {"CloseStream": "close", "ForceEndTurn": "end_turn", "KeepAlive": "keep_alive"}
_KNOWN_CONTROLS = f"Configure, {', '.join(_CONTROLS)}"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Flux's settings of the end of a turn. The defaults are Flux's.

    Attributes:
        eot_threshold: least confidence for `EndOfTurn`, 0.5 to 1; 1 leaves it to `ForceEndTurn`.
        eager_eot_threshold: least confidence for `EagerEndOfTurn`, 0.3 to 0.9; None for none.
        eot_timeout_ms: silence that ends a turn at any confidence, 500 to 60000 ms.
    """

    eot_threshold: float = 0.7
    eager_eot_threshold: float | None = None
    eot_timeout_ms: float = 5000

    def changed(self, words: dict[str, object]) -> Thresholds:
        """Return these thresholds with some of them replaced.

        Raises:
            ProtocolError: bad_setting; a name is unknown, or a value is out of range.
        """
        for name, value in words.items():
            if name not in _RANGES:
                raise ProtocolError(
                    "bad_setting", f"expected one of {', '.join(_RANGES)}; got {show(name)}"
                )
            low, high = _RANGES[name]
            if name == "eager_eot_threshold" and value is None:
                continue
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not low <= value <= high
            ):
                raise ProtocolError(
                    "bad_setting",
                    f"{name}: expected a number from {low:g} to {high:g}, got {show(value)}",
                )
        changed = replace(self, **cast(dict[str, Any], words))
        eager = changed.eager_eot_threshold
        if eager is not None and eager > changed.eot_threshold:
            raise ProtocolError(
                "bad_setting",
                "eager_eot_threshold: expected at most eot_threshold "
                f"{changed.eot_threshold:g}, got {eager:g}",
            )
        return changed

    def policy_values(self, base: PolicySettings) -> dict[str, float]:
        """Return the values of our policy that these thresholds stand for.

        Args:
            base: the server's default policy.
        """
        timeout_secs = self.eot_timeout_ms / 1000
        end_silence_secs = min(base.end_silence_secs, timeout_secs)
        end_threshold = _moved(self.eot_threshold, -_distance(base))
        values = {
            "end_threshold": end_threshold,
            "end_silence_secs": end_silence_secs,
            "timeout_secs": timeout_secs,
            "eager_threshold": end_threshold,  # equal values: no eager end
            "eager_silence_secs": end_silence_secs,
        }
        if self.eager_eot_threshold is not None:
            values["eager_threshold"] = _moved(self.eager_eot_threshold, -_distance(base))
            values["eager_silence_secs"] = min(base.eager_silence_secs, end_silence_secs)
        return values


def parse_query(
    query: str, base: PolicySettings, frame_rate_hz: float
) -> tuple[StreamSettings, Thresholds]:
    """Parse the query of a Flux client.

    Args:
        query: query string, without its question mark.
        base: the server's default policy.
        frame_rate_hz: predictions per second of the model.
    Returns:
        The settings of the session, and the thresholds in them.
    Raises:
        ProtocolError: bad_setting; the message names the setting, the value and what was expected.
    """
    words: dict[str, str] = {}
    for name, word in parse_qsl(query, keep_blank_values=True):
        if name in _IGNORED:
            continue
        if name not in _RANGES and name not in ("encoding", "sample_rate"):
            raise ProtocolError("bad_setting", f"unknown setting {show(name)}")
        if name in words:
            raise ProtocolError("bad_setting", f"{name}: expected once, got it twice")
        words[name] = word
    encoding, rate = words.pop("encoding", None), words.pop("sample_rate", None)
    if encoding not in _ENCODINGS:
        raise ProtocolError(
            "bad_setting",
            f"encoding: expected raw audio, one of {', '.join(_ENCODINGS)}; got {show(encoding)}",
        )
    thresholds = Thresholds().changed({name: _number(word) for name, word in words.items()})
    settings = StreamSettings(
        sample_rate_hz=cast(int, _number(rate or "")),
        channels=1,
        encoding=_ENCODINGS[encoding],
        frames=max(1, int(_UPDATE_S * frame_rate_hz)),
        policy_values=thresholds.policy_values(base),
    )
    return settings, thresholds


def bearer(headers: Headers) -> Headers:
    """Return headers in which `Authorization: Token KEY`, as Flux has it, is `Bearer KEY`."""
    changed = Headers()
    for name, value in headers.raw_items():
        scheme, _, key = value.partition(" ")
        is_token = name.lower() == "authorization" and scheme.lower() == "token"
        changed[name] = f"Bearer {key}" if is_token else value
    return changed


class FluxDialect:
    """Translates the messages of one connection.

    Args:
        thresholds: as `parse_query` returned them.
        base: the server's default policy.
    """

    audio_in_text = False

    def __init__(self, thresholds: Thresholds, base: PolicySettings) -> None:
        self._thresholds = thresholds
        self._base = base
        # For each `configure` that is not answered yet: the thresholds, or why there are none.
        self._asked: deque[Thresholds | ProtocolError] = deque()
        self._request_id = ""
        self._sequence_id = 0
        self._turn_index = 0
        self._turn_start_s = 0.0  # end of the turn before
        self._confidence = 0.0  # of the last frame

    def incoming(self, message: str | bytes) -> list[str | bytes]:
        """Return our messages for one of a Flux client."""
        if isinstance(message, bytes):
            return [message]
        try:
            words: Any = json.loads(message)
        except (ValueError, RecursionError):
            return [message]  # the conversation refuses it
        if not isinstance(words, dict):
            return [message]
        words = cast(dict[str, Any], words)
        kind: object = words.get("type")
        if kind == "Configure":
            return [self._configure(words)]
        if isinstance(kind, str) and kind in _CONTROLS:
            return [json.dumps({"type": _CONTROLS[kind]})]
        return [json.dumps({"type": [kind]})]  # no type of ours: the conversation warns of it

    def _configure(self, words: dict[str, Any]) -> str:
        """Return our `configure`. One that cannot be changes nothing, and is answered, too."""
        try:
            changes: object = words.get("thresholds", {})
            if not isinstance(changes, dict):
                raise ProtocolError(
                    "bad_setting", f"thresholds: expected an object, got {show(changes)}"
                )
            thresholds = self._thresholds.changed(cast(dict[str, object], changes))
        except ProtocolError as error:
            self._asked.append(error)
            return json.dumps({"type": "configure"})
        self._thresholds = thresholds
        self._asked.append(thresholds)
        return json.dumps({"type": "configure", **thresholds.policy_values(self._base)})

    def outgoing(self, wire: str | bytes) -> list[str | bytes]:
        """Return the messages of Flux for one of ours; some have none."""
        message: dict[str, Any] = msgspec.json.decode(wire)
        kind: str = message["type"]
        match kind:
            case "begin":
                self._request_id = message["session"]
                return self._numbered({"type": "Connected"})
            case "frame":
                self._confidence = _moved(message["p_next"][1], _distance(self._base))
                return self._turn_info("Update", message["time_s"], self._confidence)
            case "configured":
                return self._numbered(self._answer(self._asked.popleft()))
            case "warning":
                return self._numbered(_warning(message))
            case "error":
                code = message["code"].upper()
                return self._numbered(
                    {"type": "Error", "code": code, "description": message["message"]}
                )
            case _ if kind in _EVENTS and message["speaker"] == 0:
                return self._event(message)
            case _:
                return []

    def _event(self, event: dict[str, Any]) -> list[str | bytes]:
        kind, time_s = event["type"], event["time_s"]
        self._turn_index = event["turn_index"]
        if kind in ("end_of_turn", "eager_end_of_turn"):
            self._confidence = _moved(event["probability"], _distance(self._base))
        trigger = {"trigger": _TRIGGERS[event["trigger"]]} if kind == "end_of_turn" else {}
        told = self._turn_info(_EVENTS[kind], time_s, self._confidence, **trigger)
        if kind == "end_of_turn":
            self._turn_index += 1
            self._turn_start_s, self._confidence = time_s, 0.0
        return told

    def _turn_info(
        self, event: str, time_s: float, confidence: float, **more: str
    ) -> list[str | bytes]:
        return self._numbered(
            {
                "type": "TurnInfo",
                "event": event,
                "turn_index": self._turn_index,
                "audio_window_start": round(self._turn_start_s, 4),
                "audio_window_end": round(time_s, 4),
                "transcript": "",
                "words": [],
                "end_of_turn_confidence": round(confidence, 4),
                **more,
            }
        )

    def _answer(self, asked: Thresholds | ProtocolError) -> dict[str, Any]:
        if isinstance(asked, ProtocolError):
            return {
                "type": "ConfigureFailure",
                "code": "INVALID_CONFIGURATION",
                "description": str(asked),
            }
        held = {name: getattr(asked, name) for name in _RANGES}
        return {
            "type": "ConfigureSuccess",
            "thresholds": {name: value for name, value in held.items() if value is not None},
            "keyterms": [],
        }

    def _numbered(self, message: dict[str, Any]) -> list[str | bytes]:
        numbered = {
            **message,
            "request_id": self._request_id,
            "sequence_id": self._sequence_id,
        }
        self._sequence_id += 1
        return [json.dumps(numbered)]


def _warning(message: dict[str, Any]) -> dict[str, Any]:
    description: str = message["message"]
    if message["code"] == "unknown_control":
        got = description.rpartition("got ")[2].removeprefix("[").removesuffix("]")
        description = f"type: expected one of {_KNOWN_CONTROLS}; got {got}"
    return {"type": "Warning", "code": message["code"].upper(), "description": description}


def _number(word: str) -> object:
    try:
        return int(word) if word.isascii() and word.isdigit() else float(word)
    except ValueError:
        return word


def _distance(base: PolicySettings) -> float:
    """Return what to add to our log odds for those of Flux."""
    return _log_odds(Thresholds().eot_threshold) - _log_odds(base.end_threshold)


def _moved(probability: float, distance: float) -> float:
    """Return a probability whose log odds are larger by this distance. 0 and 1 stay."""
    if not 0 < probability < 1:
        return probability
    return 1 / (1 + math.exp(-_log_odds(probability) - distance))


def _log_odds(probability: float) -> float:
    probability = min(max(probability, 0.01), 0.99)
    return math.log(probability / (1 - probability))
