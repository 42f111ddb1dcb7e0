"""Bars of long work, in a terminal and in a log."""

from __future__ import annotations

import io
import sys

import pytest

from turnstream.models.latents.bars import bar


def test_a_log_gets_a_line_a_minute_and_none_for_short_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
