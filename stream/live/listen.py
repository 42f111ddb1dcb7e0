"""`turnstream listen`: show live predictions on the microphone or on raw audio from standard input.

The model runs in this process or on a server.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from io import FileIO
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from ..clients.asynchronous import AsyncClient
from ..devices.microphone import MicrophoneSource, list_microphones
from ..devices.native_noise import native_noise_hidden
from ..devices.playback import Playback
from ..devices.second_channel import DeviceVoice, FileVoice, PairedSource
from ..devices.steady_microphone import SteadyMicrophone
from ..engine import Engine
from ..errors import AudioFormatError, ConfigError, DeviceError
from ..options import (
    add_model_option,
    add_pause_model_option,
    add_policy_options,
    asked_policy,
    policies_from,
)
from ..pause_model import choose_pause_model
from ..pcm import ENCODINGS
from ..sources import FileSource, RawPcmSource
from .listener import Connect, Listener
from .live_audio import LiveAudio
from .local_client import LocalClient
from .options import add_view_options, embedding_from
from .terminal_words import EXPLANATION

_RAW_DEFAULTS = (16000, 2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream listen`."""
    parser.add_argument(
        "--device", help="number or name of the microphone (default: the system's default)"
    )
    parser.add_argument("--list-devices", action="store_true", help="list the microphones and exit")
    parser.add_argument(
        "--encoding",
        choices=ENCODINGS,
        help="read raw audio in this encoding from standard input instead of the microphone",
    )
    parser.add_argument(
        "--sample-rate",
        type=int,
        metavar="HZ",
        help="sample rate of the microphone (default: its own) or of raw audio (default 16000)",
    )
    parser.add_argument(
        "--channels",
        type=int,
        choices=(1, 2),
        help="1: you; 2: you and the other speaker "
        "(default: 1 for the microphone, 2 for raw audio)",
    )
    parser.add_argument(
        "--agent",
        metavar="FILE|DEVICE",
        help="the other speaker: an audio file, played from the start (wear headphones), "
        "or a second input device by number or name",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="DIR",
        help="folder to write audio.wav, predictions.csv and events.csv into",
    )
    add_policy_options(parser)
    add_pause_model_option(parser)
    add_view_options(parser)
    where = parser.add_mutually_exclusive_group()
    add_model_option(where)
    where.add_argument("--url", help="run the model on a server, such as ws://127.0.0.1:8765")
    parser.add_argument(
        "--token",
        help="access token of the server (default: the environment variable TURNSTREAM_TOKEN)",
    )


def main(args: argparse.Namespace) -> int:
    """Show predictions until the audio ends or Ctrl-C, then a summary; return the exit code."""
    return run(args)


def run(
    args: argparse.Namespace, *, raw_input: BinaryIO | None = None, out: TextIO | None = None
) -> int:
    """Run the command; return the exit code.

    Args:
        args: the options of `add_arguments`.
        raw_input: raw audio; standard input if not given.
        out: where to write; standard output if not given.
    Raises:
        TurnstreamError: the model, the server, a device, the audio or the recording cannot be used,
            or fails later.
    """
    if args.list_devices:
        with native_noise_hidden():
            devices = _device_list()
        print(devices, file=out, flush=True)
        return 0
    # A log line would appear in the middle of the live view.
    logging.getLogger("turnstream").addHandler(logging.NullHandler())
    connect, embedding = _connect(args), embedding_from(args)
    with native_noise_hidden():
        audio = _microphone(args) if args.encoding is None else _raw(args, raw_input)
    listener = Listener(
        audio,
        policy=(None, {}) if args.url is None else asked_policy(args),
        seconds=args.seconds,
        plain=args.plain,
        record=args.record,
        embedding=embedding,
        out=out,
    )
    return listener.run("listen", connect)


def _connect(args: argparse.Namespace) -> Connect:
    """Return a function that opens the client.

    A local model is loaded now, so an error in the model comes before all others.
    """
    if args.url is not None:
        if args.pause_model is not None:
            raise ConfigError(
                "expected --pause-model or --no-pause-model without --url, got it with --url; "
                "`turnstream serve --pause-model` decides it for a server"
            )
        return lambda settings: AsyncClient(
            args.url, settings, token=args.token or os.environ.get("TURNSTREAM_TOKEN")
        )
    if args.token is not None:
        raise ConfigError("expected --token with --url, got it without")
    engine, policies = Engine(args.model), policies_from(args)
    pause_model = choose_pause_model(args.pause_model, engine)
    return lambda settings: LocalClient(engine, settings, pause_model, policies)


def _raw(args: argparse.Namespace, raw_input: BinaryIO | None) -> LiveAudio:
    if args.device is not None:
        raise AudioFormatError(
            "expected --device without --encoding, got it with --encoding, which reads raw audio "
            "from standard input instead of a microphone"
        )
    if args.agent is not None:
        raise AudioFormatError(
            "expected --agent with a microphone, "
            "got it with --encoding, which brings both channels itself"
        )
    # Unbuffered: a thread that waits for input would hold the lock of a buffer, and the interpreter
    # could not end.
    stream = raw_input or cast(BinaryIO, FileIO(sys.stdin.fileno(), closefd=False))
    source = RawPcmSource(
        stream,
        args.encoding,
        args.sample_rate or _RAW_DEFAULTS[0],
        args.channels or _RAW_DEFAULTS[1],
    )
    return LiveAudio(source, f"standard input, {args.encoding}", explanation=EXPLANATION)


def _microphone(args: argparse.Namespace) -> LiveAudio:
    if args.agent is None:
        source = SteadyMicrophone(
            args.device, sample_rate_hz=args.sample_rate, channels=args.channels or 1
        )
        return LiveAudio(source, f"microphone {source.microphone.name}")
    if args.channels == 2:
        raise AudioFormatError(
            "expected --agent with one channel of the microphone, "
            "got --channels 2, which brings both"
        )
    microphone = MicrophoneSource(args.device, sample_rate_hz=args.sample_rate)
    title, remark = f"microphone {microphone.microphone.name}", ""
    try:
        if Path(args.agent).is_file():
            FileSource(args.agent).close()  # reports a wrong file before playback begins
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
    return LiveAudio(
        PairedSource(microphone, voice),
        f"{title} and {Path(args.agent).name}",
        ("You", "Agent"),
        remark=remark,
    )


def _device_list() -> str:
    microphones = list_microphones()
    if not microphones:
        return "No microphone found. Raw audio can be piped in: see --encoding."
    lines = [
        f"{m.index:>3} {'*' if m.is_default else ' '} {m.name}  "
        f"({m.channels} channels, {m.sample_rate_hz} Hz)"
        for m in microphones
    ]
    return "\n".join(
        [*lines, "* is the default; choose another with --device NUMBER or --device NAME"]
    )
