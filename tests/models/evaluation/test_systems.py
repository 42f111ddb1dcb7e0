"""What a model predicts for dialogues: in conditions, and each dialogue by its own model."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from turnstream import TurnPredictor
from turnstream.models.dialogues.manifest import read_manifest
from turnstream.models.evaluation.conditions import CLEAN, ConditionNames
from turnstream.models.evaluation.predictions import EvaluatedDialogue
from turnstream.models.evaluation.recording import load_recording
from turnstream.models.evaluation.systems import load_engines, load_pause_models, run_models
from turnstream.models.teachers.judge import Judge
from turnstream.models.teachers.saved_judge import SavedJudge
from turnstream.models.teachers.stop_point_space import StopPointSpace
from turnstream.models.work import Workers
from turnstream.stream import pause_model
from turnstream.stream.errors import ConfigError

from ...stream.pauses import HEAD, tiny_pause_model

TELEPHONE = ConditionNames(("telephone band",))


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
    found = run_models(load_engines(tiny_model_path, None, dialogues), dialogues, TELEPHONE)
    for clean, changed in zip(found["clean"], found["telephone band"], strict=True):
        assert clean.id == changed.id
        np.testing.assert_array_equal(clean.activity, changed.activity)
        assert np.abs(clean.stereo.p_next - changed.stereo.p_next).max() > 1e-3


def test_each_dialogue_is_run_through_its_own_model(
    folds: Path, manifest: Path, evaluated: list[EvaluatedDialogue]
) -> None:
    dialogues = read_manifest(manifest)
    found = run_models(load_engines(None, folds, dialogues), dialogues, TELEPHONE)
    assert [dialogue.id for dialogue in found["telephone band"]] == ["call 0", "call 1", "call 2"]
    for number, (own, by_first) in enumerate(zip(found[CLEAN.name], evaluated, strict=True)):
        assert own.id == by_first.id
        swapped = by_first.stereo.p_next[::-1] if number == 1 else by_first.stereo.p_next
        np.testing.assert_allclose(own.stereo.p_next, swapped, atol=1e-5)
        assert np.abs(own.stereo.p_next - swapped[::-1]).max() > 1e-3


def test_other_processes_predict_the_same(folds: Path, manifest: Path) -> None:
    dialogues = read_manifest(manifest)
    engines = load_engines(None, folds, dialogues)
    conditions = ConditionNames(("babble 5 dB",), tuple(dialogues), seed=3)
    here, there = (run_models(engines, dialogues, conditions, Workers(jobs)) for jobs in (1, 2))
    assert list(here) == list(there) == ["clean", "babble 5 dB"]
    for name, evaluated in here.items():
        for own, other in zip(evaluated, there[name], strict=True):
            assert own.id == other.id
            np.testing.assert_array_equal(own.stereo.p_next, other.stereo.p_next)
            np.testing.assert_array_equal(own.mono[1].vad, other.mono[1].vad)


@pytest.fixture
def tiny_bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny pause model in place of the bundled one."""
    path = tiny_pause_model(tmp_path)
    bundled = pause_model.PauseModel(path)
    monkeypatch.setattr(pause_model, "shared_pause_model", lambda: bundled)
    return path


def write_judge(judged: Path, name: str, weight: float) -> None:
    ones = np.ones(2, np.float32)
    (judged / "judges").mkdir(exist_ok=True)
    SavedJudge(
        Judge(np.array([weight, 0.0], np.float32), 0.25),
        StopPointSpace(0 * ones, ones, np.eye(2, dtype=np.float32), ones),
    ).save(judged / "judges" / f"{name}.npz")


def test_each_dialogue_has_the_head_that_was_fitted_without_it(
    tiny_bundled: Path, tiny_model_path: Path, manifest: Path, tmp_path: Path
) -> None:
    dialogues = read_manifest(manifest)
    for number in range(3):
        write_judge(tmp_path, f"without_call {number}", 1.0 + number)
    write_judge(tmp_path, "all", 9.0)
    found = load_pause_models(True, tmp_path, load_engines(tiny_model_path, None, dialogues))
    assert found is not None
    assert [(name, model.head.name, model.head.weights) for name, model in found.items()] == [
        (f"call {number}", f"without_call {number}", (1.0 + number, 0.0)) for number in range(3)
    ]
    half = np.full(3200, 0.5, np.float32)
    heads = [msgspec.structs.replace(model.head, words=0.0) for model in found.values()]
    logits = [
        model.with_head(head).logit(half) for model, head in zip(found.values(), heads, strict=True)
    ]
    assert logits == pytest.approx([0.75, 1.25, 1.75])
    assert {model.path for model in found.values()} == {tiny_bundled}


def test_without_judges_every_dialogue_has_the_bundled_head(
    tiny_bundled: Path, tiny_model_path: Path, manifest: Path
) -> None:
    engines = load_engines(tiny_model_path, None, read_manifest(manifest))
    assert load_pause_models(None, None, engines) is None  # unless the model is the bundled one
    found = load_pause_models(True, None, engines)
    assert found is not None
    assert [(name, model.head) for name, model in found.items()] == [
        (f"call {number}", HEAD) for number in range(3)
    ]


def test_a_judge_that_is_missing_is_named(
    tiny_bundled: Path, tiny_model_path: Path, manifest: Path, tmp_path: Path
) -> None:
    engines = load_engines(tiny_model_path, None, read_manifest(manifest))
    for name in ("without_call 0", "without_call 2", "all"):
        write_judge(tmp_path, name, 1.0)
    with pytest.raises(ConfigError, match=r"judges/without_call 1\.npz: expected a judge, as"):
        load_pause_models(True, tmp_path, engines)
