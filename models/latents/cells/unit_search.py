"""Search for units that track something: each alone, chosen on one half of the dialogues and scored
on the other, against a search by chance.

The control searches in the same way after the targets of each dialogue have been turned round in
time, by the same many frames for all: their rhythm stays, but what they have to do with the
activations is gone. The best of some hundred units is then still above chance, and only what is
above that counts. Frames are drawn, as many of yes as of no, so memory is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ..bars import bar
from ..collection import Collection
from ..quality import quality_of
from .targets import COLUMNS, TARGETS, Flags, Floats, Target, find_targets, stretches

LIMIT = 2000  # frames of each answer, target and half
SHIFTS = 20  # searches by chance
BLOCKS = 10  # of a single dialogue, which become the halves in turn
LEAST = 3  # stretches of each answer in each half, for a score (amounts: above the median or not)
FEW = 20  # stretches in both halves together, for a score that is not called rough
LEVEL = 0.95  # of the searches by chance, how many stay below the level that a unit must exceed
TURNED = (0.1, 0.9)  # by which shares of a dialogue targets are turned round

Halves = Sequence[NDArray[np.integer]]  # the half of every frame, (T,) of each dialogue
Rows = dict[str, NDArray[Any]]
Rng = np.random.Generator


@dataclass(frozen=True)
class Found:
    """The search for one target in one layer; H units, S searches by chance.

    Attributes:
        all_scores: AUC or rank correlation of every unit in each half, as targets are and by
            chance, (1 + S, 2, H); NaN where there are too few stretches.
        stretches: of yes and of no in each half, (2, 2); of an amount, in which it is above its
            dialogue's median, and is not.
        moves: width of the range in which nine tenths of each unit's activations lie, (H,).
        scores, strengths: of the targets as they are, (2, H).
        by_chance: strengths by chance, (S, 2, H).
        chosen: the best unit of each half.
        held_out: strength of the chosen units where they were not chosen, mean of both; negative
            where they say the opposite there.
        level: strength that the best unit of a search by chance seldom exceeds; NaN without any.
        above, above_by_chance: how many units exceed it in both halves, in the same direction.
    """

    target: Target
    layer: str
    all_scores: Floats
    stretches: NDArray[np.int64]
    moves: Floats

    @property
    def scores(self) -> Floats:
        return self.all_scores[0]

    @property
    def known(self) -> bool:
        """Are there enough stretches for scores?"""
        return bool(np.isfinite(self.scores).all())

    @property
    def strengths(self) -> Floats:
        return self.target.strength(self.scores)

    @property
    def by_chance(self) -> Floats:
        return self.target.strength(self.all_scores[1:])

    @property
    def chosen(self) -> tuple[int, int]:
        first, second = np.abs(self.strengths).argmax(axis=1)
        return int(first), int(second)

    @property
    def held_out(self) -> float:
        return float(held_out(self.strengths))

    @property
    def level(self) -> float:
        best = np.abs(self.by_chance).max(axis=-1).mean(axis=-1)
        known = best[np.isfinite(best)]
        return float(np.quantile(known, LEVEL)) if len(known) else float("nan")

    @property
    def above(self) -> int:
        return int((both_halves(self.strengths) > self.level).sum())

    @property
    def above_by_chance(self) -> float:
        return float((both_halves(self.by_chance) > self.level).sum(axis=-1).mean())

    def leading(self, count: int) -> list[int]:
        """The units that are strong in both halves, the strongest first."""
        return np.argsort(-both_halves(self.strengths), kind="stable")[:count].tolist()


@dataclass(frozen=True)
class UnitSearch:
    """Of every target, layer by layer; the halves, and how good the network is, in words."""

    found: tuple[Found, ...]
    model: str
    halves: str
    minutes: float
    dialogues: int
    quality: str = ""

    def of(self, target: str, layer: str) -> Found:
        """The search for a target, by its name, in a layer."""
        return next(f for f in self.found if (f.target.name, f.layer) == (target, layer))

    def strengths(self) -> dict[str, Floats]:
        """Of all units for every target, (K, 2, H), by layer."""
        layers = dict.fromkeys(found.layer for found in self.found)
        of_layers = ([f.strengths for f in self.found if f.layer == layer] for layer in layers)
        return dict(zip(layers, map(np.stack, of_layers), strict=True))

    def known_names(self) -> list[str]:
        """Of the targets that have scores."""
        return list(dict.fromkeys(found.target.name for found in self.found if found.known))

    def best(self) -> list[Found]:
        """For every target with scores the layer whose chosen units hold out best."""
        known = [found for found in self.found if found.known]
        by_name = ([f for f in known if f.target.name == name] for name in self.known_names())
        return [max(layers, key=lambda found: found.held_out) for layers in by_name]


def find_units(
    collection: Collection, shifts: int = SHIFTS, *, limit: int = LIMIT, seed: int = 0
) -> UnitSearch:
    """Score every unit of the collection's layers on every target.

    Args:
        collection, seed: to search, and of all draws.
        shifts: searches by chance.
        limit: frames of each answer, target and half.
    Raises:
        ConfigError: fewer than 0 searches, or fewer than 10 frames.
    """
    if shifts < 0 or limit < 10:
        raise ConfigError(
            f"expected at least 0 searches by chance and 10 frames, got {shifts} and {limit}"
        )
    rng, halves, sizes = np.random.default_rng(seed), _halves(collection), collection.about.sizes
    counts, runs = np.zeros((2, len(TARGETS), 2, 2), np.int64)  # (K, half, answer) each
    for number, targets in _targets(collection):
        for k, of in np.ndindex(len(TARGETS), 2):
            values = targets[k, halves[number] == of]
            counts[k, of] += [answer.sum() for answer in _answers(values, TARGETS[k])]
            runs[k, of] += _stretches(values, TARGETS[k])
    rows = _draw(collection, halves, limit / np.maximum(counts, 1), shifts, rng)
    shape = (1 + shifts, len(TARGETS), 2)
    scores = {layer: np.full((*shape, size), np.nan, np.float32) for layer, size in sizes.items()}
    with bar(None, "units", "search", len(TARGETS) * (1 + shifts)) as progress:
        for k, target in enumerate(TARGETS):
            for turn in range(1 + shifts if runs[k].min() >= LEAST else 0):
                for of in (0, 1):
                    chosen = _chosen(rows, k, turn, of, limit, rng)
                    answers = rows["values"][chosen, turn, k]
                    for layer, found in scores.items():
                        found[turn, k, of] = score_units(rows[layer][chosen], answers, target)
                progress.update()
    moves = {layer: _range(rows[layer]) for layer in sizes}
    return UnitSearch(
        tuple(
            Found(target, layer, found[:, k], runs[k], moves[layer])
            for k, target in enumerate(TARGETS)
            for layer, found in scores.items()
        ),
        collection.about.model,
        _halves_in_words(collection, halves),
        sum(map(len, halves)) / collection.frame_rate_hz / 60,
        len(halves),
        quality_of(collection).in_words(),
    )


def score_units(values: Floats, answers: Floats, target: Target) -> Floats:
    """Return the AUC, or Spearman's correlation, of units, (N, H), with answers, (N,), as (H,).

    NaN if all answers are the same; 0.5, or 0, of a unit that does not move.
    """
    from scipy.stats import rankdata

    if len(np.unique(answers)) < 2:
        return np.full(values.shape[1], np.nan, np.float32)
    ranks = rankdata(values, axis=0)
    if not target.graded:
        yes = answers > 0.5
        positives, negatives = int(yes.sum()), int((~yes).sum())
        wins = ranks[yes].sum(axis=0) - positives * (positives + 1) / 2
        return (wins / (positives * negatives)).astype(np.float32)
    ranks -= ranks.mean(axis=0)
    amounts = rankdata(answers)
    amounts -= amounts.mean()
    spread = np.sqrt((ranks**2).sum(axis=0) * (amounts**2).sum())
    return np.where(spread > 0, amounts @ ranks / np.where(spread > 0, spread, 1), 0).astype("f4")


def held_out(strengths: Floats) -> Floats:
    """Return how strong each half's best unit is in the other, mean of both, from (..., 2, H)."""
    best = np.abs(strengths).argmax(axis=-1)[..., None]  # (..., 2, 1)
    there = np.take_along_axis(strengths, best, axis=-1)
    elsewhere = np.take_along_axis(strengths[..., ::-1, :], best, axis=-1)
    return (elsewhere * np.sign(there)).mean(axis=(-2, -1))


