"""`turnstream serve`: the websocket server from the command line."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import math
import os
import signal
from dataclasses import fields
from pathlib import Path

from ..errors import ConfigError
from ..options import add_pause_model_option
from ..protocol import DEFAULT_PORT, STREAM_PATH
from . import logs
from .launch import ServiceSettings, new_event_loop, serve_until
from .limits import Limits
from .workers import supervise

logger = logging.getLogger(__name__)

TOKENS_VARIABLE = "TURNSTREAM_TOKENS"
STORE_VARIABLE = "TURNSTREAM_STORE"

_LIMITS = {  # field of `Limits`: (unit of its option, help)
    "max_sessions": (
        "SESSIONS",
        "sessions at a time, with those that wait for a lost client; a further client replaces "
        "the shortest waiting session, or is refused with 503 if none waits",
    ),
    "max_opening": (
        "CONNECTIONS",
        "connections that have not sent their request yet; a further one drops the oldest of them",
    ),
    "max_load": (
        "SHARE",
        "share of one core that live sessions may use, from 0 to 1; a client that would exceed it "
        "is refused with 503",
    ),
    "max_lag_s": (
        "SECONDS",
        "delay of live predictions above which new clients are refused with 503",
    ),
    "max_batch": (
        "FRAMES",
        "frames that the model processes in one step; in larger steps a frame costs less, but "
        "waits longer",
    ),
    "max_message_bytes": (
        "BYTES",
        "size of one message from a client; a larger one ends the session with an error",
    ),
    "max_waiting_s": (
        "SECONDS",
        "audio of one client that may wait for its prediction; beyond it, the server reads no "
        "more from this client",
    ),
    "max_outgoing_messages": (
        "MESSAGES",
        "messages that may wait for a slow client; beyond it, frame messages are left out for "
        "live audio, and a file is processed more slowly",
    ),
    "max_kept_messages": (
        "MESSAGES",
        "messages that are kept for a client until it confirms them; beyond it, the oldest frame "
        "messages are discarded",
    ),
    "slow_reader_timeout_s": (
        "SECONDS",
        "time after which a session ends with an error, if --max-outgoing-messages wait and the "
        "client reads nothing",
    ),
    "save_interval_s": (
        "SECONDS",
        "time between two saves of a session, with --store or --workers",
    ),
    "resume_s": (
        "SECONDS",
        "time in which a lost client can resume its session; 0 turns resuming off",
    ),
    "stall_s": ("SECONDS", "time without audio after which the client gets a warning"),
    "idle_timeout_s": (
        "SECONDS",
        "time without any message after which a session ends with an error",
    ),
    "open_timeout_s": ("SECONDS", "time in which a new connection must send its request"),
    "ping_interval_s": ("SECONDS", "time between two pings to a client"),
    "ping_timeout_s": (
        "SECONDS",
        "time after which a connection counts as lost, if the client neither answers a ping nor "
        "sends a message",
    ),
    "close_timeout_s": (
        "SECONDS",
        "time in which a client must answer when the server closes its connection",
    ),
    "shutdown_timeout_s": (
        "SECONDS",
        "time for the sessions to end when the server stops; then their connections are dropped",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream serve`."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 accepts other machines too (default 127.0.0.1)",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help=f"port to listen on; 0 chooses a free one (default {DEFAULT_PORT})",
    )
    parser.add_argument("--model", type=Path, help="ONNX model file (default: the bundled model)")
    add_pause_model_option(parser, default=False)
    parser.add_argument(
        "--embedding",
        type=Path,
        metavar="FILE.json",
        help="2-D embedding for the web page, written by `turnstream latents project` for this "
        "model (default: the bundled one)",
    )
    parser.add_argument(
        "--workers",
        type=_count,
        default=1,
        metavar="N",
        help="number of server processes that share the port; each uses one core (default 1)",
    )
    parser.add_argument(
        "--store",
        metavar="FOLDER|URL",
        help="where sessions are saved, so that they survive a process or a machine: a folder, or "
        "redis://host:6379/0 (also Valkey); a URL with a password can be given in the environment "
        f"variable {STORE_VARIABLE} instead (default: with several workers a temporary folder, "
        "otherwise sessions are not saved)",
    )
    access = parser.add_argument_group("access")
    access.add_argument(
        "--token-file",
        type=Path,
        help="file of access tokens, one per line; more can be given in the environment variable "
        f"{TOKENS_VARIABLE}=a,b (default: no token is needed)",
    )
    access.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="URL",
        help="origin of a web page that may connect, such as https://my.page; * admits all; can be "
        "repeated (this server's own page may always connect)",
    )
    access.add_argument(
        "--tls-cert",
        type=Path,
        metavar="FILE",
        help="PEM file with the server's certificate and its chain; the server then uses wss:// "
        "and https:// (default: no TLS)",
    )
    access.add_argument(
        "--tls-key",
        type=Path,
        metavar="FILE",
        help="PEM file with the private key of the certificate (default: the --tls-cert file)",
    )
    log = parser.add_argument_group("log, on standard error")
    log.add_argument(
        "--log-format",
        choices=logs.FORMS,
        default="text",
        help="text, or json with one object per line (default text)",
    )
    log.add_argument("--quiet", action="store_true", help="log only warnings and errors")
    limits = parser.add_argument_group("limits (of each worker)")
    for bound in fields(Limits):
        unit, text = _LIMITS[bound.name]
        limits.add_argument(
            f"--{bound.name.replace('_', '-')}",
            type=_whole if isinstance(bound.default, int) else _finite,
            default=bound.default,
            metavar=unit,
            help=f"{text} (default %(default)s)",
        )


def _port(word: str) -> int:
    if not word.isdecimal() or int(word) > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {word!r}")
    return int(word)


def _count(word: str) -> int:
    if not (word.isascii() and word.isdecimal() and 1 <= int(word) <= 1024):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 1024, got {word!r}")
    return int(word)


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {word!r}") from None


def _finite(word: str) -> float:
    with contextlib.suppress(ValueError):
        if math.isfinite(number := float(word)):
            return number
    raise argparse.ArgumentTypeError(f"expected a number, got {word!r}")


def main(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, then let every session finish; return the exit status."""
    logs.configure(args.log_format, quiet=args.quiet)
    settings = settings_from(args)
    if not settings.tokens and not _is_loopback(settings.host):
        logger.warning(
            "no access tokens: whoever can reach %s may use this server; see --token-file",
            settings.host,
        )
    # Without signal handlers, Ctrl+C raises KeyboardInterrupt after the sessions have ended.
    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=new_event_loop) as runner,
    ):
        runner.run(_serve(settings, args.workers))
    return 0


