"""Search for units that track something: each alone, chosen on one half of the dialogues and scored
on the other, against a search by chance.

Score of a yes/no target: the AUC of the unit's activation (below 0.5 it is lower where the answer
is yes). Of an amount: Spearman's rank correlation. To compare the two, the strength of an AUC is 2
AUC - 1, so that both run from -1 to 1 and 0 is chance.

The control searches in the same way after the targets of each dialogue have been turned round in
time, by the same many frames for all: their rhythm stays, but what they have to do with the
activations is gone. The best of some hundred units is then still above chance, and only what is
above that counts. Frames are drawn, so that memory is bounded, as many of yes as of no where there
are enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ..bars import bar
from ..collection import Collection
from ..quality import quality_of
from .targets import COLUMNS, TARGETS, Floats, Target, find_targets, stretches

LIMIT = 2000  # frames of each answer, target and half
SHIFTS = 20  # searches by chance
BLOCKS = 10  # of a single dialogue, which become the halves in turn
# stretches of each answer in each half, for a score; of an amount, stretches above and below its
# median
LEAST = 3
FEW = 20  # stretches in both halves together, for a score that is not called rough
LEVEL = 0.95  # of the searches by chance, how many stay below the level that a unit must exceed
TURNED = (0.1, 0.9)  # by which shares of a dialogue targets are turned round


@dataclass(frozen=True)
class Found:
    """The search for one target in one layer; H units, S searches by chance.

    Attributes:
        target, layer: which.
        scores: AUC or rank correlation of every unit in each half, (2, H); NaN where there are too
            few stretches.
        stretches: of yes and of no in each half, (2, 2); of an amount, in which it is above its
            dialogue's median, and is not.
        moves: width of the range in which nine tenths of each unit's activations lie, (H,); a rank
            is blind to it.
        control_best: strength of the best unit where it was chosen, mean of both halves, (S,).
        control_held_out: strength of the same units where they were not chosen, (S,).
        control_above: how many units exceeded `level` in both halves, (S,).
    """

    target: Target
    layer: str
    scores: Floats
    stretches: NDArray[np.int64]
    moves: Floats
    control_best: Floats
    control_held_out: Floats
    control_above: NDArray[np.int64]

    @property
    def known(self) -> bool:
        """Are there enough stretches for scores?"""
        return bool(np.isfinite(self.scores).all())

    @property
    def strengths(self) -> Floats:
        """From -1 to 1, (2, H)."""
        return strength(self.scores, self.target)

    @property
    def chosen(self) -> tuple[int, int]:
        """The best unit of each half."""
        first, second = np.abs(self.strengths).argmax(axis=1)
        return int(first), int(second)

    @property
    def held_out(self) -> float:
        """Strength of the chosen units where they were not chosen, mean of both; negative where
        they say the opposite there.
        """
        return held_out(self.strengths)

    @property
    def level(self) -> float:
        """Strength that the best unit of a search by chance seldom exceeds."""
        return level(self.control_best)

    @property
    def above(self) -> int:
        """How many units exceed `level` in both halves, in the same direction."""
        return count_above(self.strengths, self.level)

    def leading(self, count: int) -> list[int]:
        """The units that are strong in both halves, the strongest first."""
        return [
            int(unit) for unit in np.argsort(-both_halves(self.strengths), kind="stable")[:count]
        ]


@dataclass(frozen=True)
class UnitSearch:
    """Of every target in every layer.

    Attributes:
        found: target by target, layer by layer.
        model: name of the network.
        halves: what they are, in words.
        minutes: of dialogue.
        dialogues: how many.
        quality: how good the network is, in words.
    """

    found: tuple[Found, ...]
    model: str
    halves: str
    minutes: float
    dialogues: int
    quality: str = ""

    def best(self) -> list[Found]:
        """For every target with scores the layer whose chosen units hold out best."""
        by_target = [
            [found for found in self.found if found.target == target and found.known]
            for target in TARGETS
        ]
        return [max(layers, key=lambda found: found.held_out) for layers in by_target if layers]


def find_units(
    collection: Collection, shifts: int = SHIFTS, *, limit: int = LIMIT, seed: int = 0
) -> UnitSearch:
    """Score every unit of the collection's layers on every target.

    Args:
        collection: to search.
        shifts: searches by chance; 0 for none.
        limit: frames of each answer, target and half.
        seed: of all draws.
    Raises:
        ConfigError: fewer than 0 searches, or fewer than 10 frames.
    """
    if shifts < 0 or limit < 10:
        raise ConfigError(
            f"expected at least 0 searches by chance and 10 frames, got {shifts} and {limit}"
        )
    rng = np.random.default_rng(seed)
    counts, found_stretches = np.zeros((2, len(TARGETS), 2, 2), np.int64)  # (K, half, answer)
    frames = 0
    for _, targets, half in _targets(collection):
        for of in (0, 1):
            for k, (yes, no) in enumerate(_answers(targets[:, half == of])):
                counts[k, of] += yes.sum(), no.sum()
                found_stretches[k, of] += _cases(targets[k, half == of], yes, no, TARGETS[k])
        frames += len(half)
    rows = _draw(collection, limit / np.maximum(counts, 1), shifts, rng)
    scores = {
        layer: np.full((1 + shifts, len(TARGETS), 2, size), np.nan, np.float32)
        for layer, size in collection.about.sizes.items()
    }
    with bar(None, "units", "search", len(TARGETS) * (1 + shifts)) as progress:
        for k, target in enumerate(TARGETS):
            enough = found_stretches[k].min() >= LEAST
            for turn in range(1 + shifts if enough else 0):
                for of in (0, 1):
                    chosen = _chosen(rows, k, turn, of, target, limit, rng)
                    for layer in scores if len(chosen) else ():
                        scores[layer][turn, k, of] = score_units(
                            rows.latents[layer][chosen], rows.values[chosen, turn, k], target
                        )
                progress.update()
    moves = {layer: _range(values) for layer, values in rows.latents.items()}
    return UnitSearch(
        tuple(
            _found(target, layer, scores[layer][:, k], found_stretches[k], moves[layer])
            for k, target in enumerate(TARGETS)
            for layer in scores
        ),
        collection.about.model,
        _halves_in_words(collection),
        frames / collection.frame_rate_hz / 60,
        len(collection.dialogues),
        quality_of(collection).in_words(),
    )


def score_units(values: Floats, answers: Floats, target: Target) -> Floats:
    """AUC, or Spearman's rank correlation, of each unit.

    evaluation/measures.py has the AUC of one score with its interval; here hundreds of units are
    ranked at once.

    Args:
        values: activations, (N, H).
        answers: 0 or 1, or amounts, (N,).
        target: which of the two.
    Returns:
        (H,), NaN if all answers are the same; 0.5, or 0, of a unit that does not move.
    """
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=0)
    if not target.graded:
        yes = answers > 0.5
        positives, negatives = int(yes.sum()), int((~yes).sum())
        if not positives or not negatives:
            return np.full(values.shape[1], np.nan, np.float32)
        return (
            (ranks[yes].sum(axis=0) - positives * (positives + 1) / 2) / (positives * negatives)
        ).astype(np.float32)
    ranks -= ranks.mean(axis=0)
    amounts = rankdata(answers)
    amounts -= amounts.mean()
    spread = np.sqrt((ranks**2).sum(axis=0) * (amounts**2).sum())
    if not amounts.any():
        return np.full(values.shape[1], np.nan, np.float32)
    return np.divide(
        amounts @ ranks, spread, out=np.zeros(values.shape[1]), where=spread > 0
    ).astype(np.float32)


def strength(scores: Floats, target: Target) -> Floats:
    """AUC or rank correlation on one scale, from -1 to 1."""
    return scores if target.graded else 2 * scores - 1


def held_out(strengths: Floats) -> float:
    """Strength of each half's best unit in the other half, mean of both, from (2, H)."""
    chosen = np.abs(strengths).argmax(axis=1)
    return float(
        np.mean(
            [
                strengths[1 - of, unit] * np.sign(strengths[of, unit])
                for of, unit in enumerate(chosen)
            ]
        )
    )


