"""What paths show, in words that follow from what was measured of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...evaluation.shift_hold import SCORE_S
from ..collection import Collection, Event
from ..moments import EVENT_KINDS
from ..quality import quality_of
from ..space.apart import how_far_apart, in_words
from ..space.trust import (
    UNSTABLE,
    faithfulness,
    figures_in_words,
    neighbours_of,
    overlap_in_words,
    stability_at,
)
from .path_states import ROLES, Paths, PlacedPaths, true_class, variance_between
from .points import SILENCES

LEAST_JUDGED = 10  # last points, for a figure of how far their picture can be believed


def caption_of(
    collection: Collection, paths: Paths, role: int, placed: PlacedPaths | None = None
) -> str:
    """What paths show, by what was measured of them.

    Args:
        collection: that they are from.
        paths: to describe.
        role: whose, index into ROLES.
        placed: in which projection (None: the first).
    """
    placed = placed or paths.placed[0]
    projection, width = placed.projection, collection.about.sizes[paths.layer]
    is_silence = set(paths.kinds) <= set(SILENCES)
    event = "the silence" if is_silence else "it, or of who begins or gives it"
    whose = f"the {ROLES[role]} before {event}"
    words = [
        f"{_counted(len(paths.events), 'path')} through layer {paths.layer} of "
        f"{collection.about.model} ({_counts(paths)}{_drawn(paths)}) in "
        f"{_counted(len({event.number for event in paths.events}), 'dialogue')}, as "
        f"{projection.method} in {projection.dims}-D: the state of {whose}, "
        f"from {paths.before_s:g} s before the start of the event to {paths.after_s:g} s after it."
    ]
    if placed.every > 1:
        words.append(
            f"One frame in {placed.every} is placed, since this projection has no formula."
        )
    if paths.shortened:
        words.append(f"{_counted(paths.shortened, 'path')} cut short by the edges of a dialogue.")
    words += [_separation(paths, placed, role), mistakes_in_words(paths.events)]
    words.append(
        f"A state has {width} values, the picture {projection.dims}: paths that meet or cross in "
        "it need not have met, and a neighbourhood that "
        "changes when the projection is fitted again is not to be believed."
    )
    words += [_belief(paths, placed, role), quality_of(collection).in_words()]
    return " ".join(part for part in words if part)


def mistakes_in_words(events: Sequence[Event]) -> str:
    """How many shifts and holds were predicted wrong, in each split where there are several."""
    judged = [event for event in events if event.correct is not None]
    if not judged:
        return "No prediction is read at these events, so none can be wrong."
    wrong = [event for event in judged if not event.correct]
    missed = sum(event.kind == "shift" for event in wrong)
    said = f"{SCORE_S:g} s into the silence {len(wrong)} of {len(judged)} predictions were wrong"
    if wrong:
        said += f": {_counted(missed, 'shift')} taken for {'a hold' if missed == 1 else 'holds'}, "
        others = len(wrong) - missed
        said += f"{_counted(others, 'hold')} for {'a shift' if others == 1 else 'shifts'}"
    splits = list(dict.fromkeys(event.split for event in judged))
    if len(splits) > 1:
        shares = [
            f"{split or 'no split'} {sum(e.split == split for e in wrong)} of "
            f"{sum(e.split == split for e in judged)}"
            for split in splits
        ]
        said += f" ({', '.join(shares)})"
    return f"{said}."


def _separation(paths: Paths, placed: PlacedPaths, role: int) -> str:
    classes = np.array([true_class(event) or event.kind for event in paths.events])
    names = sorted(set(classes.tolist()), reverse=True)  # shift first
    points = placed.last_points(role)
    if len(names) == 1:
        return f"All are {names[0]}s, so there is nothing to tell apart."
    numbers = np.array([event.number for event in paths.events])
    speakers = np.array([event.speaker for event in paths.events])
    share, chance = variance_between(points, classes, 2 * numbers + speakers)
    short = any(event.end_s - event.start_s < SCORE_S for event in paths.events)
    when = f"{SCORE_S:g} s after the start{', or the end of what is over before' if short else ''}"
    said = (
        f"At the last points ({when}) {share:.0%} of the variance within dialogue and speaker lies "
        f"between {' and '.join(names) if len(names) == 2 else 'the kinds'} ({chance:.0%} is to be "
        "expected by chance)."
    )
    if len(names) > 2:
        return said
    pair = (names[0], names[1])
    order = np.arange(len(numbers))
    apart = how_far_apart(points, classes == pair[0], numbers, speakers, order)
    return f"{said} {in_words(pair, apart)}"


def _belief(paths: Paths, placed: PlacedPaths, role: int) -> str:
    """How far the picture can be believed: by its fit's figures, and of the last points alone."""
    projection, said = placed.projection, []
    figures = figures_in_words(projection)
    said.append(
        f"When it was fitted: {figures}."
        if figures
        else "How far it can be believed was not measured when it was fitted."
    )
    points = placed.last_points(role)
    if role == 0 and len(points) >= LEAST_JUDGED:
        found = faithfulness(paths.last_states, points)
        neighbours = f"{_counted(neighbours_of(len(points)), 'neighbour')}, 1 being perfect"
        said.append(
            f"Of the last points: {overlap_in_words(found['overlap'], len(points))} "
            f"Trustworthiness {found['trustworthiness']:.2f}, "
            f"continuity {found['continuity']:.2f} ({neighbours})."
        )
    shares = stability_at(projection, points)
    known = ~np.isnan(shares)
    if known.any():
        lost, judged = (
            int((shares[known] < UNSTABLE).sum()),
            _counted(int(known.sum()), "last point"),
        )
        said.append(
            f"{lost} of {judged} {'lies' if lost == 1 else 'lie'} where fewer than half of the "
            "neighbours stay when it is fitted again."
        )
    return " ".join(said)


def _counts(paths: Paths) -> str:
    counts = {kind: sum(event.kind == kind for event in paths.events) for kind in EVENT_KINDS}
    return ", ".join(_counted(count, kind) for kind, count in counts.items() if count)


def _drawn(paths: Paths) -> str:
    said = (
        f"; drawn from {paths.available}"
        if paths.available > len(paths.events) + paths.left_out
        else ""
    )
    return said + (f"; {paths.left_out} beyond the end of the states" if paths.left_out else "")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
