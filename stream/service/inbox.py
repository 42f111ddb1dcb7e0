"""What the messages of one client do: audio and controls in, predictions and events out.

A message takes effect only after all audio before it has been predicted on. Until then it waits
here. While messages wait, the server reads no more from the client, so that a client that sends
faster than the server predicts cannot fill the memory. PROTOCOL.md says what happens to a client
that reads slowly. This module knows no sockets, and nothing of lost connections or time limits.
"""

from __future__ import annotations

import logging
from collections import deque

from ..errors import AudioFormatError, ProtocolError
from ..latent_message import LatentKind, LatentMessage, latents_to_bytes
from ..pcm import SAMPLE_BYTES, decode_stereo
from ..policy_settings import Policies
from ..prediction import Prediction
from ..protocol import (
    CLOSE_CODES,
    CLOSE_GOING_AWAY,
    CLOSE_NORMAL,
    Close,
    ConfiguredMessage,
    Control,
    EndTurn,
    ErrorMessage,
    Flush,
    KeepAlive,
    Reset,
    TerminationMessage,
    WarningMessage,
    frame_to_json,
    message_to_json,
    parse_control,
)
from ..session import Session
from ..settings import Configure, LatentChoice, StreamSettings
from .batcher import Batcher
from .delivery import Delivery
from .metrics import Metrics

logger = logging.getLogger(__name__)

_BLOCK_S = 0.25  # audio that is processed at once
_TOGETHER = 16  # number of waiting messages that are sent at once
_LATENTS: dict[LatentChoice, tuple[LatentKind, ...]] = {  # sent after each frame message
    "none": (),
    "final": ("latent",),
    "all": ("latent", "latent_speaker"),
}


