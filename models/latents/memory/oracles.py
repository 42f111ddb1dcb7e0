"""Error break-down: how many of a network's shift/hold errors go away with more context, or with an
oracle that knows what it had to guess.

An oracle's knowledge is added to the network's logit by a small logistic regression, fitted and
judged on different dialogues; "recalibrated" is the same regression on the logit alone, so that
what fitting by itself gives is not credited to an oracle. Two oracles look ahead and are upper
bounds: they know the length of the silence, or how many of the dialogue's silences are shifts.

Source: the break-down of errors in Karpathy, Johnson & Fei-Fei 2016, section 4.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...dialogues.activity import FRAME_RATE_HZ, BoolFrames, runs
from ...evaluation.measures import Estimate, Floats, Statistic, balanced_accuracy
from ...evaluation.predictions import at_activity_rate
from ..collection import Collection
from ..drawing import many
from ..quality import counted_log_odds
from .held_out import held_out_log_odds, is_fittable
from .past import score_with_past
from .readings import Readings, each_dialogue, floor_logits, silence_readings

if TYPE_CHECKING:
    from ...turn_model import TurnModel

SHORT_S = 1.0  # of past, for what a network without memory of the dialogue could hear
SHARE_S = 30.0
NEVER_S = 60.0  # stands for the time since somebody spoke who has not spoken yet


@dataclass(frozen=True)
class Errors:
    """Errors of one way to ask, at log-odds of 0, and how they differ from another's (paired)."""

    missed: int  # shifts called holds
    false: int  # holds called shifts
    balanced: Estimate  # mean of the two error rates
    ranking: Estimate  # 1 - AUC within dialogue and speaker
    balanced_less: Estimate  # what the other way has more
    ranking_less: Estimate
    share_less: Estimate  # balanced_less as a share of the other way's
    mended: int  # events that only the other way gets wrong
    spoiled: int  # events that only this one gets wrong


@dataclass(frozen=True)
class Oracle:
    """One way to ask."""

    name: str
    log_odds: Floats  # of a shift, (E,)
    errors: Errors
    ahead: bool  # it looks ahead, or at the dialogue's answers: only an upper bound


@dataclass(frozen=True)
class Asked:
    """The shifts and holds of some dialogues, and what comes of asking in several ways."""

    readings: Readings
    alone: list[Oracle]  # the network, and ways that each change one thing, beside it
    together: list[Oracle]  # ways of which each knows more than the one before, beside that


def ask(
    model: TurnModel, collection: Collection, kept: Path | None = None
) -> list[tuple[str, Asked]]:
    """Ask any network in every way that the dialogues allow; parts are kept beside the result.

    Returns ("", all silences), and, where only some dialogues have text, (a few words, theirs):
    words are known only there. No shifts, or no holds, are a ConfigError.
    """
    readings, events = silence_readings(collection)
    known = {
        "short": score_with_past(model, collection, readings, [SHORT_S], kept)[0],
        "whole": np.zeros(len(readings)),
        "one channel": np.zeros(len(readings)),
        "activity": np.zeros((len(readings), 5)),
        "words": np.array([[e.ending == "question", e.ending == "statement"] for e in events]),
        "length": np.log([event.end_s - event.start_s for event in events]),
    }
    for places, audio in each_dialogue(collection, readings, model.config.features.sample_rate_hz):
        chosen = readings.only(places)
        known["whole"][places] = floor_logits(model, audio, chosen)
        # Asked about is who did not speak before: only the other one, who did, is heard.
        for asked in (0, 1):
            before, silenced = chosen.speaker == asked, audio.copy()
            silenced[asked] = 0
            if before.any():
                said = floor_logits(model, silenced, chosen.only(before))
                known["one channel"][places[before]] = said
        speaking = collection.frames(int(chosen.number[0]), ["speaking"])["speaking"].T
        ends = np.rint(chosen.heard_s * FRAME_RATE_HZ).astype(np.int64).tolist()
        frames = speaking.astype(np.float32), collection.frame_rate_hz, max(ends)
        activity = at_activity_rate(*frames) > 0
        for place, end, asked in zip(places, ends, chosen.speaker, strict=True):
            known["activity"][place] = activity_features(activity[:, :end], 1 - int(asked))
    texted = np.isin(readings.number, readings.number[known["words"].any(axis=1)])
    if texted.all():
        return [("", combine(readings, known))]
    some, theirs = readings.only(texted), {name: each[texted] for name, each in known.items()}
    del known["words"]
    found = [("", combine(readings, known))]
    if is_fittable(some.happened, some.number):
        found.append((f"{many(some.dialogues, 'dialogue')} with text", combine(some, theirs)))
    return found


