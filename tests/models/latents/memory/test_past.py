import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from turnstream.models.config import ModelConfig
from turnstream.models.evaluation.measures import Estimate, auc
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.memory import past, past_view
from turnstream.models.latents.memory.held_out import log_loss
from turnstream.models.latents.memory.readings import Readings, log_mel, silence_readings, sound_at

from ....networks import CONFIGS, TINY, random_model
from .conftest import Run


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_only_the_past_that_is_given_is_heard(
    config: ModelConfig, tiny_collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "MOMENTS_AT_ONCE", 4)  # several batches
    monkeypatch.setattr(past, "ROWS_AT_ONCE", 30)  # and several blocks
    model = random_model(config)
    readings, _ = silence_readings(tiny_collection)
    step_s, frame = 1 / config.frame_rate_hz, config.frame_samples
    pasts_s = [step_s, 25 * step_s, 100.0, past.ALL]
    found = past.score_with_past(model, tiny_collection, readings, pasts_s)
    sounds = [sound_at(tiny_collection, number, 16000) for number in range(3)]
    for place, number in enumerate(readings.number):
        end = int(readings.steps(config.frame_rate_hz)[place] + 1)
        for row, length in enumerate((1, 25, end, end)):
            heard = sounds[number][None, :, (end - length) * frame : end * frame].copy()
            with torch.no_grad():
                output, _ = model(torch.from_numpy(heard), model.init_state(1))
            expected = float(output.next[0, readings.speaker[place], -1])
            assert found[row, place] == pytest.approx(expected, abs=2e-4)
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_sound_is_averaged_in_the_windows_before_a_moment(tiny_collection: Collection) -> None:
    model = random_model(TINY)
    readings, events = silence_readings(tiny_collection)
    found = past.recent_sound(model, tiny_collection, readings, (1, 3, 400))
    assert found.values.shape == (len(readings), 3, 2, 8)
    for place, event in enumerate(events):
        mel = log_mel(model, sound_at(tiny_collection, event.number, 16000)).numpy()
        banded = mel[[event.speaker, 1 - event.speaker]].reshape(2, -1, 8, 2).mean(axis=-1)
        end = round(readings.heard_s[place] * 50)
        for window, (newer, older) in enumerate([(0, 1), (1, 3), (3, 400)]):
            expected = banded[:, max(0, end - older) : end - newer].mean(axis=1)
            if end >= older:
                np.testing.assert_allclose(found.values[place, window], expected, 1e-4, 1e-5)
            else:  # silence before the beginning
                assert (found.values[place, window] < expected).any()


def sounds_in_which(window: int) -> past.RecentSound:
    """100 moments of 10 dialogues, where only one window tells."""
    rng = np.random.default_rng(0)
    values, happened = rng.normal(size=(100, 4, 2, 3)), rng.random(100) < 0.4
    values[:, window] += 4 * happened[:, None, None]
    number = np.repeat(np.arange(10), 10)
    readings = Readings(number, np.ones(100), np.ones(100, int), happened)
    return past.RecentSound((0, 1, 2, 4, 8), values, readings)


def test_a_baseline_sees_no_further_than_its_order() -> None:
    sound = sounds_in_which(window=3)
    happened = sound.readings.happened
    aucs = [auc(past.fixed_order_baseline(sound, frames), happened) for frames in (1, 2, 4, 8)]
    assert aucs[3] > 0.95
    assert max(aucs[:3]) < 0.7


def auc_by_pairs(scores: np.ndarray, readings: Readings) -> float:
    """The AUC over pairs of the same dialogue and speaker, dialogue by dialogue."""
    strata = 2 * readings.number + readings.speaker
    pairs = [
        (scores[one] > scores[other]) + 0.5 * (scores[one] == scores[other])
        for one in np.flatnonzero(readings.happened)
        for other in np.flatnonzero(~readings.happened & (strata == strata[one]))
    ]
    return float(np.mean(pairs))


