"""Averages against brute force, effects against the formula, chance against noise."""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.latents.collection import Collection, Event
from turnstream.models.latents.events import averages, mean_encodings
from turnstream.models.latents.events.averages import (
    average_pictures,
    caption_of,
    draw_averages,
)
from turnstream.models.latents.events.contrasts import CONTRASTS, Cases, event_cases
from turnstream.models.latents.events.mean_encodings import LEAST, _band, average
from turnstream.stream.errors import ConfigError

from ..planted_silences import planted_silences


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return planted_silences(tmp_path_factory.mktemp("planted"))


def by_hand(collection: Collection, kinds: tuple[str, str], layer: str, around_s: float) -> dict:
    """Weighted means of both classes and deviations, speaker by speaker of each dialogue."""
    events = collection.events(*kinds)
    windows = collection.windows(events, layer, around_s, around_s)[0].astype(np.float64)
    first = np.array([event.kind == kinds[0] for event in events])
    who = np.array([2 * event.number + event.speaker for event in events])
    parts = []
    for one in np.unique(who):
        a, b = windows[(who == one) & first], windows[(who == one) & ~first]
        if len(a) and len(b):
            both = np.concatenate([a, b])
            parts.append(
                {
                    "weight": len(a) * len(b) / len(both),
                    "means": np.stack([a.mean(axis=0), b.mean(axis=0)]),
                    "inside": len(a) * a.var(axis=0) + len(b) * b.var(axis=0),
                    "around": len(both) * both.var(axis=0),
                    "free": np.array([len(both) - 2, len(both) - 1]),
                    "counts": np.array([len(a), len(b)]),
                }
            )
    total = {name: sum(part[name] for part in parts) for name in ("inside", "around", "free")}
    weights = [part["weight"] for part in parts]
    return {
        "means": np.average([part["means"] for part in parts], axis=0, weights=weights),
        "inside": np.sqrt(total["inside"] / total["free"][0]),
        "around": np.sqrt(total["around"] / total["free"][1]),
        "counts": sum(part["counts"] for part in parts),
    }


def test_averages_weigh_each_speaker_as_both_classes_allow(planted: Collection) -> None:
    found = average(planted, "shift-hold", "latent", before_s=0.5, after_s=0.5)
    expected = by_hand(planted, ("shift", "hold"), "latent", 0.5)
    np.testing.assert_allclose(found.means, expected["means"], atol=1e-6)
    assert found.counts[0].tolist() == expected["counts"].tolist()
    assert found.events == (len(planted.events("shift")), len(planted.events("hold")))


def test_the_effect_is_cohens_d_within_speakers(planted: Collection) -> None:
    found = average(planted, "gap-pause", "latent_speaker", before_s=0.3, after_s=0.3)
    expected = by_hand(planted, ("gap", "pause"), "latent_speaker", 0.3)
    first, second = expected["means"]
    np.testing.assert_allclose(found.effect, (first - second) / expected["inside"], atol=1e-5)


def test_the_course_is_the_root_mean_square_difference_in_deviations(planted: Collection) -> None:
    found = average(planted, "shift-hold", "latent", before_s=0.3, after_s=0.3)
    expected = by_hand(planted, ("shift", "hold"), "latent", 0.3)
    apart = (expected["means"][0] - expected["means"][1]) / expected["around"]
    np.testing.assert_allclose(found.course, np.sqrt((apart**2).mean(axis=(1, 2))), atol=1e-5)


def test_who_speaks_is_no_difference_between_shifts_and_holds(tmp_path: Path) -> None:
    """Every state is the voice of its speaker, and speaker 1's silences are mostly shifts."""
    collection = planted_silences(tmp_path / "voices", dialogues=6, silences=30, onset_s=None)
    whole, events = collection.frames, collection.events("shift", "hold")
    rng = np.random.default_rng(1)
    kinds = ["shift" if rng.random() < (0.8 if e.speaker else 0.2) else "hold" for e in events]

    def voices(number: int, columns: list[str]) -> dict[str, np.ndarray]:
        found = whole(number, columns)
        found["latent"] = found["latent"] + np.array([0, 3])[None, :, None]
        return found

    named = [replace(e, kind=kind) for e, kind in zip(events, kinds, strict=True)]
    collection.frames = voices  # type: ignore[method-assign]
    collection.events = lambda *_: named  # type: ignore[method-assign]
    found = average(collection, before_s=0.3, after_s=0.3)
    windows, _ = collection.windows(named, "latent", 0.3, 0.3)
    shift = np.array([kind == "shift" for kind in kinds])
    assert np.abs(windows[shift].mean(axis=0) - windows[~shift].mean(axis=0)).min() > 1
    assert np.abs(found.effect).max() < 1
    assert found.apart_s is None
    assert found.beyond == 0


