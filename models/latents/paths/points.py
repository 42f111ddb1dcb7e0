"""The points of a page: frames of single speakers, and the speakers at times around silences.

Points are coloured by what happens in them. For contrasts of events they are the states of the
speakers at one time before or in a mutual silence; how far apart two classes lie in the picture
(space/apart.py) is measured for each projection, time and speaker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.saved_embedding import SavedEmbedding
from ..collection import Collection, Event
from ..drawing import listed, many
from ..events.contrasts import CONTRASTS, Contrast
from ..labels import coded_label
from ..space.apart import Apartness, briefly, how_far_apart, in_words
from ..space.fitting import Placer, place_known
from ..space.trust import name_of_fit, near_among, stability_at, trust_in_words
from .heard import situation_numbers
from .path_states import PLACED_EVERY, Float32

# Of reading, from the start of a silence.
WHEN_S = (-0.5, -0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5)
START = WHEN_S.index(0.0)
WHOSE = ("the speaker before the silence", "the other speaker")
SILENCES = ("shift", "hold", "gap", "pause")
NEAR_POINTS, NEAR_EVENTS = 8, 5  # neighbours that the page knows of a frame and of an event
OFFERED = ("shift-hold", "gap-pause", "speaker-listener", "shift-correct", "hold-correct")
SHOWN = tuple(CONTRASTS[name] for name in (*OFFERED, "question-statement"))
POINT = (
    "A point is what the network holds in mind of one speaker in one frame; rare situations are "
    "drawn more often than they occur."
)

Frames = NDArray[np.int64]


def drawn_events(collection: Collection, most: int, seed: int) -> tuple[list[Event], int]:
    """Every event, but at most so many mutual silences; and how many of these there are."""
    events = collection.events()
    every = silences(events)
    order = np.random.default_rng(seed).permutation(len(every))
    left_out = {every[index] for index in order[most:]}
    kept = [
        event
        for event in events
        if event.kind not in SILENCES or (event.number, event.start_s) not in left_out
    ]
    return kept, len(every)


def silences(events: Sequence[Event]) -> list[tuple[int, float]]:
    """Dialogue and start of every mutual silence; a shift or a hold is also a gap or a pause."""
    return sorted({(event.number, event.start_s) for event in events if event.kind in SILENCES})


def members(contrast: Contrast, events: Sequence[Event]) -> tuple[Frames, NDArray[np.bool_]]:
    """Indices of a contrast's events, (M,), and whether each is of its first class, (M,).

    Where the two speakers of each event are compared, all are.
    """
    if contrast.of_speakers:
        chosen = [index for index, event in enumerate(events) if event.kind in contrast.kinds]
        return np.array(chosen, np.int64), np.ones(len(chosen), bool)
    labels = [contrast.is_first(event) for event in events]
    kept = [index for index, label in enumerate(labels) if label is not None]
    return np.array(kept, np.int64), np.array([labels[index] for index in kept], bool)


def readings(events: Sequence[Event], frames: int, collection: Collection) -> Frames:
    """The newest frame of one dialogue's events at each of WHEN_S, (E, W).

    -1 outside of the dialogue or after the silence.
    """
    bounds = [[collection.frame_of(s) for s in (e.start_s, e.end_s)] for e in events]
    start, end = np.array(bounds, np.int64).reshape(-1, 2).T[:, :, None]
    after = start + np.array([collection.frame_of(when) for when in WHEN_S])
    return np.where((after >= 1) & (after <= np.minimum(end, frames)), after - 1, -1)


def event_states(states: Float32, events: Sequence[Event], at: Frames) -> Float32:
    """States of one dialogue (T, 2, H) where its events are read, (E, W, 2, H); NaN where not.

    The speaker before an event comes first.
    """
    roles = np.array([(event.speaker, 1 - event.speaker) for event in events], np.int64)
    found = states[np.maximum(at, 0)[:, :, None], roles.reshape(-1, 1, 2)]
    found[at < 0] = np.nan
    return found


def points_section(
    collection: Collection, sample: Mapping[str, Any], events: Sequence[Event], read: Frames
) -> dict[str, Any]:
    """What a page shows of points in every projection.

    Args:
        collection: that they are of.
        sample: N rows, with `p_shift` and labels of one's own.
        events: E of them.
        read: frame of each at WHEN_S, (E, W).
    """
    numbers = ("vad", "p_next", "p_shift", "time_s")
    return {
        "points": {
            "number": sample["number"],
            "frame": sample["frame"],
            "speaker": sample["speaker"].astype(np.uint8),
            "situation": situation_numbers(sample["situation"]),
            **{name: sample[name].astype(np.float32) for name in numbers},
        },
        "labels": {name: coded_label(sample[name]) for name in collection.labels},
        "event_frames": read,
        "when_s": list(WHEN_S),
        "whose": list(WHOSE),
        "contrasts": [_members(contrast, events) for contrast in SHOWN],
    }


def placed_points(
    projection: SavedEmbedding,
    put: Placer,
    events: Sequence[Event],
    points: Float32,
    of_events: Float32,
) -> dict[str, Any]:
    """A projection, and the points and events in it.

    Args:
        projection, put: to place in.
        events: E of them.
        points: states, (N, H).
        of_events: states, (E, W, 2, H).
    """
    places = place_known(put, points, projection.dims)
    event_places = place_known(put, of_events, projection.dims)
    return {
        "name": f"{name_of_fit(projection)}, {projection.dims}-D",
        **{name: getattr(projection, name) for name in ("layer", "width", "dims", "about")},
        "trust": trust_in_words(projection),
        "figures": projection.trust,
        "landmarks": projection.landmarks,
        "every": PLACED_EVERY[projection.has_formula],
        "points": places,
        "stability": stability_at(projection, places),
        "events": event_places,
        "event_stability": stability_at(projection, event_places),
        "apart": [_apart(contrast, events, event_places) for contrast in SHOWN],
    }


def neighbours(events: Sequence[Event], points: Float32, of_events: Float32) -> dict[str, Any]:
    """Nearest states: of frames (N, K) among frames; of events (E, W, 2, K) among their kind.

    Shifts and holds are of one kind, gaps and pauses of another.
    """
    kinds = np.array([event.kind for event in events], dtype=str)
    found = np.full((*of_events.shape[:3], NEAR_EVENTS), -1, np.int32)
    for together in (SILENCES[:2], SILENCES[2:]):
        rows = np.flatnonzero(np.isin(kinds, together))
        if not len(rows):
            continue
        for when, role in np.ndindex(*of_events.shape[1:3]):
            near = near_among(of_events[rows, when, role], NEAR_EVENTS)
            found[rows, when, role] = np.where(near < 0, -1, rows[near])
    return {"points": near_among(points, NEAR_POINTS), "events": found}


def points_in_words(
    collection: Collection, contents: Mapping[str, Any], drawn: int, every: int
) -> str:
    """Return what a page's points are, and how far classes lie apart when a silence begins."""
    dialogues, contrasts = contents["dialogues"], contents["contrasts"]
    shown, frames_a_minute = contents["projections"], 60 * collection.frame_rate_hz
    minutes = sum(dialogue["frames"] for dialogue in dialogues) / frames_a_minute
    heard = sum(d["embedded"] for d in dialogues if d["sound"]) / frames_a_minute
    figures = {
        "network": collection.about.model,
        "dialogues": f"{many(len(dialogues), 'dialogue')} ({minutes:.1f} minutes), of which "
        f"{heard:.1f} minutes can be heard",
        "points": f"{len(contents['points']['frame'])} frames of single speakers, and {drawn} of "
        f"{every} mutual silences",
        "projections": ", ".join(projection["name"] for projection in shown),
    }
    when = "when a silence begins, in the first projection, by the speaker before it or by both"
    figures[when] = ", ".join(
        apart["brief"]
        for apart, contrast in zip(shown[0]["apart"], contrasts, strict=True)
        if not contrast["lacking"]
    )
    lacking = [contrast["lacking"] for contrast in contrasts if contrast["lacking"]]
    return " ".join([POINT, listed(figures), *lacking])


