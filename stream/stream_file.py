"""`turnstream client`: send an audio file to a server and print its answers, one JSON object a line."""

from __future__ import annotations

import argparse
import asyncio
import sys

from .client import AsyncClient
from .policy import PRESETS
from .protocol import DEFAULT_PORT, LatentMessage, ServerMessage, message_to_json
from .settings import StreamSettings
from .sources import FileSource, async_blocks, paced


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream client`."""
    parser.add_argument("file", help="audio file; mono is the user, stereo user and other")
    parser.add_argument("--url", default=f"ws://127.0.0.1:{DEFAULT_PORT}", help=f"the server (default ws://127.0.0.1:{DEFAULT_PORT})")
    parser.add_argument("--token", help="access token")
    parser.add_argument("--policy", choices=tuple(PRESETS), default="balanced", help="preset that makes the events (default balanced)")
    parser.add_argument("--frames", action="store_true", help="print every frame, not only the events")
    parser.add_argument("--fast", action="store_true", help="send as fast as the server takes it instead of in real time")


def main(args: argparse.Namespace) -> int:
    """Send and print."""
    source = FileSource(args.file)
    settings = StreamSettings(sample_rate_hz=source.sample_rate_hz, channels=source.channels, frames=1 if args.frames else 0, policy=args.policy)
    try:
        asyncio.run(_stream(args, source, settings))
    except ExceptionGroup as failures:  # of the task that sends and the one that reads: the first is the cause
        raise failures.exceptions[0] from None
    finally:
        source.close()
    return 0


async def _stream(args: argparse.Namespace, source: FileSource, settings: StreamSettings) -> None:
    async with AsyncClient(args.url, settings, token=args.token) as client, asyncio.TaskGroup() as tasks:
        _show(client.begin)

        async def send() -> None:
            async for block in async_blocks(source if args.fast else paced(source)):
                await client.push_audio(block)
            await client.close()

        tasks.create_task(send())
        async for message in client:
            _show(message)


def _show(message: ServerMessage) -> None:
    if not isinstance(message, LatentMessage):
        sys.stdout.write(message_to_json(message) + "\n")
        sys.stdout.flush()
