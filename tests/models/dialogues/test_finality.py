import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.dialogues import finality
from turnstream.models.dialogues.finality import SILENCE_SAMPLES, ensure_finality, heard_until, stopping_places
from turnstream.models.dialogues.simulation import Material, label_finality, lay_out, open_material, simulate
from turnstream.models.dialogues.timing import PlannedTurn
from turnstream.models.dialogues.utterances import UtterancePool, decode_set
from turnstream.models.dialogues.voice import Voice
from turnstream.models.errors import MissingExtraError

from .test_simulation import LENGTHS_S, PLAIN


class LongIsFinished:
    """Scores a clip by its length, and counts the clips."""

    asked = 0

    def scores(self, clips: list[np.ndarray]) -> np.ndarray:
        LongIsFinished.asked += len(clips)
        return np.array([min(len(clip) / 80000, 1.0) for clip in clips], np.float32)


@pytest.fixture
def judged(material_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Material:
    monkeypatch.setattr(finality, "SmartTurn", LongIsFinished)
    LongIsFinished.asked = 0
    return open_material(material_folder, tmp_path, synthetic=False, teacher=True)


def test_every_stopping_place_is_scored_once_and_kept(judged: Material, material_folder: Path, tmp_path: Path):
    for utterance in judged.pool.utterances:
        assert sorted(utterance.finality) == sorted(stopping_places(utterance))
        clip = judged.pool.audio(utterance)
        assert utterance.finality[utterance.offset] == pytest.approx(len(heard_until(clip, utterance, utterance.offset)) / 80000)
    asked = LongIsFinished.asked
    assert asked == sum(len(stopping_places(u)) for u in judged.pool.utterances)
    folder = decode_set(material_folder / "speech" / "tones", tmp_path)
    ensure_finality(folder)
    assert LongIsFinished.asked == asked


def test_the_teacher_hears_its_silence_of_the_recording_s_own_as_far_as_it_goes(material: Material):
    utterance = material.pool.utterances[0]
    clip = material.pool.audio(utterance)
    ((pause, resume),) = utterance.pauses
    heard = heard_until(clip, utterance, int(pause))
    own = min(int(resume - pause), SILENCE_SAMPLES)
    assert len(heard) == pause + SILENCE_SAMPLES
    assert np.array_equal(heard[: pause + own], clip[: pause + own])
    assert not heard[pause + own :].any()


def test_turns_end_where_words_sound_finished(judged: Material):
    def mean_end(legibility: float) -> float:
        rng = np.random.default_rng(3)
        (utterances, _) = judged.cast.draw_pair(rng, machine=False)
        voice = Voice(judged.pool, utterances, [], replace(PLAIN, legibility=legibility), rng)
        return float(np.mean([voice.take_turn(PlannedTurn(0, 0.0, (1.5,), ()))[-1].finality[-1] for _ in range(60)]))

    middle = np.median([utterance.finality[utterance.offset] for utterance in judged.pool.utterances])
    for utterance in judged.pool.utterances:  # finished or not, nothing between
        utterance.finality[utterance.offset] = float(utterance.finality[utterance.offset] > middle)
    assert 0.2 < mean_end(0.0) < 0.8
    assert mean_end(50.0) == 1.0


def test_finality_is_known_from_the_end_of_words_until_the_speaker_goes_on(judged: Material):
    rng = np.random.default_rng(0)
    voices = [Voice(judged.pool, utterances, [], PLAIN, rng) for utterances in judged.cast.draw_pair(rng, machine=False)]
    placed = lay_out([PlannedTurn(0, 1.0, (1.8,), ()), PlannedTurn(1, 0.3, (1.8,), ()), PlannedTurn(0, 0.2, (1.8,), ())], voices, rng, 60, 0.0)
    scores = label_finality(placed, 1000)
    end = round(placed[0].offset / 320)
    (score,) = placed[0].phrase.finality[-1:]
    assert scores[0, end - 2 : end + 40] == pytest.approx(score, abs=1e-3)
    assert np.isnan(scores[0, : round((placed[0].start + placed[0].phrase.onset) / 320)]).all()
    assert np.isnan(scores[0, end + 40])


def test_dialogues_carry_it(judged: Material, material: Material):
    made = simulate(judged, 1, 0, LENGTHS_S)
    assert made.finality.shape == made.activity.shape
    known = made.finality[~np.isnan(made.finality)]
    assert len(known) > 50
    assert ((known >= 0) & (known <= 1)).all()
    untaught = simulate(material, 1, 0, LENGTHS_S).finality
    assert np.isnan(untaught).all() or set(np.unique(untaught[~np.isnan(untaught)]).round(2)) <= {np.float16(0.02)}  # filled pauses are known


def test_scores_of_an_earlier_run_are_left_alone_without_the_teacher(judged: Material, material: Material, material_folder: Path, tmp_path: Path):
    assert any(utterance.finality for utterance in judged.pool.utterances)
    again = open_material(material_folder, tmp_path, synthetic=False)
    assert np.array_equal(simulate(again, 1, 0, LENGTHS_S).audio, simulate(material, 1, 0, LENGTHS_S).audio)


def test_a_missing_teacher_is_named(material_folder: Path, cache_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = decode_set(material_folder / "speech" / "tones", cache_folder)
    copy = shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pipecat-ai is not installed"):
        ensure_finality(copy)
    assert UtterancePool([copy]).utterances[0].finality == {}
