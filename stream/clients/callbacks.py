"""The callbacks of a client, by the kind of message. A kind has the message's name on the wire."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..errors import ConfigError
from ..latent_message import LatentMessage
from ..prediction import EVENT_TYPES, FrameMessage, TurnEvent
from ..protocol import (
    ConfiguredMessage,
    ResumedMessage,
    ServerMessage,
    TerminationMessage,
    WarningMessage,
)

Callback = Callable[[Any], Any]

_KINDS: dict[type, str] = {
    FrameMessage: "frame",
    LatentMessage: "latent",
    WarningMessage: "warning",
    ConfiguredMessage: "configured",
    ResumedMessage: "resumed",
    TerminationMessage: "termination",
}
_EVERY = "message"
KINDS = (*EVENT_TYPES, *_KINDS.values(), _EVERY)


class Callbacks:
    """The registered callbacks. Those of one message run in the order of their registration."""

    def __init__(self) -> None:
        self._of: dict[str, list[tuple[Callback, int | None]]] = {kind: [] for kind in KINDS}

    def __bool__(self) -> bool:
        return any(self._of.values())

    def add(self, kind: str, callback: Callback, speaker: int | None) -> None:
        """Register a function or coroutine function.

        Args:
            kind: an event type ("end_of_turn" ...), "frame", "latent", "warning", "configured",
                "resumed", "termination", or "message" for every message.
            callback: called with the message.
            speaker: with an event type, only events of the user (0) or of the other speaker (1);
                None for both.
        Raises:
            ConfigError: there is no such kind or speaker, or `callback` cannot be called.
        """
        if kind not in self._of:
            raise ConfigError(f"expected one of {', '.join(KINDS)}, got {kind!r}")
        if not callable(callback):
            raise ConfigError(f"expected a function to call on {kind}, got {callback!r}")
        if speaker is not None and (speaker not in {0, 1} or kind not in EVENT_TYPES):
            raise ConfigError(
                f"expected speaker 0 or 1 with one of {', '.join(EVENT_TYPES)}; "
                f"got {speaker!r} with {kind!r}"
            )
        self._of[kind].append((callback, speaker))

    async def call(self, message: ServerMessage) -> None:
        """Run the callbacks of a message one after the other; raises what they raise."""
        kind, of = (
            (message.type, message.speaker)
            if isinstance(message, TurnEvent)
            else (_KINDS[type(message)], None)
        )
        for callback, speaker in (*self._of[kind], *self._of[_EVERY]):
            if speaker is not None and speaker != of:
                continue
            result = callback(message)
            if inspect.isawaitable(result):
                await result