def combine(readings: Readings, known: Mapping[str, Floats]) -> Asked:
    """All ways to ask about some silences; those that cannot be fitted are left out.

    Of each silence, (E, ...), there are `known` the network's log-odds "whole", and "short" and
    "one channel" when it hears only the last SHORT_S or the speaker before; the features "activity"
    (`activity_features`), "length" of the silence (logarithm) and, if any text is known, "words"
    (does it end as a question, or as a statement?).
    """
    asked = Asked(readings, [], [])
    whole, short, newest = known["whole"], known["short"], known["whole"]

    alone, together = asked.alone, asked.together

    def add(ways: list[Oracle], name: str, log_odds: Floats, *, ahead: bool = False) -> None:
        before = whole if ways is alone else (ways[-1].log_odds if ways else log_odds)
        ways.append(Oracle(name, log_odds, count_errors(log_odds, before, readings), ahead))

    def fitted(*names: str) -> Floats:
        features = np.column_stack([whole, *(known[name] for name in names)])
        return held_out_log_odds(features, readings.happened, readings.number, balanced=True)

    add(alone, "the network", whole)
    add(alone, f"hears only the last {SHORT_S:g} s", short)
    add(alone, "hears only the speaker before", known["one channel"])
    add(alone, "only counts this speaker's shifts", counted_log_odds(*readings.asked))
    add(together, f"only the last {SHORT_S:g} s", short)
    add(together, "all the past: the network", whole)
    if is_fittable(readings.happened, readings.number):
        recalibrated, newest = fitted(), fitted("activity")
        add(alone, "recalibrated", recalibrated)
        add(together, "+ recalibrated", recalibrated)
        add(alone, "true voice activity", newest)
        add(together, "+ true voice activity", newest)
        if "words" in known:
            add(alone, "words: question or statement", fitted("words"))
            newest = fitted("activity", "words")
            add(together, "+ words", newest)
        add(alone, "length of the silence", fitted("length"), ahead=True)
    if readings.dialogues > 1:  # of one dialogue it would be all there is to know
        add(alone, "how many are shifts", with_counts_known(whole, readings), ahead=True)
        add(together, "+ how many are shifts", with_counts_known(newest, readings), ahead=True)
    return asked


def activity_features(activity: BoolFrames, speaker: int) -> Floats:
    """What the network would have to work out from sound: who spoke when until now, (2, T) at
    50 Hz, in the mutual silence after a speaker.

    Returns:
        (5,): logarithms of seconds since the turn began (the speaker's first stretch after the
        other's last), of the length of the last stretch, of the seconds since the other spoke and
        of the number of stretches in the turn; and the speaker's share of the speech in the last
        30 s. The silence itself is as long everywhere, so it says nothing.
    """
    frames, others = activity.shape[1], np.flatnonzero(activity[1 - speaker])
    last_other = int(others[-1]) + 1 if len(others) else 0
    turn = [run for run in runs(activity[speaker]) if run[1] > last_other] or [(frames, frames)]
    start, end = turn[-1]
    recent = activity[:, max(0, frames - round(SHARE_S * FRAME_RATE_HZ)) :].sum(axis=1)
    durations = np.array([frames - max(turn[0][0], last_other), end - start, frames - last_other])
    seconds = durations / FRAME_RATE_HZ
    if not len(others):
        seconds[2] = NEVER_S
    share = recent[speaker] / max(recent.sum(), 1)
    return np.array([*np.log1p(seconds), np.log(len(turn)), share])


def with_counts_known(log_odds: Floats, readings: Readings) -> Floats:
    """Log-odds moved in each dialogue so that as many as are shifts come out above 0, (E,)."""
    moved = log_odds.copy()
    for number in np.unique(readings.number):
        places = readings.of(int(number))
        falling = np.sort(log_odds[places])[::-1]
        thresholds = [falling[0] + 1, *(falling[:-1] + falling[1:]) / 2, falling[-1] - 1]
        moved[places] -= thresholds[int(readings.happened[places].sum())]
    return moved


def blind_error(readings: Readings) -> float:
    """Balanced error of guesses that only know how many silences of each dialogue are shifts."""
    kinds = readings.sums(np.stack([readings.happened, ~readings.happened], axis=1))
    shares = kinds / kinds.sum(axis=1, keepdims=True)
    return float(((kinds * shares[:, ::-1]).sum(axis=0) / kinds.sum(axis=0)).mean())


def count_errors(log_odds: Floats, other: Floats, readings: Readings) -> Errors:
    """Errors of log-odds, (E,), beside another way to ask, with intervals over dialogues."""
    happened, both = readings.happened, (log_odds, other)
    wrong, wrong_before = ((scores >= 0) != happened for scores in both)
    error, error_before = (_balanced_error(scores >= 0, readings) for scores in both)
    auc, auc_before = (readings.auc(scores) for scores in both)

    def share(weights: Floats) -> Floats:
        before, after = error_before(weights), error(weights)
        return np.divide(before - after, before, out=np.full(len(before), np.nan), where=before > 0)

    return Errors(
        int((happened & wrong).sum()),
        int((~happened & wrong).sum()),
        readings.estimate(error),
        readings.estimate(lambda weights: 1 - auc(weights)),
        readings.estimate(lambda weights: error_before(weights) - error(weights)),
        readings.estimate(lambda weights: auc(weights) - auc_before(weights)),
        readings.estimate(share),
        int((wrong_before & ~wrong).sum()),
        int((wrong & ~wrong_before).sum()),
    )


def _balanced_error(called: BoolFrames, readings: Readings) -> Statistic:
    kinds, answers = (readings.happened, ~readings.happened), (called, ~called)
    cells = [kind & answer for kind in kinds for answer in answers]
    confusion = readings.sums(np.stack(cells, axis=1))
    return lambda weights: 1 - balanced_accuracy(weights @ confusion)
