import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from turnstream.cli import main
from turnstream.models.config import RecurrentConfig
from turnstream.models.evaluation.measures import Estimate, auc
from turnstream.models.latents.collect import load_network
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.memory import past as subject
from turnstream.models.latents.memory.held_out import log_loss
from turnstream.models.latents.memory.past import (
    ALL,
    RecentSound,
    enough_past,
    fixed_order_baseline,
    judge,
    recent_sound,
    score_with_past,
)
from turnstream.models.latents.memory.past_view import view_past
from turnstream.models.latents.memory.readings import (
    Readings,
    floor_logits,
    log_mel,
    silence_readings,
    sound_at,
)
from turnstream.models.receptive_field import receptive_field
from turnstream.stream.errors import ConfigError

from ....networks import CONFIGS, TINY, random_model


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_only_the_past_that_is_given_is_heard(
    config: object, tiny_collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "MOMENTS_AT_ONCE", 4)  # several batches
    monkeypatch.setattr(subject, "ROWS_AT_ONCE", 30)  # and several blocks
    model = random_model(config)  # pyright: ignore[reportArgumentType]
    readings, _ = silence_readings(tiny_collection)
    step_s, frame = 1 / model.config.frame_rate_hz, model.config.frame_samples
    pasts_s = [step_s, 25 * step_s, 100.0, ALL]
    found = score_with_past(model, tiny_collection, readings, pasts_s)
    sounds = [sound_at(tiny_collection, number, 16000) for number in range(3)]
    for place, number in enumerate(readings.number):
        end = int(readings.steps(model.config.frame_rate_hz)[place] + 1)
        for row, length in enumerate((1, 25, end, end)):
            heard = torch.from_numpy(
                sounds[number][None, :, (end - length) * frame : end * frame].copy()
            )
            with torch.no_grad():
                output, _ = model(heard, model.init_state(1))
            assert found[row, place] == pytest.approx(
                float(output.next[0, readings.speaker[place], -1]), abs=2e-4
            )
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_without_recurrence_more_than_the_receptive_field_changes_nothing(
    tiny_collection: Collection,
) -> None:
    none = RecurrentConfig("none", 8)
    model = random_model(replace(TINY, speaker_rnn=none, dialogue_rnn=none))
    readings, _ = silence_readings(tiny_collection)
    reach = receptive_field(TINY.encoder).size
    enough, one_less, everything = score_with_past(
        model, tiny_collection, readings, [(reach + 1) / 50, (reach - 1) / 50, ALL]
    )
    np.testing.assert_allclose(enough, everything, atol=1e-4)
    assert np.abs(one_less - everything).max() > 1e-3


def test_sound_is_averaged_in_the_windows_before_a_moment(
    tiny_checkpoint: Path, tiny_collection: Collection
) -> None:
    model = load_network(tiny_checkpoint)
    readings, events = silence_readings(tiny_collection)
    found = recent_sound(model, tiny_collection, readings, (1, 3, 400))
    assert found.values.shape == (len(readings), 3, 2, 8)
    for place, event in enumerate(events):
        mel = log_mel(model, sound_at(tiny_collection, event.number, 16000)).numpy()[
            [event.speaker, 1 - event.speaker]
        ]
        end = round(readings.heard_s[place] * 50)
        banded = mel.reshape(2, -1, 8, 2).mean(axis=-1)
        np.testing.assert_allclose(found.values[place, 0], banded[:, end - 1], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            found.values[place, 1], banded[:, end - 3 : end - 1].mean(axis=1), rtol=1e-4, atol=1e-5
        )
        if end >= 400:
            np.testing.assert_allclose(
                found.values[place, 2],
                banded[:, end - 400 : end - 3].mean(axis=1),
                rtol=1e-4,
                atol=1e-5,
            )
        else:
            assert (
                found.values[place, 2] < banded[:, : end - 3].mean(axis=1)
            ).any()  # silence before the beginning


def sounds_in_which(window: int, seed: int = 0) -> RecentSound:
    """100 moments of 10 dialogues, where only one window tells."""
    rng = np.random.default_rng(seed)
    values, happened = rng.normal(size=(100, 4, 2, 3)), rng.random(100) < 0.4
    values[:, window] += 4 * happened[:, None, None]
    return RecentSound(
        (0, 1, 2, 4, 8),
        values,
        Readings(np.repeat(np.arange(10), 10), np.ones(100), np.ones(100, int), happened),
    )


