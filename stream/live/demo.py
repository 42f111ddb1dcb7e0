"""`turnstream demo`: see the predictions live, with everything that a real use has.

It starts the websocket server in this process, sends it the microphone, or a recorded conversation in real time, over a real
websocket, and draws what comes back. The latency it shows is counted from sending a frame's last sample to receiving its prediction.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TextIO

from ..clients.client import AsyncClient
from ..devices.microphone import list_microphones
from ..devices.native_noise import native_noise_hidden
from ..devices.playback import Playback
from ..devices.steady_microphone import SteadyMicrophone
from ..engine import Engine
from ..errors import DeviceError
from ..service.server import Server
from ..settings import StreamSettings
from ..sources import FileSource, bundled_sample
from .listener import Heard, Listener
from .parting import add_latents_option, projection_from, seconds_word
from .terminal_words import EXPLANATION

_POLICY = "balanced"
_BLOCK_S = 0.01  # half a frame: the resampler's 4 ms from 8 kHz need not wait for another 20 ms
_CALL = "call to a bank (HarperValleyBank, CC BY 4.0)"  # its licence asks for the name wherever it is heard


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream demo`."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--sample",
        action="store_true",
        help="the bundled telephone call, even if there is a microphone",
    )
    source.add_argument(
        "--file",
        type=Path,
        help="a recording of yours (mono is you, stereo you and the other speaker)",
    )
    source.add_argument("--device", help="microphone, by number or name (default: the system's)")
    parser.add_argument("--model", type=Path, help="ONNX model (default: the bundled one)")
    parser.add_argument("--seconds", type=seconds_word, help="end after so much audio")
    parser.add_argument(
        "--plain", action="store_true", help="lines of events instead of the picture"
    )
    add_latents_option(parser)
    parser.add_argument(
        "--play",
        action="store_true",
        help="let the conversation be heard, too; the microphone is not used",
    )


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
    logging.getLogger("turnstream").addHandler(
        logging.NullHandler()
    )  # a line of log would fall into the picture
    engine, projection = Engine(args.model), projection_from(args)

    @contextlib.asynccontextmanager
    async def served(settings: StreamSettings) -> AsyncGenerator[AsyncClient, None]:
        async with Server(engine, port=0) as server, AsyncClient(server.url, settings) as client:
            yield client

    with native_noise_hidden():
        heard = _choose(args, speed)
    return Listener(
        heard,
        policy=_POLICY,
        seconds=args.seconds,
        plain=args.plain,
        projection=projection,
        out=out,
    ).run("demo", served)


def _choose(args: argparse.Namespace, speed: float) -> Heard:
    """The microphone if there is one and nothing else was asked for."""
    remark = ""
    if args.file is None and not args.sample and (args.device is not None or not args.play):
        try:
            if args.device is not None or list_microphones():
                microphone = SteadyMicrophone(args.device)
                return Heard(microphone, f"microphone {microphone.microphone.name}")
            remark = "No microphone found, so here is a recorded telephone call."
        except DeviceError as error:
            if args.device is not None:
                raise
            remark = f"No microphone to listen to, so here is a recorded telephone call. ({error})"
    source = FileSource(args.file or bundled_sample())
    source.block_samples = round(_BLOCK_S * source.sample_rate_hz)
    playback = None
    if args.play:
        try:
            playback = Playback(source.sample_rate_hz, source.channels)
        except DeviceError as error:
            remark = str(error)
    title, names = (args.file.name, ("You", "Other")) if args.file else (_CALL, ("Caller", "Agent"))
    return Heard(source, title, names, EXPLANATION, remark, playback, speed)
