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

from ..errors import ConfigError
from ..protocol import DEFAULT_PORT, STREAM_PATH
from . import logs
from .launch import ServiceSettings, new_event_loop, serve_until
from .limit_options import add_limit_options, limits_from
from .workers import supervise

logger = logging.getLogger(__name__)

TOKENS_VARIABLE = "TURNSTREAM_TOKENS"


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
    add_limit_options(parser)


def _port(word: str) -> int:
    if not word.isdecimal() or int(word) > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {word!r}")
    return int(word)


def _count(word: str) -> int:
    if not (word.isascii() and word.isdecimal() and 1 <= int(word) <= 1024):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 1024, got {word!r}")
    return int(word)


def main(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, then let every session finish; return the exit status."""
    logs.configure(args.log_format, quiet=args.quiet)
    settings = _settings(args)
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


def _settings(args: argparse.Namespace) -> ServiceSettings:
    if args.tls_key is not None and args.tls_cert is None:
        raise ConfigError("expected --tls-cert with --tls-key, got the key alone")
    return ServiceSettings(
        model=args.model,
        projection=args.embedding,
        host=args.host,
        port=args.port,
        tokens=tuple(_tokens(args.token_file)),
        origins=tuple(args.origin),
        certificate=args.tls_cert,
        key=args.tls_key,
        limits=limits_from(args),
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
    print(f"serving {url}\npage    {_page_of(url)}", flush=True)


def _page_of(url: str) -> str:
    """Return the URL of the web page for a browser on this machine.

    A wildcard host becomes localhost. A browser grants the microphone only to a page from its own
    machine or over https.
    """
    scheme, _, place = url.removesuffix(STREAM_PATH).partition("://")
    host, _, port = place.rpartition(":")
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