def test_speaker_and_listener_are_the_two_of_each_event(planted: Collection) -> None:
    found = average(planted, "speaker-listener", "latent", before_s=0.2, after_s=0.2)
    assert found.effect.shape == (20, 1, 5)
    events = planted.events("gap", "pause")
    windows, _ = planted.windows(events, "latent", 0.2, 0.2)
    number = np.array([event.number for event in events])
    speaker = np.array([event.speaker for event in events])
    means, weights = [], []
    for one in np.unique(number):
        for who in (0, 1):
            own = windows[(number == one) & (speaker == who), :, 0].astype(np.float64)
            other = windows[(number == one) & (speaker != who), :, 1].astype(np.float64)
            means.append([own.mean(axis=0), other.mean(axis=0)])
            weights.append(len(own) * len(other) / (len(own) + len(other)))
    np.testing.assert_allclose(
        found.means[:, :, 0], np.average(means, axis=0, weights=weights), atol=1e-6
    )


def test_the_planted_unit_is_found_from_its_onset_on(planted: Collection) -> None:
    found = average(planted, "shift-hold", "latent", before_s=1.0, after_s=1.0)
    assert found.apart_s is not None
    assert found.apart_s == pytest.approx((-0.4, 0.6))
    assert found.order()[0, 0] == 2
    assert found.beyond == 1
    assert "unit 2 of the speaker" in caption_of(found, "it")
    assert "from -0.40 s to +0.60 s" in caption_of(found, "it")


def test_noise_stays_within_the_band_of_random_orders(tmp_path: Path) -> None:
    found = average(
        planted_silences(tmp_path / "noise", onset_s=None, seed=1),
        "shift-hold",
        before_s=0.6,
        after_s=0.4,
    )
    assert found.apart_s is None
    assert found.beyond == 0
    words = (
        "not at time 0, in" if (found.course > found.chance[:, 1]).any() else "speaker: at no time"
    )
    assert words in caption_of(found, "it")


def test_a_difference_that_has_gone_when_the_silence_begins_is_called_passing(
    planted: Collection,
) -> None:
    found = average(planted, before_s=0.8, after_s=0.2, orders=19)
    passing = replace(found, course=np.where(np.abs(found.times_s + 0.5) < 0.05, 9.0, 0.0))
    assert passing.apart_s is None
    assert "not at time 0, in 5 of 50 frames, -0.54 s to -0.46 s" in caption_of(passing, "it")
    assert "speaker: at no time" in caption_of(replace(found, course=np.zeros(50)), "it")


def test_about_one_noise_in_twenty_leaves_the_band_at_any_time() -> None:
    rng, left = np.random.default_rng(0), 0
    for _ in range(100):
        states, labels = rng.normal(size=(40, 20 * 6)), np.arange(40) % 2 == 0
        orders = np.stack([labels, *(rng.permutation(labels) for _ in range(99))]).astype(float)
        courses = np.sqrt(
            (((orders @ states - (1 - orders) @ states) / 20).reshape(100, 20, 6) ** 2).mean(axis=2)
        )
        left += bool((courses[0] > _band(courses, np.ones(20, bool))[:, 1]).any())
    assert 1 <= left <= 11


def test_what_comes_after_the_end_of_a_silence_counts_only_if_asked_for(
    planted: Collection,
) -> None:
    within = average(planted, after_s=0.8, orders=9)
    beyond = average(planted, after_s=0.8, beyond=True, orders=9)
    late = within.times_s > 0.61  # silences last 0.6 s
    assert within.counts[late].max() == 0
    assert np.isnan(within.means[:, late]).all()
    assert np.isnan(within.course[late]).all()
    assert beyond.counts[late].min() > LEAST
    assert "ewer than 5 of a class last: from +0.62 s on" in caption_of(within, "it")
    assert "ewer than" not in caption_of(beyond, "it")


