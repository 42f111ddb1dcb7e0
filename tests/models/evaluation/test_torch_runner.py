"""A dialogue that is processed block by block gives the same as the whole dialogue."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from turnstream.models.evaluation import torch_runner
from turnstream.models.evaluation.predictions import at_activity_rate
from turnstream.models.evaluation.recording import Recording
from turnstream.models.evaluation.torch_runner import (
    dialogue_outputs,
    evaluate_dialogue,
    run_dialogue,
)
from turnstream.models.turn_model import TurnModel
from turnstream.stream.contract import PROBABILITIES
from turnstream.stream.errors import DialogueError

from ...networks import CONFIGS, random_audio, random_model, whole_conversation


def recording(model: TurnModel, steps: int = 40) -> Recording:
    """Return noise on both channels, and activity at 50 Hz as long as it."""
    audio = random_audio(model.config, 1, steps)[0].numpy()
    activity = np.zeros((2, round(steps * 50 / model.config.frame_rate_hz)), bool)
    activity[0, 10:20] = True
    return Recording("call", audio, activity, np.zeros_like(activity))


def test_blocks_join_without_a_seam_and_what_is_left_of_a_frame_is_dropped(
    tiny_model: TurnModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = random_audio(tiny_model.config, 1, 40)
    monkeypatch.setattr(torch_runner, "BLOCK_S", 0.14)
    padded = np.pad(audio[0].numpy(), ((0, 0), (0, 100)))
    blocks = [output for output, _ in run_dialogue(tiny_model, padded)]
    assert [block.latent.shape[2] for block in blocks] == [7, 7, 7, 7, 7, 5]
    whole = whole_conversation(tiny_model, audio)
    for name in ("latent", "latent_speaker", "next"):
        np.testing.assert_allclose(
            torch.cat([getattr(block, name) for block in blocks], dim=2),
            getattr(whole, name),
            atol=1e-5,
        )
    outputs = dialogue_outputs(tiny_model, padded, "call", ("latent",))
    assert set(outputs) == {*PROBABILITIES, "latent"}
    np.testing.assert_allclose(outputs["latent"], whole.latent[0], atol=1e-5)


def test_audio_of_less_than_a_frame_gives_nothing(tiny_model: TurnModel) -> None:
    short = np.zeros((2, 319), np.float32)
    assert list(run_dialogue(tiny_model, short)) == []
    with pytest.raises(
        DialogueError, match="dialogue 'call': expected audio of at least a frame, got 319 samples"
    ):
        evaluate_dialogue(tiny_model, replace(recording(tiny_model), audio=short))


@pytest.mark.parametrize("name", ["tiny", "lstm_2d_gated_stride_concat"])
def test_predictions_are_those_of_the_network_at_50_hz(name: str) -> None:
    model = random_model(CONFIGS[name])
    call = recording(model)
    audio = torch.from_numpy(call.audio)[None]
    with torch.inference_mode():
        probabilities = model.probabilities(model(audio, model.init_state(1))[0])
    evaluated = evaluate_dialogue(model, call)
    assert (evaluated.id, evaluated.mono) == ("call", ())
    assert evaluated.activity is call.activity
    for output in PROBABILITIES:
        expected = getattr(probabilities, output)[0].numpy()
        np.testing.assert_allclose(
            getattr(evaluated.stereo, output),
            at_activity_rate(expected, model.config.frame_rate_hz, call.activity.shape[1]),
            atol=1e-6,
        )


def test_mono_is_each_speakers_channel_alone(tiny_model: TurnModel) -> None:
    call = recording(tiny_model)
    evaluated = evaluate_dialogue(tiny_model, call, mono=True)
    for speaker, prediction in enumerate(evaluated.mono):
        audio = call.audio.copy()
        audio[1 - speaker] = 0
        alone = evaluate_dialogue(tiny_model, replace(call, audio=audio)).stereo
        for name, values in asdict(alone).items():
            np.testing.assert_array_equal(getattr(prediction, name), values)
        assert np.abs(prediction.p_next - evaluated.stereo.p_next).max() > 1e-4
