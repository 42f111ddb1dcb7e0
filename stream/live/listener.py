"""Runs a live command: sends a source to a client, and shows and records what comes back.

The client predicts in this process (`LocalClient`) or asks a server (`AsyncClient`); the rest is
the same. Audio is rounded to 16 bits first. The wire and the recording use this format, so model,
server and recording get the same bits.

A live command ends when the source ends, after the given time, or on Ctrl-C, SIGTERM, SIGHUP or the
key q. It closes the source, waits for the predictions that are still due, writes them, and restores
the terminal. A second signal ends it at once, and so does a wait of `_LAST_ANSWERS_S` for the last
predictions after a signal. The terminal is restored and files are closed in these cases, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TextIO

import numpy as np

from ..clients.asynchronous import AsyncClient
from ..devices.microphone import MicrophoneSource
from ..devices.native_noise import native_noise_hidden
from ..devices.second_channel import DeviceVoice, PairedSource
from ..devices.source_thread import SourceThread
from ..devices.steady_microphone import SteadyMicrophone
from ..errors import ServerError, TurnstreamError
from ..latent_message import LatentMessage
from ..live_embedding import LiveEmbedding
from ..pcm import Block, encode_pcm
from ..prediction import FrameMessage, Prediction, TurnEvent
from ..printable import printable
from ..protocol import TerminationMessage, WarningMessage
from ..settings import StreamSettings
from ..sources import FileSource, RawPcmSource, paced
from .live_audio import LiveAudio
from .local_client import LocalClient
from .quit_key import quit_key
from .recording import Recording
from .sound_level import FrameLevels, SilenceWatch, levels_dbfs
from .terminal import TerminalView
from .terminal_screen import Screen
from .terminal_words import Tally, closing_text, warning_words

Client = AsyncClient | LocalClient
Connect = Callable[[StreamSettings], AbstractAsyncContextManager[Client]]

# Blocks whose predictions are due; beyond it the oldest is dropped. The client makes the sender
# wait long before.
_UNANSWERED = 4096
_LAST_ANSWERS_S = 3.0
_DRIFT_WORDS_S = 60.0  # shortest time between two warnings of clock drift


class Listener:
    """One run of a live command.

    Args:
        audio: the source, and how to present it.
        policy: name of the preset to ask the client for, None for its default; and the values
            that replace the preset's.
        seconds: end after this many seconds of audio; None for no limit.
        plain: write lines of events, even if the terminal can show the live view.
        record: folder to record into. It is made once the client is connected.
        embedding: embedding of the latent states, to show their plane, too.
        out: where to write; standard output if not given.
    Attributes:
        tally: counts of what was shown.
    """

    def __init__(
        self,
        audio: LiveAudio,
        *,
        policy: tuple[str | None, dict[str, float]] = (None, {}),
        seconds: float | None = None,
        plain: bool = False,
        record: Path | None = None,
        embedding: LiveEmbedding | None = None,
        out: TextIO | None = None,
    ) -> None:
        self.tally = Tally()
        self._audio = audio
        self._source = audio.source
        self._policy = policy
        self._seconds = seconds
        self._plain = plain
        self._record = record
        self._recording: Recording | None = None
        self._embedding = embedding
        self._out = out
        self._live = isinstance(self._source, MicrophoneSource | SteadyMicrophone | PairedSource)
        self._ending = False
        self._thread = SourceThread(
            paced(self._source, audio.speed)
            if isinstance(self._source, FileSource)
            else self._source
        )
        # (seconds of audio sent so far, time when the block came).
        self._sent: deque[tuple[float, float]] = deque(maxlen=_UNANSWERED)
        self._silence = SilenceWatch()
        self._levels: FrameLevels | None = None
        self._reported = {"dropped": False, "overflow": False}
        self._drift_samples, self._drift_said_s = 0, -_DRIFT_WORDS_S

    def run(self, command: str, connect: Connect) -> int:
        """Show predictions to the end, print a summary, and close the source and the recording.

        Args:
            command: "demo" or "listen"; the summary depends on it.
            connect: opens the client.
        Returns:
            The exit code.
        Raises:
            TurnstreamError, OSError: the source, the client or the recording failed. The audio
                before the failure was shown and recorded, and the summary covers it.
        """
        if self._audio.remark:
            print(self._audio.remark, file=self._out, flush=True)
        try:
            # An abrupt end raises one of these; everything is closed by then.
            with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
                asyncio.run(self._connected(connect))
        except (TurnstreamError, OSError):
            if self.tally.frames:
                print(self._recorded(), self.tally.summary(), sep="", file=self._out, flush=True)
            raise
        finally:
            self._source.close()
            if self._recording is not None:
                self._recording.close()
        lost_s = 0.0
        if isinstance(self._source, MicrophoneSource | SteadyMicrophone | PairedSource):
            lost_s = self._source.dropped_samples / self._source.sample_rate_hz
        if lost_s:
            print(
                f"{lost_s:.2f} s of sound were skipped because this computer was too slow.",
                file=self._out,
            )
        print(
            self._recorded(), closing_text(command, self.tally), sep="", file=self._out, flush=True
        )
        return 0

    def _recorded(self) -> str:
        return "" if self._recording is None else f"Recorded in {self._recording.folder}\n"

    async def _connected(self, connect: Connect) -> None:
        source, audio = self._source, self._audio
        embedding = self._embedding
        latents = "none" if embedding is None else embedding.latents
        policy, values = self._policy
        settings = StreamSettings(
            sample_rate_hz=source.sample_rate_hz,
            channels=source.channels,
            latents=latents,
            policy=policy,
            policy_values=values,
        )
        async with self._signals() as end, connect(settings) as client:
            begin = client.begin
            if embedding is not None:
                embedding.check_fits(
                    f"{begin.model_name} {begin.model_version}",
                    begin.model_sha256,
                    begin.latent_sizes,
                )
            length_s = source.duration_s if isinstance(source, FileSource) else math.inf
            duration_s = min(length_s, self._seconds or math.inf)
            view = TerminalView(
                printable(audio.title),
                printable(f"{begin.model_name} {begin.model_version}"),
                names=audio.names,
                end_threshold=begin.settings.policy_settings.end_threshold,
                end_silence_s=begin.settings.policy_settings.end_silence_secs,
                frame_rate_hz=begin.frame_rate_hz,
                session=begin.session[:6],
                duration_s=duration_s if math.isfinite(duration_s) else None,
                explanation=audio.explanation,
                embedding=embedding and embedding.saved,
                heard=(True, source.channels == 2),
            )
            self.tally = view.tally
            if self._record is not None:
                self._recording = Recording(self._record, source.sample_rate_hz, source.channels)
            if audio.remark:
                view.on_warning(audio.remark)
            self._levels = FrameLevels(source.sample_rate_hz / begin.frame_rate_hz)
            screen = Screen(view, plain=self._plain, out=self._out)
            with contextlib.ExitStack() as stack:
                stack.enter_context(native_noise_hidden())
                # Raw audio may come from standard input, where the keys would come from.
                if not screen.plain and not isinstance(source, RawPcmSource):
                    view.quit_key = stack.enter_context(quit_key(end))
                stack.enter_context(screen)
                await self._show(client, screen)

    async def _show(self, client: Client, screen: Screen) -> None:
        """Send audio, receive messages and draw them, until the audio ends."""
        if isinstance(self._source, SteadyMicrophone):
            loop = asyncio.get_running_loop()

            def notice(text: str | None) -> None:
                loop.call_soon_threadsafe(self._on_loss, screen, text)

            self._source.on_notice = notice
        async with self._thread:
            sender = asyncio.create_task(self._send(client, screen))
            try:
                await self._receive(client, screen)
                await sender
            finally:
                self._end()
                sender.cancel()
                with contextlib.suppress(asyncio.CancelledError, TurnstreamError, OSError):
                    await sender

    async def _send(self, client: Client, screen: Screen) -> None:
        """Send the source to its end or to the time limit, then close the client."""
        rate_hz, channels, playback = (
            self._source.sample_rate_hz,
            self._source.channels,
            self._audio.playback,
        )
        limit = math.inf if self._seconds is None else round(self._seconds * rate_hz)
        total = 0
        try:
            async for block in self._thread:
                received_s = time.perf_counter()
                part = block[: int(min(len(block), limit - total))]
                total += len(part)
                samples = np.frombuffer(encode_pcm(part, "pcm_s16le"), "<i2").reshape(-1, channels)
                self._sent.append((total / rate_hz, received_s))
                if self._recording is not None:
                    self._recording.on_audio(samples)
                if playback is not None:
                    playback.push_audio(part)
                if self._levels is not None:
                    self._levels.push(part)
                self._watch(part, screen)
                await client.push_audio(samples)
                if total >= limit:
                    break
        finally:
            if playback is not None:
                playback.close()
            if not client.finished:
                await client.close()

    async def _receive(self, client: Client, screen: Screen) -> None:
        async for message in client:
            match message:
                case FrameMessage():
                    if self._recording is not None:
                        self._recording.on_prediction(message)
                    if isinstance(message, Prediction) and self._embedding is not None:
                        screen.on_latents(
                            message.frame, getattr(message, self._embedding.saved.layer)
                        )
                    levels = None if self._levels is None else self._levels.take(message.frame)
                    screen.on_prediction(message, self._latency_s(message.time_s), levels)
                case LatentMessage():
                    if self._embedding is not None and message.kind == self._embedding.saved.layer:
                        screen.on_latents(message.frame, message.values)
                case TurnEvent():
                    if self._recording is not None:
                        self._recording.on_event(message)
                    screen.on_event(message)
                case WarningMessage():
                    # `_watch` reports silence of a microphone earlier, and also reports its end.
                    if not (self._live and message.code == "silent"):
                        live = not isinstance(self._source, FileSource)
                        names = self._audio.names
                        screen.on_warning(warning_words(message.message, names, live=live))
                case TerminationMessage():
                    if message.reason != "close":
                        raise ServerError(
                            message.reason,
                            f"the server ended the session after {message.seconds:.1f} s of audio "
                            f"({message.reason})",
                        )
                case _:
                    pass

    def _latency_s(self, time_s: float) -> float | None:
        """Return the seconds since the block with the frame's last sample came.

        Args:
            time_s: end of the frame, in seconds of audio.
        Returns:
            None for the last frame if silence completed it: no block has its last sample.
        """
        while self._sent and self._sent[0][0] < time_s - 1e-9:
            self._sent.popleft()
        return time.perf_counter() - self._sent[0][1] if self._sent else None

    # ---- problems of the audio ----

    def _watch(self, part: Block, screen: Screen) -> None:
        """Show the level; warn of a muted microphone, of lost audio (once) and of clock drift."""
        levels = levels_dbfs(part)
        screen.on_level(levels)
        source = self._source
        if not isinstance(source, MicrophoneSource | SteadyMicrophone | PairedSource):
            return
        silent = self._silence.push(levels[0], len(part) / source.sample_rate_hz)
        if silent is not None:
            screen.on_notice("No sound for 3 s: is the microphone muted?" if silent else None)
            if not silent:
                screen.on_warning("sound again")
        if source.dropped_samples and not self._reported["dropped"]:
            self._reported["dropped"] = True
            screen.on_warning(
                "this computer is too slow: some sound was skipped, so the picture jumps"
            )
        if source.overflows and not self._reported["overflow"]:
            self._reported["overflow"] = True
            screen.on_warning("the sound card lost some audio before it came here (overflow)")
        if isinstance(source, PairedSource) and isinstance(source.voice, DeviceVoice):
            self._watch_drift(source.voice, source.sample_rate_hz, screen)

    def _watch_drift(self, voice: DeviceVoice, rate_hz: int, screen: Screen) -> None:
        drift_samples = voice.filled_samples + voice.skipped_samples
        if (
            drift_samples != self._drift_samples
            and self.tally.seconds >= self._drift_said_s + _DRIFT_WORDS_S
        ):
            self._drift_samples, self._drift_said_s = drift_samples, self.tally.seconds
            filled, skipped = (
                f"{1000 * samples / rate_hz:.0f} ms"
                for samples in (voice.filled_samples, voice.skipped_samples)
            )
            screen.on_warning(
                f"the two devices' clocks differ: so far {filled} of silence "
                f"put into {self._audio.names[1]}'s channel, {skipped} left out"
            )

    def _on_loss(self, screen: Screen, notice: str | None) -> None:
        self._silence.reset()
        screen.on_notice(notice)
        if notice is None and isinstance(self._source, SteadyMicrophone):
            screen.on_warning(f"sound again, from the microphone {self._source.microphone.name}")

    # ---- the end ----

    def _end(self) -> None:
        """End the source. A file is not closed here, because the thread may be reading it."""
        self._ending = True
        self._thread.end()
        if not isinstance(self._source, FileSource):
            self._source.close()

    @contextlib.asynccontextmanager
    async def _signals(self) -> AsyncGenerator[Callable[[], None], None]:
        """Handle signals: the first ends the audio and waits, the second ends the run at once.

        Yields what a signal does, for the key that does the same.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        numbers = [
            getattr(signal, name)
            for name in ("SIGINT", "SIGTERM", "SIGHUP")
            if hasattr(signal, name)
        ]

        def end() -> None:
            if task is not None and self._ending:
                task.cancel()
            self._end()
            if task is not None:
                loop.call_later(_LAST_ANSWERS_S, task.cancel)

        with contextlib.ExitStack() as stack:
            for number in numbers:
                # On Windows or outside the main thread, Ctrl-C cancels the task instead.
                with contextlib.suppress(NotImplementedError, RuntimeError):
                    loop.add_signal_handler(number, end)
                    stack.callback(loop.remove_signal_handler, number)
            yield end