def test_a_unit_that_never_varies_has_no_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = planted_silences(tmp_path / "still")
    whole = collection.frames

    def still(number: int, columns: list[str]) -> dict[str, np.ndarray]:
        found = whole(number, columns)
        found["latent"] = found["latent"].copy()
        found["latent"][..., 4] = 0.3
        return found

    monkeypatch.setattr(collection, "frames", still)
    found = average(collection, before_s=0.2, after_s=0.2, orders=9)
    assert (found.effect[..., 4] == 0).all()
    assert np.isfinite(found.course).all()


def test_the_command_writes_picture_arrays_and_table(
    planted: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    averages.add_arguments(parser)
    out = {name: tmp_path / f"a.{name}" for name in ("png", "npz", "csv")}
    args = [
        str(planted.folder),
        "--before",
        "0.4",
        "--after",
        "0.2",
        "--out",
        str(out["png"]),
        "--npz",
        str(out["npz"]),
        "--csv",
        str(out["csv"]),
    ]
    assert averages.main(parser.parse_args(args)) == 0
    assert "40 shift and 40 hold of 5 dialogues" in capsys.readouterr().out
    assert out["png"].stat().st_size > 10_000
    found = average(planted, before_s=0.4, after_s=0.2)
    with np.load(out["npz"]) as arrays:
        np.testing.assert_array_equal(arrays["effect"], found.effect)
        np.testing.assert_array_equal(arrays["order"], found.order())
        assert arrays["classes"].tolist() == ["shift", "hold"]
    with out["csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 5 * 30
    row = next(
        row
        for row in rows
        if row["whose"] == "other" and row["unit"] == "3" and row["time_s"] == "0.1"
    )
    k = int(np.abs(found.times_s - 0.1).argmin())
    assert float(row["effect"]) == pytest.approx(found.effect[k, 1, 3], rel=1e-3)
    assert float(row["hold_mean"]) == pytest.approx(found.means[1, k, 1, 3], rel=1e-3)


def test_the_gallerys_function_gives_a_view_of_one_speaker_each_as_well(
    planted: Collection, tmp_path: Path
) -> None:
    view = average_pictures(
        planted,
        tmp_path / "s.png",
        "speaker-listener",
        "latent_speaker",
        before_s=0.2,
        after_s=0.2,
        orders=9,
    )
    assert view.path.is_file()
    assert "80 speaker and 80 listener" in view.caption


def test_backchannels_are_a_contrast_of_their_own(
    planted: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def cases(collection: Collection, events: list[Event], most: int) -> Cases:
        asked.append(most)
        found = event_cases(collection.events("shift", "hold"), CONTRASTS["shift-hold"])
        return replace(found, end_s=found.start_s)

    monkeypatch.setattr(mean_encodings, "backchannel_cases", cases)
    found = average(planted, "backchannel", before_s=0.6, after_s=0.2, orders=9)
    assert asked == [mean_encodings.MOST]
    assert np.isnan(found.course[found.times_s > 0.01]).all()  # it would be the backchannel itself
    view = draw_averages(found, "it", tmp_path / "b.png")
    assert "before backchannels and where there is none" in view.caption
    assert "40 backchannel and 40 none" in view.caption


def test_of_one_kind_of_event_the_kind_is_said(planted: Collection, tmp_path: Path) -> None:
    view = average_pictures(
        planted, tmp_path / "s.png", "shift-correct", before_s=0.2, after_s=0.2, orders=9
    )
    assert view.title == "Average encodings: shifts: correct against wrong, the last RNN"
    shifts = planted.events("shift")
    right = sum(bool(event.correct) for event in shifts)
    assert f"silences: shifts, {right} correct and {len(shifts) - right} wrong of" in view.caption


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"contrast": "speaking"}, "expected a contrast of shift-hold"),
        ({"layer": "p_next"}, "a layer of this collection's, latent_speaker, latent, got"),
        ({"before_s": 0.0, "after_s": 0.0}, "expected some time"),
        ({"before_s": -1.0}, "expected some time"),
        (
            {"contrast": "question-statement"},
            "got 0 question and 0 statement: the words before the silences are not known",
        ),
    ],
)
def test_bad_input_is_one_clear_error(
    planted: Collection, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        average(planted, **settings)  # type: ignore[arg-type]


def test_few_events_are_called_few(tmp_path: Path) -> None:
    few = planted_silences(tmp_path / "few", dialogues=2, silences=10)
    assert (
        "ough: 10 of a class only"
        in draw_averages(average(few, orders=19), "it", tmp_path / "few.png").caption
    )
