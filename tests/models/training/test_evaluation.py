from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.evaluation.predictions import Setting
from turnstream.models.evaluation.recording import load_recording
from turnstream.models.evaluation.report import as_json
from turnstream.models.evaluation.shift_hold import shift_hold
from turnstream.models.evaluation.torch_runner import evaluate_dialogue
from turnstream.models.training.evaluation import shift_hold_scores, validation_losses
from turnstream.models.training.labelled import labelled_audio
from turnstream.models.training.losses import TargetBatch, head_losses
from turnstream.models.turn_model import TurnModel


@pytest.fixture
def conversation(tmp_path: Path) -> Dialogue:
    """Return a conversation with a shift of 0.6 s and a hold of 0.3 s.

    A speaks 4 s, gap of 0.6 s, B speaks 2 s, pause of 0.3 s, B speaks 2 s.
    """
    active = np.zeros((2, 500), bool)
    active[0, :200] = active[1, 230:330] = active[1, 345:445] = True
    loud = np.repeat(active, 320, axis=1).T
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, loud.shape)
    sf.write(tmp_path / "a.wav", noise * loud, 16000)
    np.savez(tmp_path / "a.npz", activity=active)
    return Dialogue("a", (tmp_path / "a.wav",), ("x", "y"), activity=tmp_path / "a.npz")


@pytest.mark.parametrize("setting", ["stereo", "mono"])
def test_scores_are_those_of_the_evaluation(
    tiny_model: TurnModel, conversation: Dialogue, setting: Setting
) -> None:
    found = shift_hold_scores(tiny_model, [conversation], setting)
    recording = load_recording(conversation)
    evaluated = evaluate_dialogue(tiny_model, recording, mono=True)
    assert as_json(found) == as_json(shift_hold([evaluated], setting))
    assert (found.at[250].positives, found.at[250].negatives) == (1, 1)
    assert (found.at[500].positives, found.at[500].negatives) == (1, 0)  # the pause is over by then


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
