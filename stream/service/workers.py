"""Several processes on one port: a supervisor starts them, starts another for one that dies, and ends them all well.

Every worker has a listening socket of its own on the port (SO_REUSEPORT: the system spreads the clients), its own engine of one thread, and
sessions that end with it alone. A pipe ties each worker to the supervisor. The worker tells through it that it listens, or why it cannot;
when it is closed, on purpose or because the supervisor is gone, the worker drains and ends, so none is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead  # pyright: ignore[reportUnknownVariableType]

from ..errors import ConfigError, ServerError, TurnstreamError
from . import logs
from .launch import ServiceSettings, new_event_loop, serve_until
from .metrics import FOLDER_VARIABLE

logger = logging.getLogger(__name__)

_SHORT_LIFE_S = 10.0
_MOST_SHORT_LIVES = 5
_FIRST_DELAY_S = 0.1  # doubles with every short life
_GRACE_S = 5.0  # for a worker to end, after what it grants its sessions


async def supervise(
    stop: asyncio.Event,
    settings: ServiceSettings,
    workers: int,
    on_listening: Callable[[str], None],
) -> None:
    """Serve with several workers until `stop` is set, then let all of them drain.

    Args:
        stop: ends it.
        settings: what each worker serves.
        workers: how many.
        on_listening: called once with the url, when all of them listen.
    Raises:
        ConfigError: this system cannot share a port.
        ServerError: the port cannot be had, a worker cannot start, or one dies again and again as soon as it has started.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError(
            f"expected 1 worker, got {workers}: on this system processes cannot share a port (no SO_REUSEPORT)"
        )
    try:
        reserved = reserve_port(settings.host, settings.port)
    except OSError as error:
        raise ServerError(
            "cannot_listen",
            f"cannot listen on {settings.host or 'any address'}, port {settings.port}: {error.strerror or error}",
        ) from None
    with (
        reserved,
        tempfile.TemporaryDirectory(prefix="turnstream-", ignore_cleanup_errors=True) as folder,
    ):
        settings = replace(settings, port=reserved.getsockname()[1])
        await Supervisor(settings, workers, Path(folder), on_listening).run(stop)


def reserve_port(host: str, port: int) -> socket.socket:
    """A socket that holds the port for us and takes no connection; port 0 takes a free one.

    Raises:
        OSError: the port is taken, if only by a server that would share it, or the address is not ours.
    """
    family, kind, _, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(
        family, kind
    ) as alone:  # without SO_REUSEPORT: fails if anyone listens there
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(address)
        address = alone.getsockname()
    reserved = socket.socket(family, kind)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(address)
    except OSError:
        reserved.close()
        raise
    return reserved


