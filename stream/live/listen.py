"""`turnstream listen`: predict live on the microphone, or on raw audio on standard input, here or on a server."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from io import FileIO
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from ..clients.client import AsyncClient
from ..devices.microphone import MicrophoneSource, list_microphones
from ..devices.native_noise import native_noise_hidden
from ..devices.playback import Playback
from ..devices.second_channel import DeviceVoice, FileVoice, PairedSource
from ..devices.steady_microphone import SteadyMicrophone
from ..engine import Engine
from ..errors import AudioFormatError, ConfigError, DeviceError
from ..policy import PRESETS
from ..sources import ENCODINGS, FileSource, RawPcmSource
from .listener import Connect, Heard, Listener
from .local_client import LocalClient
from .parting import add_latents_option, projection_from, seconds_word
from .terminal_words import EXPLANATION

_RAW_DEFAULTS = (16000, 2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream listen`."""
    parser.add_argument("--device", help="microphone, by number or name (default: the system's)")
    parser.add_argument("--list-devices", action="store_true", help="list the microphones and end")
    parser.add_argument(
        "--raw",
        choices=ENCODINGS,
        metavar="ENCODING",
        help=f"raw audio on standard input instead of the microphone: {', '.join(ENCODINGS)}",
    )
    parser.add_argument(
        "--sample-rate",
        type=int,
        metavar="HZ",
        help="of the microphone (default: its own) or of raw audio (default 16000)",
    )
    parser.add_argument(
        "--channels",
        type=int,
        choices=(1, 2),
        help="1 is you, 2 you and the other speaker (default: 1 for the microphone, 2 for raw audio)",
    )
    parser.add_argument(
        "--agent",
        metavar="FILE|DEVICE",
        help="the other speaker: an audio file that is played from now on (wear headphones), or a second input device",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="DIR",
        help="write audio.wav, predictions.csv and events.csv into a folder",
    )
    parser.add_argument("--seconds", type=seconds_word, help="end after so much audio")
    parser.add_argument(
        "--policy",
        choices=tuple(PRESETS),
        default="balanced",
        help="preset that makes the events (default balanced)",
    )
    parser.add_argument(
        "--plain", action="store_true", help="lines of events instead of the picture"
    )
    add_latents_option(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--model", type=Path, help="ONNX model (default: the bundled one)")
    where.add_argument("--url", help="let a server predict, such as ws://127.0.0.1:8765")
    parser.add_argument(
        "--token", help="access token of the server (default: the environment's TURNSTREAM_TOKEN)"
    )


def main(args: argparse.Namespace) -> int:
    """Show until the audio ends or Ctrl-C, then sum up."""
    return run(args)


def run(
    args: argparse.Namespace, *, raw_input: BinaryIO | None = None, out: TextIO | None = None
) -> int:
    """Listen; returns the exit code.

    Args:
        args: of `add_arguments`.
        raw_input: raw audio; standard input if not given.
        out: where to show it; standard output if not given.
    Raises:
        TurnstreamError: the model, the server, a device, the audio or the recording cannot be used, or fails on the way.
    """
    if args.list_devices:
        with native_noise_hidden():
            devices = _device_list()
        print(devices, file=out, flush=True)
        return 0
    logging.getLogger("turnstream").addHandler(
        logging.NullHandler()
    )  # a line of log would fall into the picture
    connect, projection = _connect(args), projection_from(args)
    with native_noise_hidden():
        heard = _microphone(args) if args.raw is None else _raw(args, raw_input)
    listener = Listener(
        heard,
        policy=args.policy,
        seconds=args.seconds,
        plain=args.plain,
        record=args.record,
        projection=projection,
        out=out,
    )
    return listener.run("listen", connect)


def _connect(args: argparse.Namespace) -> Connect:
    """How to open the client that was asked for; the model is loaded now, so that a wrong one is named first."""
    if args.url is not None:
        return lambda settings: AsyncClient(
            args.url, settings, token=args.token or os.environ.get("TURNSTREAM_TOKEN")
        )
    if args.token is not None:
        raise ConfigError("expected --token with --url, got it without")
    engine = Engine(args.model)
    return lambda settings: LocalClient(engine, settings)


def _raw(args: argparse.Namespace, raw_input: BinaryIO | None) -> Heard:
    if args.agent is not None:
        raise AudioFormatError(
            "expected --agent with a microphone, got it with --raw, which brings both channels itself"
        )
    # Unbuffered: a buffer's lock, held by a thread that waits for input, would keep the interpreter from ending.
    stream = raw_input or cast(BinaryIO, FileIO(sys.stdin.fileno(), closefd=False))
    source = RawPcmSource(
        stream, args.raw, args.sample_rate or _RAW_DEFAULTS[0], args.channels or _RAW_DEFAULTS[1]
    )
    return Heard(source, f"standard input, {args.raw}", explanation=EXPLANATION)


def _microphone(args: argparse.Namespace) -> Heard:
    if args.agent is None:
        source = SteadyMicrophone(
            args.device, sample_rate_hz=args.sample_rate, channels=args.channels or 1
        )
        return Heard(source, f"microphone {source.microphone.name}")
    if args.channels == 2:
        raise AudioFormatError(
            "expected --agent with one channel of the microphone, got --channels 2, which brings both"
        )
    microphone = MicrophoneSource(args.device, sample_rate_hz=args.sample_rate)
    title, remark = f"microphone {microphone.microphone.name}", ""
    try:
        if Path(args.agent).is_file():
            FileSource(args.agent).close()  # a wrong file is named before anything sounds
            playback = None
            try:
                playback = Playback(microphone.sample_rate_hz, 1)
            except DeviceError as error:
                remark = f"{args.agent} is not heard: {error}"
            voice = FileVoice(
                Path(args.agent), microphone.sample_rate_hz, microphone.latency_s, playback
            )
        else:
            voice = DeviceVoice(args.agent, microphone.sample_rate_hz)
    except DeviceError as error:
        microphone.close()
        raise DeviceError(
            f"--agent: there is no file {args.agent!r}, and as an input device: {error}"
        ) from None
    except AudioFormatError:
        microphone.close()
        raise
    return Heard(
        PairedSource(microphone, voice),
        f"{title} and {Path(args.agent).name}",
        ("You", "Agent"),
        remark=remark,
    )


def _device_list() -> str:
    microphones = list_microphones()
    if not microphones:
        return "No microphone found. Raw audio can be piped in: see --raw."
    lines = [
        f"{m.index:>3} {'*' if m.is_default else ' '} {m.name}  ({m.channels} channels, {m.sample_rate_hz} Hz)"
        for m in microphones
    ]
    return "\n".join(
        [*lines, "* is the default; choose another with --device NUMBER or --device NAME"]
    )
