"""One conversation on the server: messages of the client in, predictions and events out.

A message takes effect only after all audio before it has been processed. Until then it waits in the
inbox. Messages to the client go through the outbox, so that a connection may break at any
moment. The conversation then waits until the client resumes over another connection.

This file is long because every part of it changes the same state: what is received, predicted and
sent, and when.

Everything is bounded. The server stops reading from a client that sends faster than the server
predicts. PROTOCOL.md says what happens to a client that reads slowly. This module knows no sockets.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable

from ..engine import ModelMetadata
from ..errors import AudioFormatError, ProtocolError
from ..latent_message import LatentMessage, latents_to_bytes
from ..pause_model import PauseModel
from ..pcm import SAMPLE_BYTES, decode_pcm, to_float32
from ..policy_settings import Policies
from ..prediction import Prediction
from ..protocol import (
    CLOSE_CODES,
    CLOSE_GOING_AWAY,
    CLOSE_NORMAL,
    BeginMessage,
    Close,
    ConfiguredMessage,
    Control,
    EndTurn,
    ErrorMessage,
    Flush,
    KeepAlive,
    Reset,
    ResumedMessage,
    SavedMessage,
    TerminationMessage,
    WarningMessage,
    frame_to_json,
    message_to_json,
    parse_control,
)
from ..session import Session
from ..settings import Configure, StreamSettings
from .batcher import Batcher
from .connection import Connection
from .delivery import Delivery
from .limits import Limits
from .metrics import Metrics
from .packed_conversation import PackedConversation

logger = logging.getLogger(__name__)

_MIN_BACKLOG = 10  # least number of frames that the buffer holds
_BLOCK_S = 0.25  # audio that is processed at once
_TOGETHER = 16  # number of waiting messages that are sent at once


class Conversation:
    """Serves one client from `begin` to the end, across lost connections.

    Args:
        settings: the settings that the client asked for.
        metadata: metadata of the model behind the batcher.
        batcher: makes the predictions.
        limits: bounds of the server.
        metrics: counts the session, its connections and its error.
        on_end: called once with the conversation, when it has ended.
        token: token with which the client can resume; None if it cannot.
        policies: what `configure` can ask for; None for the presets of `PRESETS`.
        saves: whether the owner saves the session in a store, so that it survives this process.
        pause_model: the batcher's pause model if it is asked in this conversation; None if not.
    Attributes:
        id: name of the session for the client and in the log.
        token: the same.
        epoch: number of the claim in the store under which the session is here.
        frames: number of predictions made.
        began_s: when it began, by the batcher's clock.
        reason: why the conversation ended; empty until then.
        has_pause_model: whether the pause model is asked in this conversation.
    """

    def __init__(
        self,
        settings: StreamSettings,
        metadata: ModelMetadata,
        batcher: Batcher,
        limits: Limits,
        metrics: Metrics,
        on_end: Callable[[Conversation], None],
        *,
        token: str | None = None,
        policies: Policies | None = None,
        saves: bool = False,
        pause_model: PauseModel | None = None,
    ) -> None:
        self.id = secrets.token_hex(8)
        self.token = token
        self.epoch = 1
        self.reason = ""
        self._policies = policies or Policies()
        self._settings = settings = settings.resolved(self._policies)
        self._metadata = metadata
        self._batcher = batcher
        self._limits = limits
        self._metrics = metrics
        self._on_end = on_end
        self._saves = saves
        self.has_pause_model = pause_model is not None
        self._saved: int | None = None  # messages of the client that the last saved state contains
        self._max_backlog = max(_MIN_BACKLOG, round(limits.max_waiting_s * metadata.frame_rate_hz))
        self._set_session(
            Session(
                metadata,
                sample_rate_hz=settings.sample_rate_hz,
                policy=settings.policy_settings,
                buffer_s=self._max_backlog / metadata.frame_rate_hz,
                pause_model=pause_model,
            )
        )
        self._parked_s: float | None = None  # when the connection was lost
        self._inbox: deque[str | bytes] = deque()
        self._processed = 0  # bytes of the first message in the inbox
        self._sample_bytes = SAMPLE_BYTES[settings.encoding] * settings.channels
        self._delivery = Delivery(limits, batcher.clock)
        self._received = self.frames = self._samples = 0
        self._ended = self._shutting_down = self._stalled = False
        self._processing = False
        self.began_s = batcher.clock()
        self._audio_s = self._message_s = self.began_s  # when audio, or any message, last came
        self._delivery.put(message_to_json(self._begin()))
        metrics.session_opened()

    def _set_session(self, session: Session) -> None:
        self._session = session
        self._audio_queue = self._batcher.open_audio_queue(
            session, self._on_result, self._on_engine_error
        )

    @property
    def seconds(self) -> float:
        """Duration of the audio received."""
        return self._samples / self._settings.sample_rate_hz

    @property
    def has_sent_audio(self) -> bool:
        """Whether the client has sent any audio so far."""
        return self._samples > 0

    @property
    def is_live(self) -> bool:
        """Whether the client sends audio no faster than real time."""
        return not self._audio_queue.is_early

    @property
    def parked_s(self) -> float | None:
        """When its client was lost, by the batcher's clock; None while it has a client."""
        return self._parked_s

    def _begin(self) -> BeginMessage:
        model = self._metadata
        return BeginMessage(
            session=self.id,
            model_name=model.name,
            model_version=model.version,
            model_sha256=model.network_sha256,
            frame_rate_hz=model.frame_rate_hz,
            latent_sizes={"latent": model.latent_size, "latent_speaker": model.latent_speaker_size},
            settings=self._settings,
            policies=tuple(self._policies.presets),
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
        self._message_s = self._audio_s = self._batcher.clock()
        self._delivery.attach(connection)
        self._audio_queue.release()
        self._process_inbox()

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
        if lost and self.token is not None and not self._shutting_down:
            self._park()
        else:
            self._close("the client left")

    def _park(self) -> None:
        """Start to wait for the client, which was lost."""
        self._parked_s = self._batcher.clock()
        self._metrics.session_parked()
        logger.info(
            "session lost its client",
            extra={"session": self.id, "seconds": round(self.seconds, 3)},
        )

    # ---- other processes ----

    @property
    def progress(self) -> tuple[int, int, bool]:
        """What has happened so far; as long as it is the same, `pack` need not be saved again."""
        return self._received, self.frames, self._ended

    def pack(self) -> bytes:
        """Return the whole conversation as bytes, for a store."""
        inbox = list(self._inbox)
        if self._processed:
            inbox[0] = self._inbox[0][self._processed :]
        return PackedConversation(
            id=self.id,
            settings=self._settings,
            session=self._session.snapshot(),
            received=self._received,
            frames=self.frames,
            samples=self._samples,
            inbox=inbox,
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
        packed: bytes,
        metadata: ModelMetadata,
        batcher: Batcher,
        limits: Limits,
        metrics: Metrics,
        on_end: Callable[[Conversation], None],
        *,
        token: str,
        policies: Policies | None = None,
        received: int,
    ) -> Conversation:
        """Return a conversation from the bytes that another process has packed.

        It waits for its client to resume. The other arguments are those of the class.

        Args:
            received: messages that the client has received. If the other process has sent some of
                them after it packed the conversation, they are not sent again.
        Raises:
            SnapshotError: the bytes are damaged, were not made by `pack`, or belong to another
                model.
        """
        parts = PackedConversation.from_bytes(packed)
        session = Session.restore(parts.session, metadata, batcher.pause_model)
        conversation = cls(
            parts.settings,
            metadata,
            batcher,
            limits,
            metrics,
            on_end,
            token=token,
            policies=policies,
            saves=True,
        )
        conversation.id = parts.id
        conversation.frames = parts.frames
        conversation._received = conversation._saved = parts.received
        conversation._samples = parts.samples
        conversation._inbox.extend(parts.inbox)
        conversation._ended = parts.close_frame is not None
        conversation._delivery.outbox.restore(parts.outbox, received)
        conversation._delivery.close_frame = parts.close_frame
        conversation._set_session(session)
        conversation.has_pause_model = session.has_pause_model
        conversation._audio_queue.pushed(0.0)
        conversation._process_inbox()
        conversation._park()
        return conversation

    def shut_down(self) -> None:
        """Process all audio that has arrived, send `termination`, and close."""
        if self._shutting_down:
            return
        self._shutting_down = True
        if self._delivery.connection is None:
            self._close("shutdown")
            return
        self._delivery.connection.pause_reading()
        self._process_inbox()

    def give_up(self) -> None:
        """End the conversation, because its client has not come back."""
        self._close("the client was lost")

    def yield_place(self) -> None:
        """End the conversation, which has never sent audio, because another needs its place."""
        connection = self._delivery.connection
        self._fail("no_audio", "no audio came, and another client needs the place")
        if connection is not None:
            connection.close(*(self._delivery.close_frame or (CLOSE_GOING_AWAY, "")))
        self._close("no_audio")

    def _close(self, reason: str) -> None:
        """Leave the batcher and report the end. Only the first call has an effect."""
        self._audio_queue.close()
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
        self._on_end(self)

    # ---- in ----

    def on_message(self, message: str | bytes) -> None:
        """Queue a message of the client and process what can be processed now."""
        self._received += 1
        if self._ended or self._shutting_down:
            return
        self._message_s = self._batcher.clock()
        self._inbox.append(message)
        self._process_inbox()

    def on_misuse(self, code: str, message: str) -> None:
        """End with this error, because the client broke a limit of its connection."""
        self._fail(code, message)

    def _process_inbox(self) -> None:
        """Process as many messages as possible; the others follow as predictions are made."""
        if self._processing:
            return
        self._processing = True
        try:
            while self._inbox and not self._ended:
                message = self._inbox.popleft()
                if not self._process(message):
                    self._inbox.appendleft(message)
                    # Audio that gave no frame, such as a part of a long message, waits for nothing.
                    if self._session.frames_waiting or isinstance(message, str):
                        break
            if self._shutting_down and not self._inbox and not self._ended:
                self._finish("shutdown", CLOSE_GOING_AWAY)
        except ProtocolError as error:
            self._fail(error.code, str(error))
        except AudioFormatError as error:
            self._fail("bad_audio", str(error))
        except Exception:  # reported to the client; a bug here must not leave it waiting
            logger.exception("session failed", extra={"session": self.id})
            self._fail("internal_error", "the server failed on this message")
        finally:
            self._processing = False
        connection = self._delivery.connection
        if connection is not None and not self._shutting_down:
            if self._inbox:
                connection.pause_reading()
            else:
                connection.resume_reading()

    def _process(self, message: str | bytes) -> bool:
        """Process a message; return False if it must wait or is processed only in part."""
        if isinstance(message, str):
            control, remark = parse_control(message)
            if not self._process_control(control):
                return False
            if remark:
                self._warn("unknown_control", "warning", remark)
            return True
        return self._process_audio(message)

    def _process_audio(self, message: bytes) -> bool:
        # A long message is processed in blocks, so that it does not delay others. Resampling can
        # cost as much as a step, so a file gets as much of it as of steps: a frame at a time.
        settings, block_s = self._settings, _BLOCK_S
        if settings.sample_rate_hz != self._metadata.sample_rate_hz and self._audio_queue.is_early:
            block_s = 1 / self._metadata.frame_rate_hz
        block = min(round(block_s * settings.sample_rate_hz), self._session.free_samples)
        start, end = self._processed, self._processed + block * self._sample_bytes
        part = to_float32(decode_pcm(message[start:end], settings.encoding, settings.channels))
        if len(part):
            self._session.push_audio(part)
            self._samples += len(part)
            self._audio_s, self._stalled = self._batcher.clock(), False
            for warning in self._session.take_warnings():
                self._warn(warning.code, warning.severity, warning.message)
            self._audio_queue.pushed(len(part) / self._settings.sample_rate_hz)
        whole = end >= len(message)
        self._processed = 0 if whole else end
        return whole

    def _process_control(self, control: Control | None) -> bool:
        if isinstance(control, KeepAlive):
            return True
        if self._session.frames_waiting and not isinstance(control, Flush):
            return False
        if isinstance(control, Configure | EndTurn | None) and not self._may_answer():
            return False
        match control:
            case Flush():
                self._flush()
            case Reset():
                self._session.reset()
                self._audio_queue.forget()
            case Close():
                return self._finish("close", CLOSE_NORMAL)
            case EndTurn():
                for event in self._session.end_turn(control.speaker):
                    self._delivery.put(message_to_json(event))
                self._delivery.send()
            case Configure():
                self._settings = self._settings.configured(control).resolved(self._policies)
                self._session.configure(self._settings.policy_settings)
                self._delivery.put(message_to_json(ConfiguredMessage(self._settings)))
                self._delivery.send()
            case None:
                pass
        return True

    def _may_answer(self) -> bool:
        """Return whether a control can be answered now; not while the client reads too slowly.

        Raises:
            ProtocolError: slow_reader; the client has not answered pings, so too much is kept.
        """
        outbox = self._delivery.outbox
        if outbox.is_overfull:
            raise ProtocolError(
                "slow_reader",
                f"expected answers to pings, got none; {outbox.outstanding} messages wait",
            )
        return not self._delivery.is_full

    def _flush(self) -> None:
        before = self._session.frames_waiting
        self._session.flush()
        # The padding counts as audio that was sent faster than real time.
        self._audio_queue.pushed(
            (self._session.frames_waiting - before) / self._metadata.frame_rate_hz
        )

    def _finish(self, reason: str, close_code: int) -> bool:
        """End the conversation in order; return False while frames still wait for prediction."""
        if not self._session.frames_waiting:
            self._flush()
        if self._session.frames_waiting:
            return False
        self._end(
            message_to_json(TerminationMessage(self.frames, self.seconds, reason)),
            close_code,
            reason,
        )
        return True

    def _fail(self, code: str, message: str) -> None:
        if not self._ended:
            self._metrics.error(code)
        self._end(
            message_to_json(ErrorMessage(code, message)), CLOSE_CODES[code], f"{code}: {message}"
        )

    def _end(self, wire: str, close_code: int, reason: str) -> None:
        """Send the last message. Only the first call has an effect."""
        if self._ended:
            return
        self._ended = True
        self._audio_queue.close()
        self._inbox.clear()
        self._processed = 0
        self._delivery.end(wire, close_code, reason)

    # ---- out ----

    def _on_result(self, prediction: Prediction) -> None:
        self.frames += 1
        settings, delivery = self._settings, self._delivery
        if settings.frames and prediction.frame % settings.frames == 0:
            self._send_frame(prediction)
        for event in prediction.events:
            delivery.put(message_to_json(event))
        # The messages for the frames of one audio message are sent together.
        if not self._session.frames_waiting or delivery.outbox.waiting >= _TOGETHER:
            delivery.send()
        if delivery.is_full and self._is_ahead:
            self._audio_queue.hold()
        if self._inbox or self._shutting_down:
            self._process_inbox()

    def _send_frame(self, prediction: Prediction) -> None:
        """Send a prediction and its latents, or leave them out if the client reads too slowly."""
        latents, delivery = self._settings.latents, self._delivery
        if delivery.must_drop_frames(self._is_ahead):
            delivery.outbox.leave_out({"none": 1, "final": 2, "all": 3}[latents])
            return
        delivery.put(frame_to_json(prediction), essential=False)
        if latents != "none":
            delivery.put(
                latents_to_bytes(LatentMessage(prediction.frame, "latent", prediction.latent)),
                essential=False,
            )
        if latents == "all":
            delivery.put(
                latents_to_bytes(
                    LatentMessage(prediction.frame, "latent_speaker", prediction.latent_speaker)
                ),
                essential=False,
            )

    @property
    def _is_ahead(self) -> bool:
        """Whether the client sends faster than real time; the server can make it wait."""
        return bool(self._inbox) or self._audio_queue.is_early

    def _on_engine_error(self, error: Exception) -> None:
        logger.error("the engine failed", exc_info=error, extra={"session": self.id})
        self._fail("internal_error", "the prediction failed")

    def _warn(self, code: str, severity: str, message: str) -> None:
        wire = message_to_json(WarningMessage(code, severity, message))
        self._delivery.put(wire, counted=False)
        self._delivery.send()

    def on_pong(self, payload: bytes) -> None:
        """Note that the client has received everything sent before this ping."""
        self._delivery.on_pong(payload)

    def on_writable(self) -> None:
        """Send more, because the client has read what waited in the connection."""
        self._delivery.on_writable()
        if self._delivery.has_room:
            self._audio_queue.release()
            self._process_inbox()

    # ---- time ----

    def tick(self, now_s: float) -> None:
        """Check all time limits; called a few times per second."""
        limits, delivery, connection = self._limits, self._delivery, self._delivery.connection
        if connection is None:
            if self._parked_s is not None and now_s - self._parked_s > limits.resume_s:
                self.give_up()
        elif self._ended:
            # The last messages wait, but the client reads nothing.
            if not delivery.check(now_s, ahead=False):
                connection.close(*(delivery.close_frame or (CLOSE_GOING_AWAY, "")))
        elif not delivery.check(now_s, self._is_ahead):
            self._fail(
                "slow_reader",
                f"took nothing for {limits.slow_reader_timeout_s:g} s while "
                f"{delivery.outbox.outstanding} messages waited",
            )
            # Close now, because the last message waits behind all others.
            connection.close(*(delivery.close_frame or (CLOSE_GOING_AWAY, "")))
        elif delivery.outbox.is_overfull:
            self._fail(
                "slow_reader",
                f"expected at most {2 * limits.max_kept_messages} messages that you have not "
                f"confirmed by answers to pings, got {delivery.outbox.outstanding}",
            )
            connection.close(*(delivery.close_frame or (CLOSE_GOING_AWAY, "")))
        elif not connection.reading:
            self._message_s = self._audio_s = now_s  # the server makes the client wait
        elif delivery.is_silent(now_s, self._message_s):
            connection.abort()
        elif now_s - self._message_s > limits.idle_timeout_s:
            self._fail(
                "idle",
                f"expected audio or keep_alive at least every {limits.idle_timeout_s:g} s, "
                "got nothing",
            )
        elif not self._samples and now_s - self.began_s > limits.first_audio_timeout_s:
            self._fail("no_audio", f"no audio came for {limits.first_audio_timeout_s:g} s")
        elif (since_s := connection.unfinished_since_s) is not None and (
            now_s - since_s > limits.message_timeout_s
        ):
            self._fail(
                "unfinished_message",
                f"expected a whole message within {limits.message_timeout_s:g} s of its first "
                "byte, got a part of it",
            )
        elif not self._stalled and now_s - self._audio_s > limits.stall_s:
            self._stalled = True
            self._warn(
                "stalled", "warning", f"no audio for {limits.stall_s:g} s; predictions wait for it"
            )
