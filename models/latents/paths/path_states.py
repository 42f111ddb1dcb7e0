"""Paths: both speakers' latents around events, in a projection, with predictions and outcomes.

A path begins some time before an event (a mutual silence, as a rule) and ends some time after its
start; at the edges of a dialogue it is shorter. Its last point is the state when the decision is
read, SCORE_S into the event, or at the end of an event that is over before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ....stream.saved_embedding import SavedEmbedding
from ...evaluation.shift_hold import SCORE_S
from ..bars import bar
from ..collection import Collection, Event
from ..moments import EVENT_KINDS
from ..space.fitting import place_known, placer

BEFORE_S, AFTER_S, MOST = 1.0, 0.5, 200  # of paths, unless others are asked for
MOST_FRAMES = 300_000  # of all paths together: their states are held at once
# Frames that are placed: by a formula all, else some, since that takes long.
PLACED_EVERY = {True: 1, False: 3}
NEAR = 5  # paths that are known to be near to one
ROLES = ("speaker", "listener")  # before the event; axis of places
TRUE = {
    "shift": "shift",
    "gap": "shift",
    "hold": "hold",
    "pause": "hold",
}  # who speaks next is what counts
SHIFT_FROM = 0.5  # p_shift from which a shift is predicted

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class PlacedPaths:
    """Paths in one projection, of E events.

    Attributes:
        projection: that places them.
        times_s: of the frames' ends, from the start of the event, (P,); 0 is the newest state
            before it.
        places: of ROLES, (E, P, 2, D); NaN outside of the dialogue.
        last: where on the path its last point is, (E,).
        every: one frame in so many is placed.
    """

    projection: SavedEmbedding
    times_s: NDArray[np.float64]
    places: Float32
    last: NDArray[np.int64]
    every: int

    def last_points(self, role: int = 0) -> Float32:
        """(E, D)."""
        return self.places[np.arange(len(self.last)), self.last, role]


@dataclass(frozen=True)
class Paths:
    """Paths around E events.

    Attributes:
        events: in order of dialogue and time.
        available: how many such events there are, of which these were drawn.
        kinds, layer, before_s, after_s: what was asked for.
        placed: in each projection.
        last_states: full states of the speaker at the last points, (E, H).
        nearest: of each event, the one of the other class whose path is nearest to its own, -1
            where there is none, (E,).
        distance: to it, (E,): root mean square over the frames up to the last point of how far the
            speaker's full states lie apart.
        near: of each event, the NEAR events of any class whose paths are, -1 where there are fewer,
            (E, NEAR).
        typical: median of such distances between any two paths; NaN of fewer than two.
        shortened: how many paths the edges of a dialogue cut short.
        left_out: how many events lie beyond the states of their dialogue, and have no path.
    """

    events: list[Event]
    available: int
    kinds: tuple[str, ...]
    layer: str
    before_s: float
    after_s: float
    placed: tuple[PlacedPaths, ...]
    last_states: Float32
    nearest: NDArray[np.int64]
    distance: Float32
    near: NDArray[np.int32]
    typical: float
    shortened: int
    left_out: int


def true_class(event: Event) -> str:
    """shift or hold, by who speaks after a mutual silence; "" of other events."""
    return TRUE.get(event.kind, "")


def predicted_class(event: Event) -> str:
    """shift or hold, by p_shift SCORE_S into the silence; "" where it is not read."""
    return "" if event.p_shift is None else "shift" if event.p_shift >= SHIFT_FROM else "hold"


def signed_log(values: Any) -> Any:
    """sign(x) log(1 + |x|), which opens up what lies near zero."""
    return np.sign(values) * np.log1p(np.abs(values))


def signed_exp(values: Any) -> Any:
    """The inverse of `signed_log`."""
    return np.sign(values) * np.expm1(np.abs(values))


def gather_paths(
    collection: Collection,
    projections: Sequence[SavedEmbedding],
    kinds: Sequence[str] = ("shift", "hold"),
    *,
    before_s: float = BEFORE_S,
    after_s: float = AFTER_S,
    most: int = MOST,
    seed: int = 0,
) -> Paths:
    """Draw events, and place the states around them.

    Args:
        collection: of dialogues.
        projections: one or more, all of the same layer of the collection's network.
        kinds: of EVENT_KINDS; a gap or pause that is also a shift or a hold which is asked for
            counts once.
        before_s, after_s: how long a path is, from the start of the event.
        most: events, drawn by chance where there are more.
        seed: of the draw.
    Raises:
        ConfigError: what cannot be drawn, or no such event.
    """
    layer = _check(collection, projections, kinds, before_s, after_s, most)
    found = _once(collection.events(*kinds))
    chosen = np.sort(np.random.default_rng(seed).permutation(len(found))[:most])
    events = [found[index] for index in chosen]
    if not events:
        raise ConfigError(
            f"expected at least one event among {', '.join(kinds)} to draw the path of, got none "
            f"in {collection.folder}"
        )
    rate_hz = collection.frame_rate_hz
    kept: list[Event] = []
    placed: list[list[tuple[Float32, NDArray[np.int64]]]] = [[] for _ in projections]
    places_of = [placer(projection) for projection in projections]
    steps = [_step(projection, rate_hz) for projection in projections]
    speaker: list[Float32] = []
    times = np.zeros(0)
    numbers = sorted({event.number for event in events})
    for number in bar(numbers, "paths", "dialogue"):
        here = [event for event in events if event.number == number]
        states, times = collection.windows(here, layer, before_s, after_s)  # (E, W, 2, H)
        readable = _readable(states[:, :, 0], here, times)
        whole: NDArray[np.bool_] = np.asarray(readable.any(axis=1))
        here, states, readable = (
            [event for event, there in zip(here, whole, strict=True) if there],
            states[whole],
            readable[whole],
        )
        kept += here
        speaker.append(states[:, :, 0])
        for projection, place, step, parts in zip(
            projections, places_of, steps, placed, strict=True
        ):
            rows = _rows(times, step)
            placed_here = place_known(place, states[:, rows], projection.dims)
            parts.append((placed_here, _last(readable[:, rows], times[rows])))
    if not kept:
        raise ConfigError(
            f"expected events within the dialogues' states, got {len(events)} that lie beyond them"
        )
    joined = np.concatenate(speaker)  # (E, W, H)
    del speaker
    last = _last(_readable(joined, kept, times), times)
    nearest, distance, near, typical = _nearest(
        joined, times, last, np.array([true_class(event) or event.kind for event in kept])
    )
    return Paths(
        events=kept,
        available=len(found),
        kinds=tuple(kinds),
        layer=layer,
        before_s=before_s,
        after_s=after_s,
        placed=tuple(
            PlacedPaths(
                projection,
                times[_rows(times, step)],
                np.concatenate([part[0] for part in parts]),
                np.concatenate([part[1] for part in parts]),
                step,
            )
            for projection, step, parts in zip(projections, steps, placed, strict=True)
        ),
        last_states=joined[np.arange(len(kept)), last],
        nearest=nearest,
        distance=distance,
        near=near,
        typical=typical,
        shortened=int(np.isnan(joined[:, :, 0]).any(axis=1).sum()),
        left_out=len(events) - len(kept),
    )


def mean_path(places: Float32) -> Float32:
    """Mean over paths (E, P, D) -> (P, D); NaN at times that fewer than half of them have."""
    known = ~np.isnan(places[:, :, :1])
    counts = known.sum(axis=0)
    sums = np.where(known, places, 0).sum(axis=0, dtype=np.float64)
    return np.where(counts >= max(1, len(places) / 2), sums / np.maximum(counts, 1), np.nan).astype(
        np.float32
    )


def variance_between(
    points: NDArray[Any], groups: NDArray[Any], strata: NDArray[Any]
) -> tuple[float, float]:
    """The share of the points' variance within strata that lies between groups, and by chance.

    NaN where nothing varies.

    Args:
        points: (N, D).
        groups: name of each one's, (N,).
        strata: dialogue and speaker, (N,).
    """
    values = _centred(points.astype(np.float64), strata)
    belongs = _centred((groups[:, None] == np.unique(groups)).astype(np.float64), strata)
    total, free = (values**2).sum(), len(points) - len(np.unique(strata))
    if not total > 0:
        return float("nan"), float("nan")
    fit, _, rank, _ = np.linalg.lstsq(belongs, values, rcond=None)
    return float(((belongs @ fit) ** 2).sum() / total), float(rank / free)


def _centred(values: NDArray[np.float64], strata: NDArray[Any]) -> NDArray[np.float64]:
    """Values (N, D) less the mean of their stratum."""
    centred = values.copy()
    for one in np.unique(strata):
        centred[strata == one] -= values[strata == one].mean(axis=0)
    return centred


def stretch_of(
    collection: Collection, number: int, between: tuple[float, float] | None
) -> tuple[int, int]:
    """Frames of a dialogue, first and last (exclusive), of a part in seconds; None is all.

    Raises:
        ConfigError: no part of the dialogue.
    """
    count = collection.frame_count(number)
    if between is None:
        return 0, count
    first, last = (min(collection.frame_of(seconds), count) for seconds in between)
    if not 0 <= first < last:
        raise ConfigError(
            f"expected a part of {count / collection.frame_rate_hz:g} s of dialogue, got "
            f"{between[0]:g} to {between[1]:g} s"
        )
    return first, last


def check_whose(whose: str) -> None:
    """Refuse what is not one of ROLES."""
    if whose not in ROLES:
        raise ConfigError(f"expected whose paths to show, among {', '.join(ROLES)}, got {whose!r}")


def _check(
    collection: Collection,
    projections: Sequence[SavedEmbedding],
    kinds: Sequence[str],
    before_s: float,
    after_s: float,
    most: int,
) -> str:
    layers = {projection.layer for projection in projections}
    if len(layers) != 1:
        raise ConfigError(
            f"expected projections of one layer, got {', '.join(sorted(layers)) or 'none'}"
        )
    unknown = [kind for kind in kinds if kind not in EVENT_KINDS]
    if unknown or not kinds:
        raise ConfigError(
            f"expected kinds of events among {', '.join(EVENT_KINDS)}, got "
            f"{', '.join(unknown) or 'none'}"
        )
    if not before_s * collection.frame_rate_hz >= 1:
        raise ConfigError(
            f"expected paths that begin at least a frame, {1 / collection.frame_rate_hz:g} s, "
            f"before the event, got {before_s:g} s"
        )
    if not after_s >= SCORE_S:
        raise ConfigError(
            f"expected paths that go on for at least {SCORE_S:g} s, when the decision is read, "
            f"after an event's start, got {after_s:g} s"
        )
    if most < 1:
        raise ConfigError(f"expected at least one path, got {most}")
    frames = min(most, len(collection.events(*kinds))) * collection.frame_of(before_s + after_s)
    if frames > MOST_FRAMES:
        raise ConfigError(
            f"expected at most {MOST_FRAMES} frames in all paths together, got {frames}: ask for "
            "fewer or shorter ones"
        )
    return layers.pop()


def _once(events: list[Event]) -> list[Event]:
    """Without the gaps and pauses that are also given as shifts and holds."""
    clear = {(event.number, event.start_s) for event in events if event.kind in ("shift", "hold")}
    return [
        event
        for event in events
        if event.kind not in ("gap", "pause") or (event.number, event.start_s) not in clear
    ]


def _step(projection: SavedEmbedding, rate_hz: float) -> int:
    """Every how many frames a path has a point: the event's start and the decision have one."""
    every, decision = PLACED_EVERY[projection.has_formula], int(SCORE_S * rate_hz + 1e-6)
    return every if decision % every == 0 else 1


