"""A dialogue that is processed block by block gives the same as the whole dialogue."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from turnstream.models.evaluation import dialogue_runner
from turnstream.models.evaluation.dialogue_runner import run_dialogue
from turnstream.models.turn_model import TurnModel

from ...networks import random_audio, whole_conversation


def test_blocks_join_without_a_seam_and_what_is_left_of_a_frame_is_not_heard(
    tiny_model: TurnModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = random_audio(tiny_model.config, 1, 40)
    monkeypatch.setattr(dialogue_runner, "BLOCK_S", 0.14)
    blocks = [
        output
        for output, _ in run_dialogue(tiny_model, np.pad(audio[0].numpy(), ((0, 0), (0, 100))))
    ]
    assert [block.latent.shape[2] for block in blocks] == [7, 7, 7, 7, 7, 5]
    whole = whole_conversation(tiny_model, audio)
    for name in ("latent", "latent_speaker", "next"):
        np.testing.assert_allclose(
            torch.cat([getattr(block, name) for block in blocks], dim=2),
            getattr(whole, name),
            atol=1e-5,
        )


def test_audio_of_less_than_a_frame_gives_nothing(tiny_model: TurnModel) -> None:
    assert list(run_dialogue(tiny_model, np.zeros((2, 319), np.float32))) == []