def both_halves(strengths: Floats) -> Floats:
    """Return the weaker half's strength where both agree in sign, else 0, from (..., 2, H)."""
    return np.where(strengths.prod(axis=-2) > 0, np.abs(strengths).min(axis=-2), 0)


def _targets(collection: Collection) -> Iterator[tuple[int, Floats]]:
    """Of every dialogue its number and the targets' values, (K, T, 2)."""
    reactions, rate_hz = collection.events("backchannel"), collection.frame_rate_hz
    for number in range(len(collection.dialogues)):
        own = [event for event in reactions if event.number == number]
        yield number, find_targets(collection.frames(number, COLUMNS), own, rate_hz)


def _halves(collection: Collection) -> Halves:
    """Of a single dialogue blocks in turn; else the longest first, each to the shorter half."""
    lengths = [collection.frame_count(number) for number in range(len(collection.dialogues))]
    if len(lengths) == 1:
        return [np.arange(lengths[0]) * BLOCKS // max(lengths[0], 1) % 2]
    halves, sums = [np.zeros(length, np.int8) for length in lengths], [0, 0]
    for number in np.argsort(-np.array(lengths), kind="stable"):
        half = int(sums[1] < sums[0])
        halves[number][:] = half
        sums[half] += lengths[number]
    return halves


def _halves_in_words(collection: Collection, halves: Halves) -> str:
    if len(halves) == 1:
        block_s = len(halves[0]) / collection.frame_rate_hz / BLOCKS
        return f"the odd and the even tenths of the one dialogue, {block_s:.1f} s each"
    second = sum(bool(half.any()) for half in halves)
    return f"{len(halves) - second} of the dialogues and the other {second}"


def _answers(values: Floats, target: Target) -> tuple[Flags, Flags]:
    """Where a target is yes and where no; an amount counts as both wherever it has a value."""
    known = ~np.isnan(values)
    return (known, known) if target.graded else (values > 0.5, values < 0.5)


def _stretches(values: Floats, target: Target) -> tuple[int, int]:
    """How many stretches of yes and of no there are, or of an amount above its median and not."""
    yes, no = _answers(values, target)
    if target.graded and yes.any():
        above = values > np.nanmedian(values)
        yes, no = above, ~above & no
    return stretches(yes), stretches(no)


def _draw(collection: Collection, halves: Halves, chance: Any, shifts: int, rng: Rng) -> Rows:
    """Draw N frames of single speakers, with a chance for each target, half and answer, (K, 2, 2).

    Returns:
        By layer the latents, (N, H); `half`, (N,); `values` of the targets as they are and turned
        round S times, (N, 1 + S, K); and for which targets each was drawn, `drawn`, (N, K).
    """
    parts: list[Rows] = []
    for number, targets in bar(_targets(collection), "frames", "dialogue", len(halves)):
        half = halves[number]
        drawn = np.zeros(targets.shape, bool)
        for k, target in enumerate(TARGETS):
            yes, no = _answers(targets[k], target)
            of_yes, of_no = chance[k, half].T[:, :, None]  # (T, 1) each
            chances = np.where(yes, of_yes, np.where(no, of_no, 0))
            drawn[k] = rng.random(chances.shape) < chances
        frame, speaker = np.nonzero(drawn.any(axis=0))
        turned = [0, *(int(len(half) * share) for share in rng.uniform(*TURNED, shifts))]
        values = [targets[:, (frame - by) % len(half), speaker].T for by in turned]
        latents = {
            layer: collection.frames(number, [layer])[layer][frame, speaker]
            for layer in collection.about.sizes
        }
        about = {"half": half[frame], "drawn": drawn[:, frame, speaker].T}
        parts.append(latents | about | {"values": np.stack(values, axis=1)})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chosen(rows: Rows, k: int, turn: int, of: int, limit: int, rng: Rng) -> NDArray[np.int64]:
    """Rows of one half that were drawn for a target; of a search by chance, that answer it then."""
    values = rows["values"][:, turn, k]
    usable = (rows["half"] == of) & ~np.isnan(values)
    if not turn:
        return np.flatnonzero(usable & rows["drawn"][:, k])
    classes = [usable] if TARGETS[k].graded else [usable & (values > 0.5), usable & (values < 0.5)]
    return np.concatenate([rng.permutation(np.flatnonzero(rows_of))[:limit] for rows_of in classes])


def _range(values: Floats) -> Floats:
    if not len(values):
        return np.full(values.shape[1], np.nan, np.float32)
    low, high = np.quantile(values, [0.05, 0.95], axis=0)
    return (high - low).astype(np.float32)
