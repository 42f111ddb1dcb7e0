"""Several server processes on one port: a supervisor starts, replaces and stops them.

Every worker has its own listening socket on the port (SO_REUSEPORT: the system distributes the
clients) and its own engine with one thread. If a worker dies, its clients come back to the others,
which claim its sessions from the store.

A pipe connects each worker to the supervisor. Through it, the worker reports that it listens, or
why it cannot, and answers the supervisor's pings, which also bring new access tokens. A worker that
does not answer is killed and replaced (`heartbeat.py`). When the pipe closes, because the
supervisor stops or dies, the worker drains its sessions and ends. So no worker is left behind.
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
from .heartbeat import Heartbeat
from .launch import ServiceSettings, cannot_listen, new_event_loop, serve_until
from .metrics import FOLDER_VARIABLE

logger = logging.getLogger(__name__)

WORKER_TIMEOUT_S = 10.0  # default time without an answer after which a worker is replaced

_PING_S = 0.5  # between two pings; less if the timeout is short
_SHORT_LIFE_S = 10.0  # a worker that ends sooner had a short life
_MOST_SHORT_LIVES = 5  # in a row; then the supervisor gives up
_FIRST_DELAY_S = 0.1  # before a restart; doubles with every short life
_IN_MEMORY, _LEAST_ROOM_BYTES = Path("/dev/shm"), 1 << 30
_GRACE_S = 5.0  # extra time for a worker to end, beyond the shutdown time of its sessions


async def supervise(
    stop: asyncio.Event,
    settings: ServiceSettings,
    workers: int,
    on_listening: Callable[[str], None],
    reread: asyncio.Event,
    *,
    timeout_s: float = WORKER_TIMEOUT_S,
) -> None:
    """Serve with several workers until `stop` is set, then let all workers drain.

    Args:
        stop: set by the caller to stop the server.
        settings: settings of each worker.
        workers: number of workers.
        on_listening: called once with the URL, when all workers listen.
        reread: set by the caller when the tokens of the settings have changed.
        timeout_s: time without an answer after which a worker is killed and replaced.
    Raises:
        ConfigError: processes cannot share a port on this system.
        ServerError: the supervisor cannot listen on the port, a worker cannot start, or a worker
            repeatedly dies soon after its start.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError(
            f"expected 1 worker, got {workers}: on this system processes cannot share a port "
            "(no SO_REUSEPORT)"
        )
    try:
        reserved = reserve_port(settings.host, settings.port)
    except OSError as error:
        raise cannot_listen(settings, error) from None
    with (
        reserved,
        tempfile.TemporaryDirectory(
            prefix="turnstream-", dir=_memory_folder(), ignore_cleanup_errors=True
        ) as folder,
    ):
        settings = replace(settings, port=reserved.getsockname()[1])
        supervisor = Supervisor(settings, workers, Path(folder), on_listening, timeout_s)
        await supervisor.run(stop, reread)


def _memory_folder() -> Path | None:
    """Return a folder in memory; None if there is none with enough room."""
    try:
        return _IN_MEMORY if shutil.disk_usage(_IN_MEMORY).free >= _LEAST_ROOM_BYTES else None
    except OSError:
        return None


