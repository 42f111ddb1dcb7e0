"""Connections that want no conversation.

Floods of connections, malformed messages and handshakes, slow-loris and half-open connections.
"""

from __future__ import annotations

import multiprocessing
import random
import selectors
import socket
import time
from collections import Counter
from contextlib import suppress
from multiprocessing.queues import Queue

from bad_input import KINDS, MESSAGES, misbehave, parse_everything
from fault_material import (
    ROOMY,
    SESSION_CHUNKS,
    Fault,
    SimulationData,
    finish_exact,
    latency_of,
    live,
)
from hypothesis import given, settings
from live_clients import SAY_CLOSE, Measured, opening
from raw_stream import RawStream
from served import served

HEALTHY_SESSIONS = 20
STRANGERS = 50  # connections that send nothing, or a byte now and then


def flood(material: SimulationData) -> Fault:
    """More connections at once than the server admits; the session before them continues."""
    places = 64
    with served("--max-sessions", str(places), "--no-pause-model") as server:
        before = RawStream(server.port, "latents=final")
        before.send(material.chunk(0, 0))
        began_s, answers, selector = (
            time.perf_counter(),
            Counter[str](),
            selectors.DefaultSelector(),
        )
        socks = [socket.socket() for _ in range(material.count)]
        for sock in socks:
            sock.setblocking(False)
            with suppress(BlockingIOError):
                sock.connect(("127.0.0.1", server.port))
            selector.register(sock, selectors.EVENT_WRITE)
        while selector.get_map() and (ready := selector.select(20)):
            for key, mask in ready:
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                try:
                    if mask == selectors.EVENT_WRITE:
                        sock.send(opening())
                        selector.modify(sock, selectors.EVENT_READ)
                        continue
                    answer = sock.recv(1 << 16)[9:12].decode() or "closed"
                except OSError as error:
                    answer = type(error).__name__
                answers[answer] += 1
                selector.unregister(sock)
        took_s = time.perf_counter() - began_s
        answers["none"] = len(selector.get_map())
        for at in range(1, SESSION_CHUNKS):
            before.send(material.chunk(0, at))
        before.finish()
        for sock in socks:
            with suppress(OSError):
                sock.send(SAY_CLOSE)
            sock.close()
        free_s = material.wait_until_served(server.port)
        right = material.serves(server.port)
    exact = material.is_exact(before, 0)
    told = f"answers {dict(answers)} within {took_s:.2f} s, places free again after {free_s:.2f} s"
    figures = (
        f"{material.count} at once, {places} places: {told}; the session before them "
        f"{'exact' if exact else 'wrong'}"
    )
    return Fault(figures, right and exact and not answers["none"])


def fuzz(material: SimulationData) -> Fault:
    """Malformed messages and handshakes, slow-loris and half-open connections.

    Healthy sessions talk live at the same time.
    """
    with served(*ROOMY) as server:
        fleet = live(server, HEALTHY_SESSIONS)
        fleet.run(min(10.0, material.count / 100))
        undisturbed = latency_of(fleet)
        fleet.measured = Measured()
        context = multiprocessing.get_context("fork")
        ends: Queue[Counter[str]] = context.Queue()
        stranger = context.Process(
            target=_misbehave_often,
            args=(server.port, material.count, material.rng.randrange(1 << 30), ends),
        )
        began_s = time.perf_counter()
        stranger.start()
        while ends.empty() and stranger.is_alive():
            fleet.run(0.5)
        took_s, counts = time.perf_counter() - began_s, ends.get()
        stranger.join()
        disturbed = latency_of(fleet)
        exact = finish_exact(fleet, material)
        right = material.serves(server.port)
    beside = (
        f"{HEALTHY_SESSIONS} live sessions: {exact} exact, {disturbed}; undisturbed {undisturbed}"
    )
    figures = f"{material.count} in {took_s:.0f} s, ended by {dict(counts.most_common())}; {beside}"
    return Fault(
        figures,
        right
        and exact == HEALTHY_SESSIONS
        and not counts["never"]
        and not counts["close 1011"]
        and not counts["http 500"],
    )


def _misbehave_often(port: int, count: int, seed: int, ends: Queue[Counter[str]]) -> None:
    rng, counts = random.Random(seed), Counter[str]()
    strangers = [socket.create_connection(("127.0.0.1", port)) for _ in range(STRANGERS)]
    for number in range(count):
        with suppress(OSError):
            # Half of them send a byte now and then, half nothing
            strangers[number % STRANGERS // 2].send(opening()[number // STRANGERS :][:1])
        try:
            counts[misbehave(port, KINDS[number % len(KINDS)], rng)] += 1
        except TimeoutError:
            counts["never"] += 1
    for sock in strangers:
        sock.settimeout(10)
        with suppress(ConnectionResetError, TimeoutError):
            while sock.recv(1 << 16):
                pass
            counts["stranger sent away"] += 1
    ends.put(counts)


def parsers(material: SimulationData) -> Fault:
    """Malformed messages through the parsers, without any server."""
    began_s, number = time.perf_counter(), 0

    @settings(max_examples=material.count, deadline=None, database=None)
    @given(MESSAGES)
    def parse(wire: str | bytes) -> None:
        nonlocal number
        number += 1
        parse_everything(wire)

    parse()
    return Fault(
        f"{number} messages in {time.perf_counter() - began_s:.0f} s, nothing but ProtocolError"
    )
