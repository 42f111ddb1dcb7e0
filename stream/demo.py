"""`turnstream demo`: see the predictions live, with everything that a real use has.

It starts the websocket server in this process, sends it the microphone, or a recorded conversation in real time, over a real
websocket, and draws what comes back. The latency it shows is counted from sending a frame's last sample to receiving its prediction.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from .client import AsyncClient
from .engine import Engine
from .errors import DeviceError, TurnstreamError
from .live import farewell, levels_dbfs, seconds_word
from .microphone import MicrophoneSource, list_microphones
from .playback import Playback
from .policy import PRESETS
from .prediction import TurnEvent
from .protocol import FrameMessage, WarningMessage
from .server import Server
from .settings import StreamSettings
from .sources import FileSource, async_blocks, bundled_sample, paced
from .terminal import TerminalView
from .terminal_screen import Screen
from .terminal_words import EXPLANATION, SPEAK, Names, warning_words

_UNANSWERED = 4096  # blocks whose predictions are due; the server makes the sender wait long before, and what is too old is forgotten
_POLICY = "balanced"


@dataclass(frozen=True)
class _Heard:
    """What the demo listens to.

    Attributes:
        title: how it is called.
        names: of the two speakers.
        remark: why it is not the microphone, or why it is not heard.
        playback: makes it heard.
    """

    source: MicrophoneSource | FileSource
    title: str
    names: Names
    remark: str = ""
    playback: Playback | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream demo`."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--sample", action="store_true", help="the bundled conversation, even if there is a microphone")
    source.add_argument("--file", type=Path, help="a recording of yours (mono is you, stereo you and the other speaker)")
    source.add_argument("--device", help="microphone, by number or name (default: the system's)")
    parser.add_argument("--model", type=Path, help="ONNX model (default: the bundled one)")
    parser.add_argument("--seconds", type=seconds_word, help="end after so much audio")
    parser.add_argument("--plain", action="store_true", help="lines of events instead of the picture")
    parser.add_argument("--play", action="store_true", help="let the conversation be heard, too; the microphone is not used")


def main(args: argparse.Namespace) -> int:
    """Show until the audio ends or Ctrl-C, then sum up."""
    return run(args)


def run(args: argparse.Namespace, *, speed: float = 1.0, out: TextIO | None = None) -> int:
    """Run the demo; returns the exit code.

    Args:
        args: of `add_arguments`.
        speed: of a recording against real time.
        out: where to show it; standard output if not given.
    Raises:
        TurnstreamError: the model, the file or the chosen device cannot be used, or the device fails on the way.
    """
    logging.getLogger("turnstream").addHandler(logging.NullHandler())  # a line of log would fall into the picture
    engine = Engine(args.model)
    heard = _choose(args)
    if heard.remark:
        print(heard.remark, file=out, flush=True)
    demo = _Demo(engine, heard, args.seconds, plain=args.plain, speed=speed, out=out)
    try:
        asyncio.run(demo.show())
    except KeyboardInterrupt:  # everything is closed by now: asyncio.run has cancelled `show` and waited for it
        pass
    finally:
        heard.source.close()
    print(farewell("demo", demo.view.tally, "from sending a frame's last sample to its prediction"), file=out, flush=True)
    return 0


def _choose(args: argparse.Namespace) -> _Heard:
    """The microphone if there is one and nothing else was asked for."""
    remark = ""
    if args.file is None and not args.sample and (args.device is not None or not args.play):
        try:
            if args.device is not None or list_microphones():
                microphone = MicrophoneSource(args.device)
                return _Heard(microphone, f"microphone {microphone.microphone.name}", ("You", "Other"))
            remark = "No microphone found, so here is a bundled conversation."
        except DeviceError as error:
            if args.device is not None:
                raise
            remark = f"No microphone to listen to, so here is a bundled conversation. ({error})"
    path = args.file or bundled_sample()
    source = FileSource(path)
    playback = None
    if args.play:
        try:
            playback = Playback(path)
        except DeviceError as error:
            remark = str(error)
    if args.file:
        return _Heard(source, path.name, ("You", "Other"), remark, playback)
    return _Heard(source, "bike shop call", ("Caller", "Shop"), remark, playback)


class _Demo:
    """One showing: server, client and view."""

    def __init__(self, engine: Engine, heard: _Heard, seconds: float | None, *, plain: bool, speed: float, out: TextIO | None) -> None:
        self._engine = engine
        self._heard = heard
        self._speed = speed
        self._limit = math.inf if seconds is None else round(seconds * heard.source.sample_rate_hz)
        self._sent: deque[tuple[float, float]] = deque(maxlen=_UNANSWERED)  # (seconds of audio sent, when)
        recorded = isinstance(heard.source, FileSource)
        self.view = TerminalView(
            heard.title,
            f"{engine.metadata.name} {engine.metadata.version}",
            names=heard.names,
            end_threshold=PRESETS[_POLICY].end_threshold,
            frame_rate_hz=engine.metadata.frame_rate_hz,
            duration_s=min(heard.source.duration_s, seconds or math.inf) if isinstance(heard.source, FileSource) else seconds,
            explanation=EXPLANATION if recorded else SPEAK,
        )
        self._screen = Screen(self.view, plain=plain, out=out)
        if heard.remark:
            self.view.on_warning(heard.remark)

    async def show(self) -> None:
        """Serve, send, receive and draw, to the end of the audio."""
        source = self._heard.source
        settings = StreamSettings(sample_rate_hz=source.sample_rate_hz, channels=source.channels, policy=_POLICY)
        async with Server(self._engine, port=0) as server, AsyncClient(server.url, settings) as client:
            self.view.session = client.begin.session[:6]
            with self._screen:
                sender = asyncio.create_task(self._send(client))
                try:
                    await self._receive(client)
                    await sender
                finally:
                    if isinstance(source, MicrophoneSource):
                        source.close()  # lets go of the thread that waits for the next block
                    sender.cancel()
                    with contextlib.suppress(asyncio.CancelledError, TurnstreamError):
                        await sender

    async def _send(self, client: AsyncClient) -> None:
        """Send the source to its end, or as much of it as was asked for, and say so."""
        source, playback = self._heard.source, self._heard.playback
        blocks = paced(source, self._speed) if isinstance(source, FileSource) else source
        total = 0
        if playback is not None:
            playback.start()
        try:
            async for block in async_blocks(blocks):
                part = block[: int(min(len(block), self._limit - total))]
                total += len(part)
                self._screen.on_level(levels_dbfs(part))
                self._sent.append((total / source.sample_rate_hz, time.perf_counter()))
                await client.push_audio(part)
                if total >= self._limit:
                    break
        finally:
            if playback is not None:
                playback.stop()
            if not client.finished:
                await client.close()

    async def _receive(self, client: AsyncClient) -> None:
        async for message in client:
            match message:
                case FrameMessage():
                    self._screen.on_prediction(message, self._latency_s(message.time_s))
                case TurnEvent():
                    self._screen.on_event(message)
                case WarningMessage():
                    self._screen.on_warning(warning_words(message.message, self._heard.names))
                case _:
                    pass

    def _latency_s(self, time_s: float) -> float | None:
        """Since the block with the frame's last sample was sent; None for the silence that completes the last frame."""
        while self._sent and self._sent[0][0] < time_s - 1e-9:
            self._sent.popleft()
        return time.perf_counter() - self._sent[0][1] if self._sent else None
