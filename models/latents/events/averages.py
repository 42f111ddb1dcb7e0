"""`turnstream latents averages`: mean encodings around events, as images of units over time.

The images are of the mean state of each class, less each unit's average over both and all times
shown (the files have it with that), and of their difference as Cohen's d. Units stand in order of
d. Noise in such an order looks like something, too, so below is the course of the whole difference,
with a band of what random orders of the labels give (mean_encodings.py).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import Collection
from ..drawing import heading, listed, many, states_image
from ..options import add_layer, add_out, check_files, option, shown
from ..quality import quality_of
from ..tables import write_rows
from ..views import LIGHT, View, picture
from .contrasts import EVENT_CONTRASTS, stretch_in_words
from .label_contrasts import HOW
from .mean_encodings import BACKCHANNEL, LEAST, Averages, Floats, average

FEW = 20
SHOWN = 0.999  # share of the values that the colours tell apart
WIDEST = 5.0  # d from which on the image has one colour: a unit that hardly moves can have hundreds
LAYER_NAMES = {"latent_speaker": "the first RNN", "latent": "the last RNN"}
WHOSE = ("own", "other")
OWNERS = ("speaker before the silence", "other speaker")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents averages`."""
    add_source_argument(parser)
    add_out(parser, "averages.png", csv="the averages as a table", npz="the averages as arrays")
    what = f"one of {', '.join(EVENT_CONTRASTS)}, {BACKCHANNEL}, or of a label of your own, {HOW}"
    words = f"the two classes of events to compare: {what}"
    option(parser, "--contrast CONTRAST", words, "shift-hold")
    add_layer(parser, "layer to show")
    option(parser, "--before SECONDS", "time to show before the silence", 1.0)
    option(parser, "--after SECONDS", "time to show after its start", 1.0)
    what = "also use moments after the end of a silence, when somebody speaks again"
    parser.add_argument("--beyond", action="store_true", help=what)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw and write."""
    check_files(args, ".png")
    around = {"before_s": args.before, "after_s": args.after, "beyond": args.beyond}
    with opened_collection(args.source, args.model) as collection:
        found = average(collection, args.contrast, args.layer, **around)
        quality = quality_of(collection).in_words()
    if args.npz is not None:
        write_npz(found, args.npz)
    if args.csv is not None:
        write_csv(found, args.csv)
    return shown(draw_averages(found, collection.about.model, args.out, quality))


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


def write_npz(found: Averages, path: Path) -> None:
    """Write the averages as arrays, named as in Averages; `order` is that of the picture."""
    names = ("times_s", "counts", "means", "effect", "course", "chance")
    arrays: dict[str, Any] = {name: getattr(found, name) for name in names}
    arrays |= {"order": found.order(), "classes": np.array(found.contrast.classes)}
    np.savez_compressed(path, **arrays, layer=np.array(found.layer))


def write_csv(found: Averages, path: Path) -> None:
    """Write a row per speaker, unit and time."""
    first, second = found.contrast.classes
    counts = (f"{first}_events", f"{second}_events")
    header = ("whose", "unit", "time_s", *counts, f"{first}_mean", f"{second}_mean", "effect")
    times_s, means, effect = found.times_s, found.means, found.effect
    rows = (
        (WHOSE[s], unit, times_s[k], *found.counts[k], *means[:, k, s, unit], effect[k, s, unit])
        for s, unit, k in np.ndindex(*effect.shape[1:], len(times_s))
    )
    write_rows(path, header, rows)


def caption_of(found: Averages, model: str) -> str:
    """Return what the picture shows: a sentence, and the figures."""
    (first, second), classes = found.events, found.contrast.classes
    zero = f"{found.contrast.subject}, " * bool(found.contrast.subject)
    early = found.known & (found.times_s <= 1e-9)
    blank = found.times_s[~found.known & (found.times_s > 0)]
    figures = {
        "rough": f"{min(first, second)} of a class only" if min(first, second) < FEW else "",
        f"fewer than {LEAST} of a class last": f"from {blank[0]:+.2f} s on" if len(blank) else "",
        "farther apart than labels in random order within dialogue and speaker": _apart(found),
        "largest d up to time 0": _largest(found, early),
        "largest d after it": _largest(found, found.known & ~early),
        "units beyond what 95 % of random orders reach": (
            f"{found.beyond} of {found.effect[0].size} ({found.largest:.2f} standard deviations)"
        ),
    }
    return (
        f"Mean states of {LAYER_NAMES[found.layer]} of {model}, time 0 being when the "
        f"{found.contrast.zero}: {zero}{first} {classes[0]} and {second} {classes[1]} of "
        f"{many(found.dialogues, 'dialogue')}. Red is below 0, blue above. {listed(figures)}"
    )


def _apart(found: Averages) -> str:
    """When the course is above the band."""
    if found.apart_s is not None:
        return stretch_in_words(found.apart_s, found.times_s[found.known])
    times_s = found.times_s[found.known & (found.course > found.chance[:, 1])]
    if not len(times_s):
        return "at no time"
    many_frames = f"{len(times_s)} of {found.known.sum()} frames"
    return f"not at time 0, in {many_frames}, {times_s[0]:+.2f} s to {times_s[-1]:+.2f} s"


def _largest(found: Averages, some: NDArray[np.bool_]) -> str:
    """The largest effect at some of the times."""
    if not some.any():
        return ""
    effect = found.effect[some]
    k, speaker, unit = np.unravel_index(int(np.abs(effect).argmax()), effect.shape)
    owner = "" if effect.shape[1] == 1 else (" of the speaker", " of the other")[speaker]
    still = " (it hardly moves)" * bool(abs(effect[k, speaker, unit]) > 100)
    words = f"{effect[k, speaker, unit]:+.2f}, unit {unit}{owner}{still}"
    return f"{words} at {found.times_s[some][k]:+.2f} s"


def draw_averages(found: Averages, model: str, out: Path, quality: str = "") -> View:
    """Draw both means and the effect, for each speaker, and the course of the difference below."""
    (first, second), speakers = found.contrast.classes, found.effect.shape[1]
    layer = LAYER_NAMES[found.layer]
    title = f"Average encodings: {found.contrast.words(' against ')}, {layer}"
    caption = f"{caption_of(found, model)} {quality}".strip()
    size = (11.0, 3.0 * speakers + 2.4)
    grid = {"nrows": speakers + 1, "ncols": 3, "height_ratios": [1.25] * speakers + [1]}
    with picture(out, title, caption, size, **grid, squeeze=False) as panels:
        for panel in panels[-1]:
            panel.remove()
        course = panels[0, 0].figure.add_subplot(panels[0, 0].get_gridspec()[-1, :])
        # Less the average: else all that is seen is which units are always high or low.
        moving = found.means - np.nanmean(found.means, axis=(0, 1))
        largest = [float(np.nanquantile(np.abs(each), SHOWN)) for each in (moving, found.effect)]
        images = (
            (f"{first}: mean, from the unit's average", moving[0], largest[0]),
            (f"{second}: mean, from the unit's average", moving[1], largest[0]),
            (f"{first} minus {second}: d", found.effect, min(largest[1], WIDEST)),
        )
        for speaker, order in enumerate(found.order()):
            for panel, (name, values, limit) in zip(panels[speaker], images, strict=True):
                _draw_image(panel, name, values[:, speaker, order].T, found.times_s, limit)
            owner = f"unit{f', {OWNERS[speaker]}' * (speakers > 1)}\n(by mean d)"
            panels[speaker, 0].set_ylabel(owner, fontsize=9, color=LIGHT.ink)
        _draw_course(course, found)
    return View(out, title, caption)


def _draw_image(panel: Any, name: str, values: Floats, times_s: Floats, limit: float) -> None:
    extent = (times_s[0] - _step(times_s), times_s[-1], values.shape[0], 0)
    image = states_image(panel, values, extent, limit)
    panel.axvline(0, color=LIGHT.ink, linewidth=1, linestyle="--")
    heading(panel, name, 10)
    bar = panel.figure.colorbar(image, ax=panel, pad=0.02)
    bar.ax.tick_params(labelsize=8, colors=LIGHT.ink)
    bar.outline.set_visible(False)


def _draw_course(panel: Any, found: Averages) -> None:
    times, chance = found.times_s[found.known], found.chance[found.known]
    course, faint = found.course[found.known], {"color": LIGHT.faint, "linewidth": 1}
    name = "random orders: 95 % stay within at all times"
    band = {"color": LIGHT.faint, "alpha": 0.3, "linewidth": 0, "label": name}
    panel.fill_between(times, 0, chance[:, 1], **band)
    panel.plot(times, chance[:, 0], ":", label="their median", **faint)
    panel.plot(times, course, color=LIGHT.first, linewidth=1.8, label="difference")
    panel.axvline(0, color=LIGHT.ink, linewidth=1, linestyle="--")
    if found.apart_s is not None:
        strip = {"color": LIGHT.second, "linewidth": 0, "label": "more than chance"}
        panel.axvspan(*found.apart_s, ymin=0, ymax=0.03, **strip)
    panel.set_xlim(found.times_s[0] - _step(found.times_s), found.times_s[-1])
    panel.set_ylim(0, 1.4 * max(course.max(), chance[:, 1].max()))  # with room for the legend
    panel.set_xlabel(f"seconds from: {found.contrast.zero} (dashed)", fontsize=9, color=LIGHT.ink)
    label = "difference of the means\n(RMS over units, in SD)"
    panel.set_ylabel(label, fontsize=9, color=LIGHT.ink)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(colors=LIGHT.ink, labelsize=9)
    panel.legend(frameon=False, fontsize=8.5, loc="upper left", ncols=2)


def _step(times_s: Floats) -> float:
    return times_s[1] - times_s[0] if len(times_s) > 1 else 0.02
