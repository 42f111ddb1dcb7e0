"""`turnstream serve`: the websocket server from the command line.

The file is long because it holds every option, with its help.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import math
import signal
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

from ..environment import offer_variables, unknown_variables
from ..errors import ConfigError
from ..options import (
    add_model_option,
    add_pause_model_option,
    add_policy_options,
    policies_from,
)
from ..protocol import DEFAULT_PORT, STREAM_PATH
from . import logs
from .launch import PAUSE_SESSIONS, ServiceSettings, new_event_loop, serve_until
from .limits import Limits
from .standard_streams import discard_output, fill_closed_streams, require_descriptors
from .tokens import MIN_TOKEN_LETTERS, TOKENS_VARIABLE, Tokens, read_tokens, reread_tokens
from .workers import WORKER_TIMEOUT_S, supervise

logger = logging.getLogger(__name__)

_LIMITS = {  # field of `Limits`: (unit of its option, help)
    "max_sessions": (
        "SESSIONS",
        "sessions at a time, with those that wait for a lost client; a further client replaces "
        "a session that has never sent audio, or is refused with 503 if there is none",
    ),
    "max_sessions_per_address": (
        "SESSIONS",
        "sessions of one client address (one /64 network with IPv6); a further client is refused "
        "with 429. This machine's own addresses are exempt, so a proxy on it is too. Behind a "
        "proxy on another machine, all clients share its address: allow --max-sessions then",
    ),
    "max_sessions_per_token": (
        "SESSIONS",
        "sessions of one access token; a further client is refused with 429",
    ),
    "max_opening": (
        "CONNECTIONS",
        "connections that are not a session yet, TLS handshakes included; a further one drops the "
        "oldest of them",
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
    "max_messages_per_s": (
        "MESSAGES",
        "small messages of a client per second (controls, pings, audio of less than 80 bytes); "
        "more for five seconds end the session with an error",
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
        "messages are discarded; with twice as many, the session ends with an error",
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
    "first_audio_timeout_s": (
        "SECONDS",
        "time after which a session ends with an error if it has never sent audio",
    ),
    "message_timeout_s": (
        "SECONDS",
        "time for the rest of a message that has begun; then the session ends with an error",
    ),
    "open_timeout_s": ("SECONDS", "time in which a new connection must send its request"),
    "ping_interval_s": ("SECONDS", "time between two pings to a client"),
    "ping_timeout_s": (
        "SECONDS",
        "time after which a connection counts as lost, if the client neither answers a ping nor "
        "sends a message; three times as long if it only leaves the ping unanswered",
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
        help="address to listen on; 0.0.0.0 accepts other machines too, and needs access tokens or "
        "--open (default 127.0.0.1)",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help=f"port to listen on; 0 chooses a free one (default {DEFAULT_PORT})",
    )
    add_model_option(parser)
    add_policy_options(parser, " of a session that asks for no other")
    add_pause_model_option(
        parser,
        f", for the first {PAUSE_SESSIONS} sessions of a worker while it has time; if given: for "
        "all sessions",
    )
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
        "--worker-timeout-s",
        type=_seconds,
        default=WORKER_TIMEOUT_S,
        metavar="SECONDS",
        help="time without an answer after which one of several workers is killed and replaced "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--store",
        metavar="FOLDER|URL",
        help="where sessions are saved, so that they survive a process or a machine: a folder, or "
        "redis://host:6379/0 (also Valkey); better give a URL with a password by the environment, "
        "where other users do not see it (default: with several workers a temporary folder, "
        "otherwise sessions are not saved)",
    )
    parser.add_argument(
        "--hand-over",
        action="store_true",
        help="when this server stops, leave its sessions to other servers with the same --store: "
        "their clients resume there (default: the sessions end, with a reason)",
    )
    access = parser.add_argument_group("access")
    access.add_argument(
        "--token-file",
        type=Path,
        help=f"file of access tokens, one per line, each of at least {MIN_TOKEN_LETTERS} "
        "characters; a line that begins with # is a comment; SIGHUP reads the file again; more can "
        f"be given in the environment variable {TOKENS_VARIABLE}=a,b (default: no token is needed)",
    )
    access.add_argument(
        "--open",
        action="store_true",
        help="let everyone who can reach the --host use the server, without a token",
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
        "--page-server",
        action="append",
        default=[],
        metavar="URL",
        help="other server that this server's page may send sound to, such as wss://my.host, when "
        "it is opened with ?server=URL; can be repeated (the page never sends a token there)",
    )
    access.add_argument(
        "--onnxruntime-web",
        type=Path,
        metavar="FOLDER",
        help="folder of the npm package onnxruntime-web; this server's page can then also run the "
        "network in the browser tab, and whoever loads the page gets the model (default: on this "
        "server only)",
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
    offer_variables(parser)


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


def _seconds(word: str) -> float:
    with contextlib.suppress(ValueError):
        if 0.1 <= (number := float(word)) <= 3600:
            return number
    raise argparse.ArgumentTypeError(f"expected seconds from 0.1 to 3600, got {word!r}")


def main(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, then let every session finish; return the exit status.

    SIGHUP reads the token file again. Without one, it ends the server like SIGTERM.
    """
    fill_closed_streams()
    logs.configure(args.log_format, quiet=args.quiet)
    require_descriptors()
    _warn_of_unknown_variables()
    settings = settings_from(args)
    if not settings.tokens and not _is_loopback(settings.host):
        logger.warning(
            "no access tokens: whoever can reach %s may use this server", settings.host or "it"
        )
    # Without signal handlers, Ctrl+C raises KeyboardInterrupt after the sessions have ended.
    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=new_event_loop) as runner,
    ):
        runner.run(_serve(settings, args))
    return 0


