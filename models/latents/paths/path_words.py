"""What paths show: fixed sentences, and a table of the figures that were measured of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.saved_embedding import SavedEmbedding
from ...evaluation.shift_hold import SCORE_S
from ..collection import Collection, Event
from ..drawing import listed, many
from ..quality import quality_of
from ..space.apart import how_far_apart, in_words
from ..space.trust import UNSTABLE, faithfulness, figures_in_words, neighbours_of, stability_at
from .path_states import ROLES, Paths, variance_between
from .points import SILENCES

LEAST_JUDGED = 10  # last points, for a figure of how far their picture can be believed
CROSSING = (
    "Paths that meet or cross in a picture need not have met, since a state has more values than "
    "the picture; and a neighbourhood that changes when the projection is fitted again is not to "
    "be believed."
)


def caption_of(collection: Collection, paths: Paths, role: int) -> str:
    """What paths of one of ROLES (`role`) show in the first projection, by what was measured."""
    placed, events = paths.placed[0], paths.events
    projection, points = placed.projection, placed.last_points(role)
    silences = all(event.kind in SILENCES for event in events)
    before = "the silence" if silences else "it, or of who begins or gives it"
    kinds = ", ".join(many(n, kind) for kind, n in Counter(e.kind for e in events).items())
    dialogues = many(len({event.number for event in events}), "dialogue")
    figures = {
        "shown": f"{many(len(events), 'path')} in {dialogues} ({kinds})",
        **{name: str(count) for name, count in paths.counts.items() if count},
        "through": f"layer {paths.layer} of {collection.about.model}, as {projection.method}, a "
        f"state every {placed.times_s[1] - placed.times_s[0]:g} s",
        "values of a state and of the picture": (
            f"{collection.about.sizes[paths.layer]} and {projection.dims}"
        ),
        f"wrong predictions {SCORE_S:g} s into the silence": mistakes_in_words(events),
        "of the fit": figures_in_words(projection) or "how far it can be believed was not measured",
        "of the last points": _belief(paths, points) if role == 0 else "",
        "last points where fewer than half of the neighbours stay when it is fitted again": (
            unstable_in_words(projection, points)
        ),
    }
    return (
        f"A path is the state of the {ROLES[role]} before {before}, from {paths.before_s:g} s "
        f"before the start of the event to {paths.after_s:g} s after it; its last point is at "
        f"{SCORE_S:g} s, or the end of what is over before. {CROSSING} {listed(figures)} "
        f"{_separation(paths, points)} {quality_of(collection).in_words()}"
    )


def mistakes_in_words(events: Sequence[Event]) -> str:
    """How many shifts and holds were predicted wrong, in each split where there are several."""
    judged = [event for event in events if event.correct is not None]
    if not judged:
        return "none, since no prediction is read at these events"
    wrong = [event for event in judged if not event.correct]
    kinds = Counter(event.kind for event in wrong)
    figures = [f"{len(wrong)} of {len(judged)}"]
    figures.append(f"{many(kinds['shift'], 'shift')} taken for holds")
    figures.append(f"{many(kinds['hold'], 'hold')} for shifts")
    totals, missed = (Counter(event.split for event in some) for some in (judged, wrong))
    if len(totals) > 1:
        figures += [f"{split or 'no split'} {missed[split]} of {n}" for split, n in totals.items()]
    return ", ".join(figures)


def unstable_in_words(projection: SavedEmbedding, places: NDArray[np.float32]) -> str:
    """How many places (..., D) lie where a neighbourhood is lost in a refit; "" if unknown."""
    shares = stability_at(projection, places)
    judged = int((~np.isnan(shares)).sum())
    return f"{(shares < UNSTABLE).sum()} of {judged}" if judged else ""


def _separation(paths: Paths, points: NDArray[np.float32]) -> str:
    names = sorted(set(paths.classes.tolist()), reverse=True)  # shift first
    if len(names) == 1:
        return f"All are {names[0]}s, so there is nothing to tell apart."
    share, chance = variance_between(points, paths.classes, paths.strata)
    said = (
        f"At the last points {share:.0%} of the variance within dialogue and speaker lies between "
        f"{' and '.join(names)} ({chance:.0%} is to be expected by chance)."
    )
    if len(names) > 2:
        return said
    number, speaker = np.divmod(paths.strata, 2)
    order = np.arange(len(number))
    apart = how_far_apart(points, paths.classes == names[0], number, speaker, order)
    return f"{said} {in_words((names[0], names[1]), apart)}"


def _belief(paths: Paths, points: NDArray[Any]) -> str:
    """How far the picture of the last points alone can be believed; "" of few."""
    if len(points) < LEAST_JUDGED:
        return ""
    found, count = faithfulness(paths.last_states, points), neighbours_of(len(points))
    return (
        f"{found['overlap']:.0%} of {many(count, 'nearest neighbour')} among the full states are "
        f"so here ({count / (len(points) - 1):.1%} by chance), trustworthiness "
        f"{found['trustworthiness']:.2f}, continuity {found['continuity']:.2f}"
    )
