"""`turnstream latents averages`: the mean encoding around events, as images of units over time, two classes and how far apart they are.

turnstream latents averages SOURCE --out averages.png [--contrast shift-hold] [--layer latent|latent_speaker] [--before 1 --after 1] [--beyond]
                                   [--npz FILE.npz] [--csv FILE.csv] [--model FOLDER]

The classes are compared within dialogue and speaker: a speaker whose silences are mostly shifts has
states of its own, which are no difference between shifts and holds. Means are of each speaker's
class means, weighted as both classes of the speaker allow (n1 n2 / n); speakers with one class
count for nothing.

The images are of the mean state of each class, less each unit's average over both and all times
shown (the files have it with that), and of their difference as Cohen's d: over the standard
deviation within speaker and class, for each unit and time. Units stand in order of d averaged over
the time shown, from the most positive to the most negative. Noise in such an order looks like
something, too, so below is the course of the whole difference: the root of its mean square over
all units, in standard deviations within speakers, against the same of labels put in random order
within dialogue and speaker. It is more than chance where it lies above a band that 95 % of such
orders stay within at all times. Only moments up to the end of an event count, unless those beyond
are asked for.

Dialogue by dialogue, sums are kept, never the states, so memory does not grow with the dialogues.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ....stream.errors import ConfigError
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import LAYERS, Collection
from ..quality import quality_of
from ..views import LIGHT, View, check_suffix, picture, red_to_blue
from .contrasts import EVENT_CONTRASTS, Cases, Contrast, event_cases, stretch
from .label_contrasts import HOW, contrast_in

LEAST = 5  # of each class, for a figure
FEW = 20
SHOWN = 0.999  # share of the values that the colours tell apart
WIDEST = 5.0  # effect from which on the image has one colour: a unit that hardly ever moves can differ by hundreds of its standard deviations
ORDERS = 199  # random orders of the labels
LAYER_NAMES = {"latent_speaker": "the first RNN", "latent": "the last RNN"}
WHOSE = ("own", "other")
SEED = 0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Averages:
    """Mean encodings around events. S is 2, the speaker before the event and the other one; 1 where the two are what is compared.

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
        largest: the greatest difference of any unit at any time, in such deviations, that 95 % of the random orders stay below.
        beyond: one unit's difference is beyond that at some time: how many of the S x H units.
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents averages`."""
    add_source_argument(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("averages.png"),
        metavar="FILE.png",
        help="picture to write (default averages.png)",
    )
    parser.add_argument(
        "--contrast",
        metavar="CONTRAST",
        default="shift-hold",
        help=f"the two classes of events to compare: one of {', '.join(EVENT_CONTRASTS)}, or of a "
        f"label of your own, {HOW} (default shift-hold)",
    )
    parser.add_argument(
        "--layer",
        choices=LAYERS,
        default="latent",
        help="layer to show: latent_speaker, the first RNN, or latent, the last (default latent)",
    )
    parser.add_argument(
        "--before",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="time to show before the silence (default 1)",
    )
    parser.add_argument(
        "--after",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="time to show after its start (default 1)",
    )
    parser.add_argument(
        "--beyond",
        action="store_true",
        help="also use moments after the end of a silence, when somebody speaks again",
    )
    parser.add_argument(
        "--npz", type=Path, metavar="FILE.npz", help="also write the averages as arrays"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE.csv", help="also write the averages as a table"
    )
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw and write."""
    for path, suffix in ((args.out, ".png"), (args.npz, ".npz"), (args.csv, ".csv")):
        if path is not None:
            check_suffix(path, suffix)
    with opened_collection(args.source, args.model) as collection:
        found = average(
            collection,
            args.contrast,
            args.layer,
            before_s=args.before,
            after_s=args.after,
            beyond=args.beyond,
        )
        view = draw_averages(
            found, collection.about.model, args.out, quality_of(collection).in_words()
        )
    if args.npz is not None:
        write_npz(found, args.npz)
    if args.csv is not None:
        write_csv(found, args.csv)
    print(f"{view.caption}\n{view.path}")
    return 0


def average_pictures(
    collection: Collection,
    out: Path,
    contrast: str = "shift-hold",
    layer: str = "latent",
    **settings: Any,
) -> View:
    """Average and draw; the settings are those of `average`.

    Raises:
        ConfigError: as `average`.
    """
    found = average(collection, contrast, layer, **settings)
    return draw_averages(found, collection.about.model, out, quality_of(collection).in_words())


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
        contrast: one of EVENT_CONTRASTS, or of a label of one's own (label_contrasts.py).
        layer: one of the collection's.
        before_s, after_s: how much, from the start of the silence.
        beyond: count moments after the end of an event.
        orders: of the labels, drawn at random.
    Raises:
        ConfigError: no such contrast or layer, no time, or fewer than LEAST events of a class.
    """
    compared = contrast_in(collection, contrast)
    if not compared.kinds or layer not in collection.about.sizes:
        known = f"a contrast of {', '.join(EVENT_CONTRASTS)} and a layer of this collection's, {', '.join(collection.about.sizes)}"
        raise ConfigError(f"expected {known}, got {contrast!r} and {layer!r}")
    before, after = collection.frame_of(before_s), collection.frame_of(after_s)
    if not (before >= 0 and after >= 0 and before + after > 0):
        raise ConfigError(
            f"expected some time around the silences, got {before_s:g} s before and {after_s:g} s after their start"
        )
    events = collection.events(*compared.kinds)
    cases = event_cases(events, compared)
    if min(cases.counts()) < LEAST:
        first, second = cases.counts()
        few = f"{first} {compared.classes[0]} and {second} {compared.classes[1]}"
        raise ConfigError(
            f"expected at least {LEAST} {compared.subject or 'events'} of each class, got {few}: {compared.lacking}"
        )
    times_s = (np.arange(-before, after) + 1) / collection.frame_rate_hz
    sums = _Sums(
        cases,
        times_s,
        1 if contrast == "speaker-listener" else 2,
        collection.about.sizes[layer],
        orders,
    )
    for number in tqdm(np.unique(cases.number), desc="average", unit="dialogue", disable=None):
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
        # Under another order of the labels a class may be rare at a late time; such an order says nothing there.
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
    """Median of the courses (1 + R, W), and what 95 % of them stay below at all times, (W, 2): their mean and so many deviations.

    The labels as they are, which come first, are counted as one of the orders: then, if there is nothing in them, they are beyond the band one time
    in twenty at most.
    """
    found = np.full((courses.shape[1], 2), np.nan)
    if known.any():
        some = courses[:, known]
        middle, spread = np.nanmean(some, axis=0), np.nanstd(some, axis=0) + 1e-12
        farthest = np.nanmax((some - middle) / spread, axis=1)
        found[known, 0] = np.nanmedian(some, axis=0)
        found[known, 1] = middle + np.quantile(farthest, 0.95, method="higher") * spread
    return found


def write_npz(found: Averages, path: Path) -> None:
    """The averages as arrays, named as in Averages; `order` is that of the picture."""
    arrays = {
        name: getattr(found, name)
        for name in ("times_s", "counts", "means", "effect", "course", "chance")
    }
    np.savez_compressed(
        path,
        **arrays,
        order=found.order(),
        classes=np.array(found.contrast.classes),
        layer=np.array(found.layer),
    )


def write_csv(found: Averages, path: Path) -> None:
    """A row per speaker, unit and time."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        first, second = found.contrast.classes
        writer.writerow(
            [
                "whose",
                "unit",
                "time_s",
                f"{first}_events",
                f"{second}_events",
                f"{first}_mean",
                f"{second}_mean",
                "effect",
            ]
        )
        times, speakers, units = found.effect.shape
        for speaker in range(speakers):
            for unit in range(units):
                for k in range(times):
                    figures = (*found.means[:, k, speaker, unit], found.effect[k, speaker, unit])
                    written = ["" if np.isnan(value) else f"{value:.5g}" for value in figures]
                    writer.writerow(
                        [
                            WHOSE[speaker],
                            unit,
                            f"{found.times_s[k]:.4g}",
                            *found.counts[k],
                            *written,
                        ]
                    )


def caption_of(found: Averages, model: str) -> str:
    """What the picture shows, in words."""
    (first, second), contrast = found.events, found.contrast.classes
    subject = f"{found.contrast.subject}, " * bool(found.contrast.subject)
    layer = LAYER_NAMES[found.layer]
    whose = (
        "of both speakers of each silence"
        if found.effect.shape[1] == 1
        else "around the starts of mutual silences"
    )
    words = [
        f"Red is below 0, blue above. Mean states of {layer} of {model} {whose}: {subject}{first} {contrast[0]} and {second} {contrast[1]} of {_many(found.dialogues, 'dialogue')}."
    ]
    if min(first, second) < FEW:
        words.append(f"With {min(first, second)} of a class this is rough.")
    known = ~np.isnan(found.course)
    blank = found.times_s[~known & (found.times_s > 0)]
    if len(blank):
        words.append(
            f"From {blank[0]:+.2f} s on fewer than {LEAST} silences of a class last, so nothing is drawn."
        )
    apart, above = found.apart_s, np.flatnonzero(known & (found.course > found.chance[:, 1]))
    if apart is None and not len(above):
        words.append(
            "As a whole the two are at no time farther apart than labels in random order within dialogue and speaker."
        )
    elif apart is None:
        share = f"{len(above)} of {known.sum()} frames, between {found.times_s[above[0]]:+.2f} s and {found.times_s[above[-1]]:+.2f} s"
        words.append(
            f"As a whole the two are farther apart than labels in random order within dialogue and speaker only for a while ({share}), not as the silence begins."
        )
    else:
        begins = (
            "from the first time shown"
            if apart[0] == found.times_s[known][0]
            else f"from {apart[0]:+.2f} s"
        )
        words.append(
            f"As a whole the two are farther apart than labels in random order {begins} to {apart[1]:+.2f} s."
        )
    early = known & (found.times_s <= 1e-9)
    for when, some in (("up to the silence", early), ("in it", known & ~early)):
        if some.any():
            sizes = np.where(some[:, None, None], np.abs(found.effect), -1)
            k, speaker, unit = np.unravel_index(int(sizes.argmax()), sizes.shape)
            owner = (
                "" if found.effect.shape[1] == 1 else (" of the speaker", " of the other")[speaker]
            )
            effect = found.effect[k, speaker, unit]
            size = (
                f"d = {effect:+.2f}"
                if abs(effect) < 100
                else f"d beyond {'+' if effect > 0 else '-'}100, of a unit that hardly moves"
            )
            words.append(
                f"Largest effect {when}: {size}, unit {unit}{owner} at {found.times_s[k]:+.2f} s."
            )
    units = found.effect.shape[1] * found.effect.shape[2]
    words.append(
        f"{found.beyond} of {units} units differ at some time by more than {found.largest:.2f} standard deviations, "
        "which 95 % of random orders reach in no unit at any time."
    )
    return " ".join(words)


def draw_averages(found: Averages, model: str, out: Path, quality: str = "") -> View:
    """Images of both means and of the effect, for each speaker, and the course of the difference below.

    Args:
        found: of `average`.
        model: name of the network.
        out: .png.
        quality: how good it is, in words.
    """
    first, second = found.contrast.classes
    title, caption = (
        f"Average encodings: {found.contrast.words(' against ')}, {LAYER_NAMES[found.layer]}",
        f"{caption_of(found, model)} {quality}".strip(),
    )
    speakers = found.effect.shape[1]
    size = (11.0, 3.0 * speakers + 2.4)
    with picture(
        out,
        title,
        caption,
        size,
        nrows=speakers + 1,
        ncols=3,
        squeeze=False,
        gridspec_kw={"height_ratios": [1.25] * speakers + [1]},
    ) as panels:
        grid = panels[0, 0].get_gridspec()
        for panel in panels[-1]:
            panel.remove()
        course = panels[0, 0].figure.add_subplot(grid[-1, :])
        known = ~np.isnan(found.course)
        moving = found.means - np.nanmean(
            found.means, axis=(0, 1)
        )  # else all that is seen is which units are always high or low
        largest_mean, largest_effect = (
            float(np.nanquantile(np.abs(values), SHOWN)) for values in (moving, found.effect)
        )
        largest_effect = min(largest_effect, WIDEST)
        for speaker in range(speakers):
            order = found.order()[speaker]
            owner = (
                "unit"
                if speakers == 1
                else ("unit, speaker before the silence", "unit, other speaker")[speaker]
            )
            shown = (
                (f"{first}: mean, from the unit's average", moving[0], largest_mean),
                (f"{second}: mean, from the unit's average", moving[1], largest_mean),
                (f"{first} minus {second}: d", found.effect, largest_effect),
            )
            for panel, (name, values, limit) in zip(panels[speaker], shown, strict=True):
                _draw_image(panel, name, values[:, speaker, order].T, found.times_s, limit)
            panels[speaker, 0].set_ylabel(f"{owner}\n(by mean d)", fontsize=9, color=LIGHT.ink)
        _draw_course(course, found, known)
    return View(out, title, caption)


def _draw_image(panel: Any, name: str, values: Floats, times_s: Floats, limit: float) -> None:
    step = times_s[1] - times_s[0] if len(times_s) > 1 else 0.02
    panel.set_facecolor("#dddddd")
    extent = (times_s[0] - step, times_s[-1], values.shape[0], 0)
    image = panel.imshow(
        np.ma.masked_invalid(values),
        aspect="auto",
        cmap=red_to_blue(),
        vmin=-limit,
        vmax=limit,
        extent=extent,
        interpolation="nearest",
    )
    panel.axvline(0, color=LIGHT.ink, linewidth=1, linestyle="--")
    panel.grid(visible=False)
    panel.set_title(name, fontsize=10, color=LIGHT.ink)
    bar = panel.figure.colorbar(image, ax=panel, pad=0.02)
    bar.ax.tick_params(labelsize=8, colors=LIGHT.ink)
    bar.outline.set_visible(False)


def _draw_course(panel: Any, found: Averages, known: NDArray[np.bool_]) -> None:
    times = found.times_s[known]
    panel.fill_between(
        times,
        0,
        found.chance[known, 1],
        color=LIGHT.faint,
        alpha=0.3,
        linewidth=0,
        label="random orders: 95 % stay within at all times",
    )
    panel.plot(
        times,
        found.chance[known, 0],
        color=LIGHT.faint,
        linewidth=1,
        linestyle=":",
        label="their median",
    )
    panel.plot(times, found.course[known], color=LIGHT.first, linewidth=1.8, label="difference")
    panel.axvline(0, color=LIGHT.ink, linewidth=1, linestyle="--")
    if (apart := found.apart_s) is not None:
        panel.axvspan(
            *apart, ymin=0, ymax=0.03, color=LIGHT.second, linewidth=0, label="more than chance"
        )
    step = found.times_s[1] - found.times_s[0] if len(found.times_s) > 1 else 0.02
    panel.set_xlim(found.times_s[0] - step, found.times_s[-1])
    panel.set_ylim(
        0, 1.4 * np.nanmax([found.course, found.chance[:, 1]])
    )  # with room for the legend
    panel.set_xlabel(f"seconds from: {found.contrast.zero} (dashed)", fontsize=9, color=LIGHT.ink)
    panel.set_ylabel(
        "difference of the means\n(RMS over units, in SD)", fontsize=9, color=LIGHT.ink
    )
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    panel.tick_params(colors=LIGHT.ink, labelsize=9)
    panel.legend(frameon=False, fontsize=8.5, loc="upper left", ncols=2)


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" + ("" if count == 1 else "s")
