"""Whole recordings in one batch give what each gives alone, live."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import asdict

from turnstream import Engine, TurnPredictor
from turnstream.models.evaluation.offline import OUTPUTS, step_recordings


def test_every_recording_is_heard_as_if_alone_and_live(tiny_model_path: Path) -> None:
    rng = np.random.default_rng(0)
    recordings = [
        (0.1 * rng.standard_normal((2, samples))).astype(np.float32)
        for samples in (3200, 16000, 500, 6401)
    ]
    engine = Engine(tiny_model_path)
    for recording, said in zip(recordings, step_recordings(engine, recordings), strict=True):
        first, second = recording.copy(), recording.copy()
        first[1], second[0] = 0, 0
        for heard, outputs in zip((recording, first, second), said, strict=True):
            predictor = TurnPredictor(engine)
            live = [asdict(p) for p in predictor.push_audio(heard.T.copy()) + predictor.flush()]
            for name in OUTPUTS:
                assert outputs[name].shape == (2, -(-recording.shape[1] // 320))
                np.testing.assert_allclose(outputs[name].T, [p[name] for p in live], atol=1e-5)


@pytest.mark.parametrize("lengths", [[], [0], [0, 320]])
def test_nothing_to_hear_is_no_error(lengths: list[int], tiny_model_path: Path) -> None:
    said = step_recordings(
        Engine(tiny_model_path), [np.zeros((2, length), np.float32) for length in lengths]
    )
    assert [[outputs["vad"].shape for outputs in settings] for settings in said] == [
        [(2, length // 320)] * 3 for length in lengths
    ]
