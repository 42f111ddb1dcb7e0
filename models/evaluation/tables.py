"""Format an evaluation as tables of text, for the terminal and for the web page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .frontier import CUT_OFFS, LATENCIES_S, Best, Frontier
from .measures import BinaryScore, Estimate
from .report import (
    ASKED_MS,
    JUDGE,
    PLOTTED_MS,
    SETTINGS,
    SILERO,
    TIMER,
    Evaluation,
    GroupFigures,
    SystemFigures,
)
from .shift_hold import SILENCES_MS
from .voice_activity import FOUND_WITHIN_S

NOTHING = "-"
COUNTING = "counting this speaker"
MOST_CALLS = 60  # a longer table would not be read


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column names the row. The note explains the table."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


def all_tables(evaluation: Evaluation) -> list[Table]:
    """Return the tables of all results."""
    tables = [
        scores_table(evaluation),
        within_table(evaluation),
        settings_table(evaluation),
        presets_table(evaluation),
    ]
    if evaluation.by_corpus:
        tables.append(groups_table(evaluation))
    if evaluation.voice_activity:
        tables.append(voice_activity_table(evaluation))
    if evaluation.conditions:
        tables.append(robustness_table(evaluation))
    if evaluation.costs:
        tables.append(cost_table(evaluation))
    return tables


def shown(estimate: Estimate, scale: float = 1.0, digits: int = 2) -> str:
    """Format a value and its interval."""
    if math.isnan(estimate.value):
        return NOTHING
    value = f"{estimate.value * scale:.{digits}f}"
    return (
        value
        if math.isnan(estimate.low)
        else f"{value} [{estimate.low * scale:.{digits}f}, {estimate.high * scale:.{digits}f}]"
    )


def describe_model(about: Mapping[str, Any]) -> str:
    """Describe the evaluated model: name, version, and the first 12 digits of the weights' hash.

    A cross-validation gives the names and the number of its models.
    """
    folds = about.get("folds")
    if folds is None:
        model = about["model"]
        return f"{model['name']} {model['version']} ({model['weights_sha256'][:12]})"
    models = folds["models"]
    names = ", ".join(dict.fromkeys(f"{model['name']} {model['version']}" for model in models))
    return f"{names}, cross-validated by {_counted(models)}"


def _counted(models: Sequence[Any]) -> str:
    return f"{len(models)} model{'s' if len(models) != 1 else ''}"


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
                f"AUC, {PLOTTED_MS} ms, minus that of {baseline}",
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
    add(
        "calibration error, 250 ms",
        lambda s: NOTHING if s.calibration is None else shown(s.calibration.at_250_ms.error),
    )
    add(
        "calibration error, silent frames",
        lambda s: NOTHING if s.calibration is None else shown(s.calibration.silent_frames.error),
    )
    note = (
        "Shift: after a mutual silence the other speaker speaks; hold: the same one continues. ms: "
        "into the silence. Holds that are cut off, and latency, are of pauses of one speaker: a "
        "hold ends with the same speaker, an end of turn with at least 1 s of the other; a pause "
        "with a shorter answer after which the speaker continues is left out. AUC: 0.5 is chance, "
        "1 is perfect. Balanced accuracy is at threshold 0.5, as the score comes. Mono and "
        "baselines hear the speaker alone. Shift prediction: the last 0.5 s before the silence. A "
        "backchannel here is any short utterance, at most 1 s long with 1 s of own silence around "
        "it. In brackets: 95 % intervals, bootstrap over dialogues. Counts: shifts/holds, "
        "long/short, with/without. Latency and calibration error: less is better."
    )
    return Table(
        "Scores",
        ("", *names, TIMER),
        tuple(rows),
        note + _folds(evaluation) + _judge(evaluation) + _detected(evaluation),
    )


def _folds(evaluation: Evaluation) -> str:
    """Return a note on the cross-validation; empty without one."""
    folds = evaluation.about.get("folds")
    if folds is None:
        return ""
    return (
        f" The model's figures are cross-validated by {_counted(folds['models'])}: each dialogue "
        f"was scored by the one that {folds['file']} names for it, as one that has not learned "
        "from it."
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
    detected, count = _detected_count(evaluation)
    if not detected:
        return ""
    note = f" Who spoke when is said by Silero VAD itself in {detected} of {count} dialogues"
    return note + (
        ": there its own column is judged on labels that it made."
        if SILERO in evaluation.systems
        else "."
    )


def _detected_count(evaluation: Evaluation) -> tuple[int, int]:
    """Return how many dialogues have voice activity from a detector, and how many there are."""
    dialogues = evaluation.about["dialogues"]
    return sum(dialogue["activity"] == "detector" for dialogue in dialogues), len(dialogues)


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
        at = evaluation.counting.at | {ASKED_MS: evaluation.counting.at[PLOTTED_MS]}
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


def settings_table(evaluation: Evaluation) -> Table:
    """Return the settings that reach the figures of the frontier: threshold, delay, time-out."""
    systems: dict[str, Frontier] = {
        name: figures.frontier for name, figures in evaluation.systems.items()
    } | {TIMER: evaluation.timer}
    rows = [
        (
            f"holds cut off at mean latency <= {limit} s",
            *(settings_words(front.cut_off_at[limit]) for front in systems.values()),
        )
        for limit in LATENCIES_S
    ]
    rows += [
        (
            f"mean latency at <= {100 * limit:.0f} % of holds cut off",
            *(settings_words(front.latency_at[limit]) for front in systems.values()),
        )
        for limit in CUT_OFFS
    ]
    note = (
        "Threshold, delay, time-out: what reaches the figures above. In a policy they are "
        "end_threshold, end_silence_secs and timeout_secs."
    )
    return Table("Settings on the frontier", ("", *systems), tuple(rows), note)


def settings_words(best: Best) -> str:
    """Format the threshold, delay and time-out of a point."""
    if best.point is None:
        return NOTHING
    if math.isnan(best.point.threshold):
        return f"wait {best.point.delay_s:.1f} s"
    return f"{best.point.threshold:.2f}, {best.point.delay_s:.1f} s, {best.point.timeout_s:.1f} s"


def presets_table(evaluation: Evaluation) -> Table:
    """Return the results of the policy's presets."""
    rows = [
        (
            f"{preset}, {setting}",
            shown(trial.cut_off, 100, 0),
            shown(trial.latency_s),
            f"{trial.median_latency_s:.2f}",
            f"{trial.never_ended} of {trial.ends}",
        )
        for setting, trials in evaluation.presets.items()
        for preset, trial in trials.items()
    ]
    note = (
        "The policy as it runs, frame by frame: a hold is cut off if the turn was ended inside it; "
        "latency counts from the pause's start. In stereo the other speaker's start also ends a "
        "turn. Latency leaves out the ends that were never called before the speaker spoke again."
    )
    return Table(
        "Presets",
        ("", "holds cut off, %", "mean latency, s", "median, s", "never called"),
        tuple(rows),
        note,
    )