def _members(contrast: Contrast, events: Sequence[Event]) -> dict[str, Any]:
    chosen, first = members(contrast, events)
    name = contrast.words(" against ") + " before a mutual silence" * contrast.of_speakers
    lacking = f"{name.capitalize()} is not offered: {contrast.lacking}."
    return {
        "name": name,
        "classes": list(contrast.classes),
        "events": chosen,
        "first": first.astype(np.uint8),
        "by_role": contrast.of_speakers,
        "lacking": "" if len(chosen) else lacking,
    }


def _apart(contrast: Contrast, events: Sequence[Event], places: Float32) -> dict[str, Any]:
    """How far apart the classes are: each of WHOSE at WHEN_S in words, and as numbers (R, W, 8)."""
    chosen, first = members(contrast, events)
    number = np.array([events[index].number for index in chosen], np.int64)
    speaker = np.array([events[index].speaker for index in chosen], np.int64)
    rows = [(places[chosen, :, role], (first, number, speaker, chosen)) for role in (0, 1)]
    if contrast.of_speakers:
        both = np.concatenate([places[chosen, :, 0], places[chosen, :, 1]])  # (2 M, W, D)
        of_first = np.arange(len(both)) < len(chosen)
        whose = np.concatenate([speaker, 1 - speaker])
        rows = [(both, (of_first, np.tile(number, 2), whose, np.tile(chosen, 2)))]
    found = [
        [how_far_apart(values[:, when], *of) for when in range(len(WHEN_S))] for values, of in rows
    ]
    subject = f"{contrast.subject}: " * bool(contrast.subject)
    return {
        "said": [[in_words(contrast.classes, apart) for apart in row] for row in found],
        "brief": subject + briefly(contrast.classes, found[0][START]),
        "figures": np.array([[_figures(apart) for apart in row] for row in found], np.float32),
    }


def _figures(apart: Apartness) -> list[float]:
    estimates = [
        value for found in (apart.line, apart.neighbours) for value in vars(found).values()
    ]
    return [apart.first, apart.second, *estimates]
