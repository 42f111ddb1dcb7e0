"""Turns for everything that is not live audio: a small share of the loop, in rounds."""

from __future__ import annotations

import asyncio
import time

from turnstream.stream.service.turns import Turns


class Work:
    """Uses the processor for a slice at a time, and notes when, and how much in all."""

    def __init__(self, slices: int, seconds: float = 0.0005) -> None:
        self.slices, self.seconds = slices, seconds
        self.taken: list[float] = []
        self.processor_s = 0.0
        self.done = asyncio.Event()

    def __call__(self) -> bool:
        began_s, began_cpu_s = time.monotonic(), time.thread_time()
        self.taken.append(began_s)
        while time.monotonic() - began_s < self.seconds:
            pass
        self.processor_s += time.thread_time() - began_cpu_s
        if len(self.taken) == self.slices:
            self.done.set()
        return len(self.taken) < self.slices


async def test_all_work_is_done_in_turns() -> None:
    turns, works = Turns(), [Work(5) for _ in range(3)]
    for work in works:
        turns.enqueue(work)
    for work in works:
        await work.done.wait()
    assert [len(work.taken) for work in works] == [5, 5, 5]
    order = sorted((taken, n) for n, work in enumerate(works) for taken in work.taken)
    assert [n for _, n in order] == [0, 1, 2] * 5
    assert 0.0075 <= turns.other_s < 1
    assert turns.live_s == 0


async def test_much_work_leaves_most_of_the_loop_to_others() -> None:
    turns, works = Turns(), [Work(40) for _ in range(4)]
    began_s = time.monotonic()
    for work in works:
        turns.enqueue(work)
    for work in works:
        await work.done.wait()
    # In processor time: on a busy machine a slice may be interrupted for long.
    left_s = time.monotonic() - began_s - turns.other_s
    assert left_s > 3 * sum(work.processor_s for work in works) > 0


async def test_a_round_comes_after_the_steps_that_are_due() -> None:
    turns, work, order = Turns(), Work(1), list[str]()

    def read_a_socket() -> None:
        turns.enqueue(lambda: bool(order.append("other")))
        asyncio.get_running_loop().call_soon(order.append, "step")
        turns.enqueue(work)

    asyncio.get_running_loop().call_soon(read_a_socket)
    await work.done.wait()
    assert order == ["step", "other"]
