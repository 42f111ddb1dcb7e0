"""Paths through the plane: windows, last points, groups and mistakes; the page and the pictures."""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from turnstream.models.evaluation.predictions import last_frame_at
from turnstream.models.latents.collection import Collection, Event
from turnstream.models.latents.paths import paths as view
from turnstream.models.latents.paths.page import explorer
from turnstream.models.latents.paths.path_states import (
    Paths,
    gather_paths,
    mean_path,
    nearest_paths,
    predicted_class,
    signed_log,
    stretch_of,
    true_class,
    variance_between,
)
from turnstream.models.latents.paths.path_words import caption_of, mistakes_in_words
from turnstream.models.latents.paths.paths_picture import (
    _spread,
    conversation_picture,
    paths_picture,
)
from turnstream.models.latents.space.fitting import fit_projection, place
from turnstream.models.latents.space.trust import trust_in_words
from turnstream.stream.errors import ConfigError
from turnstream.stream.saved_embedding import SavedEmbedding

from .test_page import set_to, shown_page

Gathered = Callable[..., Paths]
EVENT = Event(0, "a", "train", "shift", 0, 1, 5.0, 6.0, "", 0.8, True)


@pytest.fixture(scope="module")
def flat(tiny_collection: Collection) -> SavedEmbedding:
    return fit_projection(tiny_collection, "pca", points=300, refits=1)


@pytest.fixture(scope="module")
def deep(tiny_collection: Collection) -> SavedEmbedding:
    return fit_projection(tiny_collection, "pca", dims=3, points=300, refits=1)


@pytest.fixture(scope="module")
def gathered(tiny_collection: Collection, flat: SavedEmbedding) -> Gathered:
    return partial(gather_paths, tiny_collection, [flat])


@pytest.fixture(scope="module")
def paths(gathered: Gathered) -> Paths:
    return gathered()


