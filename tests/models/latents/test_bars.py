"""Bars of long work, in a terminal and in a log."""

from __future__ import annotations

import io
import sys
from itertools import count
from pathlib import Path

import pytest

from turnstream.models.latents.bars import bar
from turnstream.models.latents.cells.unit_search import find_units
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.exchange import export


def test_a_log_gets_a_line_a_minute_of_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    log, now = io.StringIO(), [0.0]
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    for _ in bar(range(100), "fits", "fit"):
        now[0] += 10
    lines = [line.strip() for line in log.getvalue().splitlines() if line.strip()]
    assert 14 <= len(lines) <= 17
    assert lines[0].startswith("fits: ")
    assert "of 100 fit after 01:" in lines[0]
    log.truncate(0)
    assert list(bar(range(3), "fits", "fit")) == [0, 1, 2]
    assert log.getvalue().strip("\0") == ""


def test_long_work_of_views_says_in_a_log_how_far_it_is(
    tiny_collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, seconds = io.StringIO(), count(0, 120)
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr("tqdm.std.time", lambda: next(seconds))
    export(tiny_collection, tmp_path / "states.csv")
    find_units(tiny_collection, 0)
    assert all(line in log.getvalue() for line in ("export: ", "frames: ", "units: "))
