"""Measures what one save of a session costs the event loop. Asserts no time.

    python tests/bench/bench_saves.py [--saves 500]

The session is live stereo speech with frame messages, and the client confirms every 64 messages.
The figures are CPU time of the loop's thread: what the store's threads or Redis do besides does not
delay a prediction.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable

from faults_of_the_store import Redis
from live_clients import RATE_HZ, sample_pcm
from served import machine

from turnstream.stream.engine import Engine
from turnstream.stream.policy_settings import Policies
from turnstream.stream.service.batcher import Batcher
from turnstream.stream.service.conversation import Conversation, Shared
from turnstream.stream.service.limits import Limits
from turnstream.stream.service.metrics import Metrics
from turnstream.stream.service.store import SessionStore, open_store
from turnstream.stream.settings import StreamSettings

FRAMES = 64  # unconfirmed messages, the most that there are of a client that answers
FRAME_BYTES = 1280


async def talking(engine: Engine) -> Conversation:
    """Return a conversation in the middle of a call."""
    settings = StreamSettings().resolved(Policies())
    shared = Shared(Batcher(engine), Limits(), Metrics(), Policies(), print)
    conversation = Conversation(settings, shared.new_session(settings, None), shared, token="t")
    pcm = sample_pcm()[RATE_HZ * 4 * 5 :]
    for number in range(FRAMES):
        conversation.on_message(pcm[number * FRAME_BYTES : (number + 1) * FRAME_BYTES])
        while conversation.frames <= number:
            await asyncio.sleep(0)
    return conversation


def cost_us(call: Callable[[], object], repetitions: int) -> float:
    """Return the CPU time of one call, the best of five runs."""
    times_s: list[float] = []
    for _ in range(5):
        began_s = time.thread_time()
        for _ in range(repetitions):
            call()
        times_s.append(time.thread_time() - began_s)
    return min(times_s) / repetitions * 1e6


async def save_us(store: SessionStore, state: bytes, saves: int) -> tuple[float, float]:
    """Return the loop's CPU time of one save, without packing, and the time until it is done."""
    await store.save("token", 1, state)
    busy_s, began_s = time.thread_time(), time.perf_counter()
    for _ in range(saves):
        await store.save("token", 1, state)
    busy_s, took_s = time.thread_time() - busy_s, time.perf_counter() - began_s
    await store.close()
    return busy_s / saves * 1e6, took_s / saves * 1e6


async def measure(saves: int) -> None:
    conversation = await talking(Engine())
    state = conversation.pack()
    packing_us = cost_us(conversation.pack, saves)
    print(f"a state: {len(state) / 1000:.1f} kB, packed in {packing_us:.0f} us")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        addresses = {"folder": folder}
        if shutil.which("redis-server") is not None:
            addresses["redis"] = stack.enter_context(Redis().running())
        for name, address in addresses.items():
            busy_us, took_us = await save_us(open_store(address, 60.0), state, saves)
            print(
                f"{name:7} loop {busy_us:.0f} us a save and {packing_us:.0f} us for packing; done "
                f"after {took_us:.0f} us. 200 sessions, each every 2 s: "
                f"{(busy_us + packing_us) * 100 / 1e4:.1f} % of a core"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--saves", type=int, default=500)
    options = parser.parse_args()
    print(machine())
    asyncio.run(measure(options.saves))


if __name__ == "__main__":
    main()
