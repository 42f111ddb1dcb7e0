"""Filter tables of odd sample rates: made in a thread, one after the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from turnstream.stream.service import resampling as module
from turnstream.stream.service.resampling import Resampling


@pytest.fixture
def resampling() -> Iterator[Resampling]:
    made = Resampling()
    yield made
    made.close()


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000])
def test_common_rates_need_no_preparation(resampling: Resampling, rate_hz: int) -> None:
    assert resampling.is_ready(rate_hz, 16000)


async def test_the_table_of_an_odd_rate_is_made_in_a_thread(
    resampling: Resampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, int, bool]] = []

    def prepare_table(input_rate_hz: int, output_rate_hz: int) -> None:
        is_loop = threading.current_thread() is threading.main_thread()
        made.append((input_rate_hz, output_rate_hz, is_loop))

    monkeypatch.setattr(module, "prepare_table", prepare_table)
    assert not resampling.is_ready(47999, 16000)
    assert await resampling.prepare(47999, 16000)
    assert made == [(47999, 16000, False)]
    assert await resampling.prepare(48000, 16000)
    assert len(made) == 1, "a common rate needs no thread"


async def test_too_many_that_wait_are_turned_away(
    resampling: Resampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def prepare_table(input_rate_hz: int, output_rate_hz: int) -> None:
        go.wait(20)

    monkeypatch.setattr(module, "prepare_table", prepare_table)
    odd = [rate for rate in range(22051, 22400) if not resampling.is_ready(rate, 16000)]
    waiting = [asyncio.create_task(resampling.prepare(rate, 16000)) for rate in odd[:64]]
    await asyncio.sleep(0)
    assert not await resampling.prepare(47997, 16000)
    go.set()
    assert all(await asyncio.gather(*waiting))
    assert await resampling.prepare(47997, 16000)
