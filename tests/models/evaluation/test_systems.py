"""What a model predicts for dialogues: in conditions, and each dialogue by its own model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from turnstream import TurnPredictor
from turnstream.models.dialogues.manifest import read_manifest
from turnstream.models.evaluation.conditions import standard_conditions
from turnstream.models.evaluation.predictions import EvaluatedDialogue
from turnstream.models.evaluation.recording import load_recording
from turnstream.models.evaluation.systems import CLEAN, load_engines, run_models


def test_what_is_scored_is_what_the_product_says(
    evaluated: list[EvaluatedDialogue], manifest: Path, tiny_model_path: Path
) -> None:
    dialogue = read_manifest(manifest)[1]
    audio = load_recording(dialogue).audio
    for speaker, prediction in enumerate(evaluated[1].mono):
        alone = np.zeros_like(audio)
        alone[speaker] = audio[speaker]
        live = TurnPredictor(tiny_model_path).push_audio(alone.T.copy())
        np.testing.assert_allclose(prediction.p_next.T, [p.p_next for p in live], atol=1e-5)


def test_conditions_change_the_audio_and_not_the_labels(
    manifest: Path, tiny_model_path: Path
) -> None:
    dialogues = read_manifest(manifest)[:2]
    telephone = next(
        condition for condition in standard_conditions() if condition.name == "telephone band"
    )
    found = run_models(
        load_engines(tiny_model_path, None, dialogues),
        dialogues,
        [CLEAN, telephone],
        0,
        2,
        lambda: None,
    )
    for clean, changed in zip(found["clean"], found["telephone band"], strict=True):
        assert clean.id == changed.id
        np.testing.assert_array_equal(clean.activity, changed.activity)
        assert np.abs(clean.stereo.p_next - changed.stereo.p_next).max() > 1e-3


def test_each_dialogue_is_run_through_its_own_model(
    folds: Path, manifest: Path, evaluated: list[EvaluatedDialogue]
) -> None:
    dialogues = read_manifest(manifest)
    telephone = next(
        condition for condition in standard_conditions() if condition.name == "telephone band"
    )
    found = run_models(
        load_engines(None, folds, dialogues), dialogues, [CLEAN, telephone], 0, 2, lambda: None
    )
    assert [dialogue.id for dialogue in found["telephone band"]] == ["call 0", "call 1", "call 2"]
    for number, (own, by_first) in enumerate(zip(found[CLEAN.name], evaluated, strict=True)):
        assert own.id == by_first.id
        swapped = by_first.stereo.p_next[::-1] if number == 1 else by_first.stereo.p_next
        np.testing.assert_allclose(own.stereo.p_next, swapped, atol=1e-5)
        assert np.abs(own.stereo.p_next - swapped[::-1]).max() > 1e-3
