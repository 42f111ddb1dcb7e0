"""What clients that mean no good, or too much at once, do to the live ones. Asserts nothing.

    python tests/bench/bench_fairness.py [SCENARIO ...] [--seconds 5]

Each scenario starts a server with its default limits, and live sessions that play the bundled call
in real time. Strangers act from a process of their own:

    rush        60 clients at once beside one live session: how many are admitted
    handshakes  30 sessions a second that open and leave: how many of 20 honest clients get in
    floods      20 connections that send pings as fast as the server takes them
    rates       4 files at 191,999 Hz, and 10 handshakes a second with odd sample rates
    fragments   20 sessions, each with 4 MB of a message that never ends: memory for each
    pongs       20 sessions that ping and read nothing: memory for each
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import numpy as np
from live_clients import BINARY, PING, Chunks, Fleet, Measured, framed, opening
from served import Served, machine, served

LIVE = 10
FLOODERS = 20
STRANGERS = 20
FILES = 4
FILE_RATE_HZ = 191_999
PER_S = {"handshakes": 30.0, "rates": 10.0}
CHUNK_MS = 20


def connected(port: int, query: str = "", *, receive_buffer: int | None = None) -> socket.socket:
    """Open a stream; what the server answers is read up to its first bytes."""
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(10)
    sock.connect(("127.0.0.1", port))
    sock.send(opening(query))
    sock.recv(1 << 12)
    return sock


def push(sock: socket.socket, wire: bytes, seconds: float) -> None:
    """Send until the time is over or the server ends the connection; read what comes."""
    sock.setblocking(False)
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        with suppress(BlockingIOError):
            wire = wire[sock.send(wire) :]
        with suppress(BlockingIOError):
            if not sock.recv(1 << 16):
                return
        time.sleep(0.001)


def handshakes(port: int, seconds: float) -> None:
    """Open sessions and leave them."""
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        with suppress(OSError):
            connected(port).close()
        time.sleep(1 / PER_S["handshakes"])


def odd_rates(port: int, seconds: float) -> None:
    """Open sessions of sample rates that no session had before."""
    end_s, rate_hz = time.perf_counter() + seconds, 22_051
    while time.perf_counter() < end_s:
        rate_hz += 2
        with suppress(OSError):
            connected(port, f"sample_rate={rate_hz}").close()
        time.sleep(1 / PER_S["rates"])


def flood(port: int, seconds: float) -> None:
    """Send pings, some 40 KB a second; open another session when the server ends one."""
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        with suppress(OSError), connected(port) as sock:
            sock.settimeout(0.1)
            while time.perf_counter() < end_s:
                with suppress(TimeoutError):
                    sock.sendall(framed(b"", PING) * 680)
                time.sleep(0.1)


def file(port: int, seconds: float) -> None:
    """Send a file of an odd, high sample rate."""
    with suppress(OSError):
        sock = connected(port, f"sample_rate={FILE_RATE_HZ}&frames=none")
        minute = np.zeros((FILE_RATE_HZ * 60, 2), np.int16) + 1
        push(sock, framed(minute[: 1 << 18].tobytes()) * 20, seconds)


def unfinished(port: int, seconds: float) -> None:
    """Send 4 MB of a message without its end."""
    with suppress(OSError):
        sock = connected(port)
        piece = bytes([BINARY]) + struct.pack(">BQ", 0xFF, 1 << 21) + bytes(4 + (1 << 21))
        push(sock, piece + b"\x00" + piece[1:-1], seconds)


def unread_pongs(port: int, seconds: float) -> None:
    """Ask for pongs and read none."""
    with suppress(OSError):
        sock = connected(port, receive_buffer=4096)
        sock.settimeout(0.2)
        end_s = time.perf_counter() + seconds
        while time.perf_counter() < end_s:
            with suppress(TimeoutError):
                sock.sendall(framed(bytes(125), PING) * 100)


def act_often(act: Callable[[int, float], None], count: int, port: int, seconds: float) -> None:
    """Act in several threads of this process."""
    threads = [threading.Thread(target=act, args=(port, seconds)) for _ in range(count)]
    for thread in threads:
        thread.start()


@contextmanager
def strangers(act: Callable[[int, float], None], count: int, port: int) -> Iterator[None]:
    """Let strangers act meanwhile, in a process of their own."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=act_often, args=(act, count, port, 60.0))
    process.start()
    yield
    process.kill()
    process.join()


