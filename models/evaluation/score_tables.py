"""The tables of scores: all measures of each system, and shift or hold within one speaker."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .calibration import Calibration
from .frontier import CUT_OFFS, LATENCIES_S
from .measures import BinaryScore
from .provenance import count_detected, count_models
from .report import ASKED_MS, JUDGE, SILERO, TIMER, Evaluation, SystemFigures
from .shift_hold import SCORE_MS, SILENCES_MS
from .table import NOTHING, Table, shown

COUNTING = "counting this speaker"


def scores_table(evaluation: Evaluation) -> Table:
    """Return all measures, one column per system."""
    names = list(evaluation.systems)
    rows: list[tuple[str, ...]] = []

    def add(label: str, cell: Callable[[SystemFigures], str], timer: str = NOTHING) -> None:
        rows.append((label, *(cell(evaluation.systems[name]) for name in names), timer))

    def binary(label: str, score: Callable[[SystemFigures], BinaryScore | None]) -> None:
        first = score(evaluation.systems[names[0]])
        counts = f" ({first.positives}/{first.negatives})" if first is not None else ""
        add(f"{label}: AUC{counts}", lambda s: NOTHING if (b := score(s)) is None else shown(b.auc))
        add(
            "  balanced accuracy at 0.5",
            lambda s: NOTHING if (b := score(s)) is None else shown(b.balanced_accuracy),
        )

    for ms in sorted({*SILENCES_MS, ASKED_MS}):
        binary(
            f"shift or hold, {ms} ms",
            lambda s, ms=ms: s.shift_hold_at_200_ms if ms == ASKED_MS else s.shift_hold.at[ms],
        )
    binary("shift or hold, averaged", lambda s: s.shift_hold.averaged)
    for baseline, above in evaluation.auc_above.items():
        rows.append(
            (
                f"AUC, {SCORE_MS} ms, minus that of {baseline}",
                *(shown(above[name]) if name in above else NOTHING for name in names),
                NOTHING,
            )
        )
    if evaluation.agreement:
        found = evaluation.agreement
        cells = (shown(found[name]) if name in found else NOTHING for name in names)
        rows.append(("agreement with the judge, 0.3 s: correlation", *cells, NOTHING))
    binary("shift prediction", lambda s: s.shift_prediction)
    binary("short or long", lambda s: s.short_long)
    binary("backchannel prediction", lambda s: s.backchannel_prediction)
    counts = f"{evaluation.timer.holds} holds, {evaluation.timer.ends} ends"
    for limit_s in LATENCIES_S:
        label = f"holds cut off at mean latency <= {limit_s} s, % ({counts})"
        add(
            label,
            lambda s, limit=limit_s: shown(s.frontier.cut_off_at[limit].estimate, 100, 0),
            shown(evaluation.timer.cut_off_at[limit_s].estimate, 100, 0),
        )
    for limit in CUT_OFFS:
        label = f"mean latency at <= {100 * limit:.0f} % of holds cut off, s"
        add(
            label,
            lambda s, limit=limit: shown(s.frontier.latency_at[limit].estimate),
            shown(evaluation.timer.latency_at[limit].estimate),
        )
    for label, part in (("250 ms", "at_250_ms"), ("silent frames", "silent_frames")):
        add(f"calibration error, {label}", lambda s, part=part: _calibration_error(s, part))
    note = (
        "Shift: after a mutual silence the other speaker speaks; hold: the same one continues. ms: "
        "into the silence. Holds that are cut off, and latency, are of pauses of one speaker: a "
        "hold ends with the same speaker, an end of turn with at least 1 s of the other; a pause "
        "with a shorter answer after which the speaker continues is left out. AUC: 0.5 is chance, "
        "1 is perfect. Balanced accuracy is at threshold 0.5, as the score comes. Mono and "
        "baselines hear the speaker alone. Shift prediction: the last 0.5 s before the silence. A "
        "backchannel here is any short utterance, at most 1 s long with 1 s of own silence around "
        "it. In brackets: 95 % intervals, bootstrap over dialogues. Counts: shifts/holds, "
        "long/short, with/without. Latency and calibration error: less is better. By chance: "
        "the error to be expected if every prediction were right about its own probability."
    )
    return Table(
        "Scores",
        ("", *names, TIMER),
        tuple(rows),
        note + _folds(evaluation) + _judge(evaluation) + _detected(evaluation),
    )


def _calibration_error(system: SystemFigures, part: str) -> str:
    """Return the error, and what chance alone would give; `part` is of a CalibrationReport."""
    if system.calibration is None:
        return NOTHING
    found: Calibration = getattr(system.calibration, part)
    error = shown(found.error)
    return error if error == NOTHING else f"{error}, by chance {found.by_chance:.2f}"


def _folds(evaluation: Evaluation) -> str:
    """Return a note on the cross-validation; empty without one."""
    folds = evaluation.about.get("folds")
    if folds is None:
        return ""
    return (
        f" The model's figures are cross-validated by {count_models(folds['models'])}: each "
        f"dialogue was scored by the one that {folds['file']} names for it, as one that has not "
        "learned from it."
    )


def _judge(evaluation: Evaluation) -> str:
    """Return a note on the judge and its coverage; empty without a judge."""
    judge = evaluation.about.get(JUDGE)
    if judge is None:
        return ""
    asked = " and ".join(
        f"{judge[what][0]} of {judge[what][1]} {words}"
        for what, words in (("pauses", "pauses"), ("silences", "shifts and holds"))
    )
    return (
        f" The judge is an upper bound: its scores ({judge['file']}) were made elsewhere, and are "
        f"to come from a judge that has not learned from these calls. It was asked in {asked}; a "
        "pause in which it was not waits for the time-out."
    )


def _detected(evaluation: Evaluation) -> str:
    """Return a note on voice activity labels that Silero VAD made; empty if there are none.

    Silero VAD is also a baseline, so its own scores there need a warning.
    """
    detected, count = count_detected(evaluation.about)
    if not detected:
        return ""
    note = f" Who spoke when comes from Silero VAD itself in {detected} of {count} dialogues"
    return note + (
        ": there its own column is judged on labels that it made."
        if SILERO in evaluation.systems
        else "."
    )


def within_table(evaluation: Evaluation) -> Table:
    """Return the AUC of shift or hold, pooled and within dialogue and speaker.

    Each system has two rows.
    """
    times = sorted({*SILENCES_MS, ASKED_MS})
    rows: list[tuple[str, ...]] = []

    def add(name: str, scores: Sequence[BinaryScore | None]) -> None:
        rows.append(
            (
                f"{name}, pooled",
                *(NOTHING if score is None else shown(score.auc) for score in scores),
            )
        )
        within = (None if score is None else score.auc_within for score in scores)
        rows.append(
            ("  within speaker", *(NOTHING if auc is None else shown(auc) for auc in within))
        )

    for name, figures in evaluation.systems.items():
        at = figures.shift_hold.at | {ASKED_MS: figures.shift_hold_at_200_ms}
        add(
            name, [*(at[ms] for ms in times), figures.shift_hold.averaged, figures.shift_prediction]
        )
    if evaluation.counting is not None:
        # Every silence lasts at least 250 ms, so the scores at 200 ms are those at 250 ms.
        at = evaluation.counting.at | {ASKED_MS: evaluation.counting.at[SCORE_MS]}
        add(COUNTING, [*(at[ms] for ms in times), evaluation.counting.averaged, None])
    note = (
        "AUC of shift or hold, by the time into the silence; the last column is shift prediction, "
        "which hears no silence. Pooled: over all pairs of a shift and a hold. Within speaker: "
        "over the pairs of the same dialogue and the same speaker before the silence, so that it "
        f"does not help to know who yields more often. {COUNTING.capitalize()} hears nothing: the "
        "share of shifts among this speaker's silences so far in the dialogue; within a speaker "
        "that is below 0.5 by itself, since every shift that was counted is one less to come."
    )
    header = ("", *(f"{ms} ms" for ms in times), "averaged", "last 0.5 s of speech")
    return Table("Shift or hold within one speaker", header, tuple(rows), note)
