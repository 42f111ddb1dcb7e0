"""A source that is read in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from turnstream.stream.devices.source_thread import SourceThread
from turnstream.stream.errors import DeviceError
from turnstream.stream.pcm import Block

BLOCKS = [np.full((3, 1), value, np.float32) for value in range(20)]


async def test_blocks_come_in_order_to_the_end() -> None:
    async with SourceThread(BLOCKS) as source:
        assert [float(block[0, 0]) async for block in source] == list(range(20))


async def test_an_error_of_the_source_is_raised_after_its_blocks() -> None:
    def failing() -> Iterator[Block]:
        yield BLOCKS[0]
        raise DeviceError("unplugged")

    async with SourceThread(failing()) as source:
        blocks = aiter(source)
        assert await anext(blocks) is BLOCKS[0]
        with pytest.raises(DeviceError, match="unplugged"):
            await anext(blocks)


async def test_a_slow_reader_makes_the_source_wait() -> None:
    given: list[int] = []

    def counted() -> Iterator[Block]:
        for block in BLOCKS:
            given.append(len(given))
            yield block

    async with SourceThread(counted()) as source:
        blocks = aiter(source)
        await anext(blocks)
        await anext(blocks)
        assert len(given) <= 4  # two taken, one handed over, one still in the thread


async def test_end_lets_the_reader_go_although_the_source_is_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stuck = threading.Event()

    def silent() -> Iterator[Block]:
        yield BLOCKS[0]
        stuck.wait()

    monkeypatch.setattr("turnstream.stream.devices.source_thread._END_S", 0.01)
    heard = 0
    async with SourceThread(silent()) as source:
        async for _ in source:
            heard += 1
            asyncio.get_running_loop().call_soon(source.end)
    assert heard == 1
    stuck.set()


async def test_leaving_early_ends_the_thread() -> None:
    async with SourceThread(BLOCKS) as source:
        async for _ in source:
            break
    assert not source._thread.is_alive()