def reserve_port(host: str, port: int) -> socket.socket:
    """Return a socket that reserves the port but accepts no connection.

    Args:
        host: address to bind; empty is any address.
        port: port to reserve; 0 chooses a free one.
    Raises:
        OSError: the port is taken, even if the other server would share it, or the address does
            not belong to this machine.
    """
    family, kind, _, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind) as alone:  # no SO_REUSEPORT: fails if the port is taken
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
    """Keeps the workers of one port alive; can be used once.

    Args:
        settings: settings of each worker; the port must not be 0.
        workers: number of workers.
        folder: private folder for the workers' metrics, and for their sessions if there is no other
            store.
        on_listening: called once with the URL, when all workers listen.
        timeout_s: time without an answer after which a worker is killed and replaced.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        workers: int,
        folder: Path,
        on_listening: Callable[[str], None],
        timeout_s: float,
    ) -> None:
        self._settings = replace(settings, store=settings.store or str(folder / "sessions"))
        self._workers = workers
        self._folder, self._metrics_folder = folder, folder / "metrics"
        self._on_listening = on_listening
        self._listening: set[int] = set()
        self._running: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._serving: set[int] = set()  # of those
        self._outdated: set[int] = set()  # that have not been sent the present tokens
        self._timeout_s = timeout_s
        self._period_s = min(_PING_S, timeout_s / 4)
        self._heartbeat = Heartbeat(timeout_s, self._period_s)
        self._stopping = asyncio.Event()

    async def run(self, stop: asyncio.Event, reread: asyncio.Event) -> None:
        """Keep the workers running until `stop` is set or a worker cannot be kept.

        Args:
            stop: set by the caller to stop all workers.
            reread: set by the caller when the tokens of the settings have changed.
        Raises:
            ServerError: a worker cannot start, or it repeatedly dies soon after its start.
        """
        self._metrics_folder.mkdir(mode=0o700)
        keepers = [asyncio.create_task(self._keep_alive(number)) for number in range(self._workers)]
        stopped = asyncio.create_task(stop.wait())
        watch = asyncio.create_task(self._watch(reread))
        await asyncio.wait({stopped, watch, *keepers}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        watch.cancel()
        self._stopping.set()
        for _, lifeline in self._running.values():
            _close(lifeline)
        _, late = await asyncio.wait(
            keepers, timeout=self._settings.limits.shutdown_timeout_s + _GRACE_S
        )
        if late:
            logger.warning("killing %d workers that did not end", len(self._running))
            for process, _ in self._running.values():
                process.kill()
            await asyncio.wait(late)
        await asyncio.gather(*keepers)  # raises the error of a worker
        if not watch.cancelled():
            watch.result()  # raises its error

    async def _watch(self, reread: asyncio.Event) -> None:
        """Ping the workers, send them new tokens, and kill a worker that does not answer."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reread.wait(), self._period_s)
                reread.clear()
                self._outdated |= self._running.keys()
            for number in self._serving:
                if not self._heartbeat.awaits(number):
                    self._ping(number)
            hung = self._heartbeat.tick(time.monotonic())
            if hung is not None:
                logger.error(
                    "worker did not answer for %g s: killing it",
                    self._timeout_s,
                    extra={"worker": hung},
                )
                self._running[hung][0].kill()

    def _ping(self, number: int) -> None:
        """Send a ping, with the tokens if they have changed.

        No ping is sent before the last one was answered. So the pipe always has room, and a worker
        that reads nothing cannot block the supervisor.
        """
        words = self._settings.tokens.words if number in self._outdated else None
        with contextlib.suppress(OSError):  # the worker has ended
            self._running[number][1].send(("ping", words))
            self._heartbeat.asked(number)
            self._outdated.discard(number)

    async def _keep_alive(self, number: int) -> None:
        short_lives = 0
        while not self._stopping.is_set():
            began_s = time.monotonic()
            end, reason = await self._run_worker(number)
            if self._stopping.is_set():
                return
            if reason is not None and number not in self._listening:
                raise ServerError("worker_failed", reason)
            short_lives = short_lives + 1 if time.monotonic() - began_s < _SHORT_LIFE_S else 1
            if short_lives >= _MOST_SHORT_LIVES:
                raise ServerError(
                    "worker_failed",
                    f"worker {number} ended {short_lives} times within {_SHORT_LIFE_S:g} s "
                    f"of its start, lastly by {reason or end}",
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

    async def _run_worker(self, number: int) -> tuple[str, str | None]:
        """Run one worker from its start to its end.

        Returns:
            The signal or exit code that ended it; and its reason why it could not serve, if it
            reported one.
        """
        loop = asyncio.get_running_loop()
        process, lifeline = self._start(number)
        pid = process.pid
        assert pid is not None
        self._running[number] = process, lifeline
        reasons: list[str] = []

        def read_reports() -> None:
            try:
                while lifeline.poll():
                    kind, text = lifeline.recv()
                    if kind == "failed":
                        reasons.append(text)
                    elif kind == "pong":
                        self._heartbeat.forget(number)
                    else:
                        self._on_worker_listening(number, pid, text)
            except (EOFError, OSError):  # the worker has ended
                loop.remove_reader(lifeline.fileno())

        ended = asyncio.Event()
        loop.add_reader(lifeline.fileno(), read_reports)
        loop.add_reader(process.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(process.sentinel)
        if not lifeline.closed:
            read_reports()
            _close(lifeline)
        del self._running[number]
        self._serving.discard(number)
        self._outdated.discard(number)
        self._heartbeat.forget(number)
        process.join()
        mark_process_dead(pid, str(self._metrics_folder))
        code = process.exitcode or 0
        process.close()
        return (signal.Signals(-code).name if code < 0 else f"exit code {code}"), reasons[
            0
        ] if reasons else None

    def _on_worker_listening(self, number: int, pid: int, url: str) -> None:
        logger.info("worker serves", extra={"worker": number, "worker_pid": pid})
        self._serving.add(number)
        before = len(self._listening)
        self._listening.add(number)
        if before < len(self._listening) == self._workers:
            self._on_listening(url)

    def _start(self, number: int) -> tuple[SpawnProcess, Connection]:
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(
            target=_run_in_worker,
            args=(self._settings, self._folder, theirs),
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
    """Set an environment variable for a child that is started in this context.

    The child could not set it itself: prometheus-client reads it on import, before our code runs.
    """
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


def _run_in_worker(settings: ServiceSettings, folder: Path, lifeline: Connection) -> None:
    # Ctrl+C and the end of the terminal also reach the supervisor, which tells this worker.
    for name in ("SIGINT", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    logs.configure(settings.log_form, quiet=settings.quiet)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_serve(settings, lifeline))
    except TurnstreamError as error:
        with contextlib.suppress(OSError):
            lifeline.send(("failed", str(error)))
        sys.exit(2)
    finally:
        supervisor = multiprocessing.parent_process()
        if supervisor is not None and not supervisor.is_alive():  # it cannot clean up any more
            shutil.rmtree(folder, ignore_errors=True)


async def _serve(settings: ServiceSettings, lifeline: Connection) -> None:
    loop, stop, leaving = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def leave() -> None:
        leaving.set()
        stop.set()

    def hear() -> None:
        """Answer the pings; stop at the end of the pipe."""
        try:
            while lifeline.poll():
                _, words = lifeline.recv()
                if words is not None:
                    settings.tokens.replace(words)
                lifeline.send(("pong", ""))
        except (EOFError, OSError):
            loop.remove_reader(lifeline.fileno())
            stop.set()

    def on_listening(url: str) -> None:
        with contextlib.suppress(OSError):
            lifeline.send(("serves", url))

    loop.add_signal_handler(signal.SIGTERM, leave)
    loop.add_reader(lifeline.fileno(), hear)
    try:
        await serve_until(stop, settings, on_listening, reuse_port=True, leaving=leaving)
    finally:
        loop.remove_reader(lifeline.fileno())
