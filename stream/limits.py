"""Every bound of the server in one place. What happens when one is reached is written in PROTOCOL.md."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..models.errors import ConfigError

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server; sizes per session unless said otherwise.

    Attributes:
        max_sessions: of the whole server; more are refused with 503.
        max_batch: frames in one engine step, of the whole server.
        max_message_bytes: a larger message is refused with an error; four times as much closes the connection at once.
        max_waiting_s: audio that may wait to be predicted on before the server stops reading; 128 KB of memory a second.
        max_outgoing_messages: messages that may wait to be sent before the server stops predicting.
        slow_reader_timeout_s: how long a client may take nothing of what waits for it.
        open_timeout_s: for the opening handshake.
        ping_interval_s, ping_timeout_s: how a connection that died silently is found.
        close_timeout_s: for the closing handshake.
        shutdown_timeout_s: for sessions to end well when the server stops; then they are cut.

    Raises:
        ConfigError: a bound that is not above 0.
    """

    max_sessions: int = 256
    max_batch: int = 64
    max_message_bytes: int = MIB
    max_waiting_s: float = 0.5
    max_outgoing_messages: int = 512
    slow_reader_timeout_s: float = 10.0
    open_timeout_s: float = 5.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    close_timeout_s: float = 5.0
    shutdown_timeout_s: float = 5.0

    def __post_init__(self) -> None:
        for bound in fields(self):
            if not getattr(self, bound.name) > 0:
                raise ConfigError(f"{bound.name}: expected more than 0, got {getattr(self, bound.name)!r}")
