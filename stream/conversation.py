"""One websocket conversation on the server: messages in, predictions and events out, and how it ends.

A reader feeds the session and a writer sends what is due; between them stand the session's waiting frames and the outbox, both
bounded. When the outbox is full the batcher stops predicting, then the reader stops reading, then TCP makes the client wait:
nothing is lost, and only a client that takes nothing for too long is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from .batcher import Batcher
from .engine import ModelMetadata
from .errors import AudioFormatError, ProtocolError
from .limits import Limits
from .protocol import (
    CLOSE_CODES,
    CLOSE_GOING_AWAY,
    CLOSE_NORMAL,
    BeginMessage,
    Close,
    Control,
    ErrorMessage,
    Flush,
    KeepAlive,
    LatentMessage,
    Reset,
    TerminationMessage,
    WarningMessage,
    frame_to_json,
    latents_to_bytes,
    message_to_json,
    parse_control,
)
from .session import FrameResult, Session
from .settings import StreamSettings
from .sources import decode_pcm

logger = logging.getLogger(__name__)

_MIN_BACKLOG = 10  # frames of buffer, so that half of it empty is always room for more


class Conversation:
    """Serves one accepted connection from `begin` to the close.

    Args:
        connection: open; nobody else reads from it or writes to it.
        settings: what the client asked for.
        metadata: of the model behind the batcher.
        batcher: predicts.
        limits: bounds of the server.
    Attributes:
        id: names the session to the client and in the log.
    """

    def __init__(self, connection: ServerConnection, settings: StreamSettings, metadata: ModelMetadata, batcher: Batcher, limits: Limits) -> None:
        self.id = secrets.token_hex(8)
        self._connection = connection
        self._settings = settings
        self._metadata = metadata
        self._limits = limits
        self._max_backlog = max(_MIN_BACKLOG, round(limits.max_waiting_s * metadata.frame_rate_hz))
        self._session = Session(metadata, sample_rate_hz=settings.sample_rate_hz, policy=settings.policy, buffer_s=self._max_backlog / metadata.frame_rate_hz)
        self._lane = batcher.open_lane(self._session, self._on_result, self._on_engine_error)
        self._outbox: deque[str | bytes] = deque()
        self._outbox_changed = asyncio.Event()
        self._end: tuple[int, str] | None = None  # close code and reason, once the last message is in the outbox
        self._gone = False  # the connection is closed
        self._shutting_down = False
        self._receiving = False  # the reader waits for a message, and so can be interrupted
        self._frames = 0
        self._samples = 0
        self._reader: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until the connection is closed."""
        logger.info("session %s from %s: %s", self.id, self._connection.remote_address, self._settings.to_query())
        self._put(message_to_json(self._begin()))
        self._reader = asyncio.create_task(self._read(), name=f"turnstream-reader-{self.id}")
        try:
            await self._write()
        finally:
            self._lane.close()
            self._shutting_down = False
            self._reader.cancel()
            await asyncio.wait([self._reader])
            code, reason = self._end or (self._connection.close_code, "the client left")
            logger.info("session %s ended after %d frames, %.2f s of audio: %s %s", self.id, self._frames, self._seconds, code, reason)

    def shut_down(self) -> None:
        """Stop reading, predict on what has come, say `termination`, close."""
        if self._reader is not None and self._end is None and not self._shutting_down:
            self._shutting_down = True
            if self._receiving:
                self._reader.cancel()

    def cut(self) -> None:
        """Drop the connection without a word."""
        self._connection.transport.abort()

    @property
    def _seconds(self) -> float:
        return self._samples / self._settings.sample_rate_hz

    def _begin(self) -> BeginMessage:
        model = self._metadata
        return BeginMessage(
            session=self.id,
            model_name=model.name,
            model_version=model.version,
            model_sha256=model.weights_sha256,
            frame_rate_hz=model.frame_rate_hz,
            latent_sizes={"latent": model.latent_size, "latent_speaker": model.latent_speaker_size},
            settings=self._settings,
        )

    # ---- in ----

    async def _read(self) -> None:
        try:
            while self._end is None and not self._shutting_down:
                self._receiving = True
                message = await self._connection.recv()
                self._receiving = False
                await self._take(message)
            if self._shutting_down:
                await self._finish("shutdown", CLOSE_GOING_AWAY)
        except ConnectionClosed:
            self._gone = True
            self._outbox_changed.set()
            return
        except asyncio.CancelledError:
            if not (self._shutting_down and self._receiving):
                raise
            await self._finish("shutdown", CLOSE_GOING_AWAY)
        except ProtocolError as error:
            self._finish_with_error(error.code, str(error))
        except AudioFormatError as error:
            self._finish_with_error("bad_audio", str(error))
        except Exception:  # reported to the client; a bug here must not leave it waiting
            logger.exception("session %s failed", self.id)
            self._finish_with_error("internal_error", "the server failed on this message")
        await self._discard()

    async def _discard(self) -> None:
        """Read on without use, or the client's answer to the close would wait behind its audio."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._connection.recv()

    async def _take(self, message: str | bytes) -> None:
        if len(message) > self._limits.max_message_bytes:
            raise ProtocolError("message_too_big", f"expected a message of at most {self._limits.max_message_bytes} bytes, got {len(message)}")
        if isinstance(message, str):
            await self._obey(parse_control(message))
            return
        samples = decode_pcm(message, self._settings.encoding, self._settings.channels)
        block = self._settings.sample_rate_hz // 4  # a long message is taken in parts, so that nobody waits while it is resampled
        while len(samples) and self._end is None:
            room = min(block, self._session.free_samples)
            if not room:
                await self._lane.wait_for_backlog(self._max_backlog // 2)
                continue
            part, samples = samples[:room], samples[room:]
            self._session.push_audio(part)
            self._samples += len(part)
            for warning in self._session.take_warnings():
                self._put(message_to_json(WarningMessage(warning.code, warning.severity, warning.message)))
            self._lane.wake()

    async def _obey(self, control: Control) -> None:
        match control:
            case KeepAlive():
                pass
            case Flush():
                self._session.flush()
                self._lane.wake()
            case Reset():
                await self._lane.wait_for_backlog(0)
                self._session.reset()
            case Close():
                await self._finish("close", CLOSE_NORMAL)
            case _:
                settings = self._settings.configured(control)
                await self._lane.wait_for_backlog(0)
                self._settings = settings
                self._session.configure(settings.policy)

    async def _finish(self, reason: str, close_code: int) -> None:
        """Predict on everything that came, then end well."""
        self._session.flush()
        self._lane.wake()
        await self._lane.wait_for_backlog(0)
        self._put_last(message_to_json(TerminationMessage(self._frames, self._seconds, reason)), close_code, reason)

    def _finish_with_error(self, code: str, message: str) -> None:
        self._put_last(message_to_json(ErrorMessage(code, message)), CLOSE_CODES[code], f"{code}: {message}")

    # ---- out ----

    def _on_result(self, result: FrameResult) -> None:
        self._frames += 1
        prediction, settings = result.prediction, self._settings
        if settings.frames and prediction.frame % settings.frames == 0:
            self._put(frame_to_json(prediction))
            if settings.latents != "none":
                self._put(latents_to_bytes(LatentMessage(prediction.frame, "latent", prediction.latent)))
            if settings.latents == "all":
                self._put(latents_to_bytes(LatentMessage(prediction.frame, "latent_speaker", prediction.latent_speaker)))
        for event in result.events:
            self._put(message_to_json(event))
        if len(self._outbox) >= self._limits.max_outgoing_messages:
            self._lane.hold()

    def _on_engine_error(self, error: Exception) -> None:
        logger.error("session %s: the engine failed", self.id, exc_info=error)
        self._finish_with_error("internal_error", "the prediction failed")

    def _put(self, wire: str | bytes) -> None:
        self._outbox.append(wire)
        self._outbox_changed.set()

    def _put_last(self, wire: str, close_code: int, reason: str) -> None:
        """The first end counts; what comes after it is not sent."""
        if self._end is None:
            self._lane.close()
            self._put(wire)
            self._end = (close_code, reason.encode()[:123].decode(errors="ignore"))

    async def _write(self) -> None:
        try:
            while not self._gone:
                await self._outbox_changed.wait()
                self._outbox_changed.clear()
                while self._outbox:
                    await self._send_next()
                if self._end is not None:
                    await self._close(*self._end)
        except ConnectionClosed:
            pass
        except TimeoutError:
            await self._drop_slow_reader()

    async def _send_next(self) -> None:
        async with asyncio.timeout(self._limits.slow_reader_timeout_s):  # one for each message, so that a slow but steady reader stays
            await self._connection.send(self._outbox.popleft())
        if len(self._outbox) <= self._limits.max_outgoing_messages // 2:
            self._lane.release()

    async def _drop_slow_reader(self) -> None:
        self._finish_with_error("slow_reader", f"took nothing for {self._limits.slow_reader_timeout_s:g} s while {len(self._outbox)} messages waited")
        code, reason = self._end or (CLOSE_GOING_AWAY, "")
        if self._outbox:  # empty when it was the last message that was not taken
            with contextlib.suppress(ConnectionClosed, TimeoutError):
                async with asyncio.timeout(self._limits.close_timeout_s):
                    await self._connection.send(self._outbox[-1])
        await self._close(code, reason)

    async def _close(self, code: int, reason: str) -> None:
        """Close within the time limit, also when the client takes nothing more."""
        try:
            async with asyncio.timeout(2 * self._limits.close_timeout_s):
                await self._connection.close(code, reason)
        except TimeoutError:
            self.cut()
        self._gone = True
