"""Averages against brute force, effects against the formula, chance against noise."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.latents.collection import Collection, Event
from turnstream.models.latents.events import mean_encodings
from turnstream.models.latents.events.averages import average_pictures, caption_of, draw_averages
from turnstream.models.latents.events.contrasts import CONTRASTS, Cases, event_cases
from turnstream.models.latents.events.mean_encodings import LEAST, _band, average
from turnstream.stream.errors import ConfigError

from ..planted_silences import planted_silences


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return planted_silences(tmp_path_factory.mktemp("planted"))


def made_voices(folder: Path) -> Collection:
    """States are noise and the voice of their speaker; speaker 1's silences are mostly shifts."""
    collection = planted_silences(folder, dialogues=8, silences=24, onset_s=None)
    whole, rng, named = collection.frames, np.random.default_rng(5), list[Event]()
    for event in collection.events("shift", "hold"):
        shifts = rng.random() < (0.8 if event.speaker else 0.2)
        named.append(replace(event, kind="shift" if shifts else "hold"))

    def frames(number: int, columns: list[str]) -> dict[str, np.ndarray]:
        found = whole(number, columns)
        if "latent" in found:
            found["latent"] = found["latent"] + np.array([0, 3], np.float32)[None, :, None]
        return found

    collection.frames = frames  # type: ignore[method-assign]
    collection.events = lambda *kinds: [  # type: ignore[method-assign]
        event for event in named if not kinds or event.kind in kinds
    ]
    return collection


def by_hand(collection: Collection, kinds: tuple[str, str], layer: str) -> dict[str, Any]:
    """Weighted means of both classes and deviations, speaker by speaker of each dialogue."""
    events = collection.events(*kinds)
    windows = collection.windows(events, layer, 0.3, 0.3)[0].astype(np.float64)
    first = np.array([event.kind == kinds[0] for event in events])
    who = np.array([2 * event.number + event.speaker for event in events])
    weights, means, inside, around, counts = [], [], [], [], []
    for one in np.unique(who):
        a, b = windows[(who == one) & first], windows[(who == one) & ~first]
        if len(a) and len(b):
            both = np.concatenate([a, b])
            weights.append(len(a) * len(b) / len(both))
            means.append([a.mean(axis=0), b.mean(axis=0)])
            inside.append(len(a) * a.var(axis=0) + len(b) * b.var(axis=0))
            around.append(len(both) * both.var(axis=0))
            counts.append([len(a), len(b)])
    free = np.sum(counts)
    return {
        "means": np.average(means, axis=0, weights=weights),
        "inside": np.sqrt(sum(inside) / (free - 2 * len(counts))),
        "around": np.sqrt(sum(around) / (free - len(counts))),
        "counts": np.sum(counts, axis=0),
    }


@pytest.mark.parametrize(
    ("kinds", "layer"), [(("shift", "hold"), "latent"), (("gap", "pause"), "latent_speaker")]
)
def test_means_effect_and_course_are_those_of_brute_force(
    planted: Collection, kinds: tuple[str, str], layer: str
) -> None:
    """The effect is Cohen's d within speakers, the course the root mean square in deviations."""
    found = average(planted, "-".join(kinds), layer, before_s=0.3, after_s=0.3)
    expected = by_hand(planted, kinds, layer)
    apart = expected["means"][0] - expected["means"][1]
    course = np.sqrt(((apart / expected["around"]) ** 2).mean(axis=(1, 2)))
    np.testing.assert_allclose(found.means, expected["means"], atol=1e-6)
    np.testing.assert_allclose(found.effect, apart / expected["inside"], atol=1e-5)
    np.testing.assert_allclose(found.course, course, atol=1e-5)
    assert found.counts[0].tolist() == expected["counts"].tolist()
    assert found.events == tuple(len(planted.events(kind)) for kind in kinds)


def test_who_speaks_is_no_difference_between_shifts_and_holds(tmp_path: Path) -> None:
    collection = made_voices(tmp_path / "voices")
    found = average(collection, before_s=0.3, after_s=0.3)
    events = collection.events("shift", "hold")
    windows, _ = collection.windows(events, "latent", 0.3, 0.3)
    shift = np.array([event.kind == "shift" for event in events])
    assert np.abs(windows[shift].mean(axis=0) - windows[~shift].mean(axis=0)).min() > 1
    assert np.abs(found.effect).max() < 1
    assert (found.apart_s, found.beyond) == (None, 0)


def test_speaker_and_listener_are_the_two_of_each_event(planted: Collection) -> None:
    found = average(planted, "speaker-listener", "latent", before_s=0.2, after_s=0.2)
    assert found.effect.shape == (20, 1, 5)
    events = planted.events("gap", "pause")
    windows, _ = planted.windows(events, "latent", 0.2, 0.2)
    number = np.array([event.number for event in events])
    speaker = np.array([event.speaker for event in events])
    means, weights = [], []
    for one, who in np.ndindex(len(planted.dialogues), 2):
        own = windows[(number == one) & (speaker == who), :, 0].astype(np.float64)
        other = windows[(number == one) & (speaker != who), :, 1].astype(np.float64)
        means.append([own.mean(axis=0), other.mean(axis=0)])
        weights.append(len(own) * len(other) / (len(own) + len(other)))
    expected = np.average(means, axis=0, weights=weights)
    np.testing.assert_allclose(found.means[:, :, 0], expected, atol=1e-6)


