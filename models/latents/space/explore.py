"""`turnstream latents explore`: a page to walk about in the latent space, from a point to its moment and from a moment to its point.

turnstream latents explore SOURCE --out explore.html [--embedding FILE ...] [--model FOLDER]
    [--points N] [--sound-minutes N] [--seed N]

Points are frames of single speakers, coloured by what happens in them; or, for the contrasts of events, the states of the speakers at one time before
or in a mutual silence. How far apart two classes lie in the picture (apart.py) is measured for each projection, time and speaker.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ....stream.errors import ConfigError, DialogueError
from ....stream.saved_embedding import SavedEmbedding
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import CollectedDialogue, Collection, Columns, Event, shift_probability
from ..events.contrasts import CONTRASTS, Contrast
from ..labels import coded_label
from ..moments import SITUATIONS
from ..quality import quality_of
from ..views import View, check_suffix, embedded_sound, envelope, sound_of, write_page
from .apart import Apartness, briefly, how_far_apart, in_words
from .fitting import Placer, placer, projection_for
from .project import LAYER_NAMES, TITLES, trust_in_words
from .trust import UNSTABLE

POINTS = 4000
SOUND_MINUTES = 30.0
WHEN_S = (
    -0.5,
    -0.4,
    -0.3,
    -0.2,
    -0.1,
    0.0,
    0.1,
    0.2,
    0.25,
    0.3,
    0.4,
    0.5,
)  # of reading, from the start of a silence
START = WHEN_S.index(0.0)
WHOSE = ("the speaker before the silence", "the other speaker")
SILENCES = ("shift", "hold", "gap", "pause")
PLACED_EVERY = {
    True: 1,
    False: 3,
}  # frames of embedded dialogues that are placed: by a formula all, else some, since that takes long
UNKNOWN = 255  # in tracks of bytes, which hold 0 to 1 as 0 to 254

Frames = NDArray[np.int64]


SHOWN = (
    CONTRASTS["shift-hold"],
    CONTRASTS["gap-pause"],
    CONTRASTS["speaker-listener"],
    CONTRASTS["shift-correct"],
    CONTRASTS["hold-correct"],
    CONTRASTS["question-statement"],
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents explore`."""
    add_source_argument(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("explore.html"),
        metavar="FILE.html",
        help="page to write (default explore.html)",
    )
    parser.add_argument(
        "--embedding",
        type=Path,
        action="append",
        metavar="FILE.json",
        help="embedding from `turnstream latents project`; can be repeated",
    )
    add_model_argument(parser)
    parser.add_argument(
        "--points",
        type=int,
        default=POINTS,
        metavar="N",
        help=f"draw N frames and at most N silences (default {POINTS})",
    )
    parser.add_argument(
        "--sound-minutes",
        type=float,
        default=SOUND_MINUTES,
        metavar="N",
        help=f"minutes of sound in the page, to hear and follow (default {SOUND_MINUTES:g})",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the draw (default 0)"
    )


def main(args: argparse.Namespace) -> int:
    """Write the page, and say what is in it."""
    check_suffix(args.out, ".html")
    with opened_collection(args.source, args.model) as collection:
        projections = [projection_for(collection, path) for path in args.embedding or [None]]
        view = explore(
            collection,
            projections,
            args.out,
            points=args.points,
            sound_minutes=args.sound_minutes,
            seed=args.seed,
        )
    print(f"{view.caption}\n{view.path}")
    return 0


def explore(
    collection: Collection,
    projections: Sequence[SavedEmbedding],
    out: Path,
    *,
    points: int = POINTS,
    sound_minutes: float = SOUND_MINUTES,
    seed: int = 0,
) -> View:
    """Write the page.

    Args:
        collection: whose states are drawn.
        projections: of its network; the page changes between them.
        out: .html.
        points: how many frames of single speakers to draw, and at most how many silences.
        sound_minutes: of dialogue, from the first on, that can be heard and followed.
        seed: of the draw.
    Raises:
        ConfigError: no projection, or fewer than one point.
    """
    if not projections or points < 1:
        raise ConfigError(
            f"expected at least one projection and one point, got {len(projections)} and {points}"
        )
    contents = gather(collection, projections, points, sound_minutes, seed)
    caption = _caption(collection, contents)
    write_page(
        out,
        "Explorer of the latent space",
        caption,
        "explore.js",
        contents,
        before=("explore_points.js", "explore_plane.js"),
    )
    return View(out, "Explorer of the latent space", caption)


