"""`turnstream evaluate`: measure a model on recorded dialogues, beside other systems.

The model runs step by step, as it does live (systems.py). The other files of models/evaluation
hold the measures.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from ...stream.errors import DialogueError
from ...stream.options import add_pause_model_option
from ...stream.policy import PRESETS
from ..dialogues.loading import load_audio
from ..dialogues.manifest import Dialogue, read_manifest
from ..runs.options import add_jobs_option, workers_from
from ..teachers.judge_files import HELD_OUT, scores_path
from ..teachers.smart_turn import SmartTurn
from .conditions import CLEAN, ConditionNames, read_room
from .frontier import find_dialogue_pauses
from .groups import measure_groups
from .judge import agreement
from .mistakes import describe, find_mistakes, write_mistake
from .page import write_evaluation
from .plots import check_matplotlib
from .policy_trial import try_policy
from .predictions import EvaluatedDialogue, setting_of
from .provenance import describe_model, describe_run
from .recording import SAMPLE_RATE_HZ, load_recording
from .report import (
    JUDGE,
    SETTINGS,
    SILERO,
    Evaluation,
    Mistake,
    auc_difference,
    measure_condition,
    measure_system,
    measure_timer,
)
from .shift_hold import counting, find_silences
from .systems import (
    load_engines,
    load_pause_models,
    model_cost,
    read_scores,
    run_baselines,
    run_judge,
    run_models,
)
from .table import Table
from .tables import all_tables
from .voice_activity import measure_voice_activity

VOICES_FROM = 12  # number of dialogues whose speech makes the babble
PLAIN_WIDTH = 200  # columns of tables that are not printed to a terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream evaluate`."""
    parser.add_argument(
        "manifest",
        type=Path,
        metavar="MANIFEST",
        help="manifest of the dialogues to evaluate (JSON Lines), as for `turnstream train`",
    )
    parser.add_argument(
        "--split",
        choices=("train", "val", "test"),
        help="evaluate only the dialogues of this split (default: all)",
    )
    model = parser.add_mutually_exclusive_group()
    model.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="ONNX model file (default: the bundled model)",
    )
    model.add_argument(
        "--folds",
        type=Path,
        metavar="FOLDER",
        help="folder of `turnstream cross-validate`: its folds.json names, for each dialogue id, "
        "an ONNX model that was not trained on that dialogue",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="write report.json, plots, clips of the worst mistakes, and index.html, which shows "
        "them all (default: only print tables)",
    )
    parser.add_argument(
        "--mistakes",
        type=_count,
        default=8,
        metavar="N",
        help="number of clips of mistakes in --out (default 8)",
    )
    parser.add_argument(
        "--baselines",
        action="store_true",
        help="also evaluate Silero VAD and Smart Turn v3 (needs the bench extra); the silence "
        "timer is always evaluated",
    )
    parser.add_argument(
        "--judge",
        type=Path,
        metavar="FOLDER",
        help="folder of `turnstream pretrain judge`: also evaluate its scores of these dialogues "
        "(held_out.npz), as an upper bound",
    )
    add_pause_model_option(
        parser, "; with --judge, each dialogue is heard with the head that was fitted without it"
    )
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="also evaluate in harder conditions: gain, telephone band, noise, babble, room, bleed",
    )
    parser.add_argument(
        "--room",
        type=Path,
        metavar="FILE",
        help="room impulse response for --robustness (default: synthetic, RT60 0.6 s)",
    )
    parser.add_argument(
        "--seed",
        type=_count,
        default=0,
        metavar="N",
        help="seed of all random draws of --robustness (default 0)",
    )
    add_jobs_option(parser)


def _count(word: str) -> int:
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {word!r}")
    return int(word)


