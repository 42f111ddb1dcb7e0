import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch

from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.training import evaluation
from turnstream.models.training.evaluation import (
    next_holder_probabilities,
    shift_hold_report,
    validation_losses,
)
from turnstream.models.training.labelled import labelled_audio
from turnstream.models.training.losses import TargetBatch, head_losses
from turnstream.models.turn_model import TurnModel

from ...networks import random_audio


def test_next_holders_are_those_of_the_network(tiny_model: TurnModel) -> None:
    audio = random_audio(tiny_model.config, 1, 40)
    with torch.inference_mode():
        expected = tiny_model.probabilities(tiny_model(audio, tiny_model.init_state(1))[0]).p_next[
            0
        ]
    np.testing.assert_allclose(
        next_holder_probabilities(tiny_model, audio[0].numpy()), expected, atol=1e-6
    )


@pytest.fixture
def conversation(tmp_path: Path) -> Dialogue:
    """Return a conversation with a shift of 0.6 s and a hold of 0.3 s.

    A speaks 4 s, gap of 0.6 s, B speaks 2 s, pause of 0.3 s, B speaks 2 s.
    """
    active = np.zeros((2, 500), bool)
    active[0, :200] = active[1, 230:330] = active[1, 345:445] = True
    sf.write(tmp_path / "a.wav", np.zeros((500 * 320, 2)), 16000)
    np.savez(tmp_path / "a.npz", activity=active)
    return Dialogue("a", (tmp_path / "a.wav",), ("x", "y"), activity=tmp_path / "a.npz")


def test_shift_and_hold_are_read_from_the_last_frame_heard_by_then(
    tiny_model: TurnModel, conversation: Dialogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: dict[str, np.ndarray] = {"stereo": np.full((2, 500), 0.4, np.float32)}
    read["stereo"][1, 200 + 12 - 1] = (
        0.9  # B's p_next after 250 ms of the gap, when 212 whole frames have been heard
    )
    read["stereo"][0, 330 + 12 - 1] = 0.7  # A's p_next, in B's pause
    monkeypatch.setattr(evaluation, "next_holder_probabilities", lambda *_: read["stereo"])
    report = shift_hold_report(tiny_model, [conversation])
    at_250 = report.at(250)
    assert (at_250.shifts, at_250.holds) == (1, 1)
    assert at_250.auc == 1.0
    assert at_250.balanced_accuracy == 0.5  # 0.9 is a shift, and so is 0.7
    assert report.at(50).auc == 0.5
    assert (report.at(500).shifts, report.at(500).holds) == (1, 0)  # the pause is over by then
    assert math.isnan(report.at(500).auc)


def test_mono_hears_only_the_speaker_who_held_the_floor(
    tiny_model: TurnModel, conversation: Dialogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loudest_is_next(_model: Any, audio: np.ndarray, _device: str) -> np.ndarray:
        return np.repeat(
            (np.abs(audio).max(axis=1, keepdims=True) > 0).astype(np.float32), 500, axis=1
        )

    monkeypatch.setattr(evaluation, "next_holder_probabilities", loudest_is_next)
    monkeypatch.setattr(evaluation, "load_audio", lambda *_: np.ones((2, 500 * 320), np.float32))
    report = shift_hold_report(tiny_model, [conversation], mono=True)
    # The other channel is silent, so there seem to be no shifts.
    assert report.at(250).balanced_accuracy == 0.5
    # With both channels, every turn ends in a shift.
    assert shift_hold_report(tiny_model, [conversation]).at(250).balanced_accuracy == 0.5


def test_validation_losses_are_the_means_over_conversations(
    tiny_model: TurnModel, dialogues: list[Dialogue]
) -> None:
    each: list[dict[str, float]] = []
    for dialogue in dialogues[:2]:
        audio, labels = labelled_audio(dialogue, tiny_model.config)
        with torch.inference_mode():
            output, _ = tiny_model(torch.from_numpy(audio)[None], tiny_model.init_state(1))
        target = TargetBatch(
            torch.from_numpy(labels.vad)[None].float(),
            torch.from_numpy(labels.projection)[None],
            torch.from_numpy(labels.next_second)[None],
            torch.from_numpy(labels.next_weight)[None],
            torch.from_numpy(labels.backchannel)[None].float(),
            torch.from_numpy(labels.completeness)[None],
        )
        each.append({name: loss.item() for name, loss in head_losses(output, target).items()})
    expected = {name: (each[0][name] + each[1][name]) / 2 for name in each[0]}
    assert validation_losses(tiny_model, dialogues[:2]) == pytest.approx(expected, rel=1e-5)
