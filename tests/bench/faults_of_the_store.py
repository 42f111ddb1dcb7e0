"""Killed workers, and a store that is killed, slow, or asked for one session by two workers."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
from fault_material import PLACES, ROOMY, SESSION_CHUNKS, Fault, SimulationData
from live_clients import opening
from raw_stream import PATIENCE_S, RawStream, RefusedError, reset_on_close, resume
from served import Served, served

SLOW_S = 0.2  # of one answer of the slow store


class Talks:
    """Sessions that send in turn; each is resumed when its connection has ended.

    Attributes:
        resumed_s: how long each resume took.
        ends: how the sessions ended.
    """

    def __init__(self, material: SimulationData, port: int) -> None:
        self._material = material
        self._streams = [RawStream(port, "latents=final") for _ in range(material.count)]
        self.resumed_s: list[float] = []
        self.ends = Counter[str]()

    def send(self, first: int, end: int) -> None:
        """Send some of the chunks of every session."""
        for at in range(first, end):
            for place, stream in enumerate(self._streams):
                stream.hear()
                if not stream.open:
                    self._resume(stream)
                stream.send(self._material.chunk(place % PLACES, at))

    def finish(self) -> None:
        """Send the rest, and count how many sessions received exactly the expected messages."""
        for place, stream in enumerate(self._streams):
            try:
                stream.send('{"type":"close"}')
                stream.hear_out()
                while stream.close_code is None:
                    self._resume(stream)
                    stream.hear_out()
            except (OSError, RefusedError) as error:
                self.ends[f"lost ({error})"] += 1
                continue
            stream.sock.close()
            exact = self._material.is_exact(stream, place % PLACES)
            self.ends["exact" if exact else "wrong"] += 1

    def _resume(self, stream: RawStream) -> None:
        began_s = time.perf_counter()
        resume(stream)
        self.resumed_s.append(time.perf_counter() - began_s)

    def fault(self, server: Served, figures: str = "") -> Fault:
        """Return the figures of all sessions, and whether they and the server are well."""
        wait_ms = np.percentile(self.resumed_s or [0.0], (50, 99)) * 1000
        right = all(self._material.serves(server.port) for _ in range(10))
        return Fault(
            f"{len(self._streams)} sessions, {len(self.resumed_s)} resumes: {dict(self.ends)}; "
            f"resumed in {wait_ms[0]:.1f} / {wait_ms[1]:.1f} ms (p50 / p99){figures}",
            right and self.ends["exact"] == len(self._streams),
        )


def kill_worker(server: Served, material: SimulationData) -> None:
    """Kill the older one of two workers, and wait until another one serves."""
    workers = [process for process in server.processes[1:] if process.memory_info().rss > 40e6]
    victim = min(workers, key=lambda process: process.create_time())
    victim.kill()
    victim.wait()
    deadline_s = time.perf_counter() + PATIENCE_S
    while len(served_by(server)) < 2 and time.perf_counter() < deadline_s:
        time.sleep(0.05)
    material.wait_until_served(server.port)


def served_by(server: Served) -> set[int]:
    """Return the processes that listen on the port."""
    return {
        process.pid
        for process in server.processes[1:]
        if any(
            connection.status == "LISTEN" and connection.laddr.port == server.port
            for connection in process.net_connections("tcp")
        )
    }


def workers_killed(material: SimulationData) -> Fault:
    """Both workers are killed, one after the other, while sessions talk."""
    with served(*ROOMY, "--workers", "2") as server:
        talks = Talks(material, server.port)
        talks.send(0, 10)
        kill_worker(server, material)
        talks.send(10, 20)
        kill_worker(server, material)
        talks.send(20, SESSION_CHUNKS)
        talks.finish()
        return talks.fault(server)


def claimed_twice(material: SimulationData) -> Fault:
    """Several connections ask for one session at the same moment; the last one keeps it."""
    ends = Counter[str]()
    with served(*ROOMY, "--workers", "2") as server:
        for number in range(material.count):
            place = number % PLACES
            stream = RawStream(server.port, "latents=final")
            for at in range(10):
                stream.send(material.chunk(place, at))
            asked = f"resume={stream.begin['resume_token']}&received={stream.count}"
            stream.cut()
            rivals = [threading.Thread(target=ask, args=(server.port, asked)) for _ in range(3)]
            for rival in rivals:
                rival.start()
            try:
                resume(stream)
                for rival in rivals:
                    rival.join()
                for at in range(10, SESSION_CHUNKS):
                    stream.hear()
                    if not stream.open:  # a rival was later
                        ends["claimed again"] += 1
                        resume(stream)
                    stream.send(material.chunk(place, at))
                stream.send('{"type":"close"}')
                stream.hear_out()
                while stream.close_code != 1000:
                    resume(stream)
                    stream.hear_out()
            except (OSError, RefusedError) as error:
                ends[f"lost ({error})"] += 1
                continue
            ends["exact" if material.is_exact(stream, place) else "wrong"] += 1
        right = all(material.serves(server.port) for _ in range(10))
    return Fault(
        f"{material.count} sessions: {dict(ends)}", right and ends["exact"] == material.count
    )


def ask(port: int, query: str) -> None:
    """Ask for a session, and break the connection at once.

    It answers no ping: an answer would confirm messages that the stream has not received.
    """
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as rival:
        rival.settimeout(PATIENCE_S)
        rival.sendall(opening(query))
        rival.recv(1 << 16)
        reset_on_close(rival)


# ---- Redis ----


class Redis:
    """A `redis-server` without files, on a free port; it can be killed and started again.

    Args:
        delay_s: how much later its answers come than they are given.
    """

    def __init__(self, delay_s: float = 0.0) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._delay_s = delay_s
        self._process: subprocess.Popen[str] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._process = subprocess.Popen(
            ["redis-server", "--port", str(self._port), "--save", ""],
            stdout=subprocess.PIPE,
            text=True,
            cwd=tempfile.gettempdir(),
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "eady to accept connections" in line:
                return
        raise SystemExit("redis-server did not start")

    def kill(self) -> None:
        """Kill it, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Run until the end of the context; yield the URL, with the delay if there is one."""
        self.start()
        try:
            with contextlib.ExitStack() as stack:
                if self._delay_s:
                    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                    threading.Thread(target=self._delay, args=(listener,), daemon=True).start()
                    yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
                else:
                    yield self.url
        finally:
            self.kill()

    def _delay(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                for source, sink, delay_s in ((near, far, 0.0), (far, near, self._delay_s)):
                    threading.Thread(
                        target=carry, args=(source, sink, delay_s), daemon=True
                    ).start()


def carry(source: socket.socket, sink: socket.socket, delay_s: float) -> None:
    """Pass everything on, a little later."""
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 24):  # all of a state of 1 MB is late once, or twice
            time.sleep(delay_s)
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)


def has_no_redis() -> Fault | None:
    """Return the outcome of a fault that needs Redis where there is none."""
    if shutil.which("redis-server") is None:
        return Fault("not tried: redis-server is not installed")
    return None


def store_killed(material: SimulationData) -> Fault:
    """Redis is killed and started again, empty; then both workers are killed."""
    if (skipped := has_no_redis()) is not None:
        return skipped
    redis = Redis()
    with redis.running() as url, served(*ROOMY, "--workers", "2", "--store", url) as server:
        talks = Talks(material, server.port)
        talks.send(0, 8)
        redis.kill()
        talks.send(8, 12)
        time.sleep(3)  # the server notices
        talks.send(12, 16)
        redis.start()
        time.sleep(6)  # the sessions are saved again
        talks.send(16, 20)
        kill_worker(server, material)
        talks.send(20, 24)
        kill_worker(server, material)
        talks.send(24, SESSION_CHUNKS)
        talks.finish()
        return talks.fault(server)


def store_slow(material: SimulationData) -> Fault:
    """Every answer of Redis comes late; a worker is killed. Live sessions must not wait for it."""
    if (skipped := has_no_redis()) is not None:
        return skipped
    with (
        Redis(SLOW_S).running() as url,
        served(*ROOMY, "--workers", "2", "--store", url) as server,
    ):
        talks = Talks(material, server.port)
        talks.send(0, 10)
        began_s = time.perf_counter()
        right = material.serves(server.port)
        alone_s = time.perf_counter() - began_s
        time.sleep(2 + 10 * SLOW_S)  # each session is saved
        kill_worker(server, material)
        talks.send(10, SESSION_CHUNKS)
        talks.finish()
        fault = talks.fault(server, f"; a session beside them took {alone_s:.2f} s")
    fault.right = fault.right and right
    return fault
