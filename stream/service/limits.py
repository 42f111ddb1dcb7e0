"""Every bound of the server in one place. What happens when one is reached is written in PROTOCOL.md."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..errors import ConfigError

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server (of one worker, where there are several); sizes per session unless said otherwise.

    Attributes:
        max_sessions: of the whole server, those that wait to be resumed included; more are refused with 503.
        max_opening: connections of the whole server that have not asked for anything yet; beyond it the oldest is dropped.
        max_load: share of one core that live sessions may use; a session that would exceed it is refused with 503.
        max_lag_s: for which a frame may wait to be predicted on, the slowest of a moment; while it is above, new sessions are refused with 503.
        max_batch: frames in one engine step, of the whole server.
        max_message_bytes: a larger message is refused with an error; four times as much closes the connection at once.
        max_waiting_s: audio that may wait to be predicted on before the server stops reading; 128 KB of memory a second.
        max_outgoing_messages: messages that may wait for the client before frames are left out, or for a file, before predictions stop.
        max_kept_messages: messages that the client has not confirmed and that are kept to be sent again; then the oldest frames are given up.
        slow_reader_timeout_s: how long a client may take nothing while so many messages wait.
        resume_s: how long a session waits for its lost client.
        stall_s: silence on the line (no audio at all) after which the client is told.
        idle_timeout_s: without any message, after which the session ends.
        open_timeout_s: for the opening handshake.
        ping_interval_s: how often a client is asked for a sign of life.
        ping_timeout_s: without one, and without anything else, after which its connection counts as lost.
        close_timeout_s: for the closing handshake.
        shutdown_timeout_s: for sessions to end well when the server stops; then they are cut.

    Raises:
        ConfigError: a bound that is not above 0.
    """

    max_sessions: int = 1000
    max_opening: int = 256
    max_load: float = 0.85
    max_lag_s: float = 0.04
    max_batch: int = 64
    max_message_bytes: int = MIB
    max_waiting_s: float = 0.5
    max_outgoing_messages: int = 512
    max_kept_messages: int = 2048
    slow_reader_timeout_s: float = 10.0
    resume_s: float = 30.0
    stall_s: float = 2.0
    idle_timeout_s: float = 60.0
    open_timeout_s: float = 5.0
    ping_interval_s: float = 5.0
    ping_timeout_s: float = 20.0
    close_timeout_s: float = 5.0
    shutdown_timeout_s: float = 5.0

    def __post_init__(self) -> None:
        for bound in fields(self):
            value, lowest = (
                getattr(self, bound.name),
                "at least 0" if bound.name == "resume_s" else "more than 0",
            )
            if not (value >= 0 if bound.name == "resume_s" else value > 0):
                raise ConfigError(f"{bound.name}: expected {lowest}, got {value!r}")