def gather(
    collection: Collection,
    projections: Sequence[SavedEmbedding],
    points: int,
    sound_minutes: float,
    seed: int,
) -> dict[str, Any]:
    """Everything that the page shows; arrays are N points, E events, W times of reading, T frames, D dimensions."""
    own = collection.labels
    sample = collection.sample(points, ["situation", "vad", "p_next", "time_s", *own], seed=seed)
    events, total = _drawn_events(collection, points, seed)
    seconds = _embedded_seconds(collection, sound_minutes)
    placers = [placer(projection) for projection in projections]
    parts: list[list[_Placed]] = [[] for _ in projections]
    dialogues: list[dict[str, Any]] = []
    p_shift: list[NDArray[np.float32]] = []
    read: list[Frames] = []
    for number, dialogue in enumerate(
        tqdm(collection.dialogues, desc="explore", unit="dialogue", disable=None)
    ):
        frames = collection.frames(number, ["vad", "p_next", "holder", "situation", "speaking"])
        shift = shift_probability(frames)
        chosen = sample["number"] == number
        p_shift.append(shift[sample["frame"][chosen]])
        embedded = min(len(shift), collection.frame_of(seconds[number]))
        dialogues.append(_described(collection, dialogue, frames, shift, embedded))
        here = [event for event in events if event.number == number]
        at = readings(here, len(shift), collection)
        read.append(at)
        frames_drawn = {name: sample[name][chosen] for name in ("frame", "speaker")}
        states = collection.frames(number, sorted({projection.layer for projection in projections}))
        for projection, put, placed in zip(projections, placers, parts, strict=True):
            placed.append(
                _place(projection, put, states[projection.layer], frames_drawn, here, at, embedded)
            )
    return {
        "model": collection.about.model,
        "frame_rate_hz": collection.frame_rate_hz,
        "dialogues": dialogues,
        "situations": list(SITUATIONS),
        "points": {
            "number": sample["number"],
            "frame": sample["frame"],
            "speaker": sample["speaker"].astype(np.uint8),
            "situation": _situation_numbers(sample["situation"]),
            **{name: sample[name].astype(np.float32) for name in ("vad", "p_next", "time_s")},
            "p_shift": np.concatenate(p_shift),
        },
        "labels": {name: coded_label(sample[name]) for name in own},
        "events": [asdict(event) for event in events],
        "event_frames": np.concatenate(read),
        "silences": {"drawn": len(_silences(events)), "all": total},
        "when_s": list(WHEN_S),
        "whose": list(WHOSE),
        "contrasts": [_members(contrast, events) for contrast in SHOWN],
        "unstable": UNSTABLE,
        "projections": [
            _shown(projection, placed, events)
            for projection, placed in zip(projections, parts, strict=True)
        ],
    }


# ---- events and when they are read ----