def test_a_baseline_sees_no_further_than_its_order() -> None:
    sound = sounds_in_which(window=3)
    aucs = {
        frames: auc(fixed_order_baseline(sound, frames), sound.readings.happened)
        for frames in (1, 2, 4, 8)
    }
    assert aucs[8] > 0.95
    assert max(aucs[frames] for frames in (1, 2, 4)) < 0.7
    others = fixed_order_baseline(sound, 8, fit_on=sounds_in_which(window=3, seed=1))
    assert auc(others, sound.readings.happened) > 0.95
    inverted = replace(
        sounds_in_which(window=3, seed=1), values=-sounds_in_which(window=3, seed=1).values
    )
    assert auc(fixed_order_baseline(sound, 8, fit_on=inverted), sound.readings.happened) < 0.05
    with pytest.raises(ConfigError, match="expected one of 0, 1, 2, 4, 8 frames, got 3"):
        fixed_order_baseline(sound, 3)


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
    same, less = judge(whole, whole, readings), judge(worse, whole, readings)
    assert (same.auc_lost, same.loss_gained) == (Estimate(0, 0, 0), Estimate(0, 0, 0))
    assert less.auc.value == pytest.approx(auc_by_pairs(worse, readings))
    assert less.auc_lost.value == pytest.approx(
        auc_by_pairs(whole, readings) - auc_by_pairs(worse, readings)
    )
    who = 10.0 * readings.number + 3 * readings.speaker  # what a speaker usually does
    knowing_who = judge(who + rng.normal(0, 1e-3, 100), whole, readings)
    assert abs(knowing_who.auc.value - 0.5) < 0.15
    assert less.loss.value == pytest.approx(log_loss(worse, readings.happened).mean())
    assert less.auc_lost.low > 0 < less.loss_gained.low


def test_enough_past_is_where_differences_end() -> None:
    differs, same, unknown = (
        Estimate(0.2, 0.1, 0.3),
        Estimate(0.1, -0.1, 0.3),
        Estimate(0.1, math.nan, math.nan),
    )
    pasts_s, whole = (0.5, 1.0, 2.0, ALL), Estimate(0, 0, 0)
    assert enough_past(pasts_s, [differs, differs, same, whole]) == 2.0
    assert (
        enough_past(pasts_s, [same, differs, same, whole]) == 2.0
    )  # a lucky short one does not count
    assert enough_past(pasts_s, [differs, differs, differs, whole]) == ALL
    assert enough_past(pasts_s, [same, same, same, whole]) == 0.5
    assert enough_past(pasts_s, [unknown, same, same, whole]) is None


def test_a_past_of_less_than_a_step_is_refused(
    tiny_checkpoint: Path, tiny_collection: Collection
) -> None:
    readings, _ = silence_readings(tiny_collection)
    for past_s in (0.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match=r"at least a step of the network, 0\.02 s"):
            score_with_past(load_network(tiny_checkpoint), tiny_collection, readings, [past_s])


def test_command_draws_and_writes(
    tiny_checkpoint: Path,
    tiny_collection: Collection,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, out = str(tiny_collection.folder), tmp_path / "past.png"
    arguments = [
        "latents",
        "past",
        folder,
        "--out",
        str(out),
        "--csv",
        str(tmp_path / "past.csv"),
        "--model",
        str(tiny_checkpoint),
        "--moments",
        "6",
    ]
    assert main(arguments) == 0
    assert "of 3 dialogues" in capsys.readouterr().out
    assert out.stat().st_size > 10_000
    with (tmp_path / "past.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["past_s"] for row in rows if row["system"] == "network"] == [
        "0.1",
        "0.25",
        "0.5",
        "1",
        "2",
        "4",
        "8",
        "16",
        "32",
        "all",
    ]
    readings, _ = silence_readings(tiny_collection)
    model = load_network(tiny_checkpoint)
    whole = np.concatenate(
        [
            floor_logits(model, sound_at(tiny_collection, n, 16000), readings.only(readings.of(n)))
            for n in range(3)
        ]
    )
    assert float(rows[9]["auc"]) == pytest.approx(auc_by_pairs(whole, readings), abs=1e-4)
    assert [row["system"] for row in rows].count("counting this speaker's shifts") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["past.csv", "past.png"]


def test_one_dialogue_has_no_baselines_and_no_intervals(
    tiny_checkpoint: Path,
    tiny_collection: Collection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings, events = silence_readings(tiny_collection)
    monkeypatch.setattr(
        "turnstream.models.latents.memory.past_view.silence_readings",
        lambda _: (readings.only(readings.of(0)), events),
    )
    view = view_past(
        tiny_collection,
        load_network(tiny_checkpoint),
        tmp_path / "past.png",
        pasts_s=(0.1, ALL),
        moments=0,
    )
    assert "which one dialogue does not give" in view.caption
    assert "nan" not in view.caption


def test_baselines_that_cannot_be_fitted_are_left_out(
    tiny_checkpoint: Path,
    tiny_collection: Collection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings, events = silence_readings(tiny_collection)
    one = replace(
        readings, happened=readings.happened & (readings.number == 1)
    )  # without dialogue 1 there are only holds
    monkeypatch.setattr(
        "turnstream.models.latents.memory.past_view.silence_readings", lambda _: (one, events)
    )
    view = view_past(
        tiny_collection,
        load_network(tiny_checkpoint),
        tmp_path / "past.png",
        pasts_s=(0.1, ALL),
        moments=0,
    )
    assert (
        "left out: fixed-order baselines: the dialogues that some would be fitted on have only "
        "shifts" in view.caption
    )
    assert view.path.stat().st_size > 10_000