def _rows(times: NDArray[np.float64], step: int) -> NDArray[np.int64]:
    zero = int(np.abs(times).argmin())
    return np.arange(zero % step, len(times), step)


def _readable(
    states: Float32, events: Sequence[Event], times: NDArray[np.float64]
) -> NDArray[np.bool_]:
    ends = np.array([min(SCORE_S, event.end_s - event.start_s) for event in events])
    return ~np.isnan(states[:, :, 0]) & (times > 1e-6) & (times <= ends[:, None] + 1e-6)


def _last(readable: NDArray[np.bool_], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """The newest frame that can be read, (E,); the event's start where none of those placed can."""
    newest = readable.shape[1] - 1 - readable[:, ::-1].argmax(axis=1)
    return np.where(readable.any(axis=1), newest, int(np.abs(times).argmin()))


def _nearest(
    states: Float32, times: NDArray[np.float64], last: NDArray[np.int64], classes: NDArray[np.str_]
) -> tuple[NDArray[np.int64], Float32, NDArray[np.int32], float]:
    """The nearest path of another class, its distance, those near it, pairs' median; see Paths."""
    count = len(states)
    squares, shared = np.zeros((count, count)), np.zeros((count, count))
    for frame in np.flatnonzero(times <= SCORE_S + 1e-6):
        known = ~np.isnan(states[:, frame, 0]) & (frame <= last)
        x = np.where(known[:, None], states[:, frame], 0).astype(np.float64)
        norms = (x**2).sum(axis=1)
        both = known[:, None] & known[None]
        squares += np.where(both, np.maximum(norms[:, None] + norms[None] - 2 * x @ x.T, 0), 0)
        shared += both
    apart = np.sqrt(np.divide(squares, shared, out=np.full_like(squares, np.inf), where=shared > 0))
    pairs = apart[np.triu_indices(count, 1)]
    pairs = pairs[np.isfinite(pairs)]
    other = np.where(classes[:, None] != classes[None], apart, np.inf)
    nearest = other.argmin(axis=1)
    distance = other[np.arange(count), nearest]
    there = np.isfinite(distance)
    near = np.full((count, NEAR), -1, np.int32)
    np.fill_diagonal(apart, np.inf)
    order = np.argsort(apart, axis=1, kind="stable")[:, :NEAR]
    near[:, : order.shape[1]] = np.where(
        np.isfinite(np.take_along_axis(apart, order, 1)), order, -1
    )
    return (
        np.where(there, nearest, -1),
        np.where(there, distance, np.nan).astype(np.float32),
        near,
        float(np.median(pairs)) if len(pairs) else float("nan"),
    )