def settings_from(args: argparse.Namespace) -> ServiceSettings:
    """Return the settings given by the options and the environment.

    Raises:
        ConfigError: a limit is out of range, or the options contradict each other, or there is
            no token where some were announced.
    """
    if args.tls_key is not None and args.tls_cert is None:
        raise ConfigError("expected --tls-cert with --tls-key, got the key alone")
    return ServiceSettings(
        model=args.model,
        projection=args.embedding,
        pause_model=args.pause_model,
        host=args.host,
        port=args.port,
        tokens=tuple(_tokens(args.token_file)),
        origins=tuple(args.origin),
        certificate=args.tls_cert,
        key=args.tls_key,
        store=args.store or os.environ.get(STORE_VARIABLE),
        limits=Limits(**{bound.name: getattr(args, bound.name) for bound in fields(Limits)}),
        log_form=args.log_format,
        quiet=args.quiet,
    )


async def _serve(settings: ServiceSettings, workers: int) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    with contextlib.ExitStack() as handlers:
        for number in (signal.SIGINT, signal.SIGTERM):
            # NotImplementedError: on Windows, where Ctrl+C cancels this task instead.
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, stop.set)
                # uvloop does not remove the handler when the loop is closed.
                handlers.callback(loop.remove_signal_handler, number)
        if workers == 1:
            await serve_until(stop, settings, _announce)
        else:
            await supervise(stop, settings, workers, _announce)


def _announce(url: str) -> None:
    print(f"serving {url}\npage    {_page_url(url)}", flush=True)


def _page_url(url: str) -> str:
    """Return the URL of the web page for a browser on this machine.

    A wildcard host becomes localhost. A browser grants the microphone only to a page from its own
    machine or over https.
    """
    scheme, _, address = url.removesuffix(STREAM_PATH).partition("://")
    host, _, port = address.rpartition(":")
    if host in {"", "0.0.0.0", "[::]"}:
        host = "localhost"
    return f"{'https' if scheme == 'wss' else 'http'}://{host}:{port}/"


def _tokens(path: Path | None) -> list[str]:
    """Return the tokens of the file and of the environment.

    Raises:
        ConfigError: the file or the variable contains no token (this would admit everyone), or
            the file cannot be read.
    """
    given = os.environ.get(TOKENS_VARIABLE)
    tokens = [word.strip() for word in (given or "").split(",") if word.strip()]
    if given is not None and not tokens:
        raise ConfigError(
            f"expected access tokens in {TOKENS_VARIABLE}, separated by commas, got none; "
            "unset it to admit everyone"
        )
    if path is not None:
        try:
            listed = path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"expected a file of tokens, one a line, got {str(path)!r}: {error}"
            ) from None
        if not listed:
            raise ConfigError(
                f"expected a file of tokens, one a line, got an empty one: {str(path)!r}"
            )
        tokens += listed
    return tokens


def _is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