def groups_table(evaluation: Evaluation) -> Table:
    """Return shift or hold in every corpus, and in each of its calls."""
    names = list(evaluation.systems)
    corpus_of = {dialogue["id"]: dialogue["corpus"] for dialogue in evaluation.about["dialogues"]}
    listed = len(evaluation.by_call) <= MOST_CALLS
    rows: list[tuple[str, ...]] = []

    def add(label: str, group: GroupFigures) -> None:
        rows.append(
            (
                label,
                str(group.shifts),
                str(group.holds),
                *(shown(group.auc[name]) for name in names),
            )
        )

    for corpus, figures in evaluation.by_corpus.items():
        calls = {
            call: found for call, found in evaluation.by_call.items() if corpus_of[call] == corpus
        }
        add(f"{corpus or 'no corpus given'} ({figures.dialogues})", figures)
        for call, found in calls.items() if listed else ():
            add(f"  {call}", found)
    note = (
        f"AUC of shift or hold, {PLOTTED_MS} ms into the silence, within the corpus or the call; "
        f"{NOTHING}: there are only shifts, only holds, or neither."
    )
    if not listed:
        note += f" There are {len(evaluation.by_call)} calls: each is in report.json."
    return Table("Corpora and calls", ("", "shifts", "holds", *names), tuple(rows), note)


