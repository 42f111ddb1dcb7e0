"""Clients of the soak test that come and go, in a process of their own.

They send files, hold short sessions, and reconnect. Each session is checked byte for byte.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event

from fault_material import PLACES, SESSION_CHUNKS, SimulationData
from faults_of_connections import cut_and_resume, kill_one
from raw_stream import RawStream, RefusedError
from reference import expected, predictions

FILE_PAUSE_S, SHORT_PAUSE_S = 5.0, 0.5
CHUNK_BYTES = 6400  # 100 ms


def come_and_go(
    port: int, files: int, short: int, reconnecting: int, stop: Event, ends: Queue[Counter[str]]
) -> None:
    """Play sessions of each kind, one after the other, until told to stop.

    How each ended is put into the queue.
    """
    counts, material = Counter[str](), SimulationData(0, seed=0)
    roles = [_send_file] * files + [_talk_shortly] * short + [_reconnect] * reconnecting
    threads = [
        threading.Thread(target=_repeat, args=(role, port, material, stop, counts))
        for role in roles
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ends.put(counts)


def _repeat(
    role: Callable[[int, SimulationData, Event], str],
    port: int,
    material: SimulationData,
    stop: Event,
    counts: Counter[str],
) -> None:
    while not stop.is_set():
        try:
            end = role(port, material, stop)
        except RefusedError as refusal:
            end = f"refused {refusal.status}"
            stop.wait(SHORT_PAUSE_S)
        except OSError as error:
            end = type(error).__name__
            stop.wait(SHORT_PAUSE_S)
        counts[f"{role.__name__.strip('_')}: {end}"] += 1


def _send_file(port: int, material: SimulationData, stop: Event) -> str:
    """Send the whole conversation as fast as the server takes it."""
    stream, pcm = RawStream(port, "latents=final"), material.chunks.pcm
    for at in range(0, len(pcm), CHUNK_BYTES):
        stream.send(pcm[at : at + CHUNK_BYTES])
    stream.finish()
    stop.wait(FILE_PAUSE_S)
    return "exact" if predictions(stream.received) == _whole(material) else "wrong"


@cache
def _whole(material: SimulationData) -> list[bytes]:
    return expected(material.engine, [material.chunks.pcm])[0]


def _talk_shortly(port: int, material: SimulationData, stop: Event) -> str:
    """Send a session of 3 s at once, then one that is cut at a random point."""
    kill_one(port, material.rng, material.pieces(0), material.rng.randrange(5))
    stop.wait(SHORT_PAUSE_S)
    return "exact" if material.serves(port) else "wrong"


def _reconnect(port: int, material: SimulationData, stop: Event) -> str:
    """Play a live session of 3 s whose connection is lost once."""
    place, cut_at = material.rng.randrange(PLACES), material.rng.randrange(SESSION_CHUNKS)
    stream = RawStream(port, "latents=final")
    if stream.begin["resume_token"] is None:
        cut_at = -1
    for at in range(SESSION_CHUNKS):
        stream.send(material.chunk(place, at))
        if at == cut_at:
            cut_and_resume(stream, material.rng, material.chunk(place, at))
        time.sleep(0.1)
    stream.finish()
    return "exact" if material.is_exact(stream, place) else "wrong"
