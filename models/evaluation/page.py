"""Write one web page that shows an evaluation: plots, tables, and clips of the worst mistakes.

The page needs only files of its own folder.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .mistakes import in_words
from .plots import Curve, Range, draw_frontier, draw_reliability, draw_robustness, draw_roc
from .predictions import EvaluatedDialogue, setting_of
from .provenance import describe_model
from .report import SETTINGS, TIMER, Evaluation, as_json, roc_curve
from .shift_hold import SCORE_MS
from .table import Table, shown
from .tables import all_tables

PICTURES = {  # name and caption of each plot
    "roc": "Shift or hold, 250 ms into a silence: the further a curve bends to the upper left, the "
    "better shifts are told from holds. The dotted diagonal is chance.",
    "frontier": "End of turn: the lower and the more to the left a line, the better. Each is the "
    "fewest thinking pauses cut off that its system can have at that mean latency, over all "
    "thresholds, delays and time-outs. Dots are the policy's presets as they run; in stereo the "
    "other speaker's start also ends a turn, which the line does not know.",
    "reliability": "Calibration 250 ms into a silence: on the diagonal, a predicted 0.7 comes true "
    "seven times in ten. Below, how many predictions fall into each bin; a bin with few says "
    "little.",
    "robustness": "Shift or hold in harder conditions; the dotted lines are the clean recordings, "
    "whiskers are 95 % intervals over dialogues.",
}
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #222; --faint: #ddd; --soft: #666 }
@media (prefers-color-scheme: dark) { \
:root { --paper: #16181c; --ink: #e6e6e6; --faint: #3a3d44; --soft: #a5a8ae } }
body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; \
max-width: 1080px; margin: 2em auto; padding: 0 1em }
h1, h2 { font-weight: 600; line-height: 1.2 } h2 { margin-top: 2.2em }
figure { margin: 1.5em 0 } figure img { max-width: 100%; height: auto } \
figcaption, .note { color: var(--soft); font-size: 0.92em; max-width: 46em; white-space: pre-line }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); \
gap: 0 2em; align-items: start }
.wide { overflow-x: auto } \
table { border-collapse: collapse; font-size: 0.86em; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: 0.2em 1.2em 0.2em 0; \
border-bottom: 1px solid var(--faint); white-space: pre }
audio { width: 100%; max-width: 900px }
"""


def write_evaluation(
    folder: Path, evaluation: Evaluation, dialogues: dict[str, Sequence[EvaluatedDialogue]]
) -> None:
    """Write report.json, the plots, and index.html.

    The clips of the mistakes must be there already: `write_mistake` writes them.

    Args:
        folder: an existing folder.
        evaluation: all results.
        dialogues: the dialogues with their predictions, by system, for the curves. "stereo" and
            "mono" are two settings of the same predictions.
    """
    (folder / "report.json").write_text(json.dumps(as_json(evaluation), indent=1), encoding="utf-8")
    draw_pictures(folder, evaluation, dialogues)
    (folder / "index.html").write_text(page(evaluation), encoding="utf-8")


