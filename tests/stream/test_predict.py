"""`turnstream predict`: tables, latents and picture show what the library predicts."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from turnstream import PRESETS, TurnPolicy, TurnPredictor
from turnstream.cli import main
from turnstream.stream import predict
from turnstream.stream.plot import Recording
from turnstream.stream.prediction import Prediction, TurnEvent

from .command_server import without_reader
from .pauses import RecordingPauseModel, pausing_call
from .serving import dialogue
from .test_audio_check import voice

HEADER = (
    "time_s,holder,p_shift,p_hold,vad_0,vad_1,p_now_0,p_now_1,p_future_0,p_future_1,"
    "p_next_0,p_next_1,p_backchannel_0,p_backchannel_1"
)
Run = Callable[..., int]


@pytest.fixture
def run(talkative_path: Path) -> Run:
    """Run `turnstream predict` with a small model."""

    def predict(*arguments: str | Path) -> int:
        return main(["predict", *map(str, arguments), "--model", str(talkative_path)])

    return predict


def library(
    model: Path, path: Path, policy: str = "balanced"
) -> tuple[list[Prediction], list[TurnEvent]]:
    samples, rate_hz = soundfile.read(path, dtype="float32")
    predictor, turn_policy = TurnPredictor(model, sample_rate_hz=rate_hz), TurnPolicy(policy)
    predictions = predictor.push_audio(samples) + predictor.flush()
    return predictions, [
        event for prediction in predictions for event in turn_policy.update(prediction)
    ]


def flat(p: Prediction) -> list[float | None]:
    pairs = (p.vad, p.p_now, p.p_future, p.p_next, p.p_backchannel)
    return [p.time_s, p.holder, p.p_shift, p.p_hold, *(value for pair in pairs for value in pair)]


def assert_rows_are(rows: list[list[Any]], predictions: list[Prediction]) -> None:
    assert len(rows) == len(predictions)
    for row, prediction in zip(rows, predictions, strict=True):
        assert row == [
            None if value is None else pytest.approx(value, abs=1e-5) for value in flat(prediction)
        ]


def read_csv(text: str) -> tuple[str, list[list[float | None]]]:
    header, *rows = text.splitlines()
    return header, [
        [None if cell == "" else float(cell) for cell in row] for row in csv.reader(rows)
    ]


def test_csv_on_standard_output_has_one_row_per_frame(
    run: Run, recording: Path, talkative_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recording) == 0
    found = capsys.readouterr()
    header, rows = read_csv(found.out)
    predictions, events = library(talkative_path, recording)
    assert header == HEADER
    assert [row[0] for row in rows] == [round(0.02 * number, 6) for number in range(1, 201)]
    assert_rows_are(rows, predictions)
    assert found.err.splitlines()[-1] == f"200 frames, {len(events)} events"


def test_csv_file_equals_standard_output(
    run: Run, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recording) == 0
    printed = capsys.readouterr().out
    assert run(recording, "--out", tmp_path / "p.csv") == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "p.csv").read_bytes().decode() == printed


def test_json_lines_have_the_same_names_and_null_for_nobody(
    run: Run, recording: Path, talkative_path: Path, tmp_path: Path
) -> None:
    assert run(recording, "--out", tmp_path / "p.jsonl") == 0
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert {",".join(row) for row in rows} == {HEADER}
    assert_rows_are([list(row.values()) for row in rows], library(talkative_path, recording)[0])
    assert (rows[0]["holder"], rows[0]["p_shift"], rows[0]["p_hold"]) == (None, None, None)


def test_a_json_file_is_one_list_of_the_rows(run: Run, recording: Path, tmp_path: Path) -> None:
    for name in ("p.jsonl", "p.json"):
        events = tmp_path / f"events-{name}"
        assert run(recording, "--out", tmp_path / name, "--events", events) == 0
    for kind in ("", "events-"):
        lines = (tmp_path / f"{kind}p.jsonl").read_text().splitlines()
        assert json.loads((tmp_path / f"{kind}p.json").read_text()) == [*map(json.loads, lines)]


def test_a_json_file_without_rows_is_an_empty_list(run: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(160), 16000)
    for name, content in (("e.json", "[]\n"), ("e.jsonl", "")):
        out = ["--out", tmp_path / "p.csv", "--events", tmp_path / name]
        assert run(tmp_path / "a.wav", *out) == 0
        assert (tmp_path / name).read_text() == content


def test_a_device_needs_no_suffix(
    run: Run, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recording, "--out", "/dev/null", "--events", "/dev/null") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("policy", ["fast", "patient"])
def test_events_are_those_of_the_policy(
    run: Run, recording: Path, talkative_path: Path, tmp_path: Path, policy: str
) -> None:
    for name in ("e.csv", "e.jsonl"):
        files = ["--out", tmp_path / "p.csv", "--events", tmp_path / name]
        assert run(recording, *files, "--policy", policy) == 0
    _, events = library(talkative_path, recording, policy)
    assert events
    header, *rows = csv.reader((tmp_path / "e.csv").read_text().splitlines())
    assert header == ["time_s", "type", "speaker", "probability", "turn_index", "trigger"]
    listed = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert [list(row) for row in listed] == [header] * len(events)
    for row, line, event in zip(rows, listed, events, strict=True):
        expected = (
            pytest.approx(event.time_s),
            event.type,
            event.speaker,
            pytest.approx(event.probability, abs=1e-5),
            event.turn_index,
            event.trigger,
        )
        numbers = (int(row[2]), float(row[3]), int(row[4]))
        assert (float(row[0]), row[1], *numbers, row[5] or None) == expected
        assert tuple(line.values()) == expected


def test_the_pause_model_changes_the_shift_in_pauses(
    run: Run,
    talkative_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    loaded_pause_models: list[RecordingPauseModel],
) -> None:
    path, audio = tmp_path / "pauses.wav", pausing_call(2.0)
    soundfile.write(path, audio, 16000)
    assert run(path) == 0
    _, plain = read_csv(capsys.readouterr().out)
    assert loaded_pause_models == []
    assert run(path, "--pause-model") == 0
    _, mixed = read_csv(capsys.readouterr().out)
    (model,) = loaded_pause_models
    expected = TurnPredictor(talkative_path, pause_model=model).push_audio(audio)
    assert_rows_are(mixed, expected)
    shift, silent = HEADER.split(",").index("p_shift"), [not any(p.active) for p in expected]
    changed = [a[shift] != b[shift] for a, b in zip(mixed, plain, strict=True)]
    assert any(changed)
    assert all(quiet for quiet, other in zip(silent, changed, strict=True) if other)


def test_latents_are_those_of_every_frame(
    run: Run, recording: Path, talkative_path: Path, tmp_path: Path
) -> None:
    assert run(recording, "--out", tmp_path / "p.csv", "--latents", tmp_path / "l.npz") == 0
    predictions, _ = library(talkative_path, recording)
    with np.load(tmp_path / "l.npz") as found:
        assert sorted(found.files) == ["latent", "latent_speaker", "time_s"]
        np.testing.assert_array_equal(
            found["time_s"], [prediction.time_s for prediction in predictions]
        )
        np.testing.assert_array_equal(
            found["latent"], np.stack([prediction.latent for prediction in predictions])
        )
        np.testing.assert_array_equal(
            found["latent_speaker"],
            np.stack([prediction.latent_speaker for prediction in predictions]),
        )
        assert found["latent"].shape == (200, 2, 10)
        assert found["latent"].dtype == np.float32


@pytest.mark.parametrize(
    ("suffix", "start"),
    [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".html", b"<!doctype html>"), (".pdf", b"%PDF")],
)
def test_a_picture_is_drawn_in_every_format(
    run: Run, recording: Path, tmp_path: Path, suffix: str, start: bytes
) -> None:
    picture = tmp_path / f"call{suffix}"
    assert run(recording, "--out", tmp_path / "p.csv", "--plot", picture) == 0
    assert picture.read_bytes().startswith(start)
    assert len(picture.read_bytes()) > 10_000


def test_a_mono_file_is_the_user(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = dialogue(1.0, seed=2)
    both[:, 1] = 0
    soundfile.write(tmp_path / "mono.wav", both[:, 0], 16000)
    soundfile.write(tmp_path / "both.wav", both, 16000)
    assert run(tmp_path / "mono.wav", "--plot", tmp_path / "mono.svg") == 0
    mono = capsys.readouterr().out
    assert run(tmp_path / "both.wav") == 0
    assert capsys.readouterr().out == mono


def test_a_telephone_recording_is_resampled(
    run: Run, talkative_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "call.flac"
    soundfile.write(path, dialogue(1.5, seed=3, rate_hz=8000), 8000)
    assert run(path) == 0
    _, rows = read_csv(capsys.readouterr().out)
    assert len(rows) == 75
    assert_rows_are(rows, library(talkative_path, path)[0])


@pytest.mark.parametrize(
    ("encoding", "dtype", "scale"), [("pcm_s16le", "<i2", 1.0), ("pcm_f32le", "<f4", 1 / 32768)]
)
def test_raw_audio_comes_from_standard_input(
    run: Run,
    recording: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    encoding: str,
    dtype: str,
    scale: float,
) -> None:
    assert run(recording) == 0
    expected = capsys.readouterr().out
    raw = (dialogue(4.0, seed=1) * scale).astype(dtype).tobytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    assert run("-", "--encoding", encoding) == 0
    assert capsys.readouterr().out == expected


def test_without_a_picture_no_event_is_kept(
    run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[predict._Kept] = []

    class Spied(predict._Kept):
        def __init__(self, **wanted: bool) -> None:
            super().__init__(**wanted)
            made.append(self)

    monkeypatch.setattr(predict, "_Kept", Spied)
    assert run(recording) == 0
    assert (made[0].audio, made[0].predictions, made[0].events) == ([], [], [])
    assert not capsys.readouterr().err.endswith(" 0 events\n")


def test_suspicious_audio_is_reported_on_standard_error(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(16000 * 6, np.int16), 16000)
    assert run(tmp_path / "silence.wav", "--out", tmp_path / "p.csv") == 0
    first, _ = capsys.readouterr().err.splitlines()
    assert first.startswith("turnstream predict: warning: channel 0: nothing but zeros")


@pytest.mark.parametrize("raw", [False, True])
def test_8_khz_speech_declared_as_16_khz_is_reported_once(
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    raw: bool,
) -> None:
    samples = (voice(48, rate_hz=8000)[:, 0].clip(-1, 1) * 32767).astype("<i2")
    soundfile.write(tmp_path / "fast.wav", samples, 16000)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(samples.tobytes())))
    given = ["-", "--channels", "1"] if raw else [tmp_path / "fast.wav"]
    assert run(*given, "--out", tmp_path / "p.csv") == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "recorded at 8000 Hz and declared as 16000 Hz" in warnings[0]


def test_warnings_are_kept_if_the_file_ends_in_damage(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(16000 * 7, np.int16), 16000)
    path.write_bytes(path.read_bytes()[:-1000])
    assert run(path, "--out", tmp_path / "p.csv") == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert "nothing but zeros" in warning
    assert "the file was cut off" in error


def test_the_picture_shows_the_threshold_of_the_policy(
    run: Run, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Recording] = []

    def draw(path: Path, recording: Recording) -> list[Path]:
        drawn.append(recording)
        return [path]

    monkeypatch.setattr(predict, "plot_recording", draw)
    out = ["--out", "/dev/null", "--plot", tmp_path / "p.png"]
    assert run(recording, *out, "--policy", "patient") == 0
    assert drawn[0].end_threshold == PRESETS["patient"].end_threshold
    assert {prediction.latent.size for prediction in drawn[0].predictions} == {0}


def test_garbled_bytes_are_reported_on_standard_error(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "call.ogg"
    soundfile.write(path, dialogue(12.0, seed=1), 16000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert run(path, "--out", tmp_path / "p.csv") == 0
    first, *_ = capfd.readouterr().err.splitlines()
    assert first.startswith(f"turnstream predict: warning: {path}: ")
    assert "are garbled; about" in first


@pytest.mark.parametrize("seconds", [0.04, 4.0])
def test_a_reader_that_has_gone_is_no_error(
    talkative_path: Path, tmp_path: Path, seconds: float
) -> None:
    soundfile.write(tmp_path / "a.wav", dialogue(seconds, seed=1), 16000)
    finished = without_reader("predict", tmp_path / "a.wav", "--model", talkative_path)
    assert finished.returncode == 0
    assert "Error" not in finished.stderr
