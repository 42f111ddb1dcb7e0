"""The page of points and paths: what it holds, what is said of it, and, in a browser, the way from
a point to its moment and back, and what can be selected.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from turnstream.models.latents.collection import Collection, Event, write_events
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
COLUMNS = ["latent", "latent_speaker", "vad", "p_next", "speaking", "situation", "holder"]

Section = dict[str, Any]
Frames = list[dict[str, np.ndarray[Any, Any]]]


@pytest.fixture(scope="module")
def projections(tiny_collection: Collection) -> list[SavedEmbedding]:
    return [
        fit_projection(tiny_collection, "pca", layer=layer, dims=dims, refits=2)
        for layer, dims in (("latent", 2), ("latent_speaker", 3))
    ]


@pytest.fixture(scope="module")
def contents(tiny_collection: Collection, projections: list[SavedEmbedding]) -> Section:
    return gather(tiny_collection, projections, points=POINTS)


@pytest.fixture(scope="module")
def frames(tiny_collection: Collection) -> Frames:
    return [tiny_collection.frames(number, COLUMNS) for number in range(3)]


def changed_copy(
    collection: Collection,
    folder: Path,
    change: Callable[[Event], Event | None] = lambda event: event,
    **dialogue: Any,
) -> Collection:
    """The same collection, its dialogues described otherwise, its events changed or left out."""
    shutil.copytree(collection.folder, folder)
    about = json.loads((folder / "collection.json").read_text())
    about["dialogues"] = [entry | dialogue for entry in about["dialogues"]]
    (folder / "collection.json").write_text(json.dumps(about))
    changed = [event for event in map(change, collection.events()) if event is not None]
    for number in range(len(about["dialogues"])):
        rows = [asdict(event) for event in changed if event.number == number]
        write_events(folder, number, [{k: row[k] for k in row if k != "number"} for row in rows])
    return Collection(folder)


# ---- contents ----


def test_points_are_frames_and_lie_where_their_states_are_placed(
    projections: list[SavedEmbedding], contents: Section, frames: Frames
) -> None:
    points = contents["points"]
    count = len(points["frame"])
    assert 0.7 * POINTS <= count <= POINTS
    at = list(zip(points["number"], points["frame"], points["speaker"], strict=True))
    for projection, shown in zip(projections, contents["projections"], strict=True):
        states = np.stack([frames[n][projection.layer][frame, who] for n, frame, who in at])
        np.testing.assert_allclose(shown["points"], place(projection, states), atol=1e-5)
    situations = [frames[n]["situation"][frame, who] for n, frame, who in at]
    assert [SITUATIONS[index] for index in points["situation"]] == situations
    p_next = [frames[n]["p_next"][frame, who] for n, frame, who in at]
    np.testing.assert_array_equal(points["p_next"], np.array(p_next))
    for index, (number, frame, _) in enumerate(at):
        holder = frames[number]["holder"][frame, 0]
        shift = np.nan if holder < 0 else frames[number]["p_next"][frame, 1 - holder]
        np.testing.assert_array_equal(points["p_shift"][index], shift)


def test_classes_have_as_many_events_as_the_collection(
    tiny_collection: Collection, contents: Section
) -> None:
    events = tiny_collection.events()
    assert [event["start_s"] for event in contents["events"]] == [event.start_s for event in events]

    def both(name: str, kinds: Sequence[str], one: Any, other: Any) -> tuple[int, int]:
        values = [getattr(event, name) for event in events if event.kind in kinds]
        return values.count(one), values.count(other)

    silences = ("gap", "pause")
    expected = [
        both("kind", ("shift", "hold"), "shift", "hold"),
        both("kind", silences, "gap", "pause"),
        (sum(event.kind in silences for event in events), 0),  # both speakers of each
        both("correct", ("shift",), True, False),
        both("correct", ("hold",), True, False),
        both("ending", silences, "question", "statement"),
    ]
    found = [(shown["first"].sum(), (shown["first"] == 0).sum()) for shown in contents["contrasts"]]
    assert found == expected
    assert (expected[0][0] >= 3, expected[-1][0]) == (True, 3)


def test_events_are_read_before_and_in_the_silence_and_not_after_it(
    tiny_collection: Collection, projections: list[SavedEmbedding], contents: Section
) -> None:
    events, rate_hz = tiny_collection.events(), tiny_collection.frame_rate_hz
    spans = np.array([(event.start_s, event.end_s) for event in events])
    lasts = np.array(WHEN_S) <= np.diff(spans) + 1e-9
    steps = np.round(np.array(WHEN_S) * rate_hz).astype(int) - 1
    frames = np.round(spans[:, :1] * rate_hz) + steps
    np.testing.assert_array_equal(contents["event_frames"], np.where(lasts, frames, -1))
    states = tiny_collection.windows(events, "latent", 0.6, 0.6)[0][:, steps + 30]
    expected = np.where(lasts[..., None, None], place(projections[0], states), np.nan)
    np.testing.assert_allclose(contents["projections"][0]["events"], expected, atol=1e-5)
    assert lasts.sum() > 100


def test_a_reading_outside_of_the_dialogue_is_none(tiny_collection: Collection) -> None:
    event = replace(tiny_collection.events()[0], start_s=0.2, end_s=30.0)
    found = readings([event], 20, tiny_collection)[0]
    assert found.tolist() == [-1, -1, -1, -1, 4, 9, 14, 19, -1, -1, -1, -1]


def test_tracks_are_the_collections_columns_and_the_places_of_its_states(
    projections: list[SavedEmbedding], contents: Section, frames: Frames
) -> None:
    track = contents["projections"][0]["tracks"][1]
    assert track.shape == (1000, 2, 2)
    expected = place(projections[0], frames[1]["latent"][300])
    np.testing.assert_allclose(track[300], expected, atol=1e-5)
    columns, dialogue = frames[2], contents["dialogues"][2]
    np.testing.assert_allclose(dialogue["vad"] / 254, columns["vad"], atol=0.002)
    np.testing.assert_array_equal(dialogue["speaking"], columns["speaking"])
    np.testing.assert_array_equal(np.array(SITUATIONS)[dialogue["situation"]], columns["situation"])
    assert (dialogue["p_shift"] == 255).tolist() == np.isnan(shift_probability(columns)).tolist()
    assert dialogue["sound"].startswith("data:audio/ogg;base64,")
    assert dialogue["envelope"][:, 1][columns["speaking"][:, 1]].max() == 254
    assert dialogue["envelope"][:370, 1].max() == 0  # speaker 1 is silent until 7.5 s


def test_points_are_as_stable_as_the_nearest_place_of_the_fit(
    projections: list[SavedEmbedding], contents: Section
) -> None:
    projection, shown = projections[0], contents["projections"][0]
    nearest = np.linalg.norm(shown["points"][:, None] - projection.places, axis=-1).argmin(axis=1)
    assert len(projection.stability)
    np.testing.assert_array_equal(shown["stability"], projection.stability[nearest])


def test_how_far_apart_is_measured_on_the_places_that_are_drawn(
    tiny_collection: Collection, contents: Section
) -> None:
    events, shown = tiny_collection.events(), contents["projections"][0]
    for index, contrast in enumerate(SHOWN):
        chosen, first = members(contrast, events)
        number = np.array([events[i].number for i in chosen])
        speaker = np.array([events[i].speaker for i in chosen])
        role = 0 if contrast.of_speakers else 1
        places = shown["events"][chosen, START, 1]
        if contrast.of_speakers:  # speaker, listener, speaker, ...
            places = shown["events"][chosen, START].reshape(-1, 2)
            first = np.arange(len(places)) % 2 == 0
            number, chosen = np.repeat(number, 2), np.repeat(chosen, 2)
            speaker = np.stack([speaker, 1 - speaker], axis=1).ravel()
        found = how_far_apart(places, first, number, speaker, chosen)
        figures = shown["apart"][index]["figures"][role, START]
        assert figures[:2].tolist() == [found.first, found.second]
        np.testing.assert_allclose(figures[2], found.line.value, atol=1e-6)
        if not contrast.of_speakers:  # else what is at the same distance comes in another order
            assert shown["apart"][index]["said"][role][START] == in_words(contrast.classes, found)


def test_neighbours_are_those_of_the_full_states(contents: Section, frames: Frames) -> None:
    points, events = contents["points"], contents["events"]
    at = zip(points["number"], points["frame"], points["speaker"], strict=True)
    states = np.stack([frames[number]["latent"][frame, who] for number, frame, who in at])
    found = contents["neighbours"]["latent"]["points"]
    for index in (0, 77, 200):
        apart = np.linalg.norm(states - states[index], axis=1)
        apart[index] = np.inf
        np.testing.assert_allclose(apart[found[index]], np.sort(apart)[: found.shape[1]], rtol=1e-5)
    near = contents["neighbours"]["latent"]["events"]
    kinds = [event["kind"] for event in events]
    shift = kinds.index("shift")
    assert {kinds[i] for i in near[shift, START, 0]} <= {"shift", "hold"}
    assert shift not in near[shift, START, 0]
    assert (near[[kind == "backchannel" for kind in kinds]] == -1).all()


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
    kinds = ("shift", "hold", "gap", "pause")
    drawn = [(e["number"], e["start_s"]) for e in few["events"] if e["kind"] in kinds]
    every = [(event.number, event.start_s) for event in tiny_collection.events(*kinds)]
    assert len(set(drawn)) == 9 < len(set(every))
    assert f"and 9 of {len(set(every))} mutual silences" in few["caption"]
    assert len(drawn) == sum(silence in drawn for silence in every)  # a shift with its gap
    assert few["projections"][0]["events"].shape[0] == len(few["events"])


# ---- words ----


def test_the_caption_says_what_there_is(
    tiny_collection: Collection, projections: list[SavedEmbedding], tmp_path: Path
) -> None:
    view = explorer(tiny_collection, projections[:1], tmp_path / "explore.html", points=POINTS)
    assert "tiny" in view.caption
    assert "3 dialogues (1.0 minutes), of which 1.0 minutes can be heard" in view.caption
    assert "too few to say" in view.caption  # 3 questions
    before, body = view.path.read_text().split("<body>")
    page = before + body.rsplit('<script type="application/json"', 1)[0]
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_without_text_questions_are_not_offered_and_it_is_said_why(
    tiny_collection: Collection, projections: list[SavedEmbedding], tmp_path: Path
) -> None:
    wordless = changed_copy(tiny_collection, tmp_path / "copy", lambda e: replace(e, ending=""))
    caption = gather(wordless, projections[:1], points=50, sound_minutes=0.0)["caption"]
    why = "is not offered: the words before the silences are not known."
    assert f"Question against statement {why}" in caption
    assert "question and statement" not in caption


def test_one_class_alone_is_said_to_be_alone(
    tiny_collection: Collection, projections: list[SavedEmbedding], tmp_path: Path
) -> None:
    shifts = changed_copy(
        tiny_collection, tmp_path / "copy", lambda e: e if e.kind in ("shift", "gap") else None
    )
    found = gather(shifts, projections[:1], points=50, sound_minutes=0.0)
    assert found["projections"][0]["apart"][0]["said"][0][START].endswith("shift, no hold.")
    why = "is not offered: few holds were predicted, or few of them one way."
    assert found["contrasts"][4]["lacking"] == f"Holds: correct against wrong {why}"


@pytest.mark.parametrize("audio", [[], ["/nowhere/a.wav"]])
def test_a_collection_without_audio_gives_a_page_that_cannot_be_heard(
    tiny_collection: Collection,
    projections: list[SavedEmbedding],
    tmp_path: Path,
    audio: list[str],
) -> None:
    silent = changed_copy(tiny_collection, tmp_path / "silent", audio=audio)
    found = gather(silent, projections[:1], points=50)
    assert "0.0 minutes can be heard" in found["caption"]
    why = "its audio was not collected, or is not there any more"
    assert {(each["sound"], each["silent"]) for each in found["dialogues"]} == {("", why)}
    assert found["dialogues"][0]["embedded"] == 1000  # its curves can be followed


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
    parser = argparse.ArgumentParser()
    add_command(parser)
    out = tmp_path / "page.html"
    given = ["explore", str(tiny_collection.folder), "--out", str(out), "--points", "50"]
    for number, projection in enumerate(projections):
        projection.save(tmp_path / f"{number}.json")
        given += ["--embedding", str(tmp_path / f"{number}.json")]
    assert command(parser.parse_args(given)) == 0
    said = capsys.readouterr().out
    assert "of the last layer, 2-D, principal components of the first recurrent layer, 3-D" in said
    assert out.is_file()


# ---- in a browser ----

PIXEL = """(() => {{
  const box = document.querySelector('#marks');
  box.scrollIntoView({{block: 'center'}});
  const at = box.getBoundingClientRect(), [x, y] = page.plane.pixel({place});
  return [at.x + x, at.y + y];
}})()"""
CURVE = """(() => {{
  const box = curves.canvas.getBoundingClientRect();
  return [box.x + curves.at({seconds}), box.y + 100];
}})()"""
LEGEND = "[...document.querySelectorAll('#legend .entry')].map((e) => e.innerText.trim())"


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
    moves = [("mousePressed", places[0]), *(("mouseMoved", place) for place in places[1:])]
    for kind, (x, y) in [*moves, ("mouseReleased", places[-1])]:
        pressed = {"button": "left", "buttons": 1, "clickCount": 1}
        await tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)


async def places_are(tab: Tab, expected: Sequence[Sequence[float]]) -> None:
    """Both speakers are drawn where they should be."""
    found = await tab.value("page.plane.marked.map((m) => [m.words, [...m.place]])")
    assert sorted(speaker for speaker, _ in found) == ["0", "1"]
    for speaker, place_found in found:
        np.testing.assert_allclose(place_found, expected[int(speaker)], atol=1e-4)


@pytest.fixture(scope="module")
def made(
    tiny_collection: Collection,
    projections: list[SavedEmbedding],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("page") / "explore.html"
    return explorer(tiny_collection, projections, out, points=POINTS).path


async def test_in_a_browser_a_point_leads_to_its_moment_and_a_moment_to_its_point(
    made: Path, contents: Section, browser: str
) -> None:
    shown, points = contents["projections"][0], contents["points"]
    places = shown["points"]
    apart = np.linalg.norm(places[:, None] - places, axis=-1) + np.diag([np.inf] * len(places))
    inside = np.abs(places) < np.percentile(np.abs(places), 95, axis=0)
    index = int(np.argmax(np.where(inside.all(axis=1), apart.min(axis=1), 0)))  # it lies alone
    async with shown_page(browser, made) as tab:
        assert f"speaking ({(points['situation'] == 1).sum()})" in await tab.value(LEGEND)
        await drag(tab, await tab.value(PIXEL.format(place=places[index].tolist())))
        moment = {name: int(points[name][index]) for name in ("number", "frame", "speaker")}
        found = await tab.until(f"now.moment.frame === {moment['frame']} && now.moment")
        assert {name: found[name] for name in moment} == moment
        assert contents["dialogues"][moment["number"]]["id"] in await tab.text("#who")
        assert await tab.text("#play") == "Stop"  # it is heard
        await tab.click("#play")
        await tab.until("document.querySelector('#play').innerText === 'Play around it'")

        start = await tab.value("curves.span[0]")
        await drag(tab, await tab.value(CURVE.format(seconds=start + 1.0)))
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
        shifts, holds = shown["apart"][0]["figures"][0, 8, :2]
        legend = await tab.value(LEGEND)
        assert legend[:2] == [f"shift ({shifts:.0f})", f"hold ({holds:.0f})"]
        await set_to(tab, "#projection", "1")
        assert await tab.value("page.plane.look.dims") == 3
        for name in ("p(this speaker is next)", "dialogue", "split", "contrast 2"):
            await set_to(tab, "#show", name)


async def test_a_lasso_selects_what_lies_in_it_and_its_clusters_become_a_label(
    made: Path, contents: Section, tiny_collection: Collection, tmp_path: Path, browser: str
) -> None:
    places, points = contents["projections"][0]["points"], contents["points"]
    middle, _ = np.median(places, axis=0)
    (left, bottom), (right, top) = places.min(axis=0) - 1, places.max(axis=0) + 1
    inside = np.flatnonzero(places[:, 0] < middle)
    at = list(zip(points["number"], points["frame"], points["speaker"], strict=True))
    async with shown_page(browser, made) as tab:
        await set_to(tab, "#drag", "lasso")
        limits = np.array([[left - 1, right + 1], [bottom - 1, top + 1]]).tolist()
        await tab.value(f"(page.plane.limits = {limits}, page.plane.render())")
        corners = ((left, bottom), (middle, bottom), (middle, top), (left, top))
        places_on = [PIXEL.format(place=[float(x), float(y)]) for x, y in corners]
        await drag(tab, *[await tab.value(place_on) for place_on in places_on])
        found = set(await tab.value("[...selection.keys]"))
        assert found == {"f{}:{}:{}".format(*at[i]) for i in inside}
        assert f"Selected: {len(inside)} points" in await tab.text("#selection h2")
        assert "situation: " in await tab.text("#shares")

        near = contents["neighbours"]["latent"]["points"][inside]
        share = 100 * np.isin(near[near >= 0], inside).mean()
        said = await tab.text("#near-words")
        assert f"In the full states, {share:.0f} % of the" in said
        await set_to(tab, "#cluster-name", "low, left")
        await tab.click("#keep")
        await tab.click("#view-paths")  # what is selected is so in every view
        assert f"Selected: {len(inside)} points" in await tab.text("#selection h2")
        (tmp_path / "clusters.csv").write_text(await tab.value("clustersAsCsv()"))
    collection = changed_copy(tiny_collection, tmp_path / "copy")
    join_labels(collection, tmp_path / "clusters.csv")
    labels = [collection.frames(number, ["cluster"])["cluster"] for number in range(3)]
    for i, (number, frame, speaker) in enumerate(at):
        assert labels[number][frame, speaker] == ("low, left" if i in inside else "")
