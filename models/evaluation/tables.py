"""Format an evaluation as tables of text, for the terminal and for the web page."""

from __future__ import annotations

import math

from .frontier import CUT_OFFS, LATENCIES_S, Best, Frontier
from .measures import BinaryScore, Estimate
from .provenance import count_detected
from .report import SETTINGS, SILERO, TIMER, Evaluation, GroupFigures
from .score_tables import scores_table, within_table
from .shift_hold import SCORE_MS
from .table import NOTHING, Table, shown
from .voice_activity import FOUND_WITHIN_S

MOST_CALLS = 60  # a longer table would not be read


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
        f"AUC of shift or hold, {SCORE_MS} ms into the silence, within the corpus or the call; "
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
    detected, count = count_detected(evaluation.about)
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
                *_robust_cells(clean.shift_hold.at[SCORE_MS], clean.frontier, None),
            )
        )
        for condition, figures in evaluation.conditions.items():
            found = figures[setting]
            rows.append(
                (
                    f"{condition}, {setting}",
                    *_robust_cells(found.shift_hold.at[SCORE_MS], found.frontier, found.auc_fall),
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
