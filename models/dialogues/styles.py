"""Styles of simulated conversations, from quick chat to slow call centre, and plans of turns.

Each dialogue has one style. In about half of the dialogues the timing comes from real conversations
(timing.py), in the rest from published percentiles.
A style's `templates` are names of corpora: folders `timing/<corpus>/` with *.rttm or *.jsonl.gz, or
`scripts/<corpus>/` with *.TextGrid, in the data of `turnstream simulate`. Missing corpora are
skipped, and corpora that no style names are not used.
Gaps at shifts and pauses at holds are drawn from overlapping distributions, so that the length of a
silence alone does not tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .timing import PlannedTurn

Percentiles = tuple[float, float, float, float, float]  # 5, 25, 50, 75, 95


@dataclass(frozen=True)
class Style:
    """The distributions of one kind of conversation. A dialogue draws its own values from them.

    Attributes:
        offsets_s: percentiles of the floor transfer offset.
        pause_median_s: range of the median pause at a hold.
        turn_median_s: for each speaker, range of the median speaking time of a turn.
        parts_mean: for each speaker, range of the mean number of parts per turn.
        stretch: range of the share of natural inner pauses that are lengthened.
        backchannels_per_s: range, per second of the other speaker's turn.
        templates: corpora whose conversations may serve as plan.
        machine: whether speaker 1 is a synthetic voice: it does not overlap and gives no
            backchannels.
    """

    offsets_s: Percentiles
    pause_median_s: tuple[float, float]
    turn_median_s: tuple[tuple[float, float], tuple[float, float]]
    parts_mean: tuple[tuple[float, float], tuple[float, float]]
    stretch: tuple[float, float]
    backchannels_per_s: tuple[float, float]
    templates: tuple[str, ...] = ()
    machine: bool = False


# Source of the offsets. chat, consultation, task and slow_chat: annotated dialogues (telephone
# calls in five languages, mock medical consultations, Map Task, Icelandic chats). call_centre and
# machine: pauses there have quartiles 0.9/1.4/2.1 s.
STYLES: dict[str, Style] = {
    "chat": Style(
        (-1.2, -0.35, -0.05, 0.25, 0.85),
        (0.3, 0.6),
        ((1.2, 3.5), (1.2, 3.5)),
        ((1.1, 1.8), (1.1, 1.8)),
        (0.05, 0.25),
        (0.05, 0.12),
        ("switchboard",),
    ),
    "consultation": Style(
        (-1.05, -0.15, 0.25, 0.65, 1.4),
        (0.35, 0.8),
        ((1.8, 4.5), (1.2, 3.5)),
        ((1.2, 2.2), (1.1, 2.0)),
        (0.1, 0.3),
        (0.03, 0.1),
        ("primock57",),
    ),
    "task": Style(
        (-0.35, 0.1, 0.3, 0.7, 1.75),
        (0.3, 0.9),
        ((1.8, 5.0), (0.7, 1.8)),
        ((1.3, 2.5), (1.0, 1.4)),
        (0.1, 0.4),
        (0.04, 0.1),
    ),
    "slow_chat": Style(
        (-0.7, -0.15, 0.35, 1.2, 3.6),
        (0.4, 1.2),
        ((2.0, 6.0), (2.0, 6.0)),
        ((1.2, 2.5), (1.2, 2.5)),
        (0.1, 0.3),
        (0.02, 0.08),
        ("spjallromur",),
    ),
    "call_centre": Style(
        (-0.4, 0.25, 0.7, 1.4, 3.0),
        (0.4, 1.3),
        ((0.8, 2.5), (1.8, 5.5)),
        ((1.0, 1.8), (1.3, 2.6)),
        (0.1, 0.5),
        (0.0, 0.05),
    ),
    "machine": Style(
        (0.15, 0.4, 0.8, 1.4, 2.6),
        (0.4, 1.3),
        ((0.8, 3.0), (1.5, 5.0)),
        ((1.1, 2.3), (1.0, 1.6)),
        (0.1, 0.5),
        (0.0, 0.02),
        machine=True,
    ),
}
STYLE_SHARES: dict[str, float] = {
    "chat": 0.25,
    "consultation": 0.15,
    "task": 0.15,
    "slow_chat": 0.1,
    "call_centre": 0.2,
    "machine": 0.15,
}
TEMPLATE_SHARE = 0.6  # share of dialogues with a template, where the style has templates
PAUSE_SPREAD = 0.65  # standard deviation of the logarithm of pauses
TURN_SPREAD = 0.7
# Shape of the gamma distribution of a turn's mean number of further parts: a few turns have many,
# most have few.
PARTS_SHAPE = 0.8
DICTATED_PART_S = (0.3, 1.1)
DICTATED_PAUSE_S = (0.25, 0.9)
TRAILS_OFF_SHARE = 0.1  # share of turns that end unfinished without an interruption
LEGIBILITY = (0.5, 2.5)
SLOW_LINE_SHARE = 0.35  # share of dialogues with late answers, from line delay or from habit
SLOW_LINE_S = (0.1, 0.8)


@dataclass(frozen=True)
class Manner:
    """The values that one dialogue drew from its style.

    Attributes:
        style: name of the style.
        machine: speaker 1 is a synthetic voice.
        pause_median_s: median pause at a hold.
        stretch: share of natural inner pauses that are lengthened.
        mid_phrase: share of the planned pauses that may lie between two words instead of at a
            natural pause.
        filler: share of breaks with a filled pause, which has silence before and after it.
        lengthen: share of breaks with a lengthened vowel before them.
        legibility: weight of turn completeness scores: ends of turns prefer high scores, pauses low
            ones. At 0 the scores have no effect.
        run_on: share of the utterances inside a turn that stop before their end.
        dictation: share of turns spoken in short pieces, as numbers and names are, where the
            utterances leave room to pause.
        false_start: share of shifts at which the previous speaker starts again at the same time.
    """

    style: str
    machine: bool
    pause_median_s: float
    stretch: float
    mid_phrase: float
    filler: float
    lengthen: float
    legibility: float
    run_on: float
    dictation: float
    false_start: float

    def draw_pause_s(self, rng: np.random.Generator) -> float:
        """Draw a pause at a hold, in seconds."""
        return float(
            np.clip(self.pause_median_s * np.exp(PAUSE_SPREAD * rng.standard_normal()), 0.2, 3.5)
        )


def draw_dialogue_plan(
    rng: np.random.Generator,
    templates: Mapping[str, Sequence[Sequence[PlannedTurn]]],
    length_s: float,
) -> tuple[Manner, list[PlannedTurn]]:
    """Draw a style, and enough turns for about `length_s` seconds."""
    name = str(rng.choice(list(STYLE_SHARES), p=list(STYLE_SHARES.values())))
    style = STYLES[name]
    manner = Manner(
        style=name,
        machine=style.machine,
        pause_median_s=rng.uniform(*style.pause_median_s),
        stretch=rng.uniform(*style.stretch),
        mid_phrase=rng.uniform(0.05, 0.3),
        filler=rng.uniform(0.0, 0.25),
        lengthen=rng.uniform(0.1, 0.5),
        legibility=rng.uniform(*LEGIBILITY),
        run_on=rng.uniform(0.2, 0.8),
        dictation=rng.uniform(0, 0.12),
        false_start=rng.uniform(0.0, 0.05),
    )
    usable = [corpus for corpus in style.templates if corpus in templates]
    if usable and rng.random() < TEMPLATE_SHARE:
        conversations = templates[str(rng.choice(usable))]
        turns = _from_template(rng, conversations[int(rng.integers(len(conversations)))], length_s)
    else:
        turns = _from_style(rng, style, manner, length_s)
    late_s = rng.uniform(*SLOW_LINE_S) if rng.random() < SLOW_LINE_SHARE else 0.0
    turns = [replace(turn, offset_s=turn.offset_s + late_s) for turn in turns]
    turns = [_dictated(rng, turn) if rng.random() < manner.dictation else turn for turn in turns]
    return manner, [
        _broken_off(rng, turn, following)
        for turn, following in zip(turns, [*turns[1:], None], strict=True)
    ]


def _broken_off(
    rng: np.random.Generator, turn: PlannedTurn, following: PlannedTurn | None
) -> PlannedTurn:
    """Mark some turns as unfinished: cut off by the next speaker, or trailing off."""
    interrupted = following is not None and following.offset_s < -0.2 and rng.random() < 0.35
    return replace(turn, finished=not (interrupted or rng.random() < TRAILS_OFF_SHARE))


def _dictated(rng: np.random.Generator, turn: PlannedTurn) -> PlannedTurn:
    """Give the turn the rhythm of a dictated number or name.

    It has short pieces and short pauses at one pace, and no backchannels.
    """
    parts = int(rng.integers(3, 9))
    part_s, pause_s = rng.uniform(*DICTATED_PART_S), rng.uniform(*DICTATED_PAUSE_S)
    return replace(
        turn,
        parts_s=tuple((part_s * rng.uniform(0.7, 1.4, parts)).tolist()),
        pauses_s=tuple((pause_s * rng.uniform(0.7, 1.4, parts - 1)).tolist()),
        backchannels=(),
    )


def _from_template(
    rng: np.random.Generator, turns: Sequence[PlannedTurn], length_s: float
) -> list[PlannedTurn]:
    """Part of a real conversation, with either speaker first and a slightly different pace."""
    swap, pace = int(rng.random() < 0.5), float(rng.uniform(0.85, 1.2))
    start = int(rng.integers(max(1, len(turns) - 20)))
    chosen: list[PlannedTurn] = []
    spent_s = 0.0
    for turn in turns[start:]:
        planned = replace(
            turn,
            speaker=turn.speaker ^ swap,
            offset_s=turn.offset_s * pace,
            pauses_s=tuple(p * pace for p in turn.pauses_s),
        )
        chosen.append(planned)
        spent_s += sum(planned.parts_s) + sum(planned.pauses_s) + planned.offset_s
        if spent_s > length_s:
            break
    return chosen


def _from_style(
    rng: np.random.Generator, style: Style, manner: Manner, length_s: float
) -> list[PlannedTurn]:
    turn_median_s = [rng.uniform(*limits) for limits in style.turn_median_s]
    parts_mean = [rng.uniform(*limits) for limits in style.parts_mean]
    backchannels_per_s = rng.uniform(*style.backchannels_per_s, size=2)
    pace, shift_s = rng.uniform(0.8, 1.25), rng.normal(0, 0.08)
    if style.machine:
        backchannels_per_s[1] = 0.0
    speaker, turns, spent_s = int(rng.integers(2)), list[PlannedTurn](), 0.0
    brief = False  # a short, quick turn, like an answer to a question
    while spent_s < length_s:
        median = min(turn_median_s[speaker], 0.9) if brief else turn_median_s[speaker]
        speaking_s = float(np.clip(median * np.exp(TURN_SPREAD * rng.standard_normal()), 0.3, 25.0))
        further = rng.gamma(PARTS_SHAPE, (parts_mean[speaker] - 1) / PARTS_SHAPE)
        parts = min(1 + rng.poisson(further) * (not brief), max(1, int(speaking_s / 0.6)))
        shares = rng.dirichlet(np.full(parts, 3.0))
        offset_s = _draw_percentile(rng, style.offsets_s) * pace + shift_s
        if style.machine:
            offset_s = max(offset_s, 0.05)
        if brief:
            offset_s -= 0.1
        reactions = (
            rng.poisson(backchannels_per_s[1 - speaker] * speaking_s) if speaking_s > 2 else 0
        )
        turn = PlannedTurn(
            speaker=speaker,
            offset_s=offset_s if turns else float(rng.uniform(0.1, 2.0)),
            parts_s=tuple((shares * speaking_s).tolist()),
            pauses_s=tuple(manner.draw_pause_s(rng) for _ in range(parts - 1)),
            backchannels=tuple(sorted(rng.uniform(0.2, 0.95, reactions).tolist())),
        )
        turns.append(turn)
        spent_s += speaking_s + sum(turn.pauses_s) + max(turn.offset_s, -0.5)
        speaker, brief = 1 - speaker, bool(not brief and rng.random() < 0.25)
    return turns


def _draw_percentile(rng: np.random.Generator, percentiles: Percentiles) -> float:
    """Draw from the distribution given by its percentiles; between them it is linear."""
    low, high = percentiles[0] - 0.3, percentiles[-1] * 1.3
    return float(
        np.interp(rng.random(), (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1), (low, *percentiles, high))
    )
