"""`turnstream latents units`: which units track something, as a table, a picture or a page.

How the search goes is said in unit_search.py, what it searches for in targets.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ....stream.errors import ConfigError, DialogueError
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import LAYERS, Collection
from ..drawing import heading, listed, many, states_image
from ..options import add_out, add_seed, check_files, option, shown
from ..tables import write_rows
from ..views import LIGHT, View, check_suffix, legend_below, picture, write_page
from .targets import TARGETS
from .unit_search import (
    FEW,
    LEAST,
    SHIFTS,
    Found,
    UnitSearch,
    both_halves,
    find_units,
    held_out,
)

SUFFIXES = (".csv", ".png", ".html")
TOP = 5  # units of each half in the table
LEADING = 2  # units of each layer and target in the picture
LOOKS = {"latent_speaker": ("o", LIGHT.first), "latent": ("s", LIGHT.second)}
FAINT = 0.2  # range of activation below which a unit is hardly seen to move
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
    option(parser, "--layer", what, choices=LAYERS)
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
    """Search a collection and write a table, a picture or a page of all its layers or some.

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
    """Write what a search, with searches by chance, found, as the file's name says.

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
        write_rows(out, HEADER, _table(search))
    elif out.suffix == ".png":
        _draw(search, view)
    else:
        write_page(out, view.title, view.caption, "units.js", page_contents(search))
    return view


def search_in_words(search: UnitSearch) -> str:
    """Return what was found: a sentence, and the figures of every target."""
    figures: dict[str, str] = {}
    lost: list[str] = []
    for found in search.best():
        name, in_words = found.target.name, found.target.in_words
        if found.held_out > found.level:
            figures[name] = best_in_words(found)
        else:
            lost.append(f"{name} {in_words(found.held_out)} ({in_words(found.level)})")
    rare = [target.name for target in TARGETS if target.name not in search.known_names()]
    figures["no unit does better than chance may"] = ", ".join(lost)
    figures["too rare here for a score"] = ", ".join(rare)
    return (
        f"Each unit alone, in {many(search.dialogues, 'dialogue')} ({search.minutes:.1f} minutes): "
        f"chosen on one half ({search.halves}), scored on the other, and the other way round. "
        "Given is the mean of both scores; below AUC 0.5, or 0, a unit falls where the answer is "
        "yes or the amount grows. In brackets, the level that the best unit seldom exceeds where "
        f"it is chosen by chance, on answers turned round in time. {listed(figures)}"
    )


def best_in_words(found: Found) -> str:
    """Return the chosen units of a search, how well they track, and how sure that is.

    The score has the direction of the unit where both halves choose the same one.
    """
    (first, second), in_words = found.chosen, found.target.in_words
    units, sign = f"{found.layer}:{first} and :{second}, one from each half", 1.0
    if first == second:
        units, sign = f"{found.layer}:{first}", float(np.sign(found.strengths[0, first]))
    sure = [in_words(found.level), f"units above that in both halves {found.above}"]
    if (seen := found.stretches[:, 0].sum()) < FEW:
        sure.append(f"{seen} cases only")
    if (moves := found.moves[[first, second]].max()) < FAINT:
        sure.append(f"it moves by {moves:.2g} at most in nine tenths of the time")
    return f"{units}, {in_words(sign * found.held_out)} ({', '.join(sure)})"


def _table(search: UnitSearch) -> Iterator[tuple[Any, ...]]:
    """The TOP units of each target, layer and half, with scores and the level of chance."""
    for found in search.found:
        target, level, cases = found.target, found.level, found.stretches.sum(axis=0)
        about = (target.name, target.words, target.score_name, found.layer)
        by_chance = held_out(found.by_chance)
        mean_by_chance = np.nanmean(by_chance) if np.isfinite(by_chance).any() else np.nan
        held_out_by_chance = target.score(float(mean_by_chance))
        chance = (held_out_by_chance, found.above, found.above_by_chance)
        for half in (0, 1) if found.known else ():
            chosen_on, elsewhere = found.strengths[[half, 1 - half]]
            for place, unit in enumerate(np.argsort(-np.abs(chosen_on), kind="stable")[:TOP]):
                exceeds = elsewhere[unit] * np.sign(chosen_on[unit]) > level
                scores = (*found.scores[[half, 1 - half], unit], target.score(level), exceeds)
                moves = found.moves[unit]
                yield (*about, half + 1, place + 1, unit, *scores, *chance, moves, *cases)


def page_contents(search: UnitSearch) -> dict[str, Any]:
    """Return what web/units.js shows: a row for each target and layer, and the strengths of all
    units, (K, 2, H), and their order, by layer.
    """
    rows: list[dict[str, Any]] = []
    for found in search.found:
        target, chosen = found.target, list(found.chosen)
        row: dict[str, Any] = {"target": target.name, "words": target.words, "layer": found.layer}
        row |= {"known": found.known, "graded": target.graded}
        row |= {"stretches": found.stretches.sum(axis=0).tolist()}
        if found.known:
            row |= {"units": chosen, "moves": found.moves[chosen].tolist()}
            row |= {"chosen": found.scores[[0, 1], chosen].tolist()}
            row |= {"other": found.scores[[1, 0], chosen].tolist()}
            row |= {"heldOut": found.held_out, "level": found.level}
            row |= {"above": found.above, "aboveByChance": found.above_by_chance}
        rows.append(row)
    # Units by what they track: those whose strongest target is the same side by side, the strongest
    # first.
    both = {layer: both_halves(found) for layer, found in search.strengths().items()}  # (K, H)
    order = {layer: np.lexsort((-b.max(axis=0), b.argmax(axis=0))) for layer, b in both.items()}
    return {"rows": rows, "strengths": search.strengths(), "order": order, "few": FEW}


def _draw(search: UnitSearch, view: View) -> None:
    names, count = search.known_names(), LEADING if len(search.best()) < 8 else 1
    strongest = {layer: both_halves(f).argmax(axis=0) for layer, f in search.strengths().items()}
    units = sorted(  # that lead a target, by the target that they are strongest in
        {
            (LAYERS.index(found.layer), strongest[found.layer][unit], unit)
            for found in search.found
            if found.known
            for unit in found.leading(count)
        }
    )
    size = (13.5, max(0.42 * len(names) + 1.6, 0.24 * len(units) + 1.6))
    grid = {"ncols": 2, "width_ratios": [1, 1.25]}
    with picture(view.path, view.title, view.caption, size, **grid) as (left, right):
        _draw_strengths(left, search, names)
        _draw_table(right, search, names, [(LAYERS[layer], unit) for layer, _, unit in units])


def _draw_strengths(panel: Any, search: UnitSearch, names: Sequence[str]) -> None:
    layers = list(search.strengths())
    look = {"color": LIGHT.ink, "markersize": 11, "markeredgewidth": 1.8}
    for number, layer in enumerate(layers):
        marker, colour = LOOKS[layer]
        rows = np.arange(len(names)) + 0.32 * (number - (len(layers) - 1) / 2)
        found = [search.of(name, layer) for name in names]
        strengths = [one.held_out for one in found]
        panel.hlines(rows, 0, strengths, color=colour, linewidth=1.2, alpha=0.6)
        panel.plot(strengths, rows, marker, color=colour, markersize=6, label=layer)
        words = None if number else "level of chance"
        panel.plot([one.level for one in found], rows, "|", label=words, **look)
    panel.set_yticks(range(len(names)), names, fontsize=9)
    panel.invert_yaxis()
    panel.axvline(0, color=LIGHT.faint, linewidth=0.8)
    panel.set_xlabel(
        "strength where not chosen: 2 AUC - 1, or rank correlation\n"
        "(negative: the other way round than where chosen)"
    )
    panel.set_xlim(min(-0.05, panel.get_xlim()[0]), 1.02)
    heading(panel, "best unit of each layer", 10)
    legend_below(panel, columns=3, fontsize=8.5)
    panel.grid(visible=False, axis="y")


def _draw_table(
    panel: Any, search: UnitSearch, names: Sequence[str], units: Sequence[tuple[str, int]]
) -> None:
    means = {layer: found.mean(axis=1) for layer, found in search.strengths().items()}  # (K, H)
    known = [place for place, target in enumerate(TARGETS) if target.name in names]
    values = np.array([means[layer][known, unit] for layer, unit in units])
    states_image(panel, values, (-0.5, len(names) - 0.5, len(units) - 0.5, -0.5))
    look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7}
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if abs(value) > 0.65 else LIGHT.ink
        panel.text(column, row, f"{value:+.2f}".replace("0.", "."), color=colour, **look)
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    panel.set_xticks(range(len(names)), names, fontsize=8, **turned)
    panel.set_yticks(range(len(units)), [f"{layer}:{unit}" for layer, unit in units], fontsize=8)
    heading(panel, "leading units: + rises, - falls with the target (mean of both halves)", 10)
