"""Mean encodings of two classes of events, and how far apart they are.

The classes are compared within dialogue and speaker: means are of each speaker's class means,
weighted as both classes of the speaker allow (n1 n2 / n). Only moments up to the end of an event
count, unless those beyond are asked for. The course of the whole difference is more than chance
where it lies above a band that 95 % of random orders of the labels, within dialogue and speaker,
stay within at all times.

Dialogue by dialogue, sums are kept, never the states, so memory does not grow with the dialogues.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ..bars import bar
from ..collection import Collection
from .contrasts import EVENT_CONTRASTS, Contrast, backchannel_cases, event_cases, stretch
from .label_contrasts import contrast_in

LEAST = 5  # of each class, for a figure
ORDERS = 199  # random orders of the labels
MOST = 2000  # backchannels, and as many windows without
SEED = 0
BACKCHANNEL = "backchannel"

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Sums = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Averages:
    """Mean encodings around events.

    S is 2, the speaker before the event and the other one; 1 where the two are what is compared.

    Attributes:
        times_s: ends of the frames, from the event's start, (W,).
        events, dialogues: of each class, and that they are from.
        counts: of each class that are there at each time, of speakers that have both, (W, 2).
        means: of each class, (2, W, S, H), NaN where fewer than LEAST of a class are there.
        effect: Cohen's d, (W, S, H).
        course: root mean square over units of the difference of the means, in standard deviations
            over both classes within speakers, (W,).
        chance: the same in the middle of the random orders, and the upper edge of the band, (W, 2).
        largest: the greatest difference of any unit at any time, in such deviations, that 95 % of
            the random orders stay below.
        beyond: how many of the S x H units differ by more than that at some time.
    """

    contrast: Contrast
    layer: str
    times_s: Floats
    events: tuple[int, int]
    dialogues: int
    counts: NDArray[np.int64]
    means: Floats
    effect: Floats
    course: Floats
    chance: Floats
    largest: float
    beyond: int

    @property
    def known(self) -> Flags:
        """Times at which there are enough of both classes, (W,)."""
        return ~np.isnan(self.course)

    @property
    def apart_s(self) -> tuple[float, float] | None:
        """From when and until when the course is above the band (`stretch`)."""
        above = self.course[self.known] > self.chance[self.known, 1]
        return stretch(self.times_s[self.known], above)

    def order(self) -> NDArray[np.int64]:
        """Units by their mean effect over the time shown, falling, for each speaker, (S, H)."""
        return np.argsort(-self.effect[self.known].mean(axis=0), axis=1, kind="stable")


def average(
    collection: Collection,
    contrast: str = "shift-hold",
    layer: str = "latent",
    *,
    before_s: float = 1.0,
    after_s: float = 1.0,
    beyond: bool = False,
    orders: int = ORDERS,
) -> Averages:
    """Return the mean encodings of two classes of events.

    Args:
        collection, layer: to read.
        contrast: one of EVENT_CONTRASTS, BACKCHANNEL, or of a label of one's own.
        before_s, after_s: how much, from the start of the silence.
        beyond: count moments after the end of an event.
        orders: of the labels, drawn at random.
    Raises:
        ConfigError: no such contrast or layer, no time, or fewer than LEAST events of a class.
    """
    compared, sizes = contrast_in(collection, contrast), collection.about.sizes
    if not (compared.kinds or contrast == BACKCHANNEL) or layer not in sizes:
        raise ConfigError(
            f"expected a contrast of {', '.join(EVENT_CONTRASTS)}, {BACKCHANNEL} and a layer of "
            f"this collection's, {', '.join(sizes)}, got {contrast!r} and {layer!r}"
        )
    before, after = collection.frame_of(before_s), collection.frame_of(after_s)
    if not (before >= 0 and after >= 0 and before + after > 0):
        raise ConfigError(
            f"expected some time around the silences, got {before_s:g} s before and {after_s:g} s "
            "after their start"
        )
    if contrast == BACKCHANNEL:
        cases = backchannel_cases(collection, collection.events(BACKCHANNEL), MOST)
    else:
        cases = event_cases(collection.events(*compared.kinds), compared)
    if min(counts := cases.counts()) < LEAST:
        few = " and ".join(f"{n} {name}" for n, name in zip(counts, compared.classes, strict=True))
        raise ConfigError(
            f"expected at least {LEAST} {compared.subject or 'events'} of each class, got {few}: "
            f"{compared.lacking}"
        )
    times_s = (np.arange(-before, after) + 1) / collection.frame_rate_hz
    rng, labels = np.random.default_rng(SEED), [cases.first]
    labels += [cases.shuffled(rng) for _ in range(orders)]
    shuffled, sums = np.stack(labels), Sums()
    for number in bar(np.unique(cases.number), "average", "dialogue"):
        values = collection.frames(int(number), [layer])[layer]
        for speaker in (0, 1):
            places = np.flatnonzero((cases.number == number) & (cases.speaker == speaker))
            some, whose = cases.only(places), [speaker, 1 - speaker][: 2 - compared.of_speakers]
            begin = np.array([collection.frame_of(start) for start in some.start_s], int) - before
            steps = begin[:, None] + np.arange(len(times_s))  # (n, W)
            there = (steps >= 0) & (steps < len(values)) & (beyond | some.lasting(times_s))
            if len(places):
                states = values[np.clip(steps, 0, len(values) - 1)][:, :, whose]  # (n, W, S, H)
                states[~there] = 0
                for name, part in _sums_of(states, there, shuffled[:, places]).items():
                    sums[name] = sums[name] + part if name in sums else part
    about = (compared, layer, times_s, counts, len(np.unique(cases.number)))
    return Averages(*about, *_figures(sums))


def _sums_of(states: NDArray[np.float32], there: Flags, orders: Flags) -> Sums:
    """Sums over one speaker of a dialogue of what both classes allow, under every order of labels.

    Of n1 and n2 moments of the classes at a time, n = n1 + n2, the difference of the class means
    counts n1 n2 / n times; that is the sum over the first class less n1 / n of the sum over both.

    Args:
        states: 0 where not there, (n, W, S, H).
        there: (n, W).
        orders: of the labels, as they are first, (1 + R, n).
    Returns:
        `apart`, the differences, (1 + R, W, S, H), and how much they count, `weights`, (1 + R, W).
        Of the labels as they are, nothing of a speaker with one class: `means` of both, (2, W, S,
        H), `squares` around those of each class and of all, (2, W, S, H), their degrees of freedom,
        `free`, (2, W), and `counts`, (W, 2).
    """
    labels, first = orders.astype(np.float64), orders[0]
    firsts, everyone = labels @ there, there.sum(axis=0)  # (1 + R, W), (W,)
    some, exact = np.maximum(everyone, 1), states.astype(np.float64)
    total = exact.sum(axis=0)
    apart = labels.astype(np.float32) @ states.reshape(len(states), -1)
    share = (firsts / some).astype(np.float32)[:, :, None, None]
    mixed = (firsts[0] > 0) & (firsts[0] < everyone)
    counts = np.stack([firsts[0], everyone - firsts[0]])  # (2, W)
    summed = np.stack([exact[first].sum(axis=0), exact[~first].sum(axis=0)])
    means = summed / np.maximum(counts, 1)[:, :, None, None]
    of_classes = (counts[:, :, None, None] * means**2).sum(axis=0)
    squares = (exact**2).sum(axis=0) - np.stack([of_classes, total**2 / some[:, None, None]])
    return {
        "apart": apart.reshape(len(orders), *total.shape) - share * total.astype(np.float32),
        "weights": firsts * (everyone - firsts) / some,
        "means": (mixed * counts.prod(axis=0) / some)[:, None, None] * means,
        "squares": mixed[:, None, None] * squares,
        "free": mixed * np.stack([everyone - 2, everyone - 1]),
        "counts": (mixed * counts).T.round().astype(np.int64),
    }


def _figures(sums: Sums) -> tuple[NDArray[np.int64], Floats, Floats, Floats, Floats, float, int]:
    """What the sums over all dialogues amount to: the fields of Averages from `counts` on."""
    apart, weights, counts = sums["apart"], sums["weights"], sums["counts"]
    known = counts.min(axis=1) >= LEAST
    # Another order of the labels may leave too few of a class at a late time: it says nothing.
    usable = known & (weights > 0)
    degrees = np.maximum(sums["free"], 1)[:, :, None, None]
    in_class, deviation = np.sqrt(np.maximum(sums["squares"], 0) / degrees)
    course, largest = np.full(weights.shape, np.nan), np.full(len(weights), np.nan)
    sizes = np.zeros(deviation.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = sums["means"] / weights[0][None, :, None, None]
        effect = _over(means[0] - means[1], in_class)
        for order in reversed(range(len(apart))):  # the last `sizes` are of the labels as they are
            sizes = np.abs(_over(apart[order] / weights[order, :, None, None], deviation))
            sizes[~usable[order]] = np.nan
            course[order] = np.sqrt((sizes**2).mean(axis=(1, 2)))
            if usable[order].any():
                largest[order] = np.nanmax(sizes)
    means[:, ~known], effect[~known] = np.nan, np.nan
    limit = float(np.nanquantile(largest, 0.95, method="higher"))
    beyond = int((np.nan_to_num(sizes).max(axis=0) > limit).sum())
    return counts, means, effect, course[0], _band(course, known), limit, beyond


def _over(apart: Floats, deviation: Floats) -> Floats:
    """Differences in deviations; 0 where a unit does not vary."""
    return np.where(deviation > 1e-7, apart / np.maximum(deviation, 1e-7), 0)


def _band(courses: Floats, known: Flags) -> Floats:
    """Median of the courses (1 + R, W), and what 95 % of them stay below at all times, (W, 2).

    That is their mean and so many deviations. The labels as they are count as one of the orders:
    if there is nothing in them, they are beyond the band one time in twenty at most.
    """
    found = np.full((courses.shape[1], 2), np.nan)
    if known.any():
        some = courses[:, known]
        middle, spread = np.nanmean(some, axis=0), np.nanstd(some, axis=0) + 1e-12
        farthest = np.nanmax((some - middle) / spread, axis=1)
        found[known, 0] = np.nanmedian(some, axis=0)
        found[known, 1] = middle + np.quantile(farthest, 0.95, method="higher") * spread
    return found
