"""The page of `turnstream predict --plot`: the cursor follows the sound, a click seeks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from turnstream.stream.plot import Recording, plot_recording

from .chromium import Tab

RATE_HZ = 8000


@pytest.fixture
def page(tmp_path: Path) -> str:
    noise = 0.1 * np.random.default_rng(0).standard_normal((70 * RATE_HZ, 2))
    recording = Recording(noise.astype(np.float32), RATE_HZ, [], [], 0.4, "A call")
    (path,) = plot_recording(tmp_path / "call.html", recording)
    return path.as_uri()


async def shown(tab: Tab) -> list[bool]:
    """Return whether each row shows the cursor."""
    cursors: list[bool] = await tab.value(
        "[...document.querySelectorAll('.cursor')].map((one) => !one.hidden)"
    )
    return cursors


async def axis_share(tab: Tab, row: int) -> float:
    """Return where the cursor of a row is: from 0, the left end of the drawn axes, to 1."""
    share: float = await tab.value(
        f"""(() => {{
          const row = document.querySelectorAll('.row')[{row}];
          const axes = row.querySelector('#patch_2').getBoundingClientRect();
          const cursor = row.querySelector('.cursor').getBoundingClientRect();
          return ((cursor.left + cursor.right) / 2 - axes.left) / axes.width;
        }})()"""
    )
    return share


async def test_the_cursor_stands_at_the_time_of_the_sound(tab: Tab, page: str) -> None:
    await tab.go(page)
    await tab.until("document.querySelector('audio').duration > 69")
    assert await shown(tab) == [True, False, False]
    assert await axis_share(tab, 0) == pytest.approx(0, abs=0.01)
    await tab.value("document.querySelector('audio').currentTime = 45")
    await tab.until("!document.querySelectorAll('.cursor')[1].hidden")
    assert await shown(tab) == [False, True, False]
    assert await axis_share(tab, 1) == pytest.approx(0.5, abs=0.01)
    assert tab.complaints == []


async def test_a_click_into_a_row_continues_there(tab: Tab, page: str) -> None:
    await tab.go(page)
    await tab.until("document.querySelector('audio').duration > 69")
    await tab.value("document.querySelectorAll('.row')[1].scrollIntoView()")
    await tab.click(".row:nth-of-type(2)")  # its middle is a bit left of the middle of the axis
    await tab.until("!document.querySelectorAll('.cursor')[1].hidden")
    time_s = await tab.value("document.querySelector('audio').currentTime")
    assert 43 < time_s < 45
    assert time_s == pytest.approx(30 + 30 * await axis_share(tab, 1), abs=0.1)


async def test_while_it_plays_the_cursor_moves(tab: Tab, page: str) -> None:
    await tab.go(page)
    await tab.until("document.querySelector('audio').duration > 69")
    await tab.click(".row:nth-of-type(1)")
    await tab.value("document.querySelector('audio').muted = true")
    await tab.value("document.querySelector('audio').play()")
    before = await axis_share(tab, 0)
    await tab.until(f"document.querySelector('audio').currentTime > {30 * before + 1}")
    assert await axis_share(tab, 0) > before
