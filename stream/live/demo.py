"""`turnstream demo`: show live predictions, with the whole chain of a real application.

The demo starts the websocket server in this process. It sends the microphone, or a recorded
conversation in real time, over a real websocket, and draws the predictions. The latency that it
shows is the time from sending a frame's last sample to receiving the frame's prediction.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TextIO

from ..clients.asynchronous import AsyncClient
from ..devices.microphone import list_microphones
from ..devices.native_noise import native_noise_hidden
from ..devices.playback import Playback
from ..devices.steady_microphone import SteadyMicrophone
from ..engine import Engine
from ..errors import DeviceError
from ..options import (
    add_model_option,
    add_pause_model_option,
    add_policy_options,
    policies_from,
)
from ..pause_model import choose_pause_model
from ..printable import printable
from ..service.server import Server
from ..settings import StreamSettings
from ..sources import FileSource, bundled_sample
from .listener import Listener
from .live_audio import LiveAudio
from .options import add_view_options, embedding_from
from .terminal_words import EXPLANATION

# Half a frame. At 8 kHz the resampler delays audio by 4 ms; with blocks of 20 ms, a frame would
# have to wait 20 ms for these samples.
_BLOCK_S = 0.01
_CALL = "call to a bank (HarperValleyBank, CC BY 4.0)"  # the licence requires this attribution


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream demo`."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--sample",
        action="store_true",
        help="use the bundled telephone call, even if there is a microphone",
    )
    source.add_argument(
        "--file",
        type=Path,
        help="use an audio file (mono: you; stereo: you and the other speaker)",
    )
    source.add_argument(
        "--device", help="number or name of the microphone (default: the system's default)"
    )
    add_policy_options(parser)
    add_pause_model_option(parser)
    add_model_option(parser)
    add_view_options(parser)
    parser.add_argument(
        "--play",
        action="store_true",
        help="also play the recording; without --device, the microphone is not used",
    )


def main(args: argparse.Namespace) -> int:
    """Show predictions until the audio ends or Ctrl-C, then a summary; return the exit code."""
    return run(args)


def run(args: argparse.Namespace, *, speed: float = 1.0, out: TextIO | None = None) -> int:
    """Run the demo; return the exit code.

    Args:
        args: the options of `add_arguments`.
        speed: speed of a recording relative to real time.
        out: where to write; standard output if not given.
    Raises:
        TurnstreamError: the model, the file or the chosen device cannot be used, or the device
            fails later.
    """
    # A log line would appear in the middle of the live view.
    logging.getLogger("turnstream").addHandler(logging.NullHandler())
    engine, embedding = Engine(args.model), embedding_from(args)
    policies = policies_from(args)
    pause_model = choose_pause_model(args.pause_model, engine)

    @contextlib.asynccontextmanager
    async def served(settings: StreamSettings) -> AsyncGenerator[AsyncClient, None]:
        async with (
            Server(engine, port=0, pause_model=pause_model, policies=policies) as server,
            AsyncClient(server.url, settings) as client,
        ):
            yield client

    with native_noise_hidden():
        audio = _choose(args, speed)
    return Listener(
        audio,
        seconds=args.seconds,
        plain=args.plain,
        embedding=embedding,
        out=out,
    ).run("demo", served)


def _choose(args: argparse.Namespace, speed: float) -> LiveAudio:
    """Choose the microphone if there is one and no option asks for a recording."""
    remark = ""
    if args.file is None and not args.sample and (args.device is not None or not args.play):
        try:
            if args.device is not None or list_microphones():
                microphone = SteadyMicrophone(args.device)
                return LiveAudio(microphone, f"microphone {microphone.microphone.name}")
            remark = "No microphone found, so here is a recorded telephone call."
        except DeviceError as error:
            if args.device is not None:
                raise
            remark = f"No microphone to listen to, so here is a recorded telephone call. ({error})"
    source = FileSource(args.file or bundled_sample())
    source.block_samples = round(_BLOCK_S * source.sample_rate_hz)
    remark = "; ".join([*filter(None, [remark]), *map(printable, source.warnings)])
    playback = None
    if args.play:
        try:
            playback = Playback(source.sample_rate_hz, source.channels)
        except DeviceError as error:
            remark = str(error)
    title, names = (args.file.name, ("You", "Other")) if args.file else (_CALL, ("Caller", "Agent"))
    return LiveAudio(source, title, names, EXPLANATION, remark, playback, speed)
