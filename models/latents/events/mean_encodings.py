"""Mean encodings of two classes of events, and how far apart they are.

The classes are compared within dialogue and speaker: a speaker whose silences are mostly shifts has
states of its own, which are no difference between shifts and holds. Means are of each speaker's
class means, weighted as both classes of the speaker allow (n1 n2 / n); speakers with one class
count for nothing.

The effect is Cohen's d: the difference over the standard deviation within speaker and class, for
each unit and time. The course is that of the whole difference: the root of its mean square over all
units, in standard deviations within speakers, against the same of labels put in random order within
dialogue and speaker. It is more than chance where it lies above a band that 95 % of such orders
stay within at all times. Only moments up to the end of an event count, unless those beyond are
asked for.

Dialogue by dialogue, sums are kept, never the states, so memory does not grow with the dialogues.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ..bars import bar
from ..collection import Collection
from .contrasts import EVENT_CONTRASTS, Cases, Contrast, backchannel_cases, event_cases, stretch
from .label_contrasts import contrast_in

LEAST = 5  # of each class, for a figure
ORDERS = 199  # random orders of the labels
MOST = 2000  # backchannels, and as many windows without
SEED = 0
BACKCHANNEL = "backchannel"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Averages:
    """Mean encodings around events.

    S is 2, the speaker before the event and the other one; 1 where the two are what is compared.

    Attributes:
        contrast: what is compared.
        layer: one of LAYERS.
        times_s: ends of the frames, from the event's start, (W,).
        events: of each class.
        dialogues: that they are from.
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
    def apart_s(self) -> tuple[float, float] | None:
        """From when and until when the course is above the band (`stretch`)."""
        known = ~np.isnan(self.course)
        return stretch(self.times_s[known], self.course[known] > self.chance[known, 1])

    def order(self) -> NDArray[np.int64]:
        """Units by their mean effect over the time shown, falling, for each speaker, (S, H)."""
        known = ~np.isnan(self.course)
        return np.argsort(-self.effect[known].mean(axis=0), axis=1, kind="stable")


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
    """Mean encodings of two classes of events.

    Args:
        collection: to read.
        contrast: one of EVENT_CONTRASTS, BACKCHANNEL, or of a label of one's own
            (label_contrasts.py).
        layer: one of the collection's.
        before_s, after_s: how much, from the start of the silence.
        beyond: count moments after the end of an event.
        orders: of the labels, drawn at random.
    Raises:
        ConfigError: no such contrast or layer, no time, or fewer than LEAST events of a class.
    """
    compared = contrast_in(collection, contrast)
    if not (compared.kinds or contrast == BACKCHANNEL) or layer not in collection.about.sizes:
        raise ConfigError(
            f"expected a contrast of {', '.join(EVENT_CONTRASTS)}, {BACKCHANNEL} and a layer of "
            f"this collection's, {', '.join(collection.about.sizes)}, got {contrast!r} and "
            f"{layer!r}"
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
    if min(cases.counts()) < LEAST:
        first, second = cases.counts()
        few = f"{first} {compared.classes[0]} and {second} {compared.classes[1]}"
        raise ConfigError(
            f"expected at least {LEAST} {compared.subject or 'events'} of each class, got {few}: "
            f"{compared.lacking}"
        )
    times_s = (np.arange(-before, after) + 1) / collection.frame_rate_hz
    sums = _Sums(
        cases,
        times_s,
        1 if contrast == "speaker-listener" else 2,
        collection.about.sizes[layer],
        orders,
    )
    for number in bar(np.unique(cases.number), "average", "dialogue"):
        sums.add(collection, int(number), layer, before, beyond)
    return sums.averages(compared, layer)


class _Sums:
    """Sums over dialogues of what both classes of each speaker allow, under every order of labels.

    Of a speaker with n1 and n2 moments of the classes at a time, n = n1 + n2, the difference of the
    class means counts n1 n2 / n times; that is the sum over the first class less n1 / n of the sum
    over both.
    """

    def __init__(
        self, cases: Cases, times_s: Floats, speakers: int, size: int, orders: int
    ) -> None:
        self._cases, self._times_s, self._speakers = cases, times_s, speakers
        rng = np.random.default_rng(SEED)
        self._labels = np.stack(
            [cases.first, *(cases.shuffled(rng) for _ in range(orders))]
        )  # (1 + R, N)
        shape = (len(times_s), speakers, size)
        self._apart = np.zeros((1 + orders, *shape), np.float32)
        self._weights = np.zeros((1 + orders, len(times_s)))
        self._means = np.zeros((2, *shape))  # of the labels as they are, in double precision
        self._inside, self._around = np.zeros(shape), np.zeros(shape)  # squares: in class, in all
        self._free = np.zeros((2, len(times_s)))  # their degrees of freedom
        self._counts = np.zeros((len(times_s), 2), np.int64)

    def add(
        self, collection: Collection, number: int, layer: str, before: int, beyond: bool
    ) -> None:
        """Add the cases of a dialogue."""
        values = collection.frames(number, [layer])[layer]
        for speaker in (0, 1):
            places = np.flatnonzero(
                (self._cases.number == number) & (self._cases.speaker == speaker)
            )
            if len(places):
                begin = np.array(
                    [collection.frame_of(start) for start in self._cases.start_s[places]]
                )
                self._add(values, places, begin - before, beyond)

    def _add(
        self,
        values: NDArray[np.float32],
        places: NDArray[np.int64],
        begin: NDArray[np.int64],
        beyond: bool,
    ) -> None:
        """Add the cases of one speaker of a dialogue, whose windows begin in these frames."""
        cases = self._cases.only(places)
        steps = begin[:, None] + np.arange(len(self._times_s))  # (n, W)
        there = (steps >= 0) & (steps < len(values))
        if not beyond:
            there &= (self._times_s <= 1e-9) | (
                self._times_s <= (cases.end_s - cases.start_s)[:, None] + 1e-9
            )
        speakers = np.stack([cases.speaker, 1 - cases.speaker], axis=1)[:, : self._speakers]
        states = values[
            np.clip(steps, 0, len(values) - 1)[:, :, None], speakers[:, None, :]
        ].astype(np.float64)  # (n, W, S, H)
        states[~there] = 0
        labels = self._labels[:, places].astype(np.float64)
        firsts, everyone = labels @ there, there.sum(axis=0)  # (1 + R, W), (W,)
        some = np.maximum(everyone, 1)
        total = states.sum(axis=0)
        first = labels.astype(np.float32) @ states.reshape(len(states), -1).astype(np.float32)
        share = (firsts / some).astype(np.float32)[:, :, None, None]
        self._apart += first.reshape(self._apart.shape) - share * total.astype(np.float32)
        self._weights += firsts * (everyone - firsts) / some
        # The rest is of the labels as they are, of speakers that have both classes.
        both = (firsts[0] > 0) & (firsts[0] < everyone)
        counts = np.stack([firsts[0], everyone - firsts[0]])  # (2, W)
        sums = np.stack([states[cases.first].sum(axis=0), states[~cases.first].sum(axis=0)])
        means = sums / np.maximum(counts, 1)[:, :, None, None]
        self._means += (both * counts.prod(axis=0) / some)[:, None, None] * means
        squares = (states**2).sum(axis=0)
        apart = (counts[:, :, None, None] * means**2).sum(axis=0)
        self._inside += both[:, None, None] * (squares - apart)
        self._around += both[:, None, None] * (squares - total**2 / some[:, None, None])
        self._free += both * np.stack([everyone - 2, everyone - 1])
        self._counts += (both * counts).T.round().astype(np.int64)

    def averages(self, contrast: Contrast, layer: str) -> Averages:
        """What the sums amount to."""
        counts = self._counts
        known = counts.min(axis=1) >= LEAST
        # Another order of the labels may leave too few of a class at a late time: it says nothing.
        usable = known & (self._weights > 0)
        free = np.maximum(self._free, 1)[:, :, None, None]
        deviation_in, deviation = (
            np.sqrt(np.maximum(squares, 0) / amount)
            for squares, amount in zip((self._inside, self._around), free, strict=True)
        )
        course, largest = np.full(self._weights.shape, np.nan), np.zeros(len(self._weights))
        beyond = np.zeros(self._inside.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            means = self._means / self._weights[0][None, :, None, None]
            effect = _over(means[0] - means[1], deviation_in)
            for order, sums in enumerate(self._apart):
                apart = _over(sums / self._weights[order, :, None, None], deviation)
                apart[~usable[order]] = np.nan
                course[order] = np.sqrt((apart**2).mean(axis=(1, 2)))
                largest[order] = np.nanmax(np.abs(apart)) if usable[order].any() else np.nan
                beyond = np.abs(apart) if order == 0 else beyond
        means[:, ~known], effect[~known] = np.nan, np.nan
        limit = float(np.nanquantile(largest, 0.95, method="higher"))
        units = int((np.where(np.isnan(beyond), 0, beyond).max(axis=0) > limit).sum())
        events, dialogues = self._cases.counts(), len(np.unique(self._cases.number))
        return Averages(
            contrast,
            layer,
            self._times_s,
            events,
            dialogues,
            counts,
            means,
            effect,
            course[0],
            _band(course, known),
            limit,
            units,
        )


def _over(apart: Floats, deviation: Floats) -> Floats:
    """Differences in deviations; 0 where a unit does not vary."""
    return np.divide(
        apart,
        deviation,
        out=np.zeros(np.broadcast_shapes(apart.shape, deviation.shape)),
        where=deviation > 1e-7,
    )


def _band(courses: Floats, known: NDArray[np.bool_]) -> Floats:
    """Median of the courses (1 + R, W), and what 95 % of them stay below at all times, (W, 2).

    That is their mean and so many deviations. The labels as they are, which come first, are counted
    as one of the orders: then, if there is nothing in them, they are beyond the band one time in
    twenty at most.
    """
    found = np.full((courses.shape[1], 2), np.nan)
    if known.any():
        some = courses[:, known]
        middle, spread = np.nanmean(some, axis=0), np.nanstd(some, axis=0) + 1e-12
        farthest = np.nanmax((some - middle) / spread, axis=1)
        found[known, 0] = np.nanmedian(some, axis=0)
        found[known, 1] = middle + np.quantile(farthest, 0.95, method="higher") * spread
    return found
