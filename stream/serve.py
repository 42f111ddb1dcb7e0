"""`turnstream serve`: the websocket server from the command line."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
from pathlib import Path

from ..models.errors import ConfigError
from .engine import Engine
from .errors import ServerError
from .limits import Limits
from .protocol import DEFAULT_PORT
from .server import Server

logger = logging.getLogger(__name__)

TOKENS_VARIABLE = "TURNSTREAM_TOKENS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream serve`."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for other machines (default 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help=f"0 takes a free one (default {DEFAULT_PORT})")
    parser.add_argument("--model", type=Path, help="ONNX model (default: the bundled one)")
    parser.add_argument("--max-sessions", type=int, default=Limits().max_sessions, help=f"more are refused with 503 (default {Limits().max_sessions})")
    parser.add_argument("--token-file", type=Path, help=f"access tokens, one a line; also taken from the environment: {TOKENS_VARIABLE}=a,b")
    parser.add_argument("--quiet", action="store_true", help="log warnings and errors only")


def _port(word: str) -> int:
    if not word.isdecimal() or int(word) > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {word!r}")
    return int(word)


def main(args: argparse.Namespace) -> int:
    """Serve until interrupted or terminated, then end every session well."""
    logging.basicConfig(level=logging.WARNING if args.quiet else logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("websockets").setLevel(logging.WARNING)
    limits, tokens = Limits(max_sessions=args.max_sessions), _tokens(args.token_file)
    if not tokens and not _is_loopback(args.host):
        logger.warning("no access tokens: whoever can reach %s may use this server; see --token-file", args.host)
    server = Server(Engine(args.model), args.host, args.port, tokens=tokens, limits=limits)
    with contextlib.suppress(KeyboardInterrupt):  # where there are no signal handlers, this is what Ctrl+C leaves, the sessions having ended
        asyncio.run(_serve(server))
    return 0


async def _serve(server: Server) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # on Windows, where Ctrl+C cancels this task instead
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with server:
            print(f"serving {server.url}", flush=True)
            await stop.wait()
    except OSError as error:
        raise ServerError("cannot_listen", f"cannot listen: {error.strerror or error}") from None


def _tokens(path: Path | None) -> list[str]:
    """Tokens from the file and the environment; either without any is refused, because it would let everyone in."""
    given = os.environ.get(TOKENS_VARIABLE)
    tokens = [word.strip() for word in (given or "").split(",") if word.strip()]
    if given is not None and not tokens:
        raise ConfigError(f"expected access tokens in {TOKENS_VARIABLE}, separated by commas, got none; unset it to admit everyone")
    if path is not None:
        try:
            listed = path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"expected a file of tokens, one a line, got {str(path)!r}: {error}") from None
        if not listed:
            raise ConfigError(f"expected a file of tokens, one a line, got an empty one: {str(path)!r}")
        tokens += listed
    return tokens


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
