"""How many live conversations a server carries, and how soon predictions come back. Not a test: it asserts nothing.

    python tests/bench/bench_server.py --sessions 100 --seconds 20 --chunk-ms 20 [--model FILE.onnx]

The server runs in a process of its own. This process plays N microphones: stereo 16 kHz, each chunk sent when its last sample would have
been recorded, phases spread evenly. Latency is from sending the chunk that completes a frame to receiving that frame's message, so it holds the
server, both sockets and this process's own delays; "client late" tells how much of it is this process being late to send.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from websockets.asyncio.client import connect

from turnstream.stream.engine import Engine
from turnstream.stream.limits import Limits
from turnstream.stream.server import Server

RATE_HZ, FRAME_SAMPLES = 16000, 320
FRAME_START = '{"type":"frame","frame":'


@dataclass
class Measured:
    """What all microphones together have seen."""

    latencies_s: list[float] = field(default_factory=list[float])
    lateness_s: list[float] = field(default_factory=list[float])
    frames_sent: int = 0
    frames_received: int = 0


async def run_server(model: Path | None, sessions: int, max_batch: int) -> None:
    """Serve until standard input ends; the URL is the first line of the output."""
    async with Server(Engine(model), port=0, limits=Limits(max_sessions=sessions, max_batch=max_batch)) as server:
        print(server.url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        print(server.batcher.largest_batch, flush=True)


async def microphone(url: str, audio: bytes, chunk_samples: int, start_s: float, measured: Measured) -> None:
    """One live client from begin to termination."""
    chunk_bytes = chunk_samples * 4
    chunks = len(audio) // chunk_bytes
    sent_s: list[float] = []
    async with connect(url, compression=None, proxy=None, max_queue=None) as connection:

        async def send() -> None:
            for n in range(chunks):
                due_s = start_s + (n + 1) * chunk_samples / RATE_HZ
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                now_s = time.perf_counter()
                measured.lateness_s.append(now_s - due_s)
                sent_s.append(now_s)
                await connection.send(audio[n * chunk_bytes : (n + 1) * chunk_bytes])
            await connection.send('{"type":"close"}')

        sender = asyncio.create_task(send())
        async for wire in connection:
            now_s = time.perf_counter()
            if isinstance(wire, str) and wire.startswith(FRAME_START):
                frame = int(wire[len(FRAME_START) : wire.index(",", len(FRAME_START))])
                measured.latencies_s.append(now_s - sent_s[-(-(frame + 1) * FRAME_SAMPLES // chunk_samples) - 1])
                measured.frames_received += 1
        await sender
    measured.frames_sent += chunks * chunk_samples // FRAME_SAMPLES


async def measure(url: str, sessions: int, seconds: float, chunk_samples: int) -> Measured:
    """All microphones at once."""
    noise = np.random.default_rng(0).standard_normal((round(seconds * RATE_HZ), 2)) * 2000
    audio = noise.astype("<i2").tobytes()
    measured = Measured()
    start_s = time.perf_counter() + 1 + sessions * 0.005  # time to connect
    period_s = chunk_samples / RATE_HZ
    await asyncio.gather(*(microphone(url, audio, chunk_samples, start_s + period_s * n / sessions, measured) for n in range(sessions)))
    return measured


def percentiles_ms(values_s: list[float]) -> str:
    return " / ".join(f"{np.percentile(values_s, q) * 1000:.1f}" for q in (50, 95, 99))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--chunk-ms", type=int, default=20)
    parser.add_argument("--max-batch", type=int, default=64)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--server-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.server_only:
        asyncio.run(run_server(options.model, options.sessions, options.max_batch))
        return
    server = subprocess.Popen([sys.executable, __file__, *sys.argv[1:], "--server-only"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    with server:
        url = server.stdout.readline().strip()
        process = psutil.Process(server.pid)
        memory_before = process.memory_info().rss
        cpu_before, began_s = process.cpu_times(), time.perf_counter()
        measured = asyncio.run(measure(url, options.sessions, options.seconds, options.chunk_ms * RATE_HZ // 1000))
        cpu_after, took_s = process.cpu_times(), time.perf_counter() - began_s
        memory_after = process.memory_info().rss
        server.stdin.close()
        largest_batch = server.stdout.readline().strip()
    busy_s = cpu_after.user + cpu_after.system - cpu_before.user - cpu_before.system
    print(f"machine            {platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"sessions           {options.sessions} live stereo, chunks of {options.chunk_ms} ms, {options.seconds:g} s")
    print(f"latency ms         {percentiles_ms(measured.latencies_s)}   (p50 / p95 / p99)")
    print(f"client late ms     {percentiles_ms(measured.lateness_s)}")
    print(f"server CPU         {busy_s / took_s * 100:.0f} % of one core")
    print(f"server memory      {memory_after / 1e6:.0f} MB, {(memory_after - memory_before) / options.sessions / 1e3:.0f} KB more per session")
    print(f"largest batch      {largest_batch}")
    print(f"lost frames        {measured.frames_sent - measured.frames_received} of {measured.frames_sent}")


if __name__ == "__main__":
    main()