def both_halves(strengths: Floats) -> Floats:
    """The weaker of both halves' strengths where they agree in sign, else 0, (2, H) to (H,)."""
    return np.where(strengths.prod(axis=0) > 0, np.abs(strengths).min(axis=0), 0)


def level(best: Floats) -> float:
    """Strength that the best of a search by chance seldom exceeds; NaN without such searches."""
    known = best[np.isfinite(best)]
    return float(np.quantile(known, LEVEL)) if len(known) else float("nan")


def count_above(strengths: Floats, least: float) -> int:
    """How many units are stronger than that in both halves."""
    return int((both_halves(strengths) > least).sum())


@dataclass(frozen=True)
class _Rows:
    """Frames of single speakers that were drawn, N: latents (N, H) by layer, half (N,), values (N,
    1 + S, K) as they are and turned round S times,
    and for which targets they were drawn, (N, K)."""

    latents: dict[str, Floats]
    half: NDArray[np.int64]
    values: Floats
    drawn: NDArray[np.bool_]


def _targets(collection: Collection) -> Iterator[tuple[int, Floats, NDArray[np.int64]]]:
    """Of every dialogue its number, the targets' values (K, T, 2), and the half of every frame,
    (T,).
    """
    reactions = collection.events("backchannel")
    lengths = [collection.frame_count(number) for number in range(len(collection.dialogues))]
    of_dialogue = _balanced(lengths)
    for number, length in enumerate(lengths):
        own = [event for event in reactions if event.number == number]
        half = (
            np.full(length, of_dialogue[number])
            if len(lengths) > 1
            else np.arange(length) * BLOCKS // max(length, 1) % 2
        )
        yield (
            number,
            find_targets(collection.frames(number, COLUMNS), own, collection.frame_rate_hz),
            half,
        )