def members(
    contrast: Contrast, events: Sequence[Event]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Indices of the events of a contrast, (M,), and whether each is of its first class, (M,); all, where the two speakers of each are compared."""
    if contrast.of_speakers:
        chosen = [index for index, event in enumerate(events) if event.kind in contrast.kinds]
        return np.array(chosen, np.int64), np.ones(len(chosen), bool)
    labels = [contrast.is_first(event) for event in events]
    kept = [index for index, label in enumerate(labels) if label is not None]
    return np.array(kept, np.int64), np.array([labels[index] for index in kept], bool)


def readings(events: Sequence[Event], frames: int, collection: Collection) -> NDArray[np.int64]:
    """The frames in which events of one dialogue are read, (E, W): the newest one at each of WHEN_S; -1 outside of the dialogue or after the silence."""
    start = np.array([collection.frame_of(event.start_s) for event in events], np.int64)[:, None]
    end = np.array([collection.frame_of(event.end_s) for event in events], np.int64)[:, None]
    after = start + np.array([collection.frame_of(when) for when in WHEN_S])[None]
    return np.where((after >= 1) & (after <= np.minimum(end, frames)), after - 1, -1)


def _drawn_events(collection: Collection, most: int, seed: int) -> tuple[list[Event], int]:
    """Every event, but those of at most so many mutual silences, and how many of these there are."""
    events = collection.events()
    silences = _silences(events)
    if len(silences) > most:
        left_out = {
            silences[index]
            for index in np.random.default_rng(seed).permutation(len(silences))[most:]
        }
        events = [
            event
            for event in events
            if event.kind not in SILENCES or (event.number, event.start_s) not in left_out
        ]
    return events, len(silences)


def _silences(events: Sequence[Event]) -> list[tuple[int, float]]:
    """Dialogue and start of every mutual silence; one that is clearly a shift or a hold is also a gap or a pause, and counts once."""
    return sorted({(event.number, event.start_s) for event in events if event.kind in SILENCES})


def _members(contrast: Contrast, events: Sequence[Event]) -> dict[str, Any]:
    chosen, first = members(contrast, events)
    name = _name(contrast)
    return {
        "name": name,
        "classes": list(contrast.classes),
        "events": chosen,
        "first": first.astype(np.uint8),
        "by_role": contrast.of_speakers,
        "lacking": ""
        if len(chosen)
        else f"{name.capitalize()} is not offered: {contrast.lacking}.",
    }


def _name(contrast: Contrast) -> str:
    return contrast.words(" against ") + " before a mutual silence" * contrast.of_speakers


# ---- places ----


@dataclass(frozen=True)
class _Placed:
    """Of one dialogue: places of its points (N, D), of its events (E, W, 2, D), the speaker before first, and of its frames (F, 2, D)."""

    points: NDArray[np.float32]
    events: NDArray[np.float32]
    track: NDArray[np.float32]


def _place(
    projection: SavedEmbedding,
    put: Placer,
    states: NDArray[np.float32],
    chosen: Columns,
    events: Sequence[Event],
    at: Frames,
    embedded: int,
) -> _Placed:
    """Everything that is drawn of one dialogue, whose states are (T, 2, H), at one go."""
    roles = np.array([(event.speaker, 1 - event.speaker) for event in events], np.int64).reshape(
        -1, 1, 2
    )
    frame = np.broadcast_to(at[:, :, None], (*at.shape, 2))
    known = frame >= 0
    track = states[: embedded : PLACED_EVERY[projection.has_formula]]
    parts = [
        states[chosen["frame"], chosen["speaker"]],
        states[frame[known], np.broadcast_to(roles, frame.shape)[known]],
        track.reshape(-1, states.shape[2]),
    ]
    wanted = np.concatenate(parts)
    placed = put(wanted) if len(wanted) else np.zeros((0, projection.dims), np.float32)
    of_points, of_events, of_track = np.split(placed, np.cumsum([len(part) for part in parts[:2]]))
    found = np.full((*frame.shape, projection.dims), np.nan, np.float32)
    found[known] = of_events
    return _Placed(of_points, found, of_track.reshape(-1, 2, projection.dims))


def _shown(
    projection: SavedEmbedding, placed: Sequence[_Placed], events: Sequence[Event]
) -> dict[str, Any]:
    """A projection with everything that is drawn in it."""
    of_points, of_events = (
        np.concatenate([getattr(part, name) for part in placed]) for name in ("points", "events")
    )
    return {
        "name": f"{TITLES[projection.method]} of the {LAYER_NAMES[projection.layer]}, {projection.dims}-D",
        "dims": projection.dims,
        "about": projection.about,
        "trust": trust_in_words(projection),
        "landmarks": {name: list(where) for name, where in projection.landmarks.items()},
        "every": PLACED_EVERY[projection.has_formula],
        "points": of_points,
        "stability": stability(projection, of_points),
        "events": of_events,
        "event_stability": stability(projection, of_events),
        "tracks": [part.track for part in placed],
        "apart": [_apart(contrast, events, of_events) for contrast in SHOWN],
    }


def stability(projection: SavedEmbedding, places: NDArray[np.float32]) -> NDArray[np.float32]:
    """That of the nearest place of those that the projection was fitted on, (..., D) -> (...); NaN where it was not measured."""
    found = np.full(places.shape[:-1], np.nan, np.float32)
    known = ~np.isnan(places).any(axis=-1)
    if len(projection.places) and known.any():
        from scipy.spatial import KDTree

        found[known] = projection.stability[KDTree(projection.places).query(places[known])[1]]
    return found


def _apart(
    contrast: Contrast, events: Sequence[Event], places: NDArray[np.float32]
) -> dict[str, Any]:
    """How far apart the classes are: for each of WHOSE and WHEN_S in words, and as numbers (R, W, 8), to be plotted."""
    chosen, first = members(contrast, events)
    number = np.array([events[index].number for index in chosen], np.int64)
    speaker = np.array([events[index].speaker for index in chosen], np.int64)
    found: list[list[Apartness]] = []
    for role in range(1 if contrast.of_speakers else 2):
        found.append([])
        for when in range(len(WHEN_S)):
            if contrast.of_speakers:
                both = np.concatenate([places[chosen, when, 0], places[chosen, when, 1]])
                found[-1].append(
                    how_far_apart(
                        both,
                        np.arange(len(both)) < len(chosen),
                        np.tile(number, 2),
                        np.concatenate([speaker, 1 - speaker]),
                        np.tile(chosen, 2),
                    )
                )
            else:
                found[-1].append(
                    how_far_apart(places[chosen, when, role], first, number, speaker, chosen)
                )
    return {
        "said": [[in_words(contrast.classes, apart) for apart in row] for row in found],
        "brief": f"{contrast.subject}, " * bool(contrast.subject)
        + briefly(contrast.classes, found[0][START]),
        "figures": np.array([[_figures(apart) for apart in row] for row in found], np.float32),
    }


def _figures(apart: Apartness) -> list[float]:
    return [
        apart.first,
        apart.second,
        *(
            getattr(e, name)
            for e in (apart.line, apart.neighbours)
            for name in ("value", "low", "high")
        ),
    ]


# ---- dialogues that can be followed ----


def _embedded_seconds(collection: Collection, minutes: float) -> list[float]:
    """How much of each dialogue can be heard and followed: from the first on, until the minutes are used up."""
    left, found = max(0.0, 60 * minutes), []
    for number in range(len(collection.dialogues)):
        found.append(min(left, collection.frame_count(number) / collection.frame_rate_hz))
        left -= found[-1]
    return found


def _described(
    collection: Collection,
    dialogue: CollectedDialogue,
    frames: Columns,
    shift: NDArray[np.float32],
    embedded: int,
) -> dict[str, Any]:
    """A dialogue, and the tracks and sound of its first `embedded` frames."""
    rate_hz = collection.frame_rate_hz
    sound, shape, silent = (
        "",
        None,
        "not embedded: there are more minutes of dialogue than were asked for (--sound-minutes)",
    )
    if embedded:
        try:
            samples = sound_of(replace(dialogue, end_s=dialogue.start_s + embedded / rate_hz))
            sound, silent = embedded_sound(samples), ""
            shape = np.zeros((embedded, 2), np.uint8)
            peaks = _bytes(envelope(samples, rate_hz).T)[:embedded]
            shape[: len(peaks)] = peaks
        except (ConfigError, DialogueError):
            silent = "its audio was not collected, or is not there any more"
    return {
        "id": dialogue.id,
        "split": dialogue.split,
        "frames": len(shift),
        "embedded": embedded,
        "sound": sound,
        "silent": silent,
        "envelope": shape,
        "speaking": np.asarray(frames["speaking"][:embedded] == 1, np.uint8),
        "situation": _situation_numbers(frames["situation"][:embedded]),
        "vad": _bytes(frames["vad"][:embedded]),
        "p_next": _bytes(frames["p_next"][:embedded]),
        "p_shift": _bytes(shift[:embedded]),
    }


def _situation_numbers(names: NDArray[Any]) -> NDArray[np.uint8]:
    """Indices into SITUATIONS; what is none of these is its first, "other"."""
    return np.select(
        [names == name for name in SITUATIONS], list(range(len(SITUATIONS))), 0
    ).astype(np.uint8)


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values in [0, 1] as bytes, which suffices for a curve."""
    values = values.astype(np.float32)
    return np.where(
        np.isnan(values), UNKNOWN, np.round(np.clip(np.nan_to_num(values), 0, 1) * (UNKNOWN - 1))
    ).astype(np.uint8)


# ---- words ----


def _caption(collection: Collection, contents: dict[str, Any]) -> str:
    dialogues, points, shown = contents["dialogues"], contents["points"], contents["projections"]
    minutes = sum(dialogue["frames"] for dialogue in dialogues) / collection.frame_rate_hz / 60
    heard = (
        sum(dialogue["embedded"] for dialogue in dialogues if dialogue["sound"])
        / collection.frame_rate_hz
        / 60
    )
    names = "; ".join(projection["name"] for projection in shown)
    count, of_all = contents["silences"]["drawn"], contents["silences"]["all"]
    drawn = (
        f"{count} mutual silences" if count == of_all else f"{count} of {of_all} mutual silences"
    )
    words = [
        f"What {collection.about.model} holds in mind of {len(dialogues)} {'dialogue' if len(dialogues) == 1 else 'dialogues'} ({minutes:.1f} minutes): "
        f"{len(points['frame'])} frames of single speakers, rare situations drawn more often than they occur, and {drawn}. Projections: {names}. "
        f"{heard:.1f} minutes can be heard."
    ]
    brief = [
        shown[0]["apart"][index]["brief"]
        for index, contrast in enumerate(contents["contrasts"])
        if not contrast["lacking"]
    ]
    if brief:
        words.append(
            f"When a silence begins, in the first picture, by the state of the speaker before it, or of both where these are compared: {'; '.join(brief)}."
        )
    words += [contrast["lacking"] for contrast in contents["contrasts"] if contrast["lacking"]]
    words.append(quality_of(collection).in_words())
    return " ".join(words)