def _warn_of_unknown_variables() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    unknown = {*unknown_variables(parser)} - {TOKENS_VARIABLE, "TURNSTREAM_TOKEN"}  # of the client
    if unknown:
        names = ", ".join(sorted(unknown))
        logger.warning("no option has these variables, so they change nothing: %s", names)


def settings_from(args: argparse.Namespace) -> ServiceSettings:
    """Return the settings given by the options and the environment.

    Raises:
        ConfigError: a limit is out of range, or the options contradict each other, or there is
            no token where some were announced or are needed, or a token is bad.
    """
    if args.tls_key is not None and args.tls_cert is None:
        raise ConfigError("expected --tls-cert with --tls-key, got the key alone")
    tokens = Tokens(read_tokens(args.token_file))
    if tokens and args.open:
        raise ConfigError("expected access tokens or --open, got both")
    if not (tokens or args.open or _is_loopback(args.host)):
        raise ConfigError(
            f"expected access tokens for --host {args.host!r}, which other machines may reach, "
            f"got none: give --token-file FILE (or {TOKENS_VARIABLE}), or --open to admit everyone"
        )
    if args.hand_over and args.store is None:
        raise ConfigError("expected --store, which other servers share, with --hand-over, got none")
    return ServiceSettings(
        model=args.model,
        projection=args.embedding,
        pause_model=args.pause_model,
        policies=policies_from(args),
        host=args.host,
        port=args.port,
        tokens=tokens,
        origins=tuple(args.origin),
        page_servers=tuple(args.page_server),
        onnxruntime_web=args.onnxruntime_web,
        certificate=args.tls_cert,
        key=args.tls_key,
        store=args.store,
        hand_over=args.hand_over,
        limits=Limits(**{bound.name: getattr(args, bound.name) for bound in fields(Limits)}),
        log_form=args.log_format,
        quiet=args.quiet,
    )


async def _serve(settings: ServiceSettings, args: argparse.Namespace) -> None:
    stop, reread = asyncio.Event(), asyncio.Event()
    tokens_file: Path | None = args.token_file

    def hang_up() -> None:
        if tokens_file is None:
            stop.set()
        elif reread_tokens(settings.tokens, tokens_file):
            reread.set()

    with contextlib.ExitStack() as handlers:
        _handle(("SIGINT", "SIGTERM"), stop.set, handlers)
        _handle(("SIGHUP",), hang_up, handlers)
        if args.workers == 1:
            await serve_until(stop, settings, _announce)
        else:
            await supervise(
                stop, settings, args.workers, _announce, reread, timeout_s=args.worker_timeout_s
            )


def _handle(names: Sequence[str], handler: Callable[[], None], stack: contextlib.ExitStack) -> None:
    """Let a handler take these signals until the stack closes; Windows lacks some of them."""
    loop = asyncio.get_running_loop()
    for name in names:
        # NotImplementedError: on Windows, where Ctrl+C cancels the task instead.
        with contextlib.suppress(NotImplementedError, AttributeError):
            number = getattr(signal, name)
            loop.add_signal_handler(number, handler)
            # uvloop does not remove the handler when the loop is closed.
            stack.callback(loop.remove_signal_handler, number)


def _announce(url: str) -> None:
    """Print the addresses; a server whose output nobody reads any more serves all the same."""
    try:
        print(f"serving {url}\npage    {_page_url(url)}", flush=True)
    except OSError as error:
        logger.warning(
            "cannot write to standard output: %s", error.strerror or error, extra={"url": url}
        )
        discard_output()


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


def _is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