def _balanced(lengths: list[int]) -> NDArray[np.int64]:
    """Halves of dialogues, about as long as each other: the longest first, each to the shorter
    half.
    """
    halves, sums = np.zeros(len(lengths), np.int64), [0, 0]
    for number in np.argsort(-np.array(lengths), kind="stable"):
        halves[number] = int(sums[1] < sums[0])
        sums[halves[number]] += lengths[number]
    return halves


def _halves_in_words(collection: Collection) -> str:
    dialogues = len(collection.dialogues)
    if dialogues == 1:
        return (
            "the odd and the even tenths of the one dialogue, "
            f"{collection.frame_count(0) / collection.frame_rate_hz / BLOCKS:.1f} s each"
        )
    second = int(_balanced([collection.frame_count(number) for number in range(dialogues)]).sum())
    return (
        f"{dialogues - second} dialogues and the other {second}"
        if second > 1 or dialogues > 2
        else "one dialogue and the other"
    )


def _answers(targets: Floats) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Where each target (K, ...) is yes and where no; an amount counts as both wherever it has a
    value.
    """
    for values, target in zip(targets, TARGETS, strict=True):
        known = ~np.isnan(values)
        yield (known, known) if target.graded else (values > 0.5, values < 0.5)


def _cases(
    values: Floats, yes: NDArray[np.bool_], no: NDArray[np.bool_], target: Target
) -> tuple[int, int]:
    if target.graded and yes.any():
        yes = values > np.nanmedian(values)
        no = ~yes & ~np.isnan(values)
    return stretches(yes), stretches(no)


def _draw(
    collection: Collection, chance: NDArray[np.float64], shifts: int, rng: np.random.Generator
) -> _Rows:
    """Draw frames with a chance for each target, half and answer, (K, 2, 2)."""
    parts: list[tuple[dict[str, Floats], NDArray[np.int64], Floats, NDArray[np.bool_]]] = []
    dialogues = len(collection.dialogues)
    for number, targets, half in bar(_targets(collection), "frames", "dialogue", dialogues):
        drawn = np.zeros(targets.shape, bool)
        for k, (yes, no) in enumerate(_answers(targets)):
            chances = np.where(
                yes, chance[k, half, 0][:, None], np.where(no, chance[k, half, 1][:, None], 0)
            )
            drawn[k] = rng.random(chances.shape) < chances
        frame, speaker = np.nonzero(drawn.any(axis=0))
        turned = [0, *(int(len(half) * share) for share in rng.uniform(*TURNED, shifts))]
        values = np.stack(
            [targets[:, (frame - by) % len(half), speaker].T for by in turned], axis=1
        )
        latents = {
            layer: collection.frames(number, [layer])[layer][frame, speaker]
            for layer in collection.about.sizes
        }
        parts.append((latents, half[frame], values, drawn[:, frame, speaker].T))
    latents, half, values, drawn = zip(*parts, strict=True)
    joined = {
        layer: np.concatenate([part[layer] for part in latents]) for layer in collection.about.sizes
    }
    return _Rows(joined, np.concatenate(half), np.concatenate(values), np.concatenate(drawn))


def _chosen(
    rows: _Rows, k: int, turn: int, of: int, target: Target, limit: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows of one half that answer a target: those that were drawn for it; of a search by chance,
    as many of those that answer it then.
    """
    values = rows.values[:, turn, k]
    usable = (rows.half == of) & ~np.isnan(values)
    if not turn:
        return np.flatnonzero(usable & rows.drawn[:, k])
    classes = [usable] if target.graded else [usable & (values > 0.5), usable & (values < 0.5)]
    return np.concatenate([rng.permutation(np.flatnonzero(rows_of))[:limit] for rows_of in classes])


def _range(values: Floats) -> Floats:
    if not len(values):
        return np.full(values.shape[1], np.nan, np.float32)
    low, high = np.quantile(values, [0.05, 0.95], axis=0)
    return (high - low).astype(np.float32)


def _found(
    target: Target, layer: str, scores: Floats, found_stretches: NDArray[np.int64], moves: Floats
) -> Found:
    """From scores as they are and by chance, (1 + S, 2, H)."""
    chance = [strength(turned, target) for turned in scores[1:]]
    best = np.array([np.abs(turned).max(axis=1).mean() for turned in chance], np.float32)
    out = np.array(
        [held_out(turned) if np.isfinite(turned).all() else np.nan for turned in chance], np.float32
    )
    above = np.array([count_above(turned, level(best)) for turned in chance], np.int64)
    return Found(target, layer, scores[0], found_stretches, moves, best, out, above)