def latency(fleet: Fleet, server: Served, seconds: float) -> str:
    """Play the live clients and return what they measured."""
    fleet.measured, busy_s = Measured(), server.busy_s
    fleet.run(seconds)
    busy = (server.busy_s - busy_s) / fleet.measured.wall_s
    ms = np.asarray(fleet.measured.latency_s) * 1000
    if not len(ms):
        return f"nothing came, server {busy:.0%} of a core"
    p50, p99 = np.percentile(ms, [50, 99])
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {ms.max():.0f} ms, server {busy:.0%} of a core"


def rush(server: Served, fleet: Fleet, chunks: Chunks, seconds: float) -> str:
    """Open 60 clients as fast as possible."""
    fleet.open(1, chunks)
    fleet.run(3)
    fleet.open(60, chunks, per_second=1e6)
    fleet.run(seconds)
    return (
        f"{fleet.talking - 1} of 60 admitted, refused {fleet.refused}; {latency(fleet, server, 2)}"
    )


def honest(server: Served, fleet: Fleet, chunks: Chunks, seconds: float) -> str:
    """Open 20 clients one after the other, while others come and go."""
    fleet.open(1, chunks)
    fleet.run(2)
    with strangers(handshakes, 1, server.port):
        fleet.run(2)
        fleet.open(20, chunks, per_second=20 / seconds)
        return f"{fleet.talking - 1} of 20 admitted; {latency(fleet, server, 2)}"


def disturbed(*acts: tuple[Callable[[int, float], None], int]) -> Callable[..., str]:
    """Return a scenario in which strangers disturb live sessions."""

    def scenario(server: Served, fleet: Fleet, chunks: Chunks, seconds: float) -> str:
        fleet.open(LIVE, chunks)
        fleet.run(2)
        before = latency(fleet, server, 3)
        with ExitStack() as stack:
            for act, count in acts:
                stack.enter_context(strangers(act, count, server.port))
            fleet.run(1)
            during = latency(fleet, server, seconds)
        return f"undisturbed {before}; disturbed {during}"

    return scenario


def memory(act: Callable[[int, float], None]) -> Callable[..., str]:
    """Return a scenario that measures the memory of sessions that misbehave."""

    def scenario(server: Served, fleet: Fleet, chunks: Chunks, seconds: float) -> str:
        fleet.open(1, chunks)
        fleet.run(2)
        before_mb, most_mb = server.memory_mb, 0.0
        with strangers(act, STRANGERS, server.port):
            for _ in range(round(seconds * 4)):
                fleet.run(0.25)
                most_mb = max(most_mb, server.memory_mb)
        return f"{(most_mb - before_mb) / STRANGERS:.2f} MB for each of {STRANGERS} sessions"

    return scenario


SCENARIOS: dict[str, Callable[..., str]] = {
    "rush": rush,
    "handshakes": honest,
    "floods": disturbed((flood, FLOODERS)),
    "rates": disturbed((file, FILES), (odd_rates, 1)),
    "fragments": memory(unfinished),
    "pongs": memory(unread_pongs),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenarios", nargs="*", default=[*SCENARIOS], metavar="SCENARIO")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each (default: 5)")
    options = parser.parse_args()
    gc.disable()  # a collection would add latency of our own
    print(machine())
    chunks = Chunks(CHUNK_MS)
    for name in options.scenarios:
        if name not in SCENARIOS:
            parser.error(f"expected one of {', '.join(SCENARIOS)}, got {name!r}")
        with served() as server:
            fleet = Fleet(server.port)
            print(f"{name:12}{SCENARIOS[name](server, fleet, chunks, options.seconds)}", flush=True)
            fleet.finish()


if __name__ == "__main__":
    main()
