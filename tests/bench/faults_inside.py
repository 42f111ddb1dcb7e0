"""Faults inside the server: an engine that raises, a wall clock that jumps."""

from __future__ import annotations

import logging
import time
from collections import Counter

from fault_material import PLACES, SESSION_CHUNKS, Fault, SimulationData
from local_server import FATAL_SAMPLE, FailsOnFullScale, jumping_clock, local_server
from raw_stream import RawStream
from reference import predictions

TOGETHER = 20  # sessions that share the engine's batches


def engine_raises(material: SimulationData) -> Fault:
    """The engine raises for a fifth of the sessions, each in another frame.

    The other sessions share its batches.
    """
    engine, ends = FailsOnFullScale(material.engine), Counter[str]()
    logging.getLogger("turnstream").setLevel(logging.CRITICAL)
    with local_server(engine) as port:
        for first in range(0, material.count, TOGETHER):
            streams = [
                RawStream(port, "latents=final")
                for _ in range(min(TOGETHER, material.count - first))
            ]
            fatal = {stream: material.rng.randrange(SESSION_CHUNKS) for stream in streams[::5]}
            for at in range(SESSION_CHUNKS):
                for place, stream in enumerate(streams):
                    piece = material.chunk(place, at)
                    stream.send(FATAL_SAMPLE + piece[4:] if fatal.get(stream) == at else piece)
            for place, stream in enumerate(streams):
                stream.finish()
                ends[_end_of(stream, material, place, stream in fatal)] += 1
        right = material.serves(port)
    return Fault(
        f"{engine.failures} failing steps in {material.count} sessions: {dict(ends)}",
        right and not ends["wrong"],
    )


def _end_of(stream: RawStream, material: SimulationData, place: int, fatal: bool) -> str:
    if not fatal:
        return "exact" if material.is_exact(stream, place) else "wrong"
    *before, last = predictions(stream.received)
    told = (
        b'"internal_error"' in last
        and stream.close_code == 1011
        and before == material.expected[place][: len(before)]
    )
    return "told, exact before" if told else "wrong"


def clock_jumps(material: SimulationData) -> Fault:
    """The wall clock jumps by hours while sessions talk.

    It also jumps while they connect and while they end.
    """
    with (
        local_server(material.engine) as port,
        jumping_clock(material.rng.randrange(1 << 30)) as jumps,
    ):
        streams = [RawStream(port, "latents=final") for _ in range(material.count)]
        for at in range(SESSION_CHUNKS):
            time.time()  # one jump for certain
            for place, stream in enumerate(streams):
                stream.send(material.chunk(place % PLACES, at))
        for stream in streams:
            stream.finish()
        exact = sum(
            material.is_exact(stream, place % PLACES) for place, stream in enumerate(streams)
        )
        right = material.serves(port)
    return Fault(
        f"{len(jumps)} jumps of up to a day in {material.count} sessions: {exact} exact",
        right and exact == material.count,
    )
