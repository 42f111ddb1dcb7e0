"""The example programs run as they stand."""

from __future__ import annotations

import csv
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from turnstream import Engine, FileSource, TurnPredictor
from turnstream.stream.engine import bundled_model
from turnstream.stream.sources import bundled_sample

from .readme_blocks import ROOT, running_server
from .stream.telephony import twilio
from .virtual_clock import run_virtually

EXAMPLES = ROOT / "stream" / "examples"
NO_JAVASCRIPT = (
    "not installed: node"
    if shutil.which("node") is None
    else "not installed: onnxruntime-web (npm install --prefix . --no-save onnxruntime-web)"
    if not (ROOT / "node_modules" / "onnxruntime-web").is_dir()
    else ""
)
STEPPERS = [
    "step_model.py",
    pytest.param(
        "step_model.mjs", marks=pytest.mark.skipif(bool(NO_JAVASCRIPT), reason=NO_JAVASCRIPT)
    ),
]


def start_example(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    interpreter = ["node"] if name.endswith(".mjs") else [sys.executable, "-W", "error"]
    command = [*interpreter, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def run_example(name: str, *arguments: str) -> list[str]:
    done = start_example(name, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_echo_bot_repeats_the_callers_turns() -> None:
    # At eight times real time, a busy machine has no time for the pause model
    with running_server("turnstream serve --no-pause-model") as port:
        url = f"ws://127.0.0.1:{port}"
        lines = run_example("echo_bot.py", str(bundled_sample()), "--url", url, "--speed", "8")
    repeated_s = [float(line.split("repeat ")[1].removesuffix(" s")) for line in lines]
    assert len(lines) >= 5
    assert all(0.3 < seconds < 20 for seconds in repeated_s)


def test_recordings_are_scored_as_the_predictor_scores_them(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    samples, rate_hz = sf.read(bundled_sample(), frames=25 * 8000, dtype="int16")
    sf.write(path, samples, rate_hz)
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
    assert len(expected) > 2
    assert [(row["speaker"], row["time_s"]) for row in rows] == expected


@pytest.mark.parametrize("name", STEPPERS)
def test_stepping_the_model_gives_what_the_predictor_gives(name: str, tmp_path: Path) -> None:
    samples, _ = sf.read(bundled_sample(), frames=25 * 8000, dtype="int16")  # 8 kHz
    samples = np.repeat(samples, 2, axis=0)
    sf.write(tmp_path / "call.wav", samples, 16000)
    rows = list(csv.DictReader(run_example(name, str(bundled_model()), str(tmp_path / "call.wav"))))
    expected = TurnPredictor(pause_model=False).push_audio(samples)
    assert [row["time_s"] for row in rows] == [f"{p.time_s:.2f}" for p in expected]
    assert {p.holder for p in expected} == {None, 0, 1}
    for row, p in zip(rows, expected, strict=True):
        assert (row["holder"], row["p_shift"] == "") == (
            ("", True) if p.holder is None else (str(p.holder), False)
        )
        assert float(row["p_shift"] or -1) == pytest.approx(
            -1 if p.p_shift is None else p.p_shift, abs=1e-4
        )
        assert (float(row["vad_0"]), float(row["vad_1"])) == pytest.approx(p.vad, abs=1e-4)


@pytest.mark.parametrize("name", STEPPERS)
def test_stepping_refuses_a_wav_of_another_format(name: str, tmp_path: Path) -> None:
    sf.write(tmp_path / "mono.wav", np.zeros(16000), 16000)
    done = start_example(name, str(bundled_model()), str(tmp_path / "mono.wav"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "expected 2 channels, 16000 Hz, 16 bit; got 1, 16000, 16\n"


@pytest.mark.parametrize("name", STEPPERS)
def test_stepping_without_arguments_says_how_it_is_used(name: str) -> None:
    done = start_example(name)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{name} MODEL.onnx RECORDING.wav\n" in done.stderr


def test_stepping_needs_numpy_and_onnxruntime_alone() -> None:
    packages = re.findall(r"^import (\w+)", (EXAMPLES / "step_model.py").read_text(), re.MULTILINE)
    assert packages == ["json", "sys", "wave", "numpy", "onnxruntime"]


def test_the_pipecat_bot_repeats_the_callers_turns(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pipecat", reason="pipecat-ai is not installed (extra pipecat)")
    bot = load_example("pipecat_bot.py")
    run_virtually(lambda: bot.run(str(bundled_sample())))
    lines = capsys.readouterr().out.splitlines()
    repeated_s = [float(line.split("repeat ")[1].removesuffix(" s")) for line in lines]
    assert len(lines) >= 5  # turns of the caller in stream/sample/README.md
    assert all(0.3 < seconds < 10 for seconds in repeated_s)


def load_example(name: str) -> Any:
    """Return an example as a module."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, EXAMPLES / name)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example


async def test_the_telephone_bot_repeats_the_callers_turns_and_stops_when_the_caller_cuts_in(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bot = load_example("twilio_bot.py")
    loudspeaker = twilio.Loudspeaker()

    async def call() -> AsyncIterator[str]:
        yield twilio.connected()
        yield twilio.start()
        for time_ms, samples in twilio.chunks(twilio.bundled_call(63)[0]):
            yield twilio.media(samples, time_ms)
            for echo in loudspeaker.play(len(samples)):
                yield echo
        yield twilio.stop()

    await bot.talk(call(), loudspeaker.take, Engine())
    *lines, last = capsys.readouterr().out.splitlines()
    repeated_s = [
        float(line.split("repeat ")[1].removesuffix(" s")) for line in lines if "repeat" in line
    ]
    assert len(repeated_s) >= 5
    assert all(0.3 < seconds < 20 for seconds in repeated_s)
    assert any("the caller cuts in, I stop" in line for line in lines)
    heard_s = float(last.split("heard ")[1].split(" s")[0])
    assert heard_s == pytest.approx(loudspeaker.played / 8000, abs=0.1)
    assert not last.endswith(" 0.0 s were dropped")


async def test_the_telephone_bot_speaks_to_what_connects_as_twilio_does() -> None:
    bot = load_example("twilio_bot.py")
    loudspeaker = twilio.Loudspeaker()
    async with (
        serve(partial(bot.answer, Engine()), "127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", proxy=None) as phone,
    ):
        await phone.send(twilio.start())
        for time_ms, samples in twilio.chunks(twilio.bundled_call(10, 8)[0]):
            await phone.send(twilio.media(samples, time_ms))
        await phone.send(twilio.stop())
        async for message in phone:
            await loudspeaker.take(str(message))
    assert len(list(loudspeaker.play(80000))) >= 1
    assert loudspeaker.played > 0


def test_every_example_is_tested() -> None:
    tested = Path(__file__).read_text()
    names = [path.name for path in EXAMPLES.iterdir() if path.is_file()]
    assert "step_model.mjs" in names
    assert [name for name in names if f'"{name}"' not in tested] == []
