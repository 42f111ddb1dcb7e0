"""The page of points and paths: what it holds, what is said of it, and, in a browser, the way from
a point to its moment and back, and what can be selected.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from turnstream.models.latents.collection import Collection, write_events
from turnstream.models.latents.command import add_arguments as add_command
from turnstream.models.latents.command import main as command
from turnstream.models.latents.labels import join_labels
from turnstream.models.latents.moments import SITUATIONS, shift_probability
from turnstream.models.latents.paths.page import explorer, gather
from turnstream.models.latents.paths.points import SHOWN, START, WHEN_S, members, readings
from turnstream.models.latents.space.apart import how_far_apart, in_words
from turnstream.models.latents.space.fitting import fit_projection, place
from turnstream.stream.errors import ConfigError
from turnstream.stream.saved_embedding import SavedEmbedding

from ....web.chromium import Tab, open_tab_of

POINTS = 300


@pytest.fixture(scope="module")
def projections(tiny_collection: Collection) -> list[SavedEmbedding]:
    return [
        fit_projection(tiny_collection, "pca", layer=layer, dims=dims, refits=2)
        for layer, dims in (("latent", 2), ("latent_speaker", 3))
    ]


@pytest.fixture(scope="module")
def contents(tiny_collection: Collection, projections: list[SavedEmbedding]) -> dict[str, Any]:
    return gather(tiny_collection, projections, points=POINTS)


def changed_copy(collection: Collection, folder: Path, **dialogue: Any) -> Collection:
    """The same collection, its dialogues described otherwise."""
    shutil.copytree(collection.folder, folder)
    about = json.loads((folder / "collection.json").read_text())
    about["dialogues"] = [entry | dialogue for entry in about["dialogues"]]
    (folder / "collection.json").write_text(json.dumps(about))
    return Collection(folder)


# ---- contents ----


def test_points_are_frames_and_lie_where_their_states_are_placed(
    tiny_collection: Collection, projections: list[SavedEmbedding], contents: dict[str, Any]
) -> None:
    points = contents["points"]
    assert 0.7 * POINTS <= len(points["frame"]) <= POINTS
    for projection, shown in zip(projections, contents["projections"], strict=True):
        assert shown["points"].shape == (len(points["frame"]), projection.dims)
        for number in range(3):
            frames = tiny_collection.frames(
                number, [projection.layer, "situation", "p_next", "holder"]
            )
            here = points["number"] == number
            frame, speaker = points["frame"][here], points["speaker"][here]
            np.testing.assert_allclose(
                shown["points"][here],
                place(projection, frames[projection.layer][frame, speaker]),
                atol=1e-5,
            )
            assert [SITUATIONS[index] for index in points["situation"][here]] == frames[
                "situation"
            ][frame, speaker].tolist()
            np.testing.assert_array_equal(points["p_next"][here], frames["p_next"][frame, speaker])
            holder = frames["holder"][frame, 0]
            expected = np.where(
                holder < 0, np.nan, frames["p_next"][frame, 1 - np.maximum(holder, 0)]
            )
            np.testing.assert_array_equal(points["p_shift"][here], expected)


def test_classes_have_as_many_events_as_the_collection(
    tiny_collection: Collection, contents: dict[str, Any]
) -> None:
    events = tiny_collection.events()
    assert [event["start_s"] for event in contents["events"]] == [event.start_s for event in events]
    expected = {
        "shift against hold": ("shift", "hold", lambda e: e.kind),
        "gap against pause": ("gap", "pause", lambda e: e.kind),
        "shifts: correct against wrong": (
            True,
            False,
            lambda e: e.correct if e.kind == "shift" else None,
        ),
        "holds: correct against wrong": (
            True,
            False,
            lambda e: e.correct if e.kind == "hold" else None,
        ),
        "question against statement": (
            "question",
            "statement",
            lambda e: e.ending if e.kind in ("gap", "pause") else None,
        ),
    }
    for shown in contents["contrasts"]:
        if shown["by_role"]:
            assert len(shown["events"]) == sum(event.kind in ("gap", "pause") for event in events)
            continue
        one, other, of = expected[shown["name"]]
        assert shown["first"].sum() == sum(of(event) == one for event in events)
        assert (shown["first"] == 0).sum() == sum(of(event) == other for event in events)
    assert sum(event.kind == "shift" for event in events) >= 3
    assert (
        next(shown for shown in contents["contrasts"] if shown["name"].startswith("question"))[
            "first"
        ].sum()
        == 3
    )


def test_events_are_read_before_and_in_the_silence_and_not_after_it(
    tiny_collection: Collection, projections: list[SavedEmbedding], contents: dict[str, Any]
) -> None:
    projection, shown = projections[0], contents["projections"][0]
    states = [
        tiny_collection.frames(number, [projection.layer])[projection.layer] for number in range(3)
    ]
    compared = 0
    for index, event in enumerate(tiny_collection.events()):
        for when, seconds in enumerate(WHEN_S):
            frame = tiny_collection.frame_of(event.start_s) + tiny_collection.frame_of(seconds) - 1
            found = shown["events"][index, when]
            if seconds > event.end_s - event.start_s + 1e-9:
                assert np.isnan(found).all()
                assert contents["event_frames"][index, when] == -1
                continue
            assert contents["event_frames"][index, when] == frame
            both = states[event.number][frame, [event.speaker, 1 - event.speaker]]
            np.testing.assert_allclose(found, place(projection, both), atol=1e-5)
            compared += 1
    assert compared > 100


def test_a_reading_outside_of_the_dialogue_is_none(tiny_collection: Collection) -> None:
    event = replace(tiny_collection.events()[0], start_s=0.2, end_s=30.0)
    found = readings([event], 20, tiny_collection)[0]
    assert found.tolist() == [-1, -1, -1, -1, 4, 9, 14, 19, -1, -1, -1, -1]


def test_every_frame_of_what_is_embedded_has_its_place(
    tiny_collection: Collection, projections: list[SavedEmbedding], contents: dict[str, Any]
) -> None:
    states = tiny_collection.frames(1, ["latent"])["latent"]
    track = contents["projections"][0]["tracks"][1]
    assert track.shape == (1000, 2, 2)
    np.testing.assert_allclose(track[300], place(projections[0], states[300]), atol=1e-5)


def test_tracks_are_the_collections_columns(
    tiny_collection: Collection, contents: dict[str, Any]
) -> None:
    frames = tiny_collection.frames(2, ["vad", "p_next", "speaking", "situation", "holder"])
    dialogue = contents["dialogues"][2]
    np.testing.assert_allclose(dialogue["vad"] / 254, frames["vad"], atol=0.002)
    np.testing.assert_array_equal(dialogue["speaking"], frames["speaking"])
    assert [SITUATIONS[index] for index in dialogue["situation"][:, 1]] == frames["situation"][
        :, 1
    ].tolist()
    assert (dialogue["p_shift"] == 255).tolist() == np.isnan(shift_probability(frames)).tolist()
    assert dialogue["sound"].startswith("data:audio/ogg;base64,")
    assert dialogue["envelope"][:, 1][frames["speaking"][:, 1]].max() == 254
    assert (
        dialogue["envelope"][:370, 1].max() == 0
    )  # speaker 1 begins at 7.5 s; the noise is silent elsewhere


def test_points_are_as_stable_as_the_nearest_place_of_the_fit(
    projections: list[SavedEmbedding], contents: dict[str, Any]
) -> None:
    projection, shown = projections[0], contents["projections"][0]
    distances = np.linalg.norm(shown["points"][:, None] - projection.places[None], axis=-1)
    assert len(projection.stability)
    np.testing.assert_array_equal(
        shown["stability"], projection.stability[distances.argmin(axis=1)]
    )


def test_how_far_apart_is_measured_on_the_places_that_are_drawn(
    tiny_collection: Collection, contents: dict[str, Any]
) -> None:
    events, shown = tiny_collection.events(), contents["projections"][0]
    for index, contrast in enumerate(SHOWN):
        chosen, first = members(contrast, events)
        number = np.array([events[i].number for i in chosen])
        speaker = np.array([events[i].speaker for i in chosen])
        if contrast.of_speakers:
            places = shown["events"][chosen, START].reshape(
                -1, 2
            )  # speaker, listener, speaker, ...
            found = how_far_apart(
                places,
                np.arange(len(places)) % 2 == 0,
                np.repeat(number, 2),
                np.stack([speaker, 1 - speaker], axis=1).ravel(),
                np.repeat(chosen, 2),
            )
        else:
            found = how_far_apart(shown["events"][chosen, START, 1], first, number, speaker, chosen)
        role = 0 if contrast.of_speakers else 1
        figures = shown["apart"][index]["figures"][role, START]
        assert figures[:2].tolist() == [found.first, found.second]
        np.testing.assert_allclose(figures[2], found.line.value, atol=1e-6)
        if not contrast.of_speakers:  # else what is at the same distance comes in another order
            assert shown["apart"][index]["said"][role][START] == in_words(contrast.classes, found)


def test_no_more_is_embedded_than_was_asked_for(
    tiny_collection: Collection, projections: list[SavedEmbedding]
) -> None:
    few = gather(tiny_collection, projections[:1], points=40, sound_minutes=0.5)
    assert [dialogue["embedded"] for dialogue in few["dialogues"]] == [1000, 500, 0]
    assert [bool(dialogue["sound"]) for dialogue in few["dialogues"]] == [True, True, False]
    assert "--sound-minutes" in few["dialogues"][2]["silent"]
    assert [len(track) for track in few["projections"][0]["tracks"]] == [1000, 500, 0]
    assert len(few["points"]["frame"]) <= 40


def test_of_many_silences_only_so_many_are_drawn(
    tiny_collection: Collection, projections: list[SavedEmbedding]
) -> None:
    few = gather(tiny_collection, projections[:1], points=9, sound_minutes=0.0, most=1)
    silences = [
        (event["number"], event["start_s"])
        for event in few["events"]
        if event["kind"] in ("shift", "hold", "gap", "pause")
    ]
    assert len(set(silences)) == 9 == few["silences"]["drawn"] < few["silences"]["all"]
    every = [
        event
        for event in tiny_collection.events("shift", "hold", "gap", "pause")
        if (event.number, event.start_s) in silences
    ]
    assert len(silences) == len(every)  # a shift with its gap
    assert few["projections"][0]["events"].shape[0] == len(few["events"])


# ---- words ----


def test_the_caption_says_what_there_is(
    tiny_collection: Collection, projections: list[SavedEmbedding], tmp_path: Path
) -> None:
    view = explorer(tiny_collection, projections[:1], tmp_path / "explore.html", points=POINTS)
    assert "tiny" in view.caption
    assert "3 dialogues (1.0 minutes)" in view.caption
    assert "1.0 minutes can be heard" in view.caption
    assert "too few to say" in view.caption  # 3 questions
    page = view.path.read_text()
    assert not re.search(
        r'(src|href)="(?!data:)',
        page.split("<body>")[0]
        + page.rsplit('<script type="application/json"', 1)[0].split("<body>")[1],
    )


def test_without_text_questions_are_not_offered_and_it_is_said_why(
    tiny_collection: Collection, projections: list[SavedEmbedding], tmp_path: Path
) -> None:
    collection = changed_copy(tiny_collection, tmp_path / "copy")
    for number in range(3):
        rows = [
            vars(event) | {"ending": ""} for event in collection.events() if event.number == number
        ]
        write_events(
            collection.folder,
            number,
            [{k: v for k, v in row.items() if k != "number"} for row in rows],
        )
    view = explorer(collection, projections[:1], tmp_path / "explore.html", points=50)
    assert (
        "Question against statement is not offered: the words before the silences are not known."
        in view.caption
    )
    assert "question and statement" not in view.caption


def test_one_class_alone_is_said_to_be_alone(
    tiny_collection: Collection, projections: list[SavedEmbedding], tmp_path: Path
) -> None:
    collection = changed_copy(tiny_collection, tmp_path / "copy")
    for number in range(3):
        rows = [
            vars(event) for event in collection.events("shift", "gap") if event.number == number
        ]
        write_events(
            collection.folder,
            number,
            [{k: v for k, v in row.items() if k != "number"} for row in rows],
        )
    found = gather(collection, projections[:1], points=50, sound_minutes=0.0)
    assert found["projections"][0]["apart"][0]["said"][0][START].endswith("shift, no hold.")
    assert (
        found["contrasts"][4]["lacking"]
        == "Holds: correct against wrong is not offered: few holds were predicted, or few of them "
        "one way."
    )


def test_a_collection_without_audio_gives_a_page_that_cannot_be_heard(
    tiny_collection: Collection, projections: list[SavedEmbedding], tmp_path: Path
) -> None:
    why = "its audio was not collected, or is not there any more"
    imported = explorer(
        changed_copy(tiny_collection, tmp_path / "imported", audio=[]),
        projections[:1],
        tmp_path / "explore.html",
        points=50,
    )
    assert "0.0 minutes can be heard" in imported.caption
    assert imported.path.read_text().count(why) == 3
    gone = gather(
        changed_copy(tiny_collection, tmp_path / "gone", audio=["/nowhere/a.wav"]),
        projections[:1],
        points=50,
    )
    assert {(dialogue["sound"], dialogue["silent"]) for dialogue in gone["dialogues"]} == {
        ("", why)
    }
    assert gone["dialogues"][0]["embedded"] == 1000  # its curves can be followed


def test_nothing_to_draw_is_refused(
    tiny_collection: Collection, projections: list[SavedEmbedding], tmp_path: Path
) -> None:
    for chosen, points in ((projections, 0), ([], 10)):
        with pytest.raises(ConfigError, match="at least one projection and one point"):
            explorer(tiny_collection, chosen, tmp_path / "explore.html", points=points)


def test_the_command_writes_the_page_of_several_projections(
    tiny_collection: Collection,
    projections: list[SavedEmbedding],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    add_command(parser)
    given: list[str] = []
    for number, projection in enumerate(projections):
        projection.save(tmp_path / f"{number}.json")
        given += ["--embedding", str(tmp_path / f"{number}.json")]
    out = tmp_path / "page.html"
    assert (
        command(
            parser.parse_args(
                [
                    "explore",
                    str(tiny_collection.folder),
                    "--out",
                    str(out),
                    "--points",
                    "50",
                    *given,
                ]
            )
        )
        == 0
    )
    assert (
        "principal components of the last layer, 2-D; principal components of the first recurrent "
        "layer, 3-D" in capsys.readouterr().out
    )
    assert out.is_file()


# ---- in a browser ----


@asynccontextmanager
async def shown_page(
    browser: str, page: Path, ready: str = "page.plane.look"
) -> AsyncIterator[Tab]:
    """A page in a tab; it must not complain."""
    async with open_tab_of(browser) as tab:
        await tab.size(1280, 1200)
        await tab.go(page.as_uri())
        await tab.until(ready)
        yield tab
        assert tab.complaints == []


async def set_to(tab: Tab, selector: str, value: Any, event: str = "change") -> None:
    await tab.value(
        f"(() => {{ const e = document.querySelector('{selector}'); e.value = {json.dumps(value)};"
        f" e.dispatchEvent(new Event('{event}')); }})()"
    )


async def drag(tab: Tab, *places: Sequence[float]) -> None:
    """Press the button of the mouse at the first place, go to the others, and let it go."""
    pressed = {"button": "left", "buttons": 1, "clickCount": 1}
    (x, y), last = places[0], places[-1]
    await tab.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, **pressed)
    for x, y in places[1:]:
        await tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, **pressed)
    await tab.call(
        "Input.dispatchMouseEvent", type="mouseReleased", x=last[0], y=last[1], **pressed
    )


PIXEL = """(() => {{
  const box = document.querySelector('#marks');
  box.scrollIntoView({{block: 'center'}});
  const at = box.getBoundingClientRect(), [x, y] = page.plane.pixel({place});
  return [at.x + x, at.y + y];
}})()"""
LEGEND = "[...document.querySelectorAll('#legend .entry')].map((e) => e.innerText.trim())"


@pytest.fixture(scope="module")
def made(
    tiny_collection: Collection,
    projections: list[SavedEmbedding],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("page") / "explore.html"
    return explorer(tiny_collection, projections, out, points=POINTS).path


async def test_in_a_browser_a_point_leads_to_its_moment_and_a_moment_to_its_point(
    made: Path, contents: dict[str, Any], browser: str
) -> None:
    shown, points = contents["projections"][0], contents["points"]
    apart = np.linalg.norm(shown["points"][:, None] - shown["points"][None], axis=-1)
    inside = np.abs(shown["points"]) < np.percentile(np.abs(shown["points"]), 95, axis=0)
    lonely = np.where(inside.all(axis=1), (apart + np.diag([np.inf] * len(apart))).min(axis=1), 0)
    index = int(np.argmax(lonely))
    async with shown_page(browser, made) as tab:
        assert f"speaking ({(points['situation'] == 1).sum()})" in await tab.value(LEGEND)
        await drag(tab, await tab.value(PIXEL.format(place=shown["points"][index].tolist())))
        moment = {name: int(points[name][index]) for name in ("number", "frame", "speaker")}
        found = await tab.until(f"now.moment.frame === {moment['frame']} && now.moment")
        assert {name: found[name] for name in moment} == moment
        assert contents["dialogues"][moment["number"]]["id"] in await tab.text("#who")
        assert await tab.text("#play") == "Stop"  # it is heard
        await tab.click("#play")
        await tab.until("document.querySelector('#play').innerText === 'Play around it'")

        start = await tab.value("curves.span[0]")
        at = (
            "(() => {{ const b = curves.canvas.getBoundingClientRect();"
            " return [b.x + curves.at({seconds}), b.y + 100]; }})()"
        )
        await drag(tab, await tab.value(at.format(seconds=start + 1.0)))
        frame = await tab.value("now.moment.frame")
        assert (frame + 1) / 50 == pytest.approx(start + 1.0, abs=0.1)
        await places_are(tab, shown["tracks"][moment["number"]][frame])
        await tab.press("ArrowRight")
        assert await tab.value("now.moment.frame") == frame + 1
        await set_to(tab, "#time", 321, "input")
        await places_are(tab, shown["tracks"][moment["number"]][321])

        await set_to(tab, "#show", "contrast 0")
        await set_to(tab, "#when", 8, "input")
        assert shown["apart"][0]["said"][0][8] in await tab.text("#apart-words")
        counts = [int(count) for count in shown["apart"][0]["figures"][0, 8, :2]]
        legend = await tab.value(LEGEND)
        assert legend[:2] == [f"shift ({counts[0]})", f"hold ({counts[1]})"]
        await set_to(tab, "#projection", "1")
        assert await tab.value("page.plane.look.dims") == 3
        for name in ("p(this speaker is next)", "dialogue", "split", "contrast 2"):
            await set_to(tab, "#show", name)


async def places_are(tab: Tab, expected: Sequence[Sequence[float]]) -> None:
    """Both speakers are drawn where they should be."""
    found = await tab.value("page.plane.marked.map((m) => [m.words, [...m.place]])")
    assert sorted(speaker for speaker, _ in found) == ["0", "1"]
    for speaker, place_found in found:
        np.testing.assert_allclose(place_found, expected[int(speaker)], atol=1e-4)


async def test_a_lasso_selects_what_lies_in_it_and_its_clusters_become_a_label(
    made: Path, contents: dict[str, Any], tiny_collection: Collection, tmp_path: Path, browser: str
) -> None:
    places, points = contents["projections"][0]["points"], contents["points"]
    async with shown_page(browser, made) as tab:
        await set_to(tab, "#drag", "lasso")
        middle = np.median(places, axis=0)
        low, high = places.min(axis=0) - 1, places.max(axis=0) + 1
        left = [(low[0], low[1]), (middle[0], low[1]), (middle[0], high[1]), (low[0], high[1])]
        await tab.value(
            f"(page.plane.limits = [[{low[0] - 1}, {high[0] + 1}], [{low[1] - 1}, {high[1] + 1}]], "
            "page.plane.render())"
        )
        corners = [await tab.value(PIXEL.format(place=[float(x), float(y)])) for x, y in left]
        await drag(tab, *corners)
        inside = np.flatnonzero(places[:, 0] < middle[0])
        found = set(await tab.value("[...selection.keys]"))
        assert found == {
            f"f{points['number'][i]}:{points['frame'][i]}:{points['speaker'][i]}" for i in inside
        }
        assert f"Selected: {len(inside)} points" in await tab.text("#selection h2")
        assert "situation: " in await tab.text("#shares")

        near = contents["neighbours"]["latent"]["points"][inside]
        share = np.isin(near[near >= 0], inside).mean()
        assert f"In the full states, {share:.0%} of the".replace("%", " %") in await tab.text(
            "#near-words"
        )
        await set_to(tab, "#cluster-name", "low, left")
        await tab.click("#keep")
        await tab.click("#view-paths")  # what is selected is so in every view
        assert f"Selected: {len(inside)} points" in await tab.text("#selection h2")
        (tmp_path / "clusters.csv").write_text(await tab.value("clustersAsCsv()"))
    collection = changed_copy(tiny_collection, tmp_path / "copy")
    join_labels(collection, tmp_path / "clusters.csv")
    labels = [collection.frames(number, ["cluster"])["cluster"] for number in range(3)]
    for i in range(len(places)):
        expected = "low, left" if i in inside else ""
        assert labels[points["number"][i]][points["frame"][i], points["speaker"][i]] == expected


def test_neighbours_are_those_of_the_full_states(
    tiny_collection: Collection, contents: dict[str, Any]
) -> None:
    points, events = contents["points"], contents["events"]
    frames = [tiny_collection.frames(number, ["latent"])["latent"] for number in range(3)]
    states = np.stack(
        [
            frames[n][f, s]
            for n, f, s in zip(points["number"], points["frame"], points["speaker"], strict=True)
        ]
    )
    found = contents["neighbours"]["latent"]["points"]
    for index in (0, 77, 200):
        apart = np.linalg.norm(states - states[index], axis=1)
        apart[index] = np.inf
        np.testing.assert_allclose(apart[found[index]], np.sort(apart)[: found.shape[1]], rtol=1e-5)
    near = contents["neighbours"]["latent"]["events"]
    shift = next(i for i, event in enumerate(events) if event["kind"] == "shift")
    kinds = {events[i]["kind"] for i in near[shift, START, 0]}
    assert kinds <= {"shift", "hold"}
    assert shift not in near[shift, START, 0]
    overlap = [i for i, event in enumerate(events) if event["kind"] == "backchannel"]
    assert (near[overlap] == -1).all()
