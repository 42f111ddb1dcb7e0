"""`turnstream client`: send audio to a server and print its messages, one JSON object per line.

The audio is a file, raw audio on standard input, or the microphone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import select
import signal
import sys
from pathlib import Path
from typing import BinaryIO, cast

from msgspec.structs import replace

from ..devices.microphone import MicrophoneSource
from ..devices.second_channel import FileVoice, PairedSource
from ..errors import AudioFormatError
from ..latent_message import LatentMessage
from ..options import add_policy_options, asked_policy
from ..pcm import ENCODINGS, Encoding
from ..printable import printable
from ..protocol import DEFAULT_PORT, ServerMessage, message_to_json
from ..settings import StreamSettings
from ..sources import AudioSource, FileSource, RawPcmSource
from .asynchronous import DEFAULT_RECONNECT_S, AsyncClient

_STOP_POLL_S = 0.1
_RAW_DEFAULTS: tuple[Encoding, int, int] = ("pcm_s16le", 16000, 2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream client`."""
    parser.add_argument(
        "audio",
        metavar="FILE|-|mic",
        help="audio file (mono: the user; stereo: the user and the other speaker), "
        "- for raw audio on standard input, or mic for the microphone",
    )
    parser.add_argument(
        "--url",
        default=f"ws://127.0.0.1:{DEFAULT_PORT}",
        help=f"address of the server (default ws://127.0.0.1:{DEFAULT_PORT})",
    )
    parser.add_argument(
        "--token",
        default=os.environ.get("TURNSTREAM_TOKEN"),
        help="access token (default: the environment variable TURNSTREAM_TOKEN)",
    )
    add_policy_options(parser)
    parser.add_argument(
        "--frames", action="store_true", help="print every frame as well as the events"
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="send a file as fast as the server takes it, not in real time",
    )
    parser.add_argument(
        "--agent",
        metavar="FILE",
        help="mono audio file with the other speaker's voice, sent from the start; "
        "the user's audio must be mono, too",
    )
    parser.add_argument(
        "--reconnect",
        type=_reconnect_word,
        default=DEFAULT_RECONNECT_S,
        metavar="SECONDS",
        help="how long to try to resume a lost connection, in seconds (default 30)",
    )
    parser.add_argument(
        "--encoding",
        choices=ENCODINGS,
        help="encoding of standard input (default pcm_s16le)",
    )
    parser.add_argument(
        "--sample-rate",
        type=int,
        metavar="HZ",
        help="sample rate of standard input (default 16000) "
        "or of the microphone (default: its own)",
    )
    parser.add_argument(
        "--channels",
        type=int,
        choices=(1, 2),
        help="channels of standard input (default 2, or 1 with --agent) "
        "or of the microphone (default 1)",
    )
    parser.add_argument(
        "--device", help="number or name of the microphone (default: the system's default)"
    )


def main(args: argparse.Namespace) -> int:
    """Send audio and print messages until the audio ends; return the exit code.

    Ctrl-C ends live audio. The messages that are still due are printed.
    """
    source: FileSource | RawPcmSource | MicrophoneSource | PairedSource = _open(args)
    speed = 1.0 if isinstance(source, FileSource) and not args.fast else None
    endless = not isinstance(source, FileSource)
    for remark in source.warnings if isinstance(source, FileSource) else ():
        print(f"turnstream client: warning: {printable(remark)}", file=sys.stderr)
    try:
        if args.agent is not None:
            source = _with_agent(source, args.agent)
        policy, policy_values = asked_policy(args)
        settings = StreamSettings(
            sample_rate_hz=source.sample_rate_hz,
            channels=source.channels,
            frames=1 if args.frames else 0,
            policy=policy,
            policy_values=policy_values,
        )
        client = AsyncClient(args.url, settings, token=args.token, reconnect_s=args.reconnect)
        asyncio.run(_stream(client, source, speed, endless=endless))
    except ExceptionGroup as failures:
        # Both the sending and the reading task may have failed; the first failure is the cause.
        raise failures.exceptions[0] from None
    finally:
        source.close()
    return 0


async def _stream(
    client: AsyncClient, source: AudioSource, speed: float | None, *, endless: bool
) -> None:
    async with client, asyncio.TaskGroup() as tasks:
        # Without the token: anyone who reads it could take over the session.
        _show(replace(client.begin, resume_token=None))
        if endless:
            _end_on_interrupt(source)
        tasks.create_task(client.stream(source, speed=speed))
        async for message in client:
            _show(message)


def _with_agent(user: AudioSource, path: str) -> PairedSource:
    """Pair the user's audio with the agent's file, which is sent from the start."""
    with contextlib.closing(FileSource(path)) as agent:
        if (agent.channels, user.channels) != (1, 1):
            raise AudioFormatError(
                f"--agent: expected one channel of each speaker, got {agent.channels} of the agent "
                f"and {user.channels} of the user"
            )
    return PairedSource(user, FileVoice(Path(path), user.sample_rate_hz, 0.0, None))


def _open(args: argparse.Namespace) -> FileSource | RawPcmSource | MicrophoneSource:
    if args.audio == "mic":
        return MicrophoneSource(
            args.device, sample_rate_hz=args.sample_rate, channels=args.channels or 1
        )
    if args.audio != "-":
        return FileSource(args.audio)
    encoding, rate_hz, channels = _RAW_DEFAULTS
    return _StandardInput(
        args.encoding or encoding,
        args.sample_rate or rate_hz,
        args.channels or (channels if args.agent is None else 1),
    )


class _StandardInput(RawPcmSource):
    """Raw audio on standard input. It can be closed while another thread waits for a block."""

    def __init__(self, encoding: Encoding, sample_rate_hz: int, channels: int) -> None:
        super().__init__(cast(BinaryIO, self), encoding, sample_rate_hz, channels)
        self._closed = False

    def read(self, count: int) -> bytes:
        """Wait for bytes and return at most `count` of them; none at the end or once closed."""
        descriptor = sys.stdin.fileno()
        while not self._closed:
            if select.select([descriptor], [], [], _STOP_POLL_S)[0]:
                return os.read(descriptor, count)
        return b""

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
        super().close()


def _end_on_interrupt(source: AudioSource) -> None:
    """Let the first Ctrl-C end the audio, so that the messages still due arrive.

    A second Ctrl-C ends the program.
    """
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        source.close()

    with contextlib.suppress(NotImplementedError):  # not on Windows
        loop.add_signal_handler(signal.SIGINT, end)


def _reconnect_word(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of seconds, 0 or more, got {word!r}")
    return seconds


def _show(message: ServerMessage) -> None:
    if not isinstance(message, LatentMessage):
        sys.stdout.write(message_to_json(message) + "\n")
        sys.stdout.flush()