@pytest.fixture(scope="module")
def page(
    tiny_collection: Collection,
    flat: SavedEmbedding,
    deep: SavedEmbedding,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("paths") / "paths.html"
    return explorer(tiny_collection, [flat, deep], out, opens="paths", sound_minutes=0.4).path


def run(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    view.add_arguments(parser)
    return view.main(parser.parse_args([str(word) for word in words]))


# ---- states ----


def test_the_scale_is_odd_and_opens_up_what_lies_near_zero() -> None:
    values = np.array([-20.0, -1.0, -0.01, 0.0, 0.01, 1.0, 20.0])
    expected = [-np.log(21), -np.log(2), -np.log(1.01), 0, np.log(1.01), np.log(2), np.log(21)]
    np.testing.assert_allclose(signed_log(values), expected)


def test_paths_are_the_collections_windows_placed(
    tiny_collection: Collection, flat: SavedEmbedding, gathered: Gathered
) -> None:
    paths = gathered(before_s=0.6, after_s=0.4)
    states, times = tiny_collection.windows(paths.events, "latent", 0.6, 0.4)
    places = paths.placed[0].places
    np.testing.assert_allclose(places, place(flat, states), atol=1e-5)
    np.testing.assert_allclose(paths.placed[0].times_s, times)
    assert not any(paths.counts.values())
    assert not np.allclose(places[:, :, 0], places[:, :, 1])  # speaker and listener


def test_the_last_point_is_the_state_in_which_the_decision_is_read(
    tiny_collection: Collection, flat: SavedEmbedding, paths: Paths
) -> None:
    points = paths.placed[0].last_points()
    for index, event in enumerate(paths.events):
        columns = tiny_collection.frames(event.number, ["latent", "p_next"])
        frame = last_frame_at(round(event.start_s * 50), 0.25, len(columns["latent"]))
        state = columns["latent"][frame, event.speaker]
        np.testing.assert_allclose(points[index], place(flat, state[None])[0], atol=1e-5)
        np.testing.assert_array_equal(paths.last_states[index], state)
        assert columns["p_next"][frame, 1 - event.speaker] == pytest.approx(event.p_shift)


def test_an_event_that_is_over_before_the_decision_is_read_at_its_end(
    gathered: Gathered, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(paths.events[0], end_s=paths.events[0].start_s + 0.1)
    monkeypatch.setattr(Collection, "events", lambda *_: [short])
    placed = gathered().placed[0]
    assert placed.times_s[placed.last[0]] == pytest.approx(0.1)


def test_the_edge_of_a_dialogue_shortens_a_path_and_pads_nothing(gathered: Gathered) -> None:
    paths = gathered(before_s=6.0)
    starts = np.array([event.start_s for event in paths.events])
    assert paths.counts["cut short by the edges of a dialogue"] == (starts < 6).sum() > 0
    before = paths.placed[0].times_s < 0.01 - starts[:, None]
    np.testing.assert_array_equal(np.isnan(paths.placed[0].places[:, :, 0, 0]), before)


def test_paths_without_a_formula_have_fewer_frames_and_still_both_the_start_and_the_decision(
    tiny_collection: Collection, flat: SavedEmbedding
) -> None:
    without = fit_projection(tiny_collection, "tsne", points=60, refits=0)
    paths = gather_paths(tiny_collection, [flat, without], most=2, before_s=0.1, after_s=0.3)
    fine, coarse = paths.placed
    assert len(coarse.times_s) < len(fine.times_s) / 2
    assert np.isclose(coarse.times_s, 0).any()
    np.testing.assert_allclose(coarse.times_s[coarse.last], fine.times_s[fine.last])


def test_classes_are_what_came_true_and_what_was_predicted() -> None:
    kinds = ("shift", "gap", "hold", "pause", "overlap")
    true = [true_class(replace(EVENT, kind=kind)) for kind in kinds]
    assert true == ["shift", "shift", "hold", "hold", ""]
    predicted = [predicted_class(replace(EVENT, p_shift=p)) for p in (0.5, 0.49, None)]
    assert predicted == ["shift", "hold", ""]


def test_predicted_and_true_class_differ_exactly_in_mistakes(paths: Paths) -> None:
    assert paths.events
    for event in paths.events:
        assert (true_class(event) != predicted_class(event)) == (event.correct is False)


def test_a_silence_that_is_both_a_gap_and_a_shift_is_one_path(gathered: Gathered) -> None:
    events = gathered(["shift", "hold", "gap", "pause"]).events
    starts = [(event.number, event.start_s) for event in events]
    assert len(starts) == len(set(starts))
    assert {event.kind for event in events} >= {"shift", "hold"}


def test_the_nearest_path_of_the_other_class_is_found_among_full_states(
    tiny_collection: Collection, paths: Paths
) -> None:
    states, times = tiny_collection.windows(paths.events, "latent", 1.0, 0.5)
    until = states[:, times <= 0.24 + 1e-6, 0]
    classes, found = np.array([event.kind for event in paths.events]), nearest_paths(paths)
    for index in range(len(classes)):
        apart = np.sqrt(((until - until[index]) ** 2).sum(axis=2).mean(axis=1))
        apart[classes == classes[index]] = np.inf
        assert found["nearest"][index] == apart.argmin()
        assert found["distance"][index] == pytest.approx(apart.min(), rel=1e-4)


def test_variance_between_groups_is_of_what_varies_within_a_speaker() -> None:
    groups, one = np.array(["a", "a", "b", "b"]), np.zeros(4, int)
    apart, alike = np.array([[0.0, 1], [0, 1], [2, 3], [2, 3]]), np.array([[0.0], [2], [0], [2]])
    assert variance_between(apart, groups, one) == pytest.approx((1, 1 / 3))
    assert variance_between(alike, groups, one)[0] == pytest.approx(0)
    assert np.isnan(variance_between(np.zeros((4, 2)), groups, one)[0])
    # The groups lie apart only because one speaker has most of the first, the other of the rest.
    rng = np.random.default_rng(0)
    speaker = rng.integers(0, 2, 600)
    named = np.where(rng.random(600) < 0.2 + 0.6 * speaker, "a", "b")
    voices = 5 * speaker[:, None] + rng.normal(size=(600, 2))
    share, chance = variance_between(voices, named, speaker)
    assert chance == pytest.approx(1 / 598)
    assert share < 0.01


def test_a_mean_path_leaves_out_times_that_most_paths_lack() -> None:
    places = np.array([[[np.nan], [1.0]], [[np.nan], [3.0]], [[8.0], [5.0]]], np.float32)
    np.testing.assert_array_equal(mean_path(places), [[np.nan], [3.0]])


def test_the_ellipse_of_a_group_has_its_standard_deviations() -> None:
    points = np.random.default_rng(0).normal(size=(400, 2)) * (3, 1)
    [outline] = _spread(points)
    np.testing.assert_allclose(np.ptp(outline, axis=0) / 2, points.std(axis=0, ddof=1), rtol=0.01)


# ---- words ----


def test_mistakes_are_counted_in_each_split_apart() -> None:
    wrong = replace(EVENT, correct=False, p_shift=0.2)
    other = replace(wrong, split="val")
    events = [EVENT, wrong, other, replace(other, kind="hold", p_shift=0.9)]
    said = "3 of 4, 2 shifts taken for holds, 1 hold for shifts, train 1 of 2, val 2 of 2"
    assert mistakes_in_words(events) == said
    assert "none" in mistakes_in_words([replace(EVENT, p_shift=None, correct=None)])


def test_the_caption_says_how_few_there_are(
    tiny_collection: Collection, gathered: Gathered
) -> None:
    said = caption_of(tiny_collection, gathered(most=1), 0)
    assert "1 path in 1 dialogue" in said
    assert "so there is nothing to tell apart" in said
    assert f"drawn at random from: {len(gathered().events)}" in said
    assert "nan" not in said


# ---- what cannot be drawn ----


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"kinds": ["yawn"]}, "kinds of events among"),
        ({"before_s": 0.0}, "at least a frame"),
        ({"after_s": 0.1}, "when the decision is read"),
        ({"most": 0}, "at least one path"),
        ({"before_s": 1e6}, "ask for fewer or shorter"),
        ({"before_s": float("nan")}, "at least a frame"),
        ({"after_s": float("inf")}, "got inf: ask for fewer or shorter"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    gathered: Gathered, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        gathered(**asked)


def test_without_events_there_is_one_clear_error(
    gathered: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Collection, "events", lambda *_: [])
    with pytest.raises(ConfigError, match="expected at least one event among shift, hold"):
        gathered()


def test_a_part_of_a_conversation_must_lie_in_it(tiny_collection: Collection) -> None:
    assert stretch_of(tiny_collection, 0, (1.0, 3.0)) == (50, 150)
    with pytest.raises(ConfigError, match="expected a part of"):
        stretch_of(tiny_collection, 0, (30.0, 40.0))


# ---- pictures, and the command ----


@pytest.mark.parametrize("dims", [2, 3])
def test_pictures_have_a_row_for_every_split(
    tiny_collection: Collection,
    flat: SavedEmbedding,
    deep: SavedEmbedding,
    tmp_path: Path,
    dims: int,
) -> None:
    import matplotlib.image

    projection = {2: flat, 3: deep}[dims]
    events = paths_picture(tiny_collection, projection, tmp_path / "paths.png")
    height, width, _ = matplotlib.image.imread(events.path).shape
    assert 0.5 < height / width < 0.8  # train and val, four panels each
    part = tmp_path / "whole.png", "1", (2.0, 8.0)
    whole = conversation_picture(tiny_collection, projection, *part)
    assert whole.path.is_file()
    assert "2.02 to 8.00 s" in whole.caption
    assert trust_in_words(projection) in whole.caption


def test_the_command_draws_a_part_of_one_dialogue(
    tiny_collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tiny_collection.folder, "--out", tmp_path / "part.png"
    assert run(*given, "--dialogue", "1", "--end", "8") == 0
    assert "1, 0.02 to 8.00 s" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="expected --dialogue with --start or --end, got none"):
        run(*given, "--start", "2")


def test_the_command_refuses_projections_that_do_not_fit_what_is_asked_for(
    tiny_collection: Collection, flat: SavedEmbedding, tmp_path: Path
) -> None:
    flat.save(tmp_path / "flat.json")
    given = ["--embedding", tmp_path / "flat.json"]
    source = tiny_collection.folder, "--out"
    with pytest.raises(ConfigError, match="in 2 and in 3 dimensions"):
        run(*source, tmp_path / "x.html", *given, *given)
    with pytest.raises(ConfigError, match="expected a projection in 3 dimensions"):
        run(*source, tmp_path / "x.png", "--dims", "3", *given)


# ---- the page ----


def unpacked(packed: dict[str, Any]) -> np.ndarray[Any, Any]:
    kind = {"f4": "<f4", "i4": "<i4", "u1": "u1"}[packed["$array"]]
    return np.frombuffer(base64.b64decode(packed["base64"]), kind).reshape(packed["shape"])


def test_a_page_holds_places_as_they_are_and_the_sound_of_its_windows(
    page: Path, paths: Paths
) -> None:
    text = page.read_text(encoding="utf-8")
    _, _, embedded = text.partition('<script type="application/json" id="contents">')
    contents = json.loads(embedded.partition("</script>")[0])
    shown = unpacked(contents["paths"]["events"]).tolist()
    starts = [contents["events"][index]["start_s"] for index in shown]
    assert starts == [event.start_s for event in paths.events]
    flat_places = contents["projections"][0]["paths"]["places"]
    assert flat_places["shape"] == [len(paths.events), 75, 2, 2]
    np.testing.assert_allclose(unpacked(flat_places), paths.placed[0].places, atol=1e-5)
    assert contents["projections"][1]["dims"] == 3
    # The first dialogue can be heard whole, the others' windows as clips.
    offsets = unpacked(contents["clips"]["offsets"])[shown]
    first = np.array([event.number == 0 for event in paths.events])
    whole = first & np.array([event.start_s + 0.5 <= 20 for event in paths.events])
    assert np.isnan(offsets[whole]).all()
    assert not np.isnan(offsets[~first & [event.start_s > 4 for event in paths.events]]).any()
    assert contents["clips"]["sound"].startswith("data:audio/ogg")
    assert contents["clips"]["silent"] == ""
    assert "http-equiv" not in text
    assert 'src="http' not in text


async def test_the_page_changes_scale_dimensions_groups_and_pairs_without_complaint(
    page: Path, browser: str
) -> None:
    async with shown_page(browser, page) as tab:
        assert await tab.value("pathsView.state.group") == "true class"
        linear = await tab.value("page.plane.limits[0]")
        for control, value in (
            ("#scale", "true"),
            ("#group", "true and predicted class"),
            ("#split", "apart"),
            ("#view-choice", "last"),
            ("#view-choice", "mistakes"),
        ):
            await set_to(tab, control, value)
        assert await tab.value("page.plane.limits[0]") != linear
        assert await tab.value("page.plane.panels.map((p) => p.title)") == ["train", "val"]
        counts = await tab.text("#words")
        assert "train: " in counts
        assert "shift taken for hold" in counts
        await set_to(tab, "#split", "all")
        await set_to(tab, "#path-event", "0")
        assert await tab.value("now.moment.event === contents.paths.events[0]")
        await tab.click("#nearest")
        nearest = "contents.paths.events[shown().paths.nearest[0]]"
        assert await tab.value(f"[...selection.keys].at(-1) === `e${{{nearest}}}:0`")
        assert (await tab.text("#chosen")).count("distance to the other class") == 2
        wrong = "[...contents.paths.events].filter((i) => events[i].correct === false)"
        await tab.click("#mistakes")
        assert await tab.value(f"selection.keys.size === {wrong}.length")
        await set_to(tab, "#view-choice", "conversation")
        assert "channel 0" in await tab.text("#legend")
        await set_to(tab, "#projection", "1")
        assert await tab.value("page.plane.look.dims") == 3
        assert "the picture 3" in await tab.text("#plane-words")


async def test_the_page_measures_variance_between_groups_within_a_speaker(
    page: Path, paths: Paths, browser: str
) -> None:
    points = paths.placed[0].last_points()
    share, chance = variance_between(points, paths.classes, paths.strata)
    async with shown_page(browser, page) as tab:
        said = await tab.text("#words")
    assert f"{100 * share:.0f} % of the variance of the last points within dialogue" in said
    assert f"by chance it would be about {max(1, round(100 * chance))} %" in said
