"""Whole recordings in one batch give what each gives alone, live."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np
import pytest

from turnstream import Engine, TurnPredictor
from turnstream.models.evaluation.onnx_runner import evaluate_dialogues, step_recordings
from turnstream.models.evaluation.recording import Recording
from turnstream.models.evaluation.torch_runner import evaluate_dialogue
from turnstream.models.turn_model import TurnModel
from turnstream.stream.contract import PROBABILITIES


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
        for setting, speaker in (("stereo", 0), ("mono", 0), ("mono", 1)):
            prediction = asdict(found.predictions_for(setting, speaker))
            for name, values in asdict(expected.predictions_for(setting, speaker)).items():
                np.testing.assert_allclose(prediction[name], values, atol=1e-5)
