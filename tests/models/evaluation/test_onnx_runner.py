"""Whole recordings in one batch give what each gives alone, live."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np
import pytest

from turnstream import Engine, TurnPredictor
from turnstream.models.evaluation.onnx_runner import evaluate_dialogues, step_recordings
from turnstream.models.evaluation.predictions import Setting
from turnstream.models.evaluation.recording import Recording
from turnstream.models.evaluation.torch_runner import evaluate_dialogue
from turnstream.models.turn_model import TurnModel
from turnstream.stream.contract import PROBABILITIES
from turnstream.stream.pause_model import PauseModel

from ...stream.pauses import tiny_pause_model
from .loudness_model import loudness_model


def test_every_recording_is_run_as_if_alone_and_live(tiny_model_path: Path) -> None:
    rng = np.random.default_rng(0)
    recordings = [
        (0.1 * rng.standard_normal((2, samples))).astype(np.float32)
        for samples in (3200, 16000, 500, 6401)
    ]
    engine = Engine(tiny_model_path)
    for recording, rows in zip(recordings, step_recordings(engine, recordings), strict=True):
        first, second = recording.copy(), recording.copy()
        first[1], second[0] = 0, 0
        for audio, outputs in zip((recording, first, second), rows, strict=True):
            predictor = TurnPredictor(engine)
            live = [
                msgspec.structs.asdict(p)
                for p in predictor.push_audio(audio.T.copy()) + predictor.flush()
            ]
            for name in PROBABILITIES:
                assert outputs[name].shape == (2, -(-recording.shape[1] // 320))
                np.testing.assert_allclose(outputs[name].T, [p[name] for p in live], atol=1e-5)


@pytest.mark.parametrize("lengths", [[], [0], [0, 320]])
def test_recordings_without_a_frame_are_no_error(lengths: list[int], tiny_model_path: Path) -> None:
    rows = step_recordings(
        Engine(tiny_model_path), [np.zeros((2, length), np.float32) for length in lengths]
    )
    assert [[outputs["vad"].shape for outputs in row] for row in rows] == [
        [(2, length // 320)] * 3 for length in lengths
    ]


def test_both_runners_give_the_same_dialogue(tiny_model: TurnModel, tiny_model_path: Path) -> None:
    rng = np.random.default_rng(1)
    recordings = [
        Recording(
            str(frames),
            (0.1 * rng.standard_normal((2, 320 * frames))).astype(np.float32),
            rng.random((2, frames)) < 0.5,
            np.zeros((2, frames), bool),
        )
        for frames in (40, 70)
    ]
    for recording, found in zip(
        recordings, evaluate_dialogues(Engine(tiny_model_path), recordings), strict=True
    ):
        expected = evaluate_dialogue(tiny_model, recording, mono=True)
        assert found.id == expected.id
        assert np.array_equal(found.activity, expected.activity)
        settings: list[tuple[Setting, int]] = [("stereo", 0), ("mono", 0), ("mono", 1)]
        for setting, speaker in settings:
            prediction = asdict(found.predictions_for(setting, speaker))
            for name, values in asdict(expected.predictions_for(setting, speaker)).items():
                np.testing.assert_allclose(prediction[name], values, atol=1e-5)


@pytest.fixture(scope="module")
def loudness_path(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # So sensitive that it also hears speech too faint to hold the floor.
    return loudness_model(
        tiny_model_path, tmp_path_factory.mktemp("loudness") / "model.onnx", gain=2000
    )


@pytest.fixture(scope="module")
def pause_model(tmp_path_factory: pytest.TempPathFactory) -> PauseModel:
    return PauseModel(tiny_pause_model(tmp_path_factory.mktemp("pause")))


def call(seconds: float, seed: int) -> Recording:
    """Return loud and faint noise on both channels, with pauses; it ends inside a frame."""
    rng = np.random.default_rng(seed)
    levels = rng.choice([0.2, 5e-4, 0.0], (2, round(seconds / 0.2)), p=[0.35, 0.15, 0.5])
    level = np.repeat(levels, 3200, axis=1)[:, :-100]
    audio = (level * rng.standard_normal(level.shape)).astype(np.float32)
    labels = np.zeros((2, -(-audio.shape[1] // 320)), bool)
    return Recording(str(seed), audio, labels, labels)


def test_the_pause_model_is_mixed_in_as_in_a_live_conversation(
    loudness_path: Path, pause_model: PauseModel
) -> None:
    recordings = [call(6, 1), call(4, 2)]
    other_head = msgspec.structs.replace(pause_model.head, bias=3.0)
    models = {"1": pause_model, "2": pause_model.with_head(other_head)}
    engine = Engine(loudness_path)
    without = evaluate_dialogues(engine, recordings)
    for recording, plain, found in zip(
        recordings, without, evaluate_dialogues(engine, recordings, models), strict=True
    ):
        first, second = recording.audio.copy(), recording.audio.copy()
        first[1], second[0] = 0, 0
        settings = (found.stereo, plain.stereo), *zip(found.mono, plain.mono, strict=True)
        for audio, (mixed, unmixed) in zip((recording.audio, first, second), settings, strict=True):
            predictor = TurnPredictor(engine, pause_model=models[recording.id])
            live = predictor.push_audio(audio.T.copy()) + predictor.flush()
            np.testing.assert_allclose(mixed.p_next.T, [p.p_next for p in live], atol=1e-5)
            changed = np.abs(mixed.p_next - unmixed.p_next).max(axis=0) > 0.01
            assert 0.05 < changed.mean() < 0.95  # the pauses alone
            for name in ("vad", "p_now", "p_future", "p_backchannel"):
                np.testing.assert_array_equal(getattr(mixed, name), getattr(unmixed, name))
