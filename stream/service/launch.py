"""Builds a server from its settings and runs it in this process.

`serve.py` runs one such server, `workers.py` several.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..engine import Engine
from ..errors import ServerError
from ..latent_message import LatentKind
from ..live_embedding import LiveEmbedding
from ..pause_model import choose_pause_model
from ..policy_settings import Policies
from ..protocol import DEFAULT_PORT
from .descriptors import raise_limit
from .limits import Limits
from .logs import Form
from .metrics import Metrics
from .server import Server
from .store import open_store
from .tab_pages import tab_pages
from .tls import server_context
from .tokens import Tokens

PAUSE_SESSIONS = 2  # with the pause model: together some 40 % of a core
_STORE_MARGIN_S = 30.0  # for which a session stays in the store beyond its time


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """The settings of a server; can be pickled for another process.

    Attributes:
        model: ONNX file; None is the bundled model.
        projection: file with a saved 2-D embedding of the model's states, which the web page
            plots; None is the bundled embedding.
        pause_model: ask the bundled pause model in the pauses. None: beside the bundled model, for
            the first PAUSE_SESSIONS sessions at a time.
        policies: the presets that a session can ask for, and its default.
        host, port: address to listen on; port 0 chooses a free one.
        tokens: access tokens, each of which admits a client; empty admits everyone. They can be
            replaced while the server runs.
        origins: origins of web pages that may connect, besides the server's own.
        page_servers: other servers that the web page may connect to, such as "wss://my.host".
        onnxruntime_web: folder of that npm package, so that the web page can also run the network
            in the browser tab; None: it cannot.
        certificate, key: PEM files to serve TLS; None serves without TLS. If only the key is
            None, the certificate's file contains it.
        store: address of the store of sessions; see `open_store`. None: a session lives and dies
            with its process.
        hand_over: when the server stops, leave the saved sessions to other servers of the store.
        limits: all bounds.
        log_form: format of the log.
        quiet: log warnings and errors only.
    """

    model: Path | None = None
    projection: Path | None = None
    pause_model: bool | None = False
    policies: Policies = field(default_factory=Policies)
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    tokens: Tokens = field(default_factory=Tokens, repr=False)
    origins: tuple[str, ...] = ()
    page_servers: tuple[str, ...] = ()
    onnxruntime_web: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    store: str | None = field(default=None, repr=False)  # a URL may hold a password
    hand_over: bool = False
    limits: Limits = field(default_factory=Limits)
    log_form: Form = "text"
    quiet: bool = False


async def serve_until(
    stop: asyncio.Event,
    settings: ServiceSettings,
    on_listening: Callable[[str], None],
    *,
    reuse_port: bool = False,
    leaving: asyncio.Event | None = None,
) -> None:
    """Serve until `stop` is set, then let every session finish.

    Args:
        stop: set by the caller to stop the server.
        settings: settings of the server.
        on_listening: called with the URL as soon as clients can connect.
        reuse_port: share the port with other processes.
        leaving: set before `stop` if other processes go on serving the port: new clients then
            reach those. Otherwise this server refuses them while it drains.
    Raises:
        ConfigError: a setting is invalid, or the saved embedding belongs to another model, or the
            folder of onnxruntime-web is not that package.
        ModelError: this version cannot run the model.
        ServerError: the server cannot listen on the host and port.
    """
    # As many connections as there are sessions may listen to calls of Twilio.
    raise_limit(2 * settings.limits.max_sessions + settings.limits.max_opening)
    tls = (
        None if settings.certificate is None else server_context(settings.certificate, settings.key)
    )
    store = None
    if settings.store is not None:
        # A state that does not change is saved again after half of `resume_s`.
        store = open_store(settings.store, 2 * settings.limits.resume_s + _STORE_MARGIN_S)
    engine = Engine(settings.model)
    pause_model = choose_pause_model(settings.pause_model, engine)
    if pause_model is not None:
        pause_model.load()  # so that a file that is damaged is refused at the start
    server = Server(
        engine,
        settings.host,
        settings.port,
        tokens=settings.tokens,
        origins=settings.origins,
        page_servers=settings.page_servers,
        tls=tls,
        limits=settings.limits,
        metrics=Metrics(),
        reuse_port=reuse_port,
        store=store,
        pause_model=pause_model,
        pause_sessions=PAUSE_SESSIONS if settings.pause_model is None else None,
        policies=settings.policies,
        hand_over=settings.hand_over,
        plane=None if settings.projection is None else _read_plane(settings.projection, engine),
        tab=None
        if settings.onnxruntime_web is None
        else tab_pages(settings.onnxruntime_web, engine.path),
    )
    async with contextlib.AsyncExitStack() as stack:
        if store is not None:
            stack.push_async_callback(store.close)
        try:
            await stack.enter_async_context(server)
        except OSError as error:
            raise cannot_listen(settings, error) from None
        gc.freeze()  # the present objects stay; scanning them again would cause pauses of 10 ms
        on_listening(server.url)
        await stop.wait()
        if leaving is not None and leaving.is_set():
            server.stop_listening()


def cannot_listen(settings: ServiceSettings, error: OSError) -> ServerError:
    """Return the error of a server whose address or port cannot be used."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    hint = "; try another --port" if error.errno == errno.EADDRINUSE else ""
    where = f"{settings.host or 'any address'}, port {settings.port}"
    return ServerError("cannot_listen", f"cannot listen on {where}: {reason}{hint}")


def _read_plane(path: Path, engine: Engine) -> bytes:
    """Return the bytes of an embedding's file, after a check that it fits the model."""
    model = engine.metadata
    sizes: dict[LatentKind, int] = {
        "latent": model.latent_size,
        "latent_speaker": model.latent_speaker_size,
    }
    LiveEmbedding.load(path).check_fits(
        f"{model.name} {model.version}", model.network_sha256, sizes
    )
    return path.read_bytes()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return the fastest event loop available: uvloop's if it is installed, else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