def main(args: argparse.Namespace) -> int:
    """Evaluate, print the tables, and write the output folder."""
    dialogues = _read_dialogues(args.manifest, args.split)
    if args.out:
        check_matplotlib()
        _make_folder(args.out / "mistakes")
    engines = load_engines(args.model, args.folds, dialogues)
    pause_models = load_pause_models(args.pause_model, args.judge, engines)
    if args.baselines:
        SmartTurn()  # says at once what is missing
    if args.room:
        read_room(args.room)
    workers = workers_from(args)
    scores = read_scores(scores_path(args.judge, HELD_OUT), dialogues) if args.judge else None
    judged = None if scores is None else run_judge(scores, dialogues)
    conditions = ConditionNames(
        None if args.robustness else (), tuple(dialogues[:VOICES_FROM]), args.room, args.seed
    )
    by_condition = run_models(engines, dialogues, conditions, workers, pause_models)
    clean = by_condition.pop(CLEAN.name)
    if not find_silences(clean) and not find_dialogue_pauses(clean):
        raise DialogueError(
            f"{args.manifest}: expected dialogues with pauses, shifts or holds, found none in "
            f"{len(clean)} dialogues"
        )
    by_system: dict[str, Sequence[EvaluatedDialogue]] = dict.fromkeys(SETTINGS, clean)
    if judged is not None:
        by_system[JUDGE] = judged
    costs = {"turnstream": model_cost(engines[dialogues[0].id], load_recording(dialogues[0]))}
    if args.baselines:
        baselines, of_baselines = run_baselines(dialogues, workers)
        by_system |= baselines
        costs |= of_baselines
    evaluation = Evaluation(
        about=describe_run(args, engines, dialogues, clean, judged, pause_models),
        systems={
            name: measure_system(evaluated, setting_of(name), only_p_next=name not in SETTINGS)
            for name, evaluated in by_system.items()
        },
        timer=measure_timer(clean),
        counting=counting(clean),
        by_corpus=measure_groups(by_system, [dialogue.corpus for dialogue in dialogues]),
        by_call=measure_groups(by_system, [dialogue.id for dialogue in dialogues]),
        presets={
            setting: {preset: try_policy(preset, clean, setting) for preset in PRESETS}
            for setting in SETTINGS
        },
        voice_activity={
            name: measure_voice_activity(evaluated, setting_of(name))
            for name, evaluated in by_system.items()
            if name in (*SETTINGS, SILERO)
        },
        auc_above={
            name: {
                setting: auc_difference((clean, setting), (evaluated, "mono"))
                for setting in SETTINGS
            }
            for name, evaluated in by_system.items()
            if name not in SETTINGS
        },
        conditions={
            name: {setting: measure_condition(clean, changed, setting) for setting in SETTINGS}
            for name, changed in by_condition.items()
        },
        agreement={}
        if scores is None
        else {setting: agreement(clean, scores, setting) for setting in SETTINGS},
        costs=costs,
        mistakes=describe(clean, find_mistakes(clean, args.mistakes if args.out else 0)),
    )
    _print(evaluation)
    if args.out:
        _write_mistakes(args.out / "mistakes", evaluation.mistakes, dialogues, clean)
        write_evaluation(args.out, evaluation, by_system)
        print(f"everything is in {args.out / 'index.html'}")
    return 0


def _read_dialogues(manifest: Path, split: str | None) -> list[Dialogue]:
    dialogues = [one for one in read_manifest(manifest) if split in (None, one.split)]
    if not dialogues:
        raise DialogueError(
            f"{manifest}: expected at least one dialogue{f' of split {split}' if split else ''}, "
            "got none"
        )
    return dialogues


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DialogueError(
            f"{folder}: expected a folder to write into, got: {error.strerror}"
        ) from None


def _write_mistakes(
    folder: Path,
    mistakes: Sequence[Mistake],
    dialogues: Sequence[Dialogue],
    clean: Sequence[EvaluatedDialogue],
) -> None:
    by_id = {
        dialogue.id: (dialogue, evaluated)
        for dialogue, evaluated in zip(dialogues, clean, strict=True)
    }
    for mistake in mistakes:
        dialogue, evaluated = by_id[mistake.dialogue]
        write_mistake(folder, mistake, evaluated, load_audio(dialogue, SAMPLE_RATE_HZ))


def _print(evaluation: Evaluation) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    about = evaluation.about
    seconds = sum(dialogue["seconds"] for dialogue in about["dialogues"])
    splits = Counter(dialogue["split"] or "of no split" for dialogue in about["dialogues"])
    shares = ", ".join(f"{count} {split}" for split, count in sorted(splits.items()))
    what = f"{len(about['dialogues'])} dialogues ({shares}), {seconds / 60:.1f} minutes"
    console.print(f"{describe_model(about)}, {what}")
    for table in all_tables(evaluation):
        console.print(_rich(table))


def _rich(table: Table) -> RichTable:
    shown = RichTable(
        title=table.title,
        caption=table.note,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
    )
    for number, name in enumerate(table.header):
        shown.add_column(name, no_wrap=number == 0)
    for row in table.rows:
        shown.add_row(*row)
    return shown