class Supervisor:
    """Keeps the workers of one port alive; used once.

    Args:
        settings: what each worker serves; its port is not 0.
        workers: how many.
        folder: private, for their metrics and sockets.
        on_listening: called once with the url, when all of them listen.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        workers: int,
        folder: Path,
        on_listening: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._workers = workers
        self._sessions_folder, self._metrics_folder = folder / "sessions", folder / "metrics"
        self._on_listening = on_listening
        self._listening: set[int] = set()
        self._living: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._stopping = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the workers until `stop` is set or one cannot be kept.

        Raises:
            ServerError: a worker cannot start, or dies again and again.
        """
        self._metrics_folder.mkdir(mode=0o700)
        keepers = [asyncio.create_task(self._keep(number)) for number in range(self._workers)]
        told = asyncio.create_task(stop.wait())
        await asyncio.wait({told, *keepers}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        self._stopping.set()
        for _, lifeline in self._living.values():
            _close(lifeline)
        _, late = await asyncio.wait(
            keepers, timeout=self._settings.limits.shutdown_timeout_s + _GRACE_S
        )
        if late:
            logger.warning("killing %d workers that did not end", len(self._living))
            for process, _ in self._living.values():
                process.kill()
            await asyncio.wait(late)
        await asyncio.gather(*keepers)  # raises what one of them raised

    async def _keep(self, number: int) -> None:
        short_lives = 0
        while not self._stopping.is_set():
            began_s = time.monotonic()
            end, reason = await self._live(number)
            if self._stopping.is_set():
                return
            if reason is not None and number not in self._listening:
                raise ServerError("worker_failed", reason)
            short_lives = short_lives + 1 if time.monotonic() - began_s < _SHORT_LIFE_S else 1
            if short_lives >= _MOST_SHORT_LIVES:
                raise ServerError(
                    "worker_failed",
                    f"worker {number} ended {short_lives} times within {_SHORT_LIFE_S:g} s of its start, lastly by {reason or end}",
                )
            delay_s = _FIRST_DELAY_S * 2 ** (short_lives - 1)
            logger.warning(
                "worker ended by %s; another starts in %g s",
                reason or end,
                delay_s,
                extra={"worker": number},
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)

    async def _live(self, number: int) -> tuple[str, str | None]:
        """One worker from its start to its end: what ended it, and why it could not serve, if it said so."""
        loop = asyncio.get_running_loop()
        process, lifeline = self._start(number)
        pid = process.pid
        assert pid is not None
        self._living[number] = process, lifeline
        reasons: list[str] = []

        def hear() -> None:
            try:
                while lifeline.poll():
                    kind, text = lifeline.recv()
                    if kind == "failed":
                        reasons.append(text)
                    else:
                        self._on_worker_listening(number, pid, text)
            except (EOFError, OSError):  # it has ended
                loop.remove_reader(lifeline.fileno())

        ended = asyncio.Event()
        loop.add_reader(lifeline.fileno(), hear)
        loop.add_reader(process.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(process.sentinel)
        if not lifeline.closed:
            hear()
            _close(lifeline)
        del self._living[number]
        process.join()
        mark_process_dead(pid, str(self._metrics_folder))
        code = process.exitcode or 0
        process.close()
        return (signal.Signals(-code).name if code < 0 else f"exit code {code}"), reasons[
            0
        ] if reasons else None

    def _on_worker_listening(self, number: int, pid: int, url: str) -> None:
        logger.info("worker serves", extra={"worker": number, "worker_pid": pid})
        before = len(self._listening)
        self._listening.add(number)
        if before < len(self._listening) == self._workers:
            self._on_listening(url)

    def _start(self, number: int) -> tuple[SpawnProcess, Connection]:
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(
            target=_work,
            args=(number, self._settings, self._sessions_folder, theirs),
            name=f"turnstream-worker-{number}",
            daemon=True,
        )
        with theirs, _environment(FOLDER_VARIABLE, str(self._metrics_folder)):
            process.start()
        return process, ours


def _close(lifeline: Connection) -> None:
    asyncio.get_running_loop().remove_reader(lifeline.fileno())
    lifeline.close()


@contextlib.contextmanager
def _environment(name: str, value: str) -> Generator[None, None, None]:
    """For a child that is started meanwhile: prometheus-client reads the variable on import, before any code of ours could set it."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


# ---- in the worker ----


def _work(
    number: int, settings: ServiceSettings, sessions_folder: Path, lifeline: Connection
) -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl+C reaches the supervisor, too, and it ends us in good order
    logs.configure(settings.log_form, quiet=settings.quiet)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_serve(number, settings, sessions_folder, lifeline))
    except TurnstreamError as error:
        with contextlib.suppress(OSError):
            lifeline.send(("failed", str(error)))
        sys.exit(2)
    finally:
        supervisor = multiprocessing.parent_process()
        if supervisor is not None and not supervisor.is_alive():  # it can tidy up no more
            shutil.rmtree(sessions_folder.parent, ignore_errors=True)


async def _serve(
    number: int, settings: ServiceSettings, sessions_folder: Path, lifeline: Connection
) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(
        lifeline.fileno(), stop.set
    )  # the supervisor says nothing, so this is the end of the pipe

    def on_listening(url: str) -> None:
        with contextlib.suppress(OSError):
            lifeline.send(("serves", url))

    try:
        await serve_until(
            stop, settings, on_listening, worker=number, sessions_folder=sessions_folder
        )
    finally:
        loop.remove_reader(lifeline.fileno())