def test_quality_is_judged_beside_all_the_past() -> None:
    rng, readings = np.random.default_rng(0), sounds_in_which(0).readings
    whole = rng.normal(size=100) + 2 * readings.happened
    worse = whole + rng.normal(0, 5, 100)
    same, less = past.judge(whole, whole, readings), past.judge(worse, whole, readings)
    assert (same["auc_lost"], same["loss_gained"]) == (Estimate(0, 0, 0), Estimate(0, 0, 0))
    assert less["auc"].value == pytest.approx(auc_by_pairs(worse, readings))
    lost = auc_by_pairs(whole, readings) - auc_by_pairs(worse, readings)
    assert less["auc_lost"].value == pytest.approx(lost)
    who = 10.0 * readings.number + 3 * readings.speaker  # what a speaker usually does
    knowing_who = past.judge(who + rng.normal(0, 1e-3, 100), whole, readings)
    assert abs(knowing_who["auc"].value - 0.5) < 0.15
    assert less["loss"].value == pytest.approx(log_loss(worse, readings.happened).mean())
    assert less["auc_lost"].low > 0 < less["loss_gained"].low


def test_enough_past_is_where_differences_end() -> None:
    differs, same = Estimate(0.2, 0.1, 0.3), Estimate(0.1, -0.1, 0.3)
    unknown, whole = Estimate(0.1, math.nan, math.nan), Estimate(0, 0, 0)

    def enough(*worse: Estimate, close: float | None = None) -> float | None:
        pasts_s = (0.5, 1.0, 2.0, past.ALL)
        return past.enough_past(dict(zip(pasts_s, [*worse, whole], strict=True)), close)

    assert enough(differs, differs, same) == 2.0
    assert enough(same, differs, same) == 2.0  # a lucky short one does not count
    assert enough(differs, differs, differs) == past.ALL
    assert enough(same, same, same) == 0.5
    assert enough(unknown, same, same) is None
    assert enough(differs, unknown, same, close=0.1) == 1.0


def test_command_draws_and_saves(latents: Run, tiny_collection: Collection, tmp_path: Path) -> None:
    status, said = latents("past", "--moments 6 --out past.png --csv past.csv")
    assert (status, "of 3 dialogues" in said) == (0, True)
    assert (tmp_path / "past.png").stat().st_size > 10_000
    with (tmp_path / "past.csv").open() as file:
        rows = list(csv.DictReader(file))
    pasts = [row["past_s"] for row in rows if row["system"] == "network"]
    assert pasts == ["0.1", "0.25", "0.5", "1", "2", "4", "8", "16", "32", "all"]
    readings, events = silence_readings(tiny_collection)
    whole = auc_by_pairs(np.array([event.p_shift for event in events]), readings)
    assert float(rows[9]["auc"]) == pytest.approx(whole, abs=1e-4)
    assert [row["system"] for row in rows].count("counting this speaker's shifts") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["past.csv", "past.png"]


@pytest.mark.parametrize("dialogues", [1, 3])
def test_baselines_that_cannot_be_fitted_are_left_out(
    dialogues: int, tiny_collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings, events = silence_readings(tiny_collection)
    if dialogues == 1:  # without intervals
        found, complaint = readings.only(readings.of(0)), "which one dialogue does not give"
    else:  # without dialogue 1 there are only holds
        found = replace(readings, happened=readings.happened & (readings.number == 1))
        complaint = "the dialogues that some would be fitted on have only shifts"
    monkeypatch.setattr(past_view, "silence_readings", lambda _: (found, events))
    monkeypatch.setattr(past_view, "PASTS_S", (0.1, 1.0, past.ALL))
    out = tmp_path / "past.png"
    view = past_view.view_past(tiny_collection, random_model(TINY), out, moments=0)
    assert complaint in view.caption
    assert "nan" not in view.caption
    assert view.path.stat().st_size > 10_000
