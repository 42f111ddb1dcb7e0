"""The progress bar: on a terminal, on standard error, and nowhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from turnstream.stream.progress import progress_bar


@pytest.fixture
def command(tiny_model_path: Path, tmp_path: Path) -> list[str]:
    path = tmp_path / "call.wav"
    soundfile.write(path, np.zeros((16000 * 3, 2), np.int16), 16000)
    predict = [sys.executable, "-m", "turnstream", "predict", str(path)]
    return [*predict, "--model", str(tiny_model_path)]


def on_terminal(command: list[str], *, rows_too: bool) -> str:
    """Run a command whose standard error is a terminal; return what the terminal showed."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        command, stdout=theirs if rows_too else subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # so Linux tells that the other side was closed
            break
    os.close(ours)
    assert running.wait() == 0
    return shown.decode()


def test_a_terminal_shows_seconds_and_speed(command: list[str]) -> None:
    shown = on_terminal(command, rows_too=False)
    assert "of 3 s" in shown
    assert "times real time" in shown
    assert shown.rstrip().endswith("150 frames, 0 events")


def test_rows_on_the_terminal_are_not_interrupted_by_a_bar(command: list[str]) -> None:
    rows = on_terminal(command, rows_too=True)
    assert rows.count("\n") == 1 + 150 + 1
    assert "times real time" not in rows
    assert "times real time" in on_terminal([*command, "--out", os.devnull], rows_too=True)


def test_no_terminal_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(10.0) as advance:
        advance(1.0)
    assert capsys.readouterr() == ("", "")


def test_an_unknown_length_is_shown_without_an_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress_bar(float("inf")) as advance:
        advance(2.0)
        advance(3.0)
    shown = capsys.readouterr().err
    assert "5 s, " in shown
    assert " of " not in shown
