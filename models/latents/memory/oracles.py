"""Error break-down: how many of a network's shift/hold errors go away with more context, or with an
oracle that knows what it had to guess.

The network is asked 0.25 s into every shift and hold. Steps that only let it hear more (all the
past instead of the last second, the other channel) need no fitting. An oracle's knowledge is added
to the network's logit by a small logistic regression, fitted and judged on different dialogues;
"recalibrated" is the same regression on the logit alone, so that what fitting by itself gives is
not credited to an oracle. Two oracles look ahead and are upper bounds: they know the length of the
silence, or how many of the dialogue's silences are shifts. That a voice is heard again is not
offered: it answers the question.

Source: the break-down of errors in "Visualizing and understanding recurrent networks" (Karpathy,
Johnson, Fei-Fei 2016), section 4.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...dialogues.activity import FRAME_RATE_HZ, BoolFrames, runs
from ...evaluation.measures import (
    Estimate,
    auc_within_statistic,
    balanced_accuracy,
    consecutive,
    estimate,
    sums_by_dialogue,
)
from ...evaluation.predictions import at_activity_rate
from ..collection import Collection, Event
from ..quality import counted_log_odds
from .held_out import Floats, held_out_log_odds, is_fittable
from .past import score_with_past
from .readings import Readings, each_dialogue, floor_logits, silence_readings

if TYPE_CHECKING:
    from ...turn_model import TurnModel

SHORT_S = 1.0  # of past, for what a network without memory of the dialogue could hear
NETWORK, COUNTING = "the network", "only counts this speaker's shifts"
ACTIVITY_FEATURES = (
    "turn",
    "last stretch",
    "since the other spoke",
    "stretches in the turn",
    "share of the last 30 s",
)
SHARE_S = 30.0
NEVER_S = 60.0  # stands for the time since somebody spoke who has not spoken yet


@dataclass(frozen=True)
class Oracle:
    """One way to ask.

    Attributes:
        name: in a few words.
        log_odds: of a shift, (E,).
        ahead: it looks ahead, or at the dialogue's answers, and so is only an upper bound.
    """

    name: str
    log_odds: Floats
    ahead: bool = False


@dataclass(frozen=True)
class Asked:
    """The shifts and holds of some dialogues, and what comes of asking in several ways.

    Attributes:
        readings: the silences.
        alone: ways that each change one thing against the network (which is the first), to be
            compared with it one by one.
        together: ways of which each knows more than the one before.
        guessing: balanced error of blind guesses that know how many of each dialogue's silences are
            shifts.
        fittable: are there ways that a regression is fitted for? Not where the dialogues to fit on
            have only shifts or only holds.
    """

    readings: Readings
    alone: tuple[Oracle, ...]
    together: tuple[Oracle, ...]
    guessing: float
    fittable: bool


@dataclass(frozen=True)
class Errors:
    """Errors of one way to ask, and how they differ from another's.

    Attributes:
        missed, false: shifts called holds, and holds called shifts, at log-odds of 0.
        balanced: mean of the two error rates.
        ranking: 1 - AUC within dialogue and speaker.
        balanced_less, ranking_less: what the other way has more of each; the differences are
            paired.
        share_less: balanced_less as a share of the other way's.
        mended, spoiled: events that only the other way gets wrong, and that only this one does.
    """

    missed: int
    false: int
    balanced: Estimate
    ranking: Estimate
    balanced_less: Estimate
    ranking_less: Estimate
    share_less: Estimate
    mended: int
    spoiled: int


def ask(
    model: TurnModel, collection: Collection, kept: Path | None = None
) -> list[tuple[str, Asked]]:
    """Ask in every way that the dialogues allow.

    Args:
        model: in evaluation mode; any, not only the collection's.
        collection: with sound.
        kept: result beside which parts are kept; None keeps none.
    Returns:
        ("", all silences), and, where only some dialogues have text, (a few words, theirs): words
        are known only there.
    Raises:
        ConfigError: no shifts or no holds.
    """
    readings, events = silence_readings(collection)
    short = score_with_past(model, collection, readings, [SHORT_S], kept)[0]
    whole, one_channel, known = (
        np.zeros(len(readings)),
        np.zeros(len(readings)),
        np.zeros((len(readings), len(ACTIVITY_FEATURES))),
    )
    for places, audio in each_dialogue(collection, readings, model.config.features.sample_rate_hz):
        chosen = readings.only(places)
        whole[places] = floor_logits(model, audio, chosen)
        for heard in (
            0,
            1,
        ):  # asked about is who did not speak before: only the other one, who did, is heard
            silenced = audio * np.array([[heard == 0], [heard == 1]], np.float32)
            before = np.flatnonzero(chosen.speaker == 1 - heard)
            if len(before):
                one_channel[places[before]] = floor_logits(model, silenced, chosen.only(before))
        speaking = collection.frames(int(chosen.number[0]), ["speaking"])["speaking"].T
        heard = np.rint(chosen.heard_s * FRAME_RATE_HZ).astype(np.int64)
        activity = (
            at_activity_rate(
                speaking.astype(np.float32), collection.frame_rate_hz, int(heard.max())
            )
            > 0
        )
        known[places] = [
            activity_features(activity[:, :end], 1 - asked)
            for end, asked in zip(heard.tolist(), chosen.speaker.tolist(), strict=True)
        ]
    endings = np.array(
        [[event.ending == "question", event.ending == "statement"] for event in events], np.float64
    )
    texted = np.isin(readings.number, np.unique(readings.number[endings.any(axis=1)]))
    found = [
        (
            "",
            combine(
                readings,
                events,
                short,
                whole,
                one_channel,
                known,
                endings if texted.all() else None,
            ),
        )
    ]
    if not texted.all() and is_fittable(readings.happened[texted], readings.number[texted]):
        some = np.flatnonzero(texted)
        chosen_events = [events[place] for place in some]
        asked = combine(
            readings.only(some),
            chosen_events,
            short[some],
            whole[some],
            one_channel[some],
            known[some],
            endings[some],
        )
        found.append((f"{len(np.unique(readings.number[some]))} dialogues with text", asked))
    return found


def combine(
    readings: Readings,
    events: Sequence[Event],
    short: Floats,
    whole: Floats,
    one_channel: Floats,
    activity: Floats,
    endings: Floats | None,
) -> Asked:
    """All ways to ask about some silences, from what each needs; those that cannot be fitted are
    left out.

    Args:
        readings, events: E silences.
        short, whole, one_channel: the network's log-odds when it hears so much, (E,).
        activity: ACTIVITY_FEATURES, (E, 5).
        endings: whether the words before end as a question, and as a statement, (E, 2); None where
            no text is known.
    """
    network = Oracle(NETWORK, whole)
    alone = [
        network,
        Oracle(f"hears only the last {SHORT_S:g} s", short),
        Oracle("hears only the speaker before", one_channel),
        Oracle(COUNTING, counted_log_odds(readings.happened, readings.number, readings.speaker)),
    ]
    together = [
        Oracle(f"only the last {SHORT_S:g} s", short),
        Oracle("all the past: the network", whole),
    ]
    fittable = is_fittable(readings.happened, readings.number)
    newest = whole
    if fittable:

        def fitted(*columns: Floats) -> Floats:
            features = np.column_stack([whole, *columns])
            return held_out_log_odds(features, readings.happened, readings.number, balanced=True)

        recalibrated, active = fitted(), fitted(activity)
        alone += [Oracle("recalibrated", recalibrated), Oracle("true voice activity", active)]
        together += [
            Oracle("+ recalibrated", recalibrated),
            Oracle("+ true voice activity", active),
        ]
        newest = active
        if endings is not None:
            newest = fitted(activity, endings)
            alone.append(Oracle("words: question or statement", fitted(endings)))
            together.append(Oracle("+ words", newest))
        lengths = np.log([event.end_s - event.start_s for event in events])
        alone.append(Oracle("length of the silence", fitted(lengths), ahead=True))
    if (
        len(np.unique(readings.number)) > 1
    ):  # needs no fitting, but of one dialogue it would be all there is to know
        alone.append(Oracle("how many are shifts", with_counts_known(whole, readings), ahead=True))
        together.append(
            Oracle("+ how many are shifts", with_counts_known(newest, readings), ahead=True)
        )
    return Asked(readings, tuple(alone), tuple(together), blind_error(readings), fittable)


def activity_features(activity: BoolFrames, speaker: int) -> Floats:
    """What the network would have to work out from sound, exactly: who spoke when, up to now, in
    the mutual silence after a speaker.

    Args:
        activity: who spoke when until now, (2, T) at 50 Hz; speaker was the last to speak.
        speaker: who spoke before the silence.
    Returns:
        ACTIVITY_FEATURES, (5,): logarithms of seconds since the turn began (the speaker's first
        stretch after the other's last), of the length of the last stretch, of the seconds since the
        other spoke and of the number of stretches in the turn; and the speaker's share of the
        speech in the last 30 s. The silence itself is as long everywhere, so it says nothing.
    """
    frames = activity.shape[1]
    others = np.flatnonzero(activity[1 - speaker])
    last_other = int(others[-1]) + 1 if len(others) else 0
    stretches = runs(activity[speaker])
    turn = [(start, end) for start, end in stretches if end > last_other] or [(frames, frames)]
    start, end = turn[-1]
    recent = activity[:, max(0, frames - round(SHARE_S * FRAME_RATE_HZ)) :].sum(axis=1)
    since_other_s = (frames - last_other) / FRAME_RATE_HZ if len(others) else NEVER_S
    durations = [
        (frames - max(turn[0][0], last_other)) / FRAME_RATE_HZ,
        (end - start) / FRAME_RATE_HZ,
        since_other_s,
    ]
    return np.array(
        [*np.log1p(durations), np.log(len(turn)), recent[speaker] / max(recent.sum(), 1)]
    )


def with_counts_known(log_odds: Floats, readings: Readings) -> Floats:
    """Log-odds moved in each dialogue so that as many silences as are shifts come out above 0,
    (E,): its threshold, from its answers.
    """
    moved = log_odds.copy()
    for number in np.unique(readings.number):
        places = readings.of(int(number))
        falling = np.sort(log_odds[places])[::-1]
        shifts = int(readings.happened[places].sum())
        between = np.concatenate(
            [[falling[0] + 1], (falling[:-1] + falling[1:]) / 2, [falling[-1] - 1]]
        )
        moved[places] = log_odds[places] - between[shifts]
    return moved


def blind_error(readings: Readings) -> float:
    """Balanced error of guesses that only know how many silences of each dialogue are shifts: what
    that oracle gives away by itself.
    """
    numbers, dialogues = consecutive(readings.number)
    shifts, holds = sums_by_dialogue(
        np.stack([readings.happened, ~readings.happened], axis=1), numbers, dialogues
    ).T
    share = shifts / (shifts + holds)
    return float(
        ((shifts * (1 - share)).sum() / shifts.sum() + (holds * share).sum() / holds.sum()) / 2
    )


def count_errors(log_odds: Floats, other: Floats, readings: Readings) -> Errors:
    """Errors of log-odds, (E,), beside another way to ask, with intervals over dialogues."""
    numbers, dialogues = consecutive(readings.number)
    happened = readings.happened
    confusions, rankings, wrong = [], [], []
    for values in (log_odds, other):
        called = values >= 0
        confusions.append(
            sums_by_dialogue(
                np.stack(
                    [
                        happened & called,
                        happened & ~called,
                        ~happened & called,
                        ~happened & ~called,
                    ],
                    axis=1,
                ),
                numbers,
                dialogues,
            )
        )
        rankings.append(
            auc_within_statistic(values, happened, readings.speaker, numbers, dialogues)
        )
        wrong.append(called != happened)

    def balanced(weights: Floats, which: int) -> Floats:
        return 1 - balanced_accuracy(weights @ confusions[which])

    def share(weights: Floats) -> Floats:
        before, after = balanced(weights, 1), balanced(weights, 0)
        return np.divide(before - after, before, out=np.full(len(before), np.nan), where=before > 0)

    return Errors(
        int((happened & wrong[0]).sum()),
        int((~happened & wrong[0]).sum()),
        estimate(lambda weights: balanced(weights, 0), dialogues),
        estimate(lambda weights: 1 - rankings[0](weights), dialogues),
        estimate(lambda weights: balanced(weights, 1) - balanced(weights, 0), dialogues),
        estimate(lambda weights: rankings[0](weights) - rankings[1](weights), dialogues),
        estimate(share, dialogues),
        int((wrong[1] & ~wrong[0]).sum()),
        int((wrong[0] & ~wrong[1]).sum()),
    )
