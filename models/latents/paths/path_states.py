"""Paths: both speakers' latents around events, in a projection, with predictions and outcomes.

A path begins some time before an event (a mutual silence, as a rule) and ends some time after its
start; at the edges of a dialogue it is shorter. Its last point is the state when the decision is
read, SCORE_S into the event, or at the end of an event that is over before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
TRUE = {"shift": "shift", "gap": "shift", "hold": "hold", "pause": "hold"}  # by who speaks next
SHIFT_FROM = 0.5  # p_shift from which a shift is predicted

Float32 = NDArray[np.float32]
Times = NDArray[np.float64]


@dataclass(frozen=True)
class PlacedPaths:
    """Paths in one projection, of E events.

    Attributes:
        projection: that places them.
        times_s: of the frames' ends, from the start of the event, (P,); 0 is the newest state
            before it.
        places: of ROLES, (E, P, 2, D); NaN outside of the dialogue.
        last: where on the path its last point is, (E,).
    """

    projection: SavedEmbedding
    times_s: Times
    places: Float32
    last: NDArray[np.int64]

    def last_points(self, role: int = 0) -> Float32:
        """(E, D)."""
        return self.places[np.arange(len(self.last)), self.last, role]


@dataclass(frozen=True)
class Paths:
    """Paths around E events.

    Attributes:
        events: in order of dialogue and time.
        classes: shift or hold by who speaks next, else the kind of event, (E,).
        layer, before_s, after_s: what was asked for.
        placed: in each projection.
        states: of ROLES in all W frames, (E, W, 2, H).
        times_s: of these, (W,).
        last: which is the last point, (E,).
        counts: what is to be known of how they were chosen, in words, and of how many events.
    """

    events: list[Event]
    classes: NDArray[np.str_]
    layer: str
    before_s: float
    after_s: float
    placed: tuple[PlacedPaths, ...]
    states: Float32
    times_s: Times
    last: NDArray[np.int64]
    counts: Mapping[str, int]

    @property
    def last_states(self) -> Float32:
        """Full states of the speaker at the last points, (E, H)."""
        return self.states[np.arange(len(self.last)), self.last, 0]

    @property
    def strata(self) -> NDArray[np.int64]:
        """Number of the dialogue and the speaker before the event together, (E,)."""
        return np.array([2 * event.number + event.speaker for event in self.events])


def true_class(event: Event) -> str:
    """shift or hold, by who speaks after a mutual silence; "" of other events."""
    return TRUE.get(event.kind, "")


def predicted_class(event: Event) -> str:
    """shift or hold, by p_shift SCORE_S into the silence; "" where it is not read."""
    return "" if event.p_shift is None else "shift" if event.p_shift >= SHIFT_FROM else "hold"


def signed_log(values: Any) -> Any:
    """sign(x) log(1 + |x|), which opens up what lies near zero."""
    return np.sign(values) * np.log1p(np.abs(values))


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
    found = _once(collection.events(*kinds))
    _check(collection, projections, kinds, before_s, after_s, most, len(found))
    layer = projections[0].layer
    chosen = np.sort(np.random.default_rng(seed).permutation(len(found))[:most])
    drawn = [found[index] for index in chosen]
    states, times = collection.windows(drawn, layer, before_s, after_s)  # (E, W, 2, H)
    readable = _readable(states[:, :, 0], drawn, times)
    there: NDArray[np.bool_] = np.asarray(readable.any(axis=1))
    if not there.any():
        raise ConfigError(
            f"expected events within the dialogues' states, got {len(drawn)} that lie beyond them"
        )
    kept = [event for event, is_there in zip(drawn, there, strict=True) if is_there]
    states, readable = states[there], readable[there]
    placed: list[PlacedPaths] = []
    for projection in bar(projections, "paths", "projection"):
        rows = _rows(times, projection, collection.frame_rate_hz)
        places = place_known(placer(projection), states[:, rows], projection.dims)
        last = _last(readable[:, rows], times[rows])
        placed.append(PlacedPaths(projection, times[rows], places, last))
    return Paths(
        kept,
        np.array([true_class(event) or event.kind for event in kept]),
        layer,
        before_s,
        after_s,
        tuple(placed),
        states,
        times,
        _last(readable, times),
        {
            "drawn at random from": len(found) if len(found) > most else 0,
            "left out, beyond the end of the states": len(drawn) - len(kept),
            "cut short by the edges of a dialogue": int(np.isnan(states[:, :, 0, 0]).any(1).sum()),
        },
    )


def nearest_paths(paths: Paths) -> dict[str, Any]:
    """How far the E paths lie apart.

    That is the root mean square, over the frames up to the last point, of how far the speaker's
    full states do.

    Returns:
        `nearest`, the event of another class whose path is nearest, -1 where there is none, (E,);
        `distance` to it, (E,); `near`, the NEAR events of any class whose paths are, -1 where there
        are fewer, (E, NEAR); and `typical`, the median over pairs, NaN of fewer than two.
    """
    from sklearn.metrics.pairwise import nan_euclidean_distances

    count, until = len(paths.events), np.flatnonzero(paths.times_s <= SCORE_S + 1e-6)
    known = (until <= paths.last[:, None])[:, :, None]
    states = np.where(known, paths.states[:, until, 0], np.nan).reshape(count, -1)
    # It makes up for what is missing, as if all frames were there.
    apart = nan_euclidean_distances(states) / np.sqrt(len(until))
    apart = np.where(np.isnan(apart), np.inf, apart)
    pairs = apart[np.triu_indices(count, 1)]
    pairs = pairs[np.isfinite(pairs)]
    np.fill_diagonal(apart, np.inf)
    other = np.where(paths.classes[:, None] != paths.classes, apart, np.inf)
    distance = other.min(axis=1)
    order = np.argsort(apart, axis=1, kind="stable")[:, :NEAR]
    near = np.full((count, NEAR), -1, np.int32)
    there = np.isfinite(np.take_along_axis(apart, order, 1))
    near[:, : order.shape[1]] = np.where(there, order, -1)
    return {
        "nearest": np.where(np.isfinite(distance), other.argmin(axis=1), -1),
        "distance": np.where(np.isfinite(distance), distance, np.nan).astype(np.float32),
        "near": near,
        "typical": float(np.median(pairs)) if len(pairs) else math.nan,
    }


def mean_path(places: Float32) -> Float32:
    """Mean over paths (E, P, D) -> (P, D); NaN at times that fewer than half of them have."""
    counts = (~np.isnan(places[:, :, :1])).sum(axis=0)
    means = np.nansum(places, axis=0, dtype=np.float64) / np.maximum(counts, 1)
    return np.where(counts >= max(1, len(places) / 2), means, np.nan).astype(np.float32)


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
        return math.nan, math.nan
    fit, _, rank, _ = np.linalg.lstsq(belongs, values, rcond=None)
    return float(((belongs @ fit) ** 2).sum() / total), float(rank / free)


def _centred(values: Times, strata: NDArray[Any]) -> Times:
    """Values (N, D) less the mean of their stratum."""
    same = strata[:, None] == np.unique(strata)
    return values - same @ (same.T @ values / same.sum(axis=0)[:, None])


def stretch_of(
    collection: Collection, number: int, between: tuple[float, float] | None
) -> tuple[int, int]:
    """Frames of a dialogue, first and last (exclusive), of a part in seconds; None is all.

    Raises:
        ConfigError: no part of the dialogue.
    """
    whole_s = collection.frame_count(number) / collection.frame_rate_hz
    start_s, end_s = between or (0.0, math.inf)
    first, last = (collection.frame_of(min(second, whole_s)) for second in (start_s, end_s))
    if not 0 <= first < last:
        raise ConfigError(
            f"expected a part of {whole_s:g} s of dialogue, got {start_s:g} to {end_s:g} s"
        )
    return first, last


def _check(
    collection: Collection,
    projections: Sequence[SavedEmbedding],
    kinds: Sequence[str],
    before_s: float,
    after_s: float,
    most: int,
    found: int,
) -> None:
    layers = sorted({projection.layer for projection in projections})
    unknown = ", ".join(kind for kind in kinds if kind not in EVENT_KINDS)
    all_kinds, frame_s = ", ".join(EVENT_KINDS), 1 / collection.frame_rate_hz
    frames = min(most, found) * (before_s + after_s) / frame_s
    needed = {
        f"projections of one layer, got {', '.join(layers) or 'none'}": len(layers) == 1,
        f"kinds of events among {all_kinds}, got {unknown or 'none'}": kinds and not unknown,
        f"paths that begin at least a frame, {frame_s:g} s, before the event, got {before_s:g} s": (
            before_s >= frame_s
        ),
        f"paths that go on for at least {SCORE_S:g} s, when the decision is read, after an event's "
        f"start, got {after_s:g} s": after_s >= SCORE_S,
        f"at least one path, got {most}": most >= 1,
        f"at least one event among {', '.join(kinds)} to draw the path of, got none in "
        f"{collection.folder}": found,
        f"at most {MOST_FRAMES} frames in all paths together, got {frames:.0f}: ask for fewer "
        "or shorter ones": frames <= MOST_FRAMES,
    }
    for expected, is_so in needed.items():
        if not is_so:
            raise ConfigError(f"expected {expected}")


def _once(events: list[Event]) -> list[Event]:
    """Without the gaps and pauses that are also given as shifts and holds."""
    clear = {(event.number, event.start_s) for event in events if event.kind in ("shift", "hold")}
    return [
        event
        for event in events
        if event.kind not in ("gap", "pause") or (event.number, event.start_s) not in clear
    ]


def _rows(times: Times, projection: SavedEmbedding, rate_hz: float) -> NDArray[np.int64]:
    """Frames that are placed: the event's start and the decision are among them."""
    every, decision = PLACED_EVERY[projection.has_formula], int(SCORE_S * rate_hz + 1e-6)
    step = every if decision % every == 0 else 1
    return np.arange(int(np.abs(times).argmin()) % step, len(times), step)


def _readable(states: Float32, events: Sequence[Event], times: Times) -> NDArray[np.bool_]:
    ends = np.array([min(SCORE_S, event.end_s - event.start_s) for event in events])
    return ~np.isnan(states[:, :, 0]) & (times > 1e-6) & (times <= ends[:, None] + 1e-6)


def _last(readable: NDArray[np.bool_], times: Times) -> NDArray[np.int64]:
    """The newest frame that can be read, (E,); the event's start where none of those placed can."""
    newest = readable.shape[1] - 1 - readable[:, ::-1].argmax(axis=1)
    return np.where(readable.any(axis=1), newest, int(np.abs(times).argmin()))