def voice_activity_table(evaluation: Evaluation) -> Table:
    """Return the measures of vad, one row per system."""
    rows = [
        (
            name,
            shown(v.found, 100, 1),
            shown(v.false, 100, 1),
            f"{shown(v.onsets_found, 100, 1)} of {v.onsets}",
            _or_nothing(v.median_delay_s),
        )
        for name, v in evaluation.voice_activity.items()
    ]
    note = (
        "Speech where vad is at least 0.5, against the activity of the manifest. Delay: from an "
        "onset, after 0.2 s of own silence, to the end of the first frame called speech, median "
        f"of the onsets found within {FOUND_WITHIN_S} s; 0.02 s is the least."
    )
    detected, count = _detected_count(evaluation)
    if detected:
        note += (
            f" In {detected} of {count} dialogues the reference itself comes from Silero VAD, with "
            "its edges trimmed by energy"
        )
        note += (
            ": there its own row is a comparison with itself."
            if SILERO in evaluation.voice_activity
            else "."
        )
    header = (
        "",
        "speech frames found, %",
        "silent frames called speech, %",
        f"onsets found within {FOUND_WITHIN_S} s, %",
        "median delay, s",
    )
    return Table("Voice activity", header, tuple(rows), note)


def _or_nothing(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:.2f}"


def robustness_table(evaluation: Evaluation) -> Table:
    """Return shift or hold and the frontier in every condition."""
    rows: list[tuple[str, ...]] = []
    for setting in SETTINGS:
        clean = evaluation.systems[setting]
        rows.append(
            (
                f"clean, {setting}",
                *_robust_cells(clean.shift_hold.at[PLOTTED_MS], clean.frontier, None),
            )
        )
        for condition, figures in evaluation.conditions.items():
            found = figures[setting]
            rows.append(
                (
                    f"{condition}, {setting}",
                    *_robust_cells(found.shift_hold.at[PLOTTED_MS], found.frontier, found.auc_fall),
                )
            )
    note = (
        "Who spoke when is always taken from the clean recording. The fall is paired, below 0 the "
        "AUC rose. A gain of +20 dB clips what is loud."
    )
    header = (
        "",
        "AUC, 250 ms",
        "fall of AUC",
        "balanced accuracy",
        *(f"cut off at <= {s} s, %" for s in LATENCIES_S),
        *(f"latency at <= {100 * c:.0f} %, s" for c in CUT_OFFS),
    )
    return Table("Robustness", header, tuple(rows), note)


def _robust_cells(
    score: BinaryScore, front: Frontier, auc_fall: Estimate | None
) -> tuple[str, ...]:
    cut_offs = (shown(front.cut_off_at[limit].estimate, 100, 0) for limit in LATENCIES_S)
    latencies = (shown(front.latency_at[limit].estimate) for limit in CUT_OFFS)
    return (
        shown(score.auc),
        NOTHING if auc_fall is None else shown(auc_fall),
        shown(score.balanced_accuracy),
        *cut_offs,
        *latencies,
    )


def cost_table(evaluation: Evaluation) -> Table:
    """Return the processor time of each system."""
    rows = [
        (name, f"{cost.ms_per_second_of_audio:.2f}", f"{cost.ms_per_decision:.3f}", cost.counted)
        for name, cost in evaluation.costs.items()
    ]
    return Table(
        "Cost",
        ("", "ms per second of audio", "ms per decision", "counted"),
        tuple(rows),
        "On one thread of this machine, in this run: the model's median time, the baselines' "
        "processor time.",
    )
