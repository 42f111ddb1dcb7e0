"""`turnstream latents units`: which units track something, as a table, a picture or a page.

turnstream latents units COLLECTION --out units.csv
turnstream latents units MANIFEST --out units.png --layer latent
turnstream latents units call.wav --out units.html

How the search goes is said in unit_search.py, what it searches for in targets.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ....stream.errors import ConfigError, DialogueError
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import LAYERS, Collection
from ..drawing import listed, many
from ..options import add_out, add_seed, check_files, option, shown
from ..tables import write_rows
from ..views import LIGHT, View, check_suffix, picture, red_to_blue, write_page
from .targets import TARGETS, Floats
from .unit_search import FEW, LEAST, SHIFTS, Found, UnitSearch, both_halves, find_units

SUFFIXES = (".csv", ".png", ".html")
TOP = 5  # units of each half in the table
LEADING = 2  # units of each layer and target in the picture
MARKERS = {"latent_speaker": "o", "latent": "s"}
FAINT = 0.2  # range of activation below which a unit is hardly seen to move
VERDICTS = (
    (0.35, "weakly"),
    (0.7, "partly"),
    (0.9, "well"),
    (1.01, "almost perfectly"),
)  # strength below
HEADER = (
    "target", "among", "score", "layer", "chosen_on_half", "place", "unit", "score_where_chosen",
    "score_in_other_half", "chance_level", "exceeds_chance", "chance_held_out_mean", "units_above",
    "units_above_by_chance", "range_of_activation", "stretches_yes", "stretches_no",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents units`."""
    add_source_argument(parser)
    what = "table (.csv), picture (.png) or page (.html) to write"
    add_out(parser, what=what, metavar="FILE")
    what = "show the units of one layer only (default: all)"
    parser.add_argument("--layer", choices=LAYERS, help=what)
    what = "searches with targets shifted in time, to know what chance finds"
    option(parser, "--shifts N", what, SHIFTS)
    add_seed(parser)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Search, write, and print what was found."""
    check_files(args, *SUFFIXES)
    layers = None if args.layer is None else (args.layer,)
    with opened_collection(args.source, args.model) as collection:
        given = {"layers": layers, "shifts": args.shifts, "seed": args.seed}
        return shown(units_view(collection, args.out, **given))


def units_view(
    collection: Collection,
    out: Path,
    *,
    layers: Sequence[str] | None = None,
    shifts: int = SHIFTS,
    seed: int = 0,
) -> View:
    """Search a collection and write a table, a picture or a page, as the file's name says, of all
    its layers or some.

    Raises:
        ConfigError: it lacks one of the layers.
        DialogueError: see draw_units.
    """
    there = tuple(collection.about.sizes)
    layers = there if layers is None else layers
    if lacking := [layer for layer in layers if layer not in there]:
        raise ConfigError(
            f"expected layers of this collection's, {', '.join(there)}, got {', '.join(lacking)}"
        )
    return draw_units(find_units(collection, max(shifts, 1), seed=seed), out, layers)


def draw_units(search: UnitSearch, out: Path, layers: Sequence[str] = LAYERS) -> View:
    """Write what a search found.

    Args:
        search: with searches by chance.
        out: .csv, .png or .html.
        layers: whose units to show.
    Raises:
        ConfigError: another suffix.
        DialogueError: too little happens in the dialogues for any score.
    """
    check_suffix(out, *SUFFIXES)
    if not search.best():
        raise DialogueError(
            f"expected at least {LEAST} stretches of speech and of silence in each half, got "
            f"{search.minutes:.1f} minutes with fewer"
        )
    search = replace(search, found=tuple(found for found in search.found if found.layer in layers))
    caption = f"{search_in_words(search)} {search.quality}".strip()
    view = View(out, f"Units of {search.model} that track something", caption)
    if out.suffix == ".csv":
        write_units(search, out)
    elif out.suffix == ".png":
        _draw(search, view)
    else:
        write_page(out, view.title, view.caption, "units.js", page_contents(search))
    return view


def search_in_words(search: UnitSearch) -> str:
    """What was found: a sentence, and the figures of every target."""
    figures: dict[str, str] = {}
    lost: list[str] = []
    for found in search.best():
        if found.held_out > found.level:
            figures[found.target.name] = best_in_words(found)
        else:
            level = score_in_words(found, found.level)
            lost.append(f"{found.target.name} {score_in_words(found, found.held_out)} ({level})")
    known = {found.target.name for found in search.found if found.known}
    figures["no unit does better than chance may"] = ", ".join(lost)
    figures["too rare here for a score"] = ", ".join(
        target.name for target in TARGETS if target.name not in known
    )
    return (
        f"Each unit alone, in {many(search.dialogues, 'dialogue')} ({search.minutes:.1f} minutes): "
        f"chosen on one half ({search.halves}), scored on the other, and the other way round. "
        "Given is the mean of both scores; below AUC 0.5, or 0, a unit falls where the answer is "
        "yes or "
        "the amount grows. In brackets, the level that the best unit seldom exceeds where it is "
        f"chosen by chance, on answers turned round in time. {listed(figures)}"
    )


def best_in_words(found: Found) -> str:
    """The chosen units of a search, how well they track, and how sure that is."""
    first, second = found.chosen
    units = f"{found.layer}:{first}" + f" and :{second}, one from each half" * (first != second)
    verdict = next(words for above, words in VERDICTS if found.held_out < above)
    seen = int(found.stretches[:, 0].sum())
    moves = found.moves[list(found.chosen)].max()
    return (
        f"{units}, {verdict}, {signed_in_words(found)} ({score_in_words(found, found.level)}, "
        f"units above that in both halves {found.above}"
        + f", {seen} cases only" * (seen < FEW)
        + (f", it moves by {moves:.2g} at most in nine tenths of the time" if moves < FAINT else "")
        + ")"
    )


def score_in_words(found: Found, strength: float) -> str:
    """A strength as the score that it stands for: the AUC above 0.5, or the rank correlation."""
    return f"{strength:.2f}" if found.target.graded else f"AUC {0.5 + strength / 2:.2f}"


def signed_in_words(found: Found) -> str:
    """The held-out score, with the direction of the unit where both halves choose the same one."""
    first, second = found.chosen
    sign = float(np.sign(found.strengths[0, first])) if first == second else 1.0
    named = score_in_words(found, sign * found.held_out)
    return f"rank correlation {named}" if found.target.graded else named


def write_units(search: UnitSearch, path: Path) -> None:
    """Write the TOP units of each target, layer and half, with scores and the level of chance."""
    rows: list[tuple[Any, ...]] = []
    for found in search.found:
        graded = found.target.graded
        held_out = found.control_held_out
        chance = np.nanmean(held_out) if np.isfinite(held_out).any() else np.nan
        chance = chance if graded else 0.5 + chance / 2
        level = found.level if graded else 0.5 + found.level / 2
        for half in (0, 1) if found.known else ():
            order = np.argsort(-np.abs(found.strengths[half]), kind="stable")[:TOP]
            for place, unit in enumerate(order):
                direction = np.sign(found.strengths[half, unit])
                rows.append(
                    (
                        found.target.name,
                        found.target.words,
                        "rank correlation" if graded else "AUC",
                        found.layer,
                        half + 1,
                        place + 1,
                        unit,
                        found.scores[half, unit],
                        found.scores[1 - half, unit],
                        level,
                        found.strengths[1 - half, unit] * direction > found.level,
                        chance,
                        found.above,
                        found.control_above.mean(),
                        found.moves[unit],
                        *found.stretches.sum(axis=0),
                    )
                )
    write_rows(path, HEADER, rows)


def page_contents(search: UnitSearch) -> dict[str, Any]:
    """What web/units.js shows: a row for each target and layer, and the strengths of all units, (K,
    2, H), by layer.
    """
    rows = [
        {
            "target": found.target.name,
            "words": found.target.words,
            "layer": found.layer,
            "known": found.known,
            "units": list(found.chosen) if found.known else [],
            "graded": found.target.graded,
            "chosen": [float(found.scores[half, unit]) for half, unit in enumerate(found.chosen)]
            if found.known
            else [],
            "other": [float(found.scores[1 - half, unit]) for half, unit in enumerate(found.chosen)]
            if found.known
            else [],
            "heldOut": found.held_out if found.known else None,
            "level": found.level if found.known else None,
            "chance": float(np.mean(found.control_held_out)) if found.known else None,
            "above": found.above if found.known else 0,
            "aboveByChance": float(found.control_above.mean()),
            "moves": [float(found.moves[unit]) for unit in found.chosen] if found.known else [],
            "stretches": found.stretches.sum(axis=0).tolist(),
        }
        for found in search.found
    ]
    layers = list(dict.fromkeys(found.layer for found in search.found))
    strengths = {
        layer: np.stack([found.strengths for found in search.found if found.layer == layer])
        for layer in layers
    }
    return {
        "rows": rows,
        "strengths": strengths,
        "order": {layer: _order(values) for layer, values in strengths.items()},
        "few": FEW,
    }


def _order(strengths: Floats) -> np.ndarray:
    """Units by what they track: those whose strongest target is the same side by side, the
    strongest first.
    """
    both = np.nan_to_num(np.stack([both_halves(values) for values in strengths]))  # (K, H)
    return np.lexsort((-both.max(axis=0), both.argmax(axis=0)))


def _draw(search: UnitSearch, view: View) -> None:
    names = [
        target.name
        for target in TARGETS
        if any(found.known and found.target == target for found in search.found)
    ]
    units = _leading_units(search)
    size = (13.5, max(0.42 * len(names) + 1.6, 0.24 * len(units) + 1.6))
    with picture(view.path, view.title, view.caption, size, ncols=2, width_ratios=[1, 1.25]) as (
        left,
        right,
    ):
        _draw_strengths(left, search, names)
        _draw_table(right, search, names, units)


def _draw_strengths(panel: Any, search: UnitSearch, names: Sequence[str]) -> None:
    layers = list(dict.fromkeys(found.layer for found in search.found))
    for number, layer in enumerate(layers):
        for row, name in enumerate(names):
            found = next(
                found for found in search.found if (found.target.name, found.layer) == (name, layer)
            )
            at, colour = (
                row + 0.32 * (number - (len(layers) - 1) / 2),
                (LIGHT.first, LIGHT.second)[LAYERS.index(layer)],
            )
            panel.plot([0, found.held_out], [at, at], color=colour, linewidth=1.2, alpha=0.6)
            panel.plot(
                found.held_out,
                at,
                MARKERS[layer],
                color=colour,
                markersize=6,
                label=layer if not row else None,
            )
            panel.plot(
                found.level,
                at,
                "|",
                color=LIGHT.ink,
                markersize=11,
                markeredgewidth=1.8,
                label="level of chance" if not row and not number else None,
            )
    panel.set_yticks(range(len(names)), names, fontsize=9)
    panel.invert_yaxis()
    panel.axvline(0, color=LIGHT.faint, linewidth=0.8)
    panel.set(
        xlabel="strength where not chosen: 2 AUC - 1, or rank correlation\n"
        "(negative: the other way round than where chosen)"
    )
    panel.set_xlim(min(-0.05, panel.get_xlim()[0]), 1.02)
    panel.set_title("best unit of each layer", fontsize=10, color=LIGHT.ink)
    panel.legend(
        loc="upper center", bbox_to_anchor=(0.4, -0.13), ncol=3, fontsize=8.5, edgecolor="none"
    )
    panel.grid(visible=False, axis="y")


def _leading_units(search: UnitSearch) -> list[tuple[str, int]]:
    """The units that lead a target, by the target that they are strongest in."""
    units = {
        (found.layer, unit)
        for found in search.found
        if found.known
        for unit in found.leading(LEADING if len(search.best()) < 8 else 1)
    }
    return sorted(units, key=lambda item: (LAYERS.index(item[0]), _strongest(search, *item)))


def _strongest(search: UnitSearch, layer: str, unit: int) -> int:
    of_layer = [found for found in search.found if found.layer == layer]
    return int(
        np.argmax([both_halves(found.strengths)[unit] if found.known else -1 for found in of_layer])
    )


def _draw_table(
    panel: Any, search: UnitSearch, names: Sequence[str], units: Sequence[tuple[str, int]]
) -> None:
    values = np.array(
        [
            [
                next(
                    f.strengths[:, unit].mean()
                    for f in search.found
                    if (f.target.name, f.layer) == (name, layer)
                )
                for name in names
            ]
            for layer, unit in units
        ]
    )
    panel.imshow(values, cmap=red_to_blue(), vmin=-1, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        panel.text(
            column,
            row,
            f"{value:+.2f}".replace("0.", "."),
            ha="center",
            va="center",
            fontsize=7,
            color="white" if abs(value) > 0.65 else LIGHT.ink,
        )
    panel.set_xticks(
        range(len(names)), names, rotation=40, ha="right", fontsize=8, rotation_mode="anchor"
    )
    panel.set_yticks(range(len(units)), [f"{layer}:{unit}" for layer, unit in units], fontsize=8)
    panel.set_title(
        "leading units: + rises, - falls with the target (mean of both halves)",
        fontsize=10,
        color=LIGHT.ink,
    )
    panel.grid(visible=False)
