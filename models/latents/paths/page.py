"""The page of points, paths and stages: one plane, one selection and one moment for all of them.

`explore`, `paths`, `animate` and `page` write it, each with the views that it has the data of. The
scripts lie in web/; a page needs nothing but itself.

turnstream latents page --out page.html
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError, DialogueError
from ....stream.saved_embedding import SavedEmbedding
from ..bars import bar
from ..collection import Collection, Event
from ..moments import SITUATIONS, shift_probability
from ..options import add_out, shown
from ..quality import quality_of
from ..space.fitting import place_known, placer
from ..space.trust import UNSTABLE, stability_at
from ..views import (
    SOUND_RATE_HZ,
    View,
    check_suffix,
    embedded_sound,
    number_of,
    sound_of,
    write_page,
)
from .heard import Section, described_dialogue, embedded_seconds, hearing
from .path_states import (
    PLACED_EVERY,
    SCORE_S,
    Float32,
    Paths,
    gather_paths,
    nearest_paths,
    stretch_of,
)
from .path_words import caption_of
from .points import (
    drawn_events,
    event_states,
    neighbours,
    placed_points,
    points_in_words,
    points_section,
    readings,
    silences,
)

POINTS = 4000
SOUND_MINUTES = 30.0
BETWEEN_CLIPS_S = 0.05  # of silence, so that no clip runs into the next one
SCRIPTS = tuple(
    f"{name}.js"
    for name in (
        *("shapes", "legend", "plane", "moments", "select", "classes", "statistics"),
        *("points", "path_layers", "path_words", "paths", "csv", "stages"),
    )
)
TITLES = {"points": "Explorer of the latent space", "paths": "Paths through the latent space"}
EMPTY = {"names": [], "ids": [], "labels": {}, "wrong": None, "places": [], "marks": []}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents page`."""
    add_out(parser, "page.html", "page to write", "FILE.html")


def main(args: argparse.Namespace) -> int:
    """Write a page that takes CSV files."""
    check_suffix(args.out, ".html")
    return shown(empty_page(args.out))


def empty_page(out: Path) -> View:
    """Write a page that takes CSV files."""
    caption = (
        "Drop CSV files of points here: one file for each stage of training, each network or each "
        "few mini-batches. Columns x and y are drawn as they are; of any other numbers the "
        "principal components of all files together. Nothing leaves this page."
    )
    return write_view(out, "Your points, stage by stage", caption, {"stages": EMPTY})


def write_view(out: Path, title: str, caption: str, contents: Section) -> View:
    """Write a page with the views that `contents` has the data of.

    Args:
        out: .html.
        title, caption: see View.
        contents: sections of the page; what is missing is empty.
    """
    nothing = {"frame_rate_hz": 50.0, "dialogues": [], "events": [], "projections": []}
    nothing |= {"situations": SITUATIONS, "unstable": UNSTABLE, "opens": "stages"}
    write_page(out, title, caption, "page.js", nothing | contents, plotly=False, before=SCRIPTS)
    return View(out, title, caption)


def explorer(
    collection: Collection,
    projections: Sequence[SavedEmbedding],
    out: Path,
    *,
    opens: str = "points",
    dialogue: str | None = None,
    between: tuple[float, float] | None = None,
    **which: Any,
) -> View:
    """Write the page of a collection's points and paths.

    Args:
        collection: whose states are drawn.
        projections: of its network; the page changes between them.
        out: .html.
        opens: the view it opens with, "points" or "paths".
        dialogue, between: id and part, in seconds, of the dialogue whose path it opens with.
        which: as for `gather`.
    Raises:
        ConfigError: what cannot be drawn.
    """
    contents = gather(collection, projections, opens=opens, dialogue=dialogue, **which)
    caption, title = contents.pop("caption"), TITLES[opens]
    if dialogue is not None:
        title = f"{title}: {dialogue}"
        number = number_of(collection, dialogue)
        first, last = stretch_of(collection, number, between)
        rate_hz, embedded = collection.frame_rate_hz, contents["dialogues"][number]["embedded"]
        seconds = (min(last, embedded) - first) / rate_hz
        part = {"number": number, "start_s": first / rate_hz, "seconds": max(seconds, 0.1)}
        contents["paths"]["conversation"] = part
        caption = (
            f"The page opens with the path of {dialogue}; all others are there, too. {caption}"
        )
    return write_view(out, title, caption, contents)