class Inbox:
    """The messages of one client, in order.

    Args:
        name: the session in the log.
        settings: the settings that the client asked for, resolved.
        session: takes the audio and makes the predictions.
        batcher: steps the engine.
        delivery: takes the messages for the client.
        metrics: counts errors.
        policies: what `configure` can ask for.
    Attributes:
        settings, session: the settings that hold now, and the session.
        audio_queue: the session's frames in the batcher.
        frames: number of predictions made.
        samples: samples per channel received.
        audio_s: when audio last came, by the batcher's clock.
        first_audio_s: when audio first came, or when the session came here with audio; else None.
        is_stalled: whether the client was told that no audio comes.
        is_finishing: whether the session ends as soon as all messages are processed.
    """

    def __init__(
        self,
        name: str,
        settings: StreamSettings,
        session: Session,
        batcher: Batcher,
        delivery: Delivery,
        metrics: Metrics,
        policies: Policies,
    ) -> None:
        self.settings = settings
        self.session = session
        self.audio_queue = batcher.open_audio_queue(session, self._on_result, self._on_engine_error)
        self.frames = self.samples = 0
        self.audio_s = batcher.clock()
        self.first_audio_s: float | None = None
        self.is_stalled = self.is_finishing = False
        self._name = name
        self._clock = batcher.clock
        self._delivery = delivery
        self._metrics = metrics
        self._policies = policies
        self._waiting: deque[str | bytes] = deque()
        self._processed = 0  # bytes of the first message that waits
        self._sample_bytes = SAMPLE_BYTES[settings.encoding] * settings.channels
        self._is_processing = False

    @property
    def seconds(self) -> float:
        """Duration of the audio received."""
        return self.samples / self.settings.sample_rate_hz

    @property
    def is_ahead(self) -> bool:
        """Whether the client sends faster than real time; the server can make it wait."""
        return bool(self._waiting) or self.audio_queue.is_early

    def pack(self) -> list[str | bytes]:
        """Return the messages that wait, without the audio that the session already has."""
        waiting = list(self._waiting)
        if self._processed:
            waiting[0] = self._waiting[0][self._processed :]
        return waiting

    def restore(self, waiting: list[str | bytes], frames: int, samples: int) -> None:
        """Continue with the waiting messages and the counts of another process."""
        self._waiting.extend(waiting)
        self.frames, self.samples = frames, samples
        self.first_audio_s = self.audio_s if samples else None
        self.audio_queue.pushed(0.0)
        self.process()

    def finish(self) -> None:
        """End the session in order as soon as all messages that wait are processed."""
        self.is_finishing = True
        self.process()

    def add(self, message: str | bytes) -> None:
        """Queue a message of the client and process what can be processed now."""
        self._waiting.append(message)
        self.process()

    def process(self) -> None:
        """Process as many messages as possible; the others follow as predictions are made."""
        if self._is_processing:
            return
        self._is_processing = True
        delivery = self._delivery
        try:
            while self._waiting and not delivery.has_ended:
                message = self._waiting.popleft()
                if not self._process(message):
                    self._waiting.appendleft(message)
                    # Audio that gave no frame, such as a part of a long message, waits for nothing.
                    if self.session.frames_waiting or isinstance(message, str):
                        break
            if self.is_finishing and not self._waiting and not delivery.has_ended:
                self._finish("shutdown", CLOSE_GOING_AWAY)
        except ProtocolError as error:
            self.fail(error.code, str(error))
        except AudioFormatError as error:
            self.fail("bad_audio", str(error))
        except Exception:  # reported to the client; a bug here must not leave it waiting
            logger.exception("session failed", extra={"session": self._name})
            self.fail("internal_error", "the server failed on this message")
        finally:
            self._is_processing = False
        connection = delivery.connection
        if connection is not None and not self.is_finishing:
            if self._waiting:
                connection.pause_reading()
            else:
                connection.resume_reading()

    def fail(self, code: str, message: str) -> None:
        """End the session with an error. Has no effect after the end."""
        if not self._delivery.has_ended:
            self._metrics.error(code)
        self._end(
            message_to_json(ErrorMessage(code, message)), CLOSE_CODES[code], f"{code}: {message}"
        )

    def warn(self, code: str, severity: str, message: str) -> None:
        """Send a warning, which is not counted."""
        wire = message_to_json(WarningMessage(code, severity, message))
        self._delivery.put(wire, counted=False)
        self._delivery.send()

    # ---- in ----

    def _process(self, message: str | bytes) -> bool:
        """Process a message; return False if it must wait or is processed only in part."""
        if isinstance(message, bytes):
            return self._process_audio(message)
        control, remark = parse_control(message)
        if not self._process_control(control):
            return False
        if remark:
            self.warn("unknown_control", "warning", remark)
        return True

    def _process_audio(self, message: bytes) -> bool:
        # A long message is processed in blocks, so that it does not delay others. Resampling can
        # cost as much as a step, so a file gets as much of it as of steps: a frame at a time.
        session, settings, block_s = self.session, self.settings, _BLOCK_S
        metadata = session.metadata
        if settings.sample_rate_hz != metadata.sample_rate_hz and self.audio_queue.is_early:
            block_s = 1 / metadata.frame_rate_hz
        block = min(round(block_s * settings.sample_rate_hz), session.free_samples)
        start, end = self._processed, self._processed + block * self._sample_bytes
        part = decode_stereo(message[start:end], settings.encoding, settings.channels)
        if len(part):
            session.push_audio(part)
            self.samples += len(part)
            self.audio_s, self.is_stalled = self._clock(), False
            if self.first_audio_s is None:
                self.first_audio_s = self.audio_s
            for warning in session.take_warnings():
                self.warn(warning.code, warning.severity, warning.message)
            self.audio_queue.pushed(len(part) / settings.sample_rate_hz)
        whole = end >= len(message)
        self._processed = 0 if whole else end
        return whole

    def _process_control(self, control: Control | None) -> bool:
        if isinstance(control, KeepAlive):
            return True
        if self.session.frames_waiting and not isinstance(control, Flush):
            return False
        if isinstance(control, Configure | EndTurn | None) and not self._may_answer():
            return False
        match control:
            case Flush():
                self._flush()
            case Reset():
                self.session.reset()
                self.audio_queue.forget()
            case Close():
                return self._finish("close", CLOSE_NORMAL)
            case EndTurn():
                for event in self.session.end_turn(control.speaker):
                    self._delivery.put(message_to_json(event))
                self._delivery.send()
            case Configure():
                self.settings = self.settings.configured(control).resolved(self._policies)
                self.session.configure(self.settings.policy_settings)
                self._delivery.put(message_to_json(ConfiguredMessage(self.settings)))
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
        session = self.session
        before = session.frames_waiting
        session.flush()
        # The padding counts as audio that was sent faster than real time.
        self.audio_queue.pushed((session.frames_waiting - before) / session.metadata.frame_rate_hz)

    def _finish(self, reason: str, close_code: int) -> bool:
        """End the session in order; return False while frames still wait for prediction."""
        if not self.session.frames_waiting:
            self._flush()
        if self.session.frames_waiting:
            return False
        self._end(
            message_to_json(TerminationMessage(self.frames, self.seconds, reason)),
            close_code,
            reason,
        )
        return True

    def _end(self, wire: str, close_code: int, reason: str) -> None:
        """Send the last message. Only the first call has an effect."""
        if self._delivery.has_ended:
            return
        self.audio_queue.close()
        self._waiting.clear()
        self._processed = 0
        self._delivery.end(wire, close_code, reason)

    # ---- out ----

    def _on_result(self, prediction: Prediction) -> None:
        self.frames += 1
        step, delivery = self.settings.frames, self._delivery
        if step and prediction.frame % step == 0:
            self._put_frame(prediction)
        for event in prediction.events:
            delivery.put(message_to_json(event))
        # The messages for the frames of one audio message are sent together.
        if not self.session.frames_waiting or delivery.outbox.waiting >= _TOGETHER:
            delivery.send()
        if delivery.is_full and self.is_ahead:
            self.audio_queue.hold()
        if self._waiting or self.is_finishing:
            self.process()

    def _put_frame(self, prediction: Prediction) -> None:
        """Put a prediction and its latents; leave them out if the client reads too slowly."""
        kinds, delivery = _LATENTS[self.settings.latents], self._delivery
        if delivery.must_drop_frames(self.is_ahead):
            delivery.outbox.leave_out(1 + len(kinds))
            return
        delivery.put(frame_to_json(prediction), essential=False)
        for kind in kinds:
            latents = LatentMessage(prediction.frame, kind, getattr(prediction, kind))
            delivery.put(latents_to_bytes(latents), essential=False)

    def _on_engine_error(self, error: Exception) -> None:
        logger.error("the engine failed", exc_info=error, extra={"session": self._name})
        self.fail("internal_error", "the prediction failed")
