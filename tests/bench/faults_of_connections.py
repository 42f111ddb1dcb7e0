"""Connections that break, come back, or read nothing."""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from fault_material import PLACES, ROOMY, Fault, SimulationData, finish_exact, latency_of, live
from live_clients import SAY_CLOSE, framed, opening
from raw_stream import RawStream, RefusedError, resume
from served import Served, served

# Sends live; reads a byte a second
KINDS_OF_SLOW = [
    (False, False),
    (False, True),
    (True, False),
    (True, True),
]
KILLED_RESUME_S = 3.0  # how long the server of `kills` keeps a session whose client was lost
FORGOTTEN_S = 60.0  # time until all of them must be gone
SLOW_LIMIT_S = 90.0  # the kernel buffers 15 s of live messages before the server notices


def kills(material: SimulationData) -> Fault:
    """Connections cut at random points; half of them are reset.

    The points: in the request, between messages, in a message, while much is unread, after `close`.
    """
    with served(*ROOMY, "--resume-s", f"{KILLED_RESUME_S:g}") as server:
        right = material.serves(server.port)
        kill_many(server, material, material.count // 10)  # what is loaded at first use
        memory_mb, descriptors = server.memory_mb, server.descriptors
        parked, took_s = kill_many(server, material, material.count)
        grown_mb, open_files, sessions = (
            server.memory_mb - memory_mb,
            server.descriptors - descriptors,
            server.health["sessions"],
        )
        right = right and material.serves(server.port)
    costs = f"memory {grown_mb:+.1f} MB, descriptors {open_files:+d}"
    figures = (
        f"{material.count} in {took_s:.1f} s, {parked} sessions parked then, {sessions} in the "
        f"end; {costs}"
    )
    return Fault(figures, right and sessions == 0 and open_files <= 0)


def kill_many(server: Served, material: SimulationData, count: int) -> tuple[int, float]:
    """Cut many connections, and wait until the server has forgotten their sessions.

    Returns:
        The sessions that were parked after the last cut, and how long all cuts took.
    """
    descriptors, began_s = server.descriptors, time.perf_counter()
    for number in range(count):
        kill_one(server.port, material.rng, material.pieces(number % PLACES), number % 5)
    took_s, parked = time.perf_counter() - began_s, server.health["sessions"]
    deadline_s = time.perf_counter() + FORGOTTEN_S
    while (
        server.health["sessions"] or server.descriptors > descriptors
    ) and time.perf_counter() < deadline_s:
        time.sleep(0.2)
    return parked, took_s


def kill_one(port: int, rng: random.Random, pieces: Sequence[bytes], point: int) -> None:
    """Open a session, send some of the audio, and cut at one of five points."""
    if point == 0:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(opening()[: rng.randint(0, len(opening()))])
        return
    stream = RawStream(port, "latents=final")
    for piece in pieces[: rng.randint(0, len(pieces))]:
        stream.send(piece)
    if point == 2:
        stream.sock.sendall(framed(pieces[0])[: rng.randint(1, 1200)])
    elif point == 3:
        stream.sock.sendall(b"".join(map(framed, pieces)))
    elif point == 4:
        stream.sock.sendall(SAY_CLOSE)
    stream.cut(reset=rng.random() < 0.5)


def resumes(material: SimulationData, *options: str) -> Fault:
    """Sessions cut one to three times at random points, and resumed each time.

    Points lie also inside a message and after `close`. Some sessions resume before the old
    connection ends.
    """
    rng, exact, cuts, lost, refused, waits_s = material.rng, 0, 0, 0, Counter[int](), list[float]()
    with served(*ROOMY, *options) as server:
        for number in range(material.count):
            place = number % PLACES
            stream = RawStream(server.port, "latents=final")
            if stream.begin["resume_token"] is None:
                return Fault("the server offers none", False)
            messages: list[bytes | str] = [*material.pieces(place), '{"type":"close"}']
            cut_after = {rng.randrange(len(messages)) for _ in range(rng.randint(1, 3))}
            try:
                for at, message in enumerate(messages):
                    stream.send(message)
                    if at in cut_after:
                        cuts += 1
                        waits_s.append(cut_and_resume(stream, rng, messages[0]))
                stream.hear_out()
            except RefusedError as refusal:
                refused[refusal.status] += 1
            exact += material.is_exact(stream, place)
            lost += stream.lost
            stream.sock.close()
        right = material.serves(server.port)
    wait_ms = np.percentile(waits_s, (50, 99)) * 1000 if waits_s else (0, 0)
    back = f"resumed in {wait_ms[0]:.1f} / {wait_ms[1]:.1f} ms (p50 / p99)"
    figures = (
        f"{material.count} sessions, {cuts} cuts: {exact} exact, {lost} frames lost, refused "
        f"{dict(refused)}; {back}"
    )
    return Fault(figures, right and exact == material.count)


def resumes_across_workers(material: SimulationData) -> Fault:
    """The same with two workers on one port.

    About every second connection reaches the worker that does not have the session.
    """
    return resumes(material, "--workers", "2")


def cut_and_resume(stream: RawStream, rng: random.Random, message: bytes | str) -> float:
    """Lose the connection in one of four ways; return the time until it is back."""
    how = rng.randrange(4)
    if how == 0 and isinstance(message, bytes) and stream.open:
        with suppress(OSError):
            stream.sock.sendall(framed(message)[: rng.randint(1, 1200)])
    if how < 3:
        stream.cut(reset=how == 1)
    began_s = time.perf_counter()
    resume(stream)
    return time.perf_counter() - began_s


def slow_readers(material: SimulationData) -> Fault:
    """Clients that read nothing, or a byte a second, while they send a file or live.

    Live sessions read beside them.
    """
    with served(*ROOMY) as server:
        fleet = live(server, 5)
        readers = [
            SlowReader(
                server.port, material.chunk(0, 0), *KINDS_OF_SLOW[number % len(KINDS_OF_SLOW)]
            )
            for number in range(material.count)
        ]
        memory_mb, peak_mb, began_s, dropped_s = (
            server.memory_mb,
            0.0,
            time.perf_counter(),
            dict[SlowReader, float](),
        )
        while len(dropped_s) < len(readers) and time.perf_counter() - began_s < SLOW_LIMIT_S:
            for reader in readers:
                if reader not in dropped_s and not reader.go_on():
                    dropped_s[reader] = time.perf_counter() - began_s
            fleet.run(0.1)
            peak_mb = max(peak_mb, server.memory_mb)
        beside, exact = latency_of(fleet), finish_exact(fleet, material)
        right = material.serves(server.port)
    when = [f"{reader.name} {after_s:.0f} s" for reader, after_s in dropped_s.items()][
        : len(KINDS_OF_SLOW)
    ]
    costs = (
        f"memory {peak_mb - memory_mb:+.1f} MB at most; beside them {beside}, {exact} of 5 exact"
    )
    figures = f"{len(dropped_s)} of {len(readers)} dropped ({', '.join(when)}); {costs}"
    return Fault(figures, right and exact == 5 and len(dropped_s) == len(readers))


class SlowReader:
    """A client with a small receive buffer.

    Args:
        audio: 100 ms, sent again and again.
        live: send one piece at each call of `go_on`, which comes ten times a second; otherwise send
            as many pieces as the socket takes.
        reads: read a byte a second; otherwise read nothing.
    """

    def __init__(self, port: int, audio: bytes, live: bool, reads: bool) -> None:
        self.name = f"{'live' if live else 'file'}/{'byte a second' if reads else 'nothing'}"
        self._sock = RawStream(port, "latents=all", receive_buffer=4096).sock
        self._sock.setblocking(False)
        self._wire = self._waiting = framed(audio)
        self._live = live
        self._next_read_s = time.perf_counter() if reads else float("inf")

    def go_on(self) -> bool:
        """Send and read what is due; return False when the server has ended the connection."""
        try:
            if time.perf_counter() >= self._next_read_s:
                self._next_read_s += 1
                if not self._sock.recv(1):
                    return False
            while True:
                self._waiting = self._waiting[self._sock.send(self._waiting) :] or self._wire
                if self._live:
                    return True
        except BlockingIOError:
            return True
        except OSError:
            return False