def draw_pictures(
    folder: Path, evaluation: Evaluation, dialogues: dict[str, Sequence[EvaluatedDialogue]]
) -> None:
    """Draw all plots but those of the mistakes."""
    roc: dict[str, Curve] = {}
    for name, figures in evaluation.systems.items():
        false, found = roc_curve(dialogues[name], setting_of(name))
        roc[name] = Curve(false, found, f"{name}: AUC {shown(figures.shift_hold.at[SCORE_MS].auc)}")
    draw_roc(folder, roc)
    frontiers = {name: figures.frontier for name, figures in evaluation.systems.items()} | {
        TIMER: evaluation.timer
    }
    lines = {
        name: Curve(
            np.array([p.latency_s for p in f.points]), np.array([p.cut_off for p in f.points]), name
        )
        for name, f in frontiers.items()
    }
    presets = {
        s: {
            preset: (trial.latency_s.value, trial.cut_off.value) for preset, trial in trials.items()
        }
        for s, trials in evaluation.presets.items()
    }
    draw_frontier(folder, lines, presets)
    bins: dict[str, tuple[list[float], list[float], list[int]]] = {}
    for name in SETTINGS:
        calibration = evaluation.systems[name].calibration
        if calibration is not None:
            cells = calibration.at_250_ms.bins
            bins[name] = (
                [cell.mean_p for cell in cells],
                [cell.share for cell in cells],
                [cell.count for cell in cells],
            )
    draw_reliability(folder, bins)
    if evaluation.conditions:
        clean = {
            setting: evaluation.systems[setting].shift_hold.at[SCORE_MS].auc for setting in SETTINGS
        }
        found_in = {
            name: {s: figures[s].shift_hold.at[SCORE_MS].auc for s in SETTINGS}
            for name, figures in evaluation.conditions.items()
        }
        rows = {"clean": clean} | found_in
        draw_robustness(
            folder,
            {
                name: {s: Range(auc.value, auc.low, auc.high) for s, auc in settings.items()}
                for name, settings in rows.items()
            },
        )


def page(evaluation: Evaluation) -> str:
    """Return the text of index.html."""
    about = evaluation.about
    minutes, count = (
        sum(dialogue["seconds"] for dialogue in about["dialogues"]) / 60,
        len(about["dialogues"]),
    )
    names = [name for name in PICTURES if name != "robustness" or evaluation.conditions]
    parts = [
        "<h1>Who speaks next: how often is the model right?</h1>",
        f"<p>{html.escape(describe_model(about))} on {count} dialogues, {minutes:.1f} minutes "
        f"({html.escape(about['manifest'])}). <em>Stereo</em>: both speakers' channels are heard. "
        "<em>Mono</em>: only the speaker whose turn it is, as a dialogue system hears its user. "
        "All figures are in <a href='report.json'>report.json</a>.</p>",
        '<div class="pictures">'
        + "".join(_figure(name, PICTURES[name]) for name in names)
        + "</div>",
        *(_table(table) for table in all_tables(evaluation)),
    ]
    if evaluation.mistakes:
        parts.append("<h2>Worst mistakes</h2>")
        parts.append(
            '<p class="note">Each clip ends one second after the silence; the left ear hears '
            "speaker 0, the right ear speaker 1. Above, both waveforms, shaded where the labels "
            "say that someone speaks; below, the probability that the other speaker is next, with "
            "both channels heard and with one. The green band is the silence in question, the dot "
            "what was judged.</p>"
        )
    for mistake in evaluation.mistakes:
        what = f"{mistake.dialogue}. {in_words(mistake)}"
        sound = f'<audio controls preload="none" src="mistakes/{mistake.name}.wav"></audio>'
        parts.append(_figure(f"mistakes/{mistake.name}", what, sound))
    parts.append(
        "<h2>Dialogues</h2><p class='note'>"
        + html.escape(", ".join(str(dialogue["id"]) for dialogue in about["dialogues"]))
        + "</p>"
    )
    return html_page("Turn-taking: evaluation", "".join(parts))


def html_page(title: str, body: str, style: str = "") -> str:
    """Return the text of a page with STYLE, and more style; the title is plain text."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}{style}</style></head><body>{body}</body></html>\n"
    )


def _figure(name: str, words: str, below: str = "") -> str:
    words = html.escape(words)
    dark = f'<source srcset="{name}.dark.png" media="(prefers-color-scheme: dark)">'
    return (
        f'<figure><picture>{dark}<img src="{name}.light.png" alt="{words}"></picture>'
        f"{below}<figcaption>{words}</figcaption></figure>"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.header)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    body = (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    return f'<h2>{html.escape(table.title)}</h2>{body}<p class="note">{html.escape(table.note)}</p>'
