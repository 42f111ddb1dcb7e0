"""One conversation on the server, from `begin` to the end, across lost connections and processes.

Messages of the client go into the inbox, which makes the messages for the client. These go through
the delivery, so that a connection may break at any moment. The conversation then waits until the
client resumes over another connection. This module knows no sockets.

It is long because every part of it, time limits too, decides when and how the session ends.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from ..pause_model import PauseModel
from ..policy_settings import Policies
from ..protocol import (
    CLOSE_CODES,
    CLOSE_GOING_AWAY,
    BeginMessage,
    ResumedMessage,
    SavedMessage,
    message_to_json,
)
from ..session import Session
from ..settings import StreamSettings
from .batcher import Batcher
from .connection import Connection
from .delivery import Delivery
from .inbox import Inbox
from .limits import Limits
from .metrics import Metrics
from .packed_conversation import PackedConversation

logger = logging.getLogger(__name__)

_MIN_BACKLOG = 10  # least number of frames that the buffer holds


@dataclass(frozen=True, slots=True)
class Shared:
    """What all conversations of a server share.

    Attributes:
        batcher: steps the engine for all of them.
        limits: bounds of the server.
        metrics: counts sessions, connections and errors.
        policies: what `configure` can ask for.
        on_end: called once with each conversation, when it has ended.
    """

    batcher: Batcher
    limits: Limits
    metrics: Metrics
    policies: Policies
    on_end: Callable[[Conversation], None]

    def new_session(self, settings: StreamSettings, pause_model: PauseModel | None) -> Session:
        """Return a session that begins now.

        Args:
            settings: what the client asked for, resolved.
            pause_model: asked in the pauses of this session; None for none.
        """
        metadata = self.batcher.metadata
        backlog = max(_MIN_BACKLOG, round(self.limits.max_waiting_s * metadata.frame_rate_hz))
        return Session(
            metadata,
            sample_rate_hz=settings.sample_rate_hz,
            policy=settings.policy_settings,
            buffer_s=backlog / metadata.frame_rate_hz,
            pause_model=pause_model,
        )


class Conversation:
    """Serves one client from `begin` to the end, across lost connections.

    Args:
        settings: what the client asked for, resolved.
        session: makes the predictions.
        shared: what all conversations share.
        token: token with which the client can resume; None if it cannot.
        saves: whether the owner saves the session in a store, so that it survives this process.
        name: name of the session for the client and in the log; None for a new one.
    Attributes:
        id: the name.
        token: the same.
        epoch: number of the claim in the store under which the session is here.
        began_s: when it began, by the batcher's clock.
        reason: why the conversation ended; empty until then.
    """

    def __init__(
        self,
        settings: StreamSettings,
        session: Session,
        shared: Shared,
        *,
        token: str | None = None,
        saves: bool = False,
        name: str | None = None,
    ) -> None:
        self.id = secrets.token_hex(8) if name is None else name
        self.token = token
        self.epoch = 1
        self.reason = ""
        self._shared = shared
        self._clock = shared.batcher.clock
        self._limits = shared.limits
        self._metrics = shared.metrics
        self._saves = saves
        self._saved: int | None = None  # messages of the client that the last saved state contains
        self._parked_s: float | None = None  # when the connection was lost
        self._received = 0
        self._delivery = Delivery(shared.limits, self._clock)
        self._inbox = Inbox(
            self.id,
            settings,
            session,
            shared.batcher,
            self._delivery,
            shared.metrics,
            shared.policies,
        )
        self.began_s = self._message_s = self._inbox.audio_s  # when any message last came
        self._delivery.put(message_to_json(self._begin()))
        self._metrics.session_opened()

    @property
    def frames(self) -> int:
        """Number of predictions made."""
        return self._inbox.frames

    @property
    def seconds(self) -> float:
        """Duration of the audio received."""
        return self._inbox.seconds

    @property
    def first_audio_s(self) -> float | None:
        """When the first audio came here, by the batcher's clock; None before."""
        return self._inbox.first_audio_s

    @property
    def has_pause_model(self) -> bool:
        """Whether the pause model is asked in this conversation."""
        return self._inbox.session.has_pause_model

    @property
    def is_live(self) -> bool:
        """Whether the client sends audio no faster than real time."""
        return not self._inbox.audio_queue.is_early

    @property
    def parked_s(self) -> float | None:
        """When its client was lost, by the batcher's clock; None while it has a client."""
        return self._parked_s

    def _begin(self) -> BeginMessage:
        model = self._inbox.session.metadata
        return BeginMessage(
            session=self.id,
            model_name=model.name,
            model_version=model.version,
            model_sha256=model.network_sha256,
            frame_rate_hz=model.frame_rate_hz,
            latent_sizes={"latent": model.latent_size, "latent_speaker": model.latent_speaker_size},
            settings=self._inbox.settings,
            policies=tuple(self._shared.policies.presets),
            resume_token=self.token,
            resume_s=0.0 if self.token is None else self._limits.resume_s,
            saves=self._saves,
            pause_model=self.has_pause_model,
        )

    # ---- connections ----

    def attach(self, connection: Connection) -> None:
        """Use a new connection for all messages that the client has not received."""
        if self._parked_s is not None:
            self._parked_s = None
            self._metrics.session_unparked()
        self._message_s = self._inbox.audio_s = self._clock()
        self._delivery.attach(connection)
        self._inbox.audio_queue.release()
        self._inbox.process()

    def check_resume(self, received: int) -> None:
        """Check that a client with `received` messages can resume.

        Raises:
            ProtocolError: bad_setting; the number is larger than the number of messages so far,
                or smaller than what the client has already confirmed.
        """
        self._delivery.outbox.check(received)

    def resume(self, connection: Connection, received: int) -> None:
        """Resume over a new connection with a client that has received `received` messages.

        If there still is an old connection, it is closed.

        Raises:
            ProtocolError: see `check_resume`.
        """
        self._delivery.outbox.rewind(received)
        self._metrics.session_resumed()
        self._detach()
        connection.send([message_to_json(ResumedMessage(self.id, self._received))])
        if self._saved is not None:  # the client may have lost this message
            connection.send([message_to_json(SavedMessage(self._saved))])
        self.attach(connection)

    def _detach(self) -> None:
        """Close the present connection, because another one replaces it."""
        connection, self._delivery.connection = self._delivery.connection, None
        if connection is not None:
            connection.hang_up(
                CLOSE_CODES["resumed_elsewhere"],
                "resumed_elsewhere: the session continues over another connection",
            )

    def on_disconnect(self, lost: bool) -> None:
        """Wait for the client if its connection was lost; otherwise end the conversation."""
        self._delivery.connection = None
        if self.reason:
            return
        if lost and self.token is not None and not self._inbox.is_finishing:
            self._park()
        else:
            self._close("the client left")

    def _park(self) -> None:
        """Start to wait for the client, which was lost."""
        self._parked_s = self._clock()
        self._metrics.session_parked()
        logger.info(
            "session lost its client",
            extra={"session": self.id, "seconds": round(self.seconds, 3)},
        )

    # ---- other processes ----

    @property
    def progress(self) -> tuple[int, int, bool]:
        """What has happened so far; as long as it is the same, `pack` need not be saved again."""
        return self._received, self.frames, self._delivery.has_ended

    def pack(self) -> bytes:
        """Return the whole conversation as bytes, for a store."""
        inbox = self._inbox
        return PackedConversation(
            id=self.id,
            settings=inbox.settings,
            session=inbox.session.snapshot(),
            received=self._received,
            frames=inbox.frames,
            samples=inbox.samples,
            inbox=inbox.pack(),
            outbox=self._delivery.outbox.pack(),
            close_frame=self._delivery.close_frame,
        ).to_bytes()

    def on_saved(self, received: int) -> None:
        """Tell the client that a state with this many of its messages is saved."""
        self._saved = received
        if self._delivery.connection is not None:
            self._delivery.connection.send([message_to_json(SavedMessage(received))])

    @property
    def has_client(self) -> bool:
        """Whether a connection to the client exists."""
        return self._delivery.connection is not None

    def drop_client(self) -> None:
        """Drop the connection as if it broke, so that the client comes back and resumes."""
        if self._delivery.connection is not None:
            self._delivery.connection.abort()

    def leave(self) -> None:
        """End this copy of the conversation, because another process has claimed it."""
        self._detach()
        self._close("resumed_elsewhere")

    @classmethod
    def unpack(
        cls,
        packed: PackedConversation,
        shared: Shared,
        *,
        token: str,
        received: int,
    ) -> Conversation:
        """Return a conversation that another process has packed. It waits for its client.

        Args:
            packed: what `pack` returned.
            shared, token: see the class.
            received: messages that the client has received. If the other process has sent some of
                them after it packed the conversation, they are not sent again.
        Raises:
            SnapshotError: the session in it is damaged, or belongs to another model.
        """
        batcher = shared.batcher
        session = Session.restore(packed.session, batcher.metadata, batcher.pause_model)
        conversation = cls(
            packed.settings, session, shared, token=token, saves=True, name=packed.id
        )
        conversation._received = conversation._saved = packed.received
        conversation._delivery.outbox.restore(packed.outbox, received)
        conversation._delivery.close_frame = packed.close_frame
        conversation._inbox.restore(packed.inbox, packed.frames, packed.samples)
        conversation._park()
        return conversation

    # ---- end ----

    def shut_down(self) -> None:
        """Process all audio that has arrived, send `termination`, and close."""
        connection = self._delivery.connection
        if connection is None:
            self._close("shutdown")
        elif not self._delivery.has_ended:  # else the answer to the close is still to be read
            connection.pause_reading()
            self._inbox.finish()

    def give_up(self) -> None:
        """End the conversation, because its client has not come back."""
        self._close("the client was lost")

    def yield_place(self) -> None:
        """End the conversation, which has never sent audio, because another needs its place."""
        self._fail_at_once("no_audio", "no audio came, and another client needs the place")
        self._close("no_audio")

    def _fail_at_once(self, code: str, message: str) -> None:
        """End with this error, and close although messages wait that the client does not read."""
        self._inbox.fail(code, message)
        self._close_connection()

    def _close_connection(self) -> None:
        connection = self._delivery.connection
        if connection is not None:
            connection.close(*(self._delivery.close_frame or (CLOSE_GOING_AWAY, "")))

    def _close(self, reason: str) -> None:
        """Leave the batcher and report the end. Only the first call has an effect."""
        self._inbox.audio_queue.close()
        if self.reason:
            return
        self.reason = (
            reason if self._delivery.close_frame is None else self._delivery.close_frame[1]
        )
        # The text after the colon may quote the client, and must not be logged.
        cause = self.reason.partition(":")[0]
        if self._parked_s is not None:
            self._metrics.session_unparked()
        self._metrics.session_closed(cause)
        logger.info(
            "session ended",
            extra={
                "session": self.id,
                "frames": self.frames,
                "seconds": round(self.seconds, 3),
                "reason": cause,
            },
        )
        self._shared.on_end(self)

    # ---- events of the connection ----

    def on_message(self, message: str | bytes) -> None:
        """Process a message of the client, now or when the messages before it are processed."""
        self._received += 1
        if not (self._delivery.has_ended or self._inbox.is_finishing):
            self._message_s = self._clock()
            self._inbox.add(message)

    def on_misuse(self, code: str, message: str) -> None:
        """End with this error, because the client broke a limit of its connection."""
        self._inbox.fail(code, message)

    def on_pong(self, payload: bytes) -> None:
        """Note that the client has received everything sent before this ping."""
        self._delivery.on_pong(payload)

    def on_writable(self) -> None:
        """Send more, because the client has read what waited in the connection."""
        self._delivery.on_writable()
        if self._delivery.has_room:
            self._inbox.audio_queue.release()
            self._inbox.process()

    # ---- time ----

    def tick(self, now_s: float) -> None:
        """Check all time limits; called a few times per second."""
        limits, delivery, inbox = self._limits, self._delivery, self._inbox
        connection = delivery.connection
        if connection is None:
            if self._parked_s is not None and now_s - self._parked_s > limits.resume_s:
                self.give_up()
        elif delivery.has_ended:
            # The last messages wait, but the client reads nothing.
            if not delivery.check(now_s, ahead=False):
                self._close_connection()
        elif not delivery.check(now_s, inbox.is_ahead):
            self._fail_at_once(
                "slow_reader",
                f"took nothing for {limits.slow_reader_timeout_s:g} s while "
                f"{delivery.outbox.outstanding} messages waited",
            )
        elif delivery.outbox.is_overfull:
            self._fail_at_once(
                "slow_reader",
                f"expected at most {2 * limits.max_kept_messages} messages that you have not "
                f"confirmed by answers to pings, got {delivery.outbox.outstanding}",
            )
        elif not connection.reading:
            self._message_s = inbox.audio_s = now_s  # the server makes the client wait
        elif delivery.is_silent(now_s, self._message_s):
            connection.abort()
        elif now_s - self._message_s > limits.idle_timeout_s:
            inbox.fail(
                "idle",
                f"expected audio or keep_alive at least every {limits.idle_timeout_s:g} s, "
                "got nothing",
            )
        elif self.first_audio_s is None and now_s - self.began_s > limits.first_audio_timeout_s:
            inbox.fail("no_audio", f"no audio came for {limits.first_audio_timeout_s:g} s")
        elif (since_s := connection.unfinished_since_s) is not None and (
            now_s - since_s > limits.message_timeout_s
        ):
            inbox.fail(
                "unfinished_message",
                f"expected a whole message within {limits.message_timeout_s:g} s of its first "
                "byte, got a part of it",
            )
        elif not inbox.is_stalled and now_s - inbox.audio_s > limits.stall_s:
            inbox.is_stalled = True
            inbox.warn(
                "stalled", "warning", f"no audio for {limits.stall_s:g} s; predictions wait for it"
            )
