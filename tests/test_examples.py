"""The example programs run as they stand."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from turnstream import FileSource, TurnPredictor
from turnstream.stream.sources import bundled_sample

from .readme_blocks import ROOT, running_server
from .virtual_clock import run_virtually

EXAMPLES = ROOT / "stream" / "examples"


def run_example(name: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_echo_bot_repeats_the_callers_turns() -> None:
    with running_server() as port:
        url = f"ws://127.0.0.1:{port}"
        lines = run_example("echo_bot.py", str(bundled_sample()), "--url", url, "--speed", "8")
    repeated_s = [float(line.split("repeat ")[1].removesuffix(" s")) for line in lines]
    assert len(lines) >= 5
    assert all(0.3 < seconds < 20 for seconds in repeated_s)


def test_recordings_are_scored_as_the_predictor_scores_them() -> None:
    path = bundled_sample()
    rows = list(csv.DictReader(run_example("score_recordings.py", str(path))))
    predictor = TurnPredictor(sample_rate_hz=8000, policy="balanced")
    source = FileSource(path)
    expected = [
        (str(event.speaker), str(event.time_s))
        for block in source
        for prediction in predictor.push_audio(block)
        for event in prediction.events
        if event.type == "end_of_turn"
    ]
    source.close()
    assert len(expected) > 5
    assert [(row["speaker"], row["time_s"]) for row in rows] == expected


def test_the_pipecat_bot_repeats_the_callers_turns(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pipecat", reason="pipecat-ai is not installed (extra pipecat)")
    spec = importlib.util.spec_from_file_location("pipecat_bot", EXAMPLES / "pipecat_bot.py")
    assert spec is not None
    assert spec.loader is not None
    bot = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bot)
    run_virtually(lambda: bot.run(str(bundled_sample())))
    lines = capsys.readouterr().out.splitlines()
    repeated_s = [float(line.split("repeat ")[1].removesuffix(" s")) for line in lines]
    assert len(lines) >= 8
    assert all(0.3 < seconds < 10 for seconds in repeated_s)


def test_every_example_is_tested() -> None:
    tested = Path(__file__).read_text()
    assert {path.name for path in EXAMPLES.glob("*.py")} > set()
    assert [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in tested] == []