def gather(
    collection: Collection,
    projections: Sequence[SavedEmbedding],
    *,
    points: int = POINTS,
    sound_minutes: float = SOUND_MINUTES,
    seed: int = 0,
    opens: str = "points",
    dialogue: str | None = None,
    whose: int = 0,
    **around: Any,
) -> Section:
    """Everything that the page shows of points and paths; arrays are N points, E events.

    Args:
        collection: of dialogues.
        projections: of its network.
        points: how many frames of single speakers to draw, and at most how many silences.
        sound_minutes: of dialogue, from the first on, that can be heard and followed.
        seed: of all draws.
        opens: "points" or "paths".
        dialogue: id of a dialogue to be heard and followed before all others.
        whose: paths the page opens with, index into ROLES.
        around: which events, and how long paths are, as for `gather_paths`.
    Raises:
        ConfigError: no projection, fewer than one point, or paths that cannot be drawn.
    """
    if not projections or points < 1:
        raise ConfigError(
            f"expected at least one projection and one point, got {len(projections)} and {points}"
        )
    layers = sorted({projection.layer for projection in projections})
    paths = _paths(collection, projections, opens == "paths", seed=seed, **around)
    first = next(iter(paths.values()), None)
    events, every = drawn_events(collection, points, seed)
    if first is not None:
        kept = {_key(event) for event in (*events, *first.events)}
        events = [event for event in collection.events() if _key(event) in kept]
    columns = ["situation", "vad", "p_next", "time_s", *collection.labels, *layers]
    sample = collection.sample(points, columns, seed=seed)
    puts = [placer(projection) for projection in projections]
    dialogues: list[Section] = []
    p_shift: list[Float32] = []
    read: list[NDArray[np.int64]] = []
    states: dict[str, list[Float32]] = {layer: [] for layer in layers}
    tracks: list[list[Float32]] = [[] for _ in projections]
    seconds = embedded_seconds(collection, sound_minutes, dialogue)
    for number in bar(range(len(seconds)), "explore", "dialogue"):
        dialogues.append(described_dialogue(collection, number, seconds[number]))
        frames = collection.frames(number, ["holder", "p_next", *layers])
        p_shift.append(shift_probability(frames)[sample["frame"][sample["number"] == number]])
        here = [event for event in events if event.number == number]
        read.append(readings(here, len(frames["holder"]), collection))
        for layer, found in states.items():
            found.append(event_states(frames[layer], here, read[-1]))
        for projection, put, track in zip(projections, puts, tracks, strict=True):
            some = slice(0, dialogues[-1]["embedded"], PLACED_EVERY[projection.has_formula])
            track.append(place_known(put, frames[projection.layer][some], projection.dims))
    ends = {layer: np.concatenate(found) for layer, found in states.items()}
    contents = hearing(collection, dialogues, events) | {
        "opens": opens,
        "neighbours": {layer: neighbours(events, sample[layer], ends[layer]) for layer in layers},
        "projections": [
            {"tracks": track}
            | placed_points(
                projection, put, events, sample[projection.layer], ends[projection.layer]
            )
            for projection, put, track in zip(projections, puts, tracks, strict=True)
        ],
    }
    sample["p_shift"] = np.concatenate(p_shift)
    contents |= points_section(collection, sample, events, np.concatenate(read))
    caption = points_in_words(collection, contents, len(silences(events)), every)
    caption += f" {quality_of(collection).in_words()}"
    if first is not None:
        contents |= _paths_section(collection, first, events, whose, dialogues)
        for given, projection in zip(contents["projections"], projections, strict=True):
            given["paths"] = _placed_paths(paths[projection.layer], projection)
        if opens == "paths":
            caption = f"{caption_of(collection, first, whose)} {contents['clips']['silent']}"
    return contents | {"caption": caption.strip()}


# ---- paths ----


def _key(event: Event) -> tuple[int, float, str, int]:
    return event.number, event.start_s, event.kind, event.speaker


def _paths(
    collection: Collection, projections: Sequence[SavedEmbedding], must: bool, **around: Any
) -> dict[str, Paths]:
    """The paths in each layer, the same in all; {} where there are none and none must be."""
    layers = dict.fromkeys(projection.layer for projection in projections)
    try:
        return {
            layer: gather_paths(collection, [p for p in projections if p.layer == layer], **around)
            for layer in layers
        }
    except ConfigError:
        if must:
            raise
        return {}


def _paths_section(
    collection: Collection,
    paths: Paths,
    events: Sequence[Event],
    whose: int,
    dialogues: Sequence[Section],
) -> Section:
    index = {_key(event): number for number, event in enumerate(events)}
    rows = np.array([index[_key(event)] for event in paths.events])
    around = {"before_s": paths.before_s, "after_s": paths.after_s}
    sound, starts, silent = _clips(collection, paths, dialogues)
    offsets = np.full(len(events), np.nan, np.float32)
    offsets[rows] = starts
    return {
        "paths": {"events": rows, "judged_s": SCORE_S, "whose": whose, **around},
        "clips": {"sound": sound, "offsets": offsets, "silent": silent, **around},
    }


def _placed_paths(paths: Paths, projection: SavedEmbedding) -> Section:
    placed = next(placed for placed in paths.placed if placed.projection is projection)
    last = [stability_at(projection, placed.last_points(role)) for role in (0, 1)]
    return {
        "times_s": np.asarray(placed.times_s, np.float32),
        "places": placed.places,
        "last": placed.last,
        "stability": np.stack(last, axis=1),
    } | nearest_paths(paths)


def _clips(
    collection: Collection, paths: Paths, dialogues: Sequence[Section]
) -> tuple[str, Float32, str]:
    """The sound of paths that lie outside of what can be heard anyway, one after another.

    Returns:
        The sound; where each path begins in it in seconds, (E,), NaN where it has none; and why
        some cannot be heard.
    """
    before = round(paths.before_s * SOUND_RATE_HZ)
    length = before + round((paths.after_s + BETWEEN_CLIPS_S) * SOUND_RATE_HZ)
    pieces: list[Float32] = []
    offsets, failed = np.full(len(paths.events), np.nan, np.float32), ""
    for number, dialogue in enumerate(bar(dialogues, "sound", "dialogue")):
        end_s = dialogue["embedded"] / collection.frame_rate_hz
        beyond = [
            index
            for index, event in enumerate(paths.events)
            if event.number == number and event.start_s + paths.after_s > end_s
        ]
        if not beyond:
            continue
        try:
            sound = sound_of(collection.dialogues[number])
        except (ConfigError, DialogueError) as error:
            failed = failed or f"Cannot be heard: {error}."
            continue
        padded = np.pad(sound, ((0, 0), (before, length)))
        for index in beyond:
            start = round(paths.events[index].start_s * SOUND_RATE_HZ)
            offsets[index] = len(pieces) * length / SOUND_RATE_HZ
            pieces.append(padded[:, start : start + length])
    return embedded_sound(np.concatenate(pieces, axis=1)) if pieces else "", offsets, failed
