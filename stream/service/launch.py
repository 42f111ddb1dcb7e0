"""A server in a process: what it is made of, from listening to the end. `serve.py` runs one, `workers.py` several."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..engine import Engine
from ..errors import ServerError
from ..live_embedding import LiveProjection
from ..protocol import DEFAULT_PORT, LatentKind
from .handover import Handover
from .limits import Limits
from .logs import Form
from .metrics import Metrics
from .server import Server
from .tls import server_context


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What a server is asked to be; can be sent to another process.

    Attributes:
        model: ONNX file; None is the bundled model.
        projection: file of a saved projection of its states, which the page draws in; None is the bundled plane.
        host, port: where to listen; port 0 takes a free one.
        tokens: any of which admits; empty admits everyone.
        origins: of web pages that may connect, besides the server's own.
        certificate, key: PEM files, to serve TLS.
        limits: every bound.
        log_form: of the log.
        quiet: log warnings and errors only.
    """

    model: Path | None = None
    projection: Path | None = None
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    tokens: tuple[str, ...] = field(default=(), repr=False)
    origins: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    limits: Limits = field(default_factory=Limits)
    log_form: Form = "text"
    quiet: bool = False


async def serve_until(
    stop: asyncio.Event,
    settings: ServiceSettings,
    on_listening: Callable[[str], None],
    *,
    worker: int | None = None,
    sessions_folder: Path | None = None,
) -> None:
    """Serve until `stop` is set, then end every session well.

    Args:
        stop: ends it.
        settings: what to serve.
        on_listening: called with the url once clients can connect.
        worker: number of this worker, where several share the port.
        sessions_folder: where the workers hand sessions to one another.
    Raises:
        ConfigError: settings that describe no possible server, or a projection that is not the model's.
        ModelError: no model that this version runs.
        ServerError: the port or the address cannot be had.
    """
    tls = (
        None if settings.certificate is None else server_context(settings.certificate, settings.key)
    )

    async def release(
        token: str,
    ) -> bytes | None:  # the server needs the handover, which needs this
        return await server.release(token)

    handover = (
        None
        if worker is None or sessions_folder is None
        else Handover(sessions_folder, worker, release)
    )
    engine = Engine(settings.model)
    server = Server(
        engine,
        settings.host,
        settings.port,
        tokens=settings.tokens,
        origins=settings.origins,
        tls=tls,
        limits=settings.limits,
        metrics=Metrics(),
        reuse_port=worker is not None,
        handover=handover,
        plane=None if settings.projection is None else _read_plane(settings.projection, engine),
    )
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(handover or contextlib.nullcontext())
            await stack.enter_async_context(server)
        except OSError as error:
            raise ServerError(
                "cannot_listen", f"cannot listen: {error.strerror or error}"
            ) from None
        gc.freeze()  # what is there now stays; looking at it again and again would cost 10 ms pauses
        on_listening(server.url)
        await stop.wait()


def _read_plane(path: Path, engine: Engine) -> bytes:
    """The file of a projection that fits the model."""
    model = engine.metadata
    sizes: dict[LatentKind, int] = {
        "latent": model.latent_size,
        "latent_speaker": model.latent_speaker_size,
    }
    LiveProjection.load(path).check_fits(
        f"{model.name} {model.version}", model.weights_sha256, sizes
    )
    return path.read_bytes()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The fastest event loop there is: uvloop's, where it can be installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
