"""What all faults share: audio and its expected messages, a healthy session, live sessions."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from live_clients import SAMPLE_BYTES, Chunks, Fleet, Measured
from raw_stream import RawStream, RefusedError
from reference import expected, predictions
from served import Served

from turnstream.stream.engine import Engine

# With these options a server refuses nobody, and predicts as the engine does alone
ROOMY = (
    "--no-pause-model",
    "--max-sessions",
    "2000",
    "--max-opening",
    "2000",
    "--max-load",
    "1000",
    "--max-lag-s",
    "1000",
)
PLACES = 25  # positions in the conversation at which sessions start
SESSION_CHUNKS = 30  # of 100 ms


@dataclass
class Fault:
    """The figures of one fault, and whether everything was as it must be."""

    figures: str
    right: bool = True


class SimulationData:
    """Audio and its expected messages, shared by all faults."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.rng = random.Random(seed)
        self.engine = Engine()
        self.chunks = Chunks(100)
        self.audios = [self.chunks.audio(17 * place, SESSION_CHUNKS) for place in range(PLACES)]
        self.expected = expected(self.engine, self.audios)

    def chunk(self, place: int, at: int) -> bytes:
        """Return 100 ms of one session."""
        size = self.chunks.samples * SAMPLE_BYTES
        return self.audios[place][at * size : (at + 1) * size]

    def pieces(self, place: int) -> list[bytes]:
        """Return the audio of one session in messages of 20 to 150 ms."""
        audio, pieces, at = self.audios[place], list[bytes](), 0
        while at < len(audio):
            size = 4 * self.rng.randint(320, 2400)
            pieces.append(audio[at : at + size])
            at += size
        return pieces

    def is_exact(self, stream: RawStream, place: int) -> bool:
        """Return whether the session received exactly the expected messages."""
        return predictions(stream.received) == self.expected[place]

    def serves(self, port: int) -> bool:
        """Return whether a healthy session receives exactly the expected messages."""
        place = self.rng.randrange(PLACES)
        stream = RawStream(port, "latents=final")
        for piece in self.pieces(place):
            stream.send(piece)
        stream.finish()
        return self.is_exact(stream, place) and stream.close_code == 1000

    def wait_until_served(self, port: int, limit_s: float = 60.0) -> float:
        """Return how long it takes until a healthy session is served exactly."""
        began_s = time.perf_counter()
        while time.perf_counter() - began_s < limit_s:
            with suppress(OSError, RefusedError):
                if self.serves(port):
                    break
            time.sleep(0.05)
        return time.perf_counter() - began_s


def live(server: Served, count: int) -> Fleet:
    """Open sessions that talk live and keep every message; the measurement begins at the return."""
    fleet = Fleet(server.port)
    fleet.open(count, Chunks(20), query="latents=final", keep=True)
    fleet.run(1)
    fleet.measured = Measured()
    return fleet


def latency_of(fleet: Fleet) -> str:
    """Return the latency of the frames since the measurement began."""
    p50, p99 = np.percentile(fleet.measured.latency_s, (50, 99)) * 1000
    late = np.percentile(fleet.measured.late_s, 99) * 1000
    return f"p50 {p50:.1f} p99 {p99:.1f} ms (client late p99 {late:.1f})"


def finish_exact(fleet: Fleet, material: SimulationData) -> int:
    """Close the live sessions; return how many received exactly the expected messages."""
    fleet.finish()
    wanted = expected(
        material.engine,
        [client.chunks.audio(client.first, len(client.sent_s)) for client in fleet.clients],
    )
    return sum(
        predictions(client.kept or []) == said
        for client, said in zip(fleet.clients, wanted, strict=True)
    )
