"""All bounds of the server. PROTOCOL.md says what happens when a bound is reached."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..errors import ConfigError
from ..snapshot import MAX_BUFFER_S

MIB = 1 << 20
MAX_BATCH = 4096  # one step of so many frames takes about 0.3 s


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one server process. With several workers, each worker has all of them.

    Sizes are per session, unless the text names the whole process. Times are in seconds.

    Attributes:
        max_sessions: sessions of the whole process, including those that wait to be resumed.
            At the bound, a new session replaces one that has never sent audio. If there is none,
            the new session is refused with 503. In addition, as many connections may listen to
            calls; beyond it, 503.
        max_sessions_per_address: sessions of one client address (of one /64 network with IPv6);
            beyond it, a new session is refused with 429. Loopback addresses are exempt.
        max_sessions_per_token: sessions of one access token; beyond it, a new session is refused
            with 429.
        max_opening: connections of the whole process that have not become a session yet, counted
            from the moment when they are accepted, before TLS; beyond it, the oldest one is
            dropped.
        max_load: share of one core that live sessions may use; a session that would exceed it is
            refused with 503.
        max_lag_s: lag of the slowest live frame, from the moment when it could be predicted to
            the delivery of its result; above it, new sessions are refused with 503.
        max_batch: frames in one engine step, over all sessions of the process; at most 4096.
        max_message_bytes: a larger message ends the session with an error, as soon as its size
            is known.
        max_messages_per_s: rate of messages that are no audio, or audio of a few samples; above it
            for five seconds, the session ends with an error.
        max_waiting_s: audio that may wait for its prediction; beyond it, the server stops reading
            from the client. One second takes 128 KB of memory. At most 60.
        max_outgoing_messages: messages that may wait for the client; beyond it, frame messages
            are left out (live audio) or predictions stop (audio sent faster than real time).
        max_kept_messages: messages kept to be sent again until the client confirms them; beyond
            it, the oldest frame messages are discarded. With twice as many, the session ends with
            an error.
        slow_reader_timeout_s: time that a client may read nothing while max_outgoing_messages
            wait for it; then the session ends with an error.
        save_interval_s: time between two saves of a session, if there is a store.
        resume_s: time that a session waits for its lost client; 0 turns resuming off.
        stall_s: time without any audio after which the client gets a warning.
        idle_timeout_s: time without any message after which the session ends with an error.
        first_audio_timeout_s: time without any audio since the session began, after which it ends
            with an error.
        message_timeout_s: time allowed for the rest of a message that has begun; then the session
            ends with an error.
        open_timeout_s: time allowed for the opening handshake, with TLS.
        ping_interval_s: time between two pings to a client.
        ping_timeout_s: time without an answer to a ping, and without any other message, after
            which the connection counts as lost. If other messages come, it is three times as long.
        close_timeout_s: time allowed for the closing handshake.
        shutdown_timeout_s: time allowed for the sessions to end when the server stops; then their
            connections are dropped.

    Raises:
        ConfigError: a bound is not above 0, resume_s is below 0, max_batch is above 4096, or
            max_waiting_s is above 60.
    """

    max_sessions: int = 1000
    max_sessions_per_address: int = 500
    max_sessions_per_token: int = 500
    max_opening: int = 256
    max_load: float = 0.85
    max_lag_s: float = 0.04
    max_batch: int = 64
    max_message_bytes: int = MIB
    max_messages_per_s: float = 1000.0
    max_waiting_s: float = 0.5
    max_outgoing_messages: int = 512
    max_kept_messages: int = 2048
    slow_reader_timeout_s: float = 10.0
    save_interval_s: float = 2.0
    resume_s: float = 30.0
    stall_s: float = 2.0
    idle_timeout_s: float = 60.0
    first_audio_timeout_s: float = 300.0
    message_timeout_s: float = 30.0
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
        if self.max_batch > MAX_BATCH:
            raise ConfigError(f"max_batch: expected at most {MAX_BATCH}, got {self.max_batch}")
        if self.max_waiting_s > MAX_BUFFER_S:  # a saved session could not be restored
            raise ConfigError(
                f"max_waiting_s: expected at most {MAX_BUFFER_S:g}, got {self.max_waiting_s!r}"
            )
