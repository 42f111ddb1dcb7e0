"""The text that a live command prints at its end."""

from __future__ import annotations

from collections import deque

import pytest

from turnstream.stream.live.terminal_words import Tally, closing_text


@pytest.mark.parametrize("command", ["demo", "listen"])
def test_the_closing_text_fits_into_80_columns(command: str) -> None:
    tally = Tally(frames=2249, seconds=44.98, latencies_s=deque([0.0219]))
    lines = closing_text(command, tally).splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(f"turnstream {command}  " in line for line in lines)