def test_the_planted_unit_is_found_from_its_onset_on(planted: Collection) -> None:
    found = average(planted, "shift-hold", "latent", before_s=1.0, after_s=1.0)
    assert found.apart_s == pytest.approx((-0.4, 0.6))
    assert (found.order()[0, 0], found.beyond) == (2, 1)
    assert "unit 2 of the speaker" in caption_of(found, "it")
    assert "from -0.40 s to +0.60 s" in caption_of(found, "it")
    gone = np.where(np.abs(found.times_s + 0.5) < 0.05, 9.0, 0 * found.course)
    passing = replace(found, course=gone)
    assert "not at time 0, in 5 of 80 frames, -0.54 s to -0.46 s" in caption_of(passing, "it")


def test_noise_stays_within_the_band_of_random_orders(tmp_path: Path) -> None:
    noise = planted_silences(tmp_path / "noise", onset_s=None, seed=1)
    found = average(noise, before_s=0.6, after_s=0.4)
    assert (found.apart_s, found.beyond) == (None, 0)
    above = (found.course > found.chance[:, 1]).any()
    assert ("not at time 0, in" if above else "speaker: at no time") in caption_of(found, "it")


def test_about_one_noise_in_twenty_leaves_the_band_at_any_time() -> None:
    rng, left = np.random.default_rng(0), 0
    for _ in range(100):
        states, labels = rng.normal(size=(40, 20 * 6)), np.arange(40) % 2 == 0
        orders = np.stack([labels, *(rng.permutation(labels) for _ in range(99))]).astype(float)
        apart = (orders @ states - (1 - orders) @ states) / 20
        courses = np.sqrt((apart.reshape(100, 20, 6) ** 2).mean(axis=2))
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
    assert not within.known[late].any()
    assert beyond.counts[late].min() > LEAST
    assert "ewer than 5 of a class last: from +0.62 s on" in caption_of(within, "it")
    assert "ewer than" not in caption_of(beyond, "it")


def test_a_unit_that_never_varies_has_no_effect(tmp_path: Path) -> None:
    collection = planted_silences(tmp_path / "still")
    whole = collection.frames

    def still(number: int, columns: list[str]) -> dict[str, np.ndarray]:
        found = whole(number, columns)
        return found | {"latent": np.where(np.arange(5) == 4, np.float32(0.3), found["latent"])}

    collection.frames = still  # type: ignore[method-assign]
    found = average(collection, before_s=0.2, after_s=0.2, orders=9)
    assert (found.effect[..., 4] == 0).all()
    assert found.known.all()


def test_the_command_writes_picture_arrays_and_table(
    planted: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = {name: tmp_path / f"a.{name}" for name in ("png", "npz", "csv")}
    files = ["--out", str(out["png"]), "--npz", str(out["npz"]), "--csv", str(out["csv"])]
    around = ["--before", "0.4", "--after", "0.2"]
    assert main(["latents", "averages", str(planted.folder), *around, *files]) == 0
    assert "40 shift and 40 hold of 5 dialogues" in capsys.readouterr().out
    assert out["png"].stat().st_size > 10_000
    found = average(planted, before_s=0.4, after_s=0.2)
    with np.load(out["npz"]) as arrays:
        np.testing.assert_array_equal(arrays["effect"], found.effect)
        np.testing.assert_array_equal(arrays["order"], found.order())
        assert arrays["classes"].tolist() == ["shift", "hold"]
    with out["csv"].open() as file:
        rows = {(r["whose"], r["unit"], r["time_s"]): r for r in csv.DictReader(file)}
    assert len(rows) == 2 * 5 * 30
    row, k = rows["other", "3", "0.1"], int(np.abs(found.times_s - 0.1).argmin())
    assert float(row["effect"]) == pytest.approx(found.effect[k, 1, 3], rel=1e-3)
    assert float(row["hold_mean"]) == pytest.approx(found.means[1, k, 1, 3], rel=1e-3)


def test_of_one_kind_of_event_the_kind_is_said(planted: Collection, tmp_path: Path) -> None:
    around = {"before_s": 0.2, "after_s": 0.2, "orders": 9}
    view = average_pictures(planted, tmp_path / "a.png", "shift-correct", **around)
    assert view.title == "Average encodings: shifts: correct against wrong, the last RNN"
    right = [bool(event.correct) for event in planted.events("shift")]
    assert f"shifts, {sum(right)} correct and {len(right) - sum(right)} wrong of" in view.caption


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
    assert not found.known[found.times_s > 0.01].any()  # it would be the backchannel itself
    view = draw_averages(found, "it", tmp_path / "b.png")
    assert "when the backchannel begins: 40 backchannel and 40 none" in view.caption


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"contrast": "speaking"}, "expected a contrast of shift-hold"),
        ({"layer": "p_next"}, "a layer of this collection's, latent_speaker, latent, got"),
        ({"before_s": 0.0, "after_s": 0.0}, "expected some time"),
        ({"before_s": -1.0}, "expected some time"),
        ({"contrast": "question-statement"}, "got 0 question and 0 statement: the words before"),
    ],
)
def test_bad_input_is_one_clear_error(
    planted: Collection, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        average(planted, **settings)


def test_few_events_are_called_few(tmp_path: Path) -> None:
    few = planted_silences(tmp_path / "few", dialogues=2, silences=10)
    assert "ough: 10 of a class only" in caption_of(average(few, orders=19), "it")
