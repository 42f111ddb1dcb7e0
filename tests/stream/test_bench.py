"""`turnstream bench` runs and reports sensible numbers; no test depends on their size."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from turnstream import Engine
from turnstream.cli import main
from turnstream.stream import bench
from turnstream.stream.bench import measure_batch, measure_silero, sample_audio


def run_json(model: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert (
        main(["bench", "--model", str(model), "--batches", "1", "3", "--steps", "20", "--json"])
        == 0
    )
    return json.loads(capsys.readouterr().out)


def test_json_holds_positive_numbers(
    tiny_model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_json(tiny_model_path, capsys)
    metadata = Engine(tiny_model_path).metadata
    assert found["model"]["weights_sha256"] == metadata.weights_sha256
    assert found["state_bytes"] == 4 * metadata.state_size
    assert found["frame_ms"] == 20
    assert found["start_up_ms"] > 0
    assert found["machine"]["threads"] == 1
    assert found["pause_model"]["median_ms_per_answer"] > 0
    assert [row["batch"] for row in found["batches"]] == [1, 3]
    for row in found["batches"]:
        assert 0 < row["median_us"] <= row["p99_us"]
        assert row["median_us_per_stereo_frame"] == pytest.approx(row["median_us"] / row["batch"])
        assert row["real_time_conversations"] == pytest.approx(
            20_000 / row["median_us_per_stereo_frame"]
        )


def test_the_table_has_a_row_per_batch(
    tiny_model_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "start_up_ms", lambda _: 1.0)
    monkeypatch.setattr(bench, "measure_pause_model", lambda _: {"median_ms_per_answer": 70.04})
    monkeypatch.setattr(bench, "measure_silero", lambda *_: None)
    assert (
        main(["bench", "--model", str(tiny_model_path), "--batches", "1", "2", "--steps", "1"]) == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.split() and line.split()[0].isdigit()] == [
        "1",
        "2",
    ]
    assert lines[-2:] == [
        "no comparison with Silero's VAD; to install it: pip install 'turnstream[bench]'",
        "the pause model: 70.0 ms an answer",
    ]


def test_the_ratio_is_of_what_stands_beside_it(
    tiny_model_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "start_up_ms", lambda _: 1.0)
    monkeypatch.setattr(bench, "measure_pause_model", lambda _: {"median_ms_per_answer": 70.04})
    monkeypatch.setattr(
        bench,
        "measure_batch",
        lambda *_: (
            dict.fromkeys(
                (
                    "batch",
                    "median_us",
                    "p99_us",
                    "real_time_conversations",
                    "median_us_per_stereo_frame",
                ),
                1.0,
            )
            | {"real_time_factor": 0.002}
        ),
    )
    monkeypatch.setattr(
        bench,
        "measure_silero",
        lambda *_: {
            "median_us_per_mono_window": 48.0,
            "us_per_stereo_20_ms": 60.0,
            "real_time_factor": 0.004,
        },
    )
    assert main(["bench", "--model", str(tiny_model_path), "--batches", "1"]) == 0
    assert re.search(r"0\.00200 +0\.50 ", capsys.readouterr().out)


def test_every_conversation_of_a_batch_hears_another_place(tiny_model_path: Path) -> None:
    engine = Engine(tiny_model_path)
    heard: list[np.ndarray[Any, Any]] = []

    class Listening(Engine):
        def step(self, audio: Any, state: Any) -> Any:
            heard.append(audio)
            return engine.step(audio, state)

    ramp = np.repeat(np.arange(100, dtype=np.float32) / 100, 320)[:, None] * np.ones(
        (1, 2), np.float32
    )
    measure_batch(Listening(tiny_model_path), ramp, 4, 10)
    np.testing.assert_allclose(heard[0][:, 0, 0], [0, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(heard[1][:, 1, -1], [0.01, 0.26, 0.51, 0.76])


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_the_sample_is_brought_to_the_models_rate(rate_hz: int) -> None:
    audio = sample_audio(rate_hz)
    assert audio.dtype == np.float32
    assert audio.shape[1] == 2
    assert 20 < len(audio) / rate_hz < 120


@pytest.mark.skipif(
    importlib.util.find_spec("silero_vad") is None, reason="needs silero-vad (the bench extra)"
)
def test_silero_is_measured_on_the_same_audio() -> None:
    found = measure_silero(sample_audio(16000), 30)
    assert found is not None
    assert found["us_per_stereo_20_ms"] == pytest.approx(
        2 * found["median_us_per_mono_window"] * 20 / 32
    )


@pytest.mark.parametrize(
    "arguments",
    [["--steps", "0"], ["--batches", "0"], ["--batches", "1", "-1"], ["--steps", "many"]],
)
def test_nonsense_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["bench", *arguments])
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err
