"""`turnstream evaluate`: measure a model on recorded dialogues, beside other systems.

The model runs step by step, as it does live. This file runs the model, the presets of the policy
and the baselines on the audio; the other files of models/evaluation hold the measures. With
`--folds` there are several models: each dialogue is run through the one that was not trained on
it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table as RichTable

from ...stream.bench import measure_batch
from ...stream.engine import Engine
from ...stream.errors import DialogueError, ModelError
from ...stream.policy import PRESETS
from ..dialogues.activity import FRAME_RATE_HZ
from ..dialogues.annotation import activity_source, load_annotated
from ..dialogues.loading import load_audio
from ..dialogues.manifest import Dialogue, read_manifest
from ..teachers.smart_turn import SmartTurn
from .baselines import BaselineRun, as_evaluated, run_silero, run_smart_turn
from .conditions import (
    SAMPLE_RATE_HZ,
    Condition,
    Recording,
    collect_voices,
    read_room,
    standard_conditions,
)
from .folds import FILE_NAME, read_folds
from .frontier import find_dialogue_pauses
from .groups import measure_groups
from .judge import agreement, coverage, judge_dialogue, read_judge
from .mistakes import describe, find_mistakes, write_mistake
from .offline import OUTPUTS, Outputs, step_recordings
from .page import write_evaluation
from .plots import check_matplotlib
from .policy_trial import try_policy
from .predictions import DialoguePrediction, EvaluatedDialogue, Frames, at_activity_rate
from .report import (
    JUDGE,
    SETTINGS,
    SILERO,
    Cost,
    Evaluation,
    Mistake,
    auc_difference,
    measure_condition,
    measure_system,
    measure_timer,
)
from .shift_hold import counting, find_silences
from .tables import Table, all_tables, describe_model
from .voice_activity import measure_voice_activity

RECORDINGS_PER_BATCH = 16  # a dialogue counts once per condition; each has three batch rows
VOICES_FROM = 12  # number of dialogues whose speech makes the babble
TIMED_STEPS = 500
PLAIN_WIDTH = 200  # columns of tables that are not printed to a terminal
CLEAN = Condition("clean", lambda recording, _: recording.audio)

Heard = dict[str, list[EvaluatedDialogue]]  # every dialogue with its predictions, by condition
Advance = Callable[[], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream evaluate`."""
    parser.add_argument(
        "manifest",
        type=Path,
        help="manifest of the dialogues to evaluate (JSON Lines), as for `turnstream train`",
    )
    parser.add_argument(
        "--split",
        choices=("train", "val", "test"),
        help="evaluate only the dialogues of this split (default: all)",
    )
    model = parser.add_mutually_exclusive_group()
    model.add_argument(
        "--model", type=Path, help="ONNX model to evaluate (default: the bundled one)"
    )
    model.add_argument(
        "--folds",
        type=Path,
        metavar="FOLDER",
        help="cross-validate: FOLDER/folds.json names, for each dialogue id, an ONNX model that "
        "was not trained on that dialogue",
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
        metavar="FILE",
        help="also evaluate a judge of turn completeness, as an upper bound: FILE (.npz) holds "
        "its scores of these dialogues, as `turnstream pretrain judge` writes them to held_out.npz",
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
        "--seed", type=_count, default=0, help="random seed of --robustness (default 0)"
    )
    parser.add_argument(
        "--jobs", type=_count, default=1, metavar="N", help="number of threads (default 1)"
    )


def _count(word: str) -> int:
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {word!r}")
    return int(word)


def main(args: argparse.Namespace) -> int:
    """Evaluate, print the tables, and write the output folder."""
    dialogues = [
        dialogue
        for dialogue in read_manifest(args.manifest)
        if args.split in (None, dialogue.split)
    ]
    if not dialogues:
        raise DialogueError(
            f"{args.manifest}: expected at least one "
            f"dialogue{f' of split {args.split}' if args.split else ''}, got none"
        )
    if args.out:
        check_matplotlib()
        _make_folder(args.out / "mistakes")
    engines = load_engines(args.model, args.folds, dialogues)
    scorer = SmartTurn() if args.baselines else None
    room = read_room(args.room) if args.room else None
    jobs = max(1, args.jobs)
    scores = read_scores(args.judge, dialogues) if args.judge else None
    judged = None if scores is None else run_judge(scores, dialogues)
    with Progress(
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as progress:
        conditions = [CLEAN]
        if args.robustness:
            conditions += standard_conditions(
                collect_voices([load_recording(dialogue) for dialogue in dialogues[:VOICES_FROM]]),
                room,
                args.seed,
            )
        listening = progress.add_task("model", total=len(dialogues))
        heard = run_models(
            engines, dialogues, conditions, args.seed, jobs, lambda: progress.advance(listening)
        )
        clean = heard.pop(CLEAN.name)
        if not find_silences(clean) and not find_dialogue_pauses(clean):
            raise DialogueError(
                f"{args.manifest}: expected dialogues with pauses, shifts or holds, found none in "
                f"{len(clean)} dialogues"
            )
        said_by: dict[str, Sequence[EvaluatedDialogue]] = dict.fromkeys(SETTINGS, clean)
        if judged is not None:
            said_by[JUDGE] = judged
        costs = {"turnstream": _model_cost(engines[dialogues[0].id], load_recording(dialogues[0]))}
        if scorer is not None:
            asking = progress.add_task("baselines", total=len(dialogues))
            said_by |= run_baselines(
                scorer, dialogues, jobs, costs, lambda: progress.advance(asking)
            )
    found = find_mistakes(clean, args.mistakes if args.out else 0)
    evaluation = Evaluation(
        about=_about(args, engines, dialogues, clean, judged),
        systems={
            name: measure_system(
                said, "stereo" if name == "stereo" else "mono", only_p_next=name not in SETTINGS
            )
            for name, said in said_by.items()
        },
        timer=measure_timer(clean),
        counting=counting(clean),
        by_corpus=measure_groups(said_by, [dialogue.corpus for dialogue in dialogues]),
        by_call=measure_groups(said_by, [dialogue.id for dialogue in dialogues]),
        presets={
            setting: {preset: try_policy(preset, clean, setting) for preset in PRESETS}
            for setting in SETTINGS
        },
        voice_activity={
            name: measure_voice_activity(said, "stereo" if name == "stereo" else "mono")
            for name, said in said_by.items()
            if name in (*SETTINGS, SILERO)
        },
        auc_above={
            name: {
                setting: auc_difference((clean, setting), (said, "mono")) for setting in SETTINGS
            }
            for name, said in said_by.items()
            if name not in SETTINGS
        },
        conditions={
            name: {setting: measure_condition(clean, changed, setting) for setting in SETTINGS}
            for name, changed in heard.items()
        },
        agreement={}
        if scores is None
        else {setting: agreement(clean, scores, setting) for setting in SETTINGS},
        costs=costs,
        mistakes=describe(clean, found),
    )
    _print(evaluation)
    if args.out:
        _write_mistakes(args.out / "mistakes", evaluation.mistakes, dialogues, clean)
        write_evaluation(args.out, evaluation, said_by)
        print(f"everything is in {args.out / 'index.html'}")
    return 0


def load_recording(dialogue: Dialogue) -> Recording:
    """Return the audio and the voice activity of a dialogue.

    Raises:
        DialogueError: a file cannot be read, is empty, or has another length than the others.
    """
    return Recording(dialogue.id, *load_annotated(dialogue, SAMPLE_RATE_HZ))


def load_engines(
    model: Path | None, folds: Path | None, dialogues: Sequence[Dialogue]
) -> dict[str, Engine]:
    """Return the engine of every dialogue, by dialogue id; each model file is loaded once.

    Args:
        model: one model for all dialogues; None is the bundled one.
        folds: a folder with folds.json, which names a model for each dialogue; None if there is
            none.
        dialogues: the dialogues to evaluate.
    Raises:
        DialogueError: folds.json cannot be read, or lacks a dialogue.
        ModelError: a file is no turnstream model, or the model expects another sample rate.
    """
    ids = [dialogue.id for dialogue in dialogues]
    files = dict.fromkeys(ids, model) if folds is None else read_folds(folds, ids)
    loaded = {file: Engine(file) for file in dict.fromkeys(files.values())}
    for engine in loaded.values():
        if engine.metadata.sample_rate_hz != SAMPLE_RATE_HZ:
            raise ModelError(
                f"{engine.path}: expected a model that hears {SAMPLE_RATE_HZ} Hz, got "
                f"{engine.metadata.sample_rate_hz} Hz"
            )
    return {name: loaded[file] for name, file in files.items()}


def run_models(
    engines: Mapping[str, Engine],
    dialogues: Sequence[Dialogue],
    conditions: Sequence[Condition],
    seed: int,
    jobs: int,
    advance: Advance,
) -> Heard:
    """Run every dialogue in every condition through its model: in stereo, and each speaker alone.

    Args:
        engines: the model of each dialogue, by id.
        dialogues: the dialogues to run.
        conditions: the conditions to apply to each dialogue.
        seed: seed of the conditions.
        jobs: number of threads.
        advance: called after every dialogue.
    Returns:
        The dialogues with their predictions, in the given order, by the name of the condition.
    """
    said_of: dict[str, list[EvaluatedDialogue]] = {}  # by id, the predictions in each condition

    def run_group(group: Sequence[Dialogue]) -> list[list[EvaluatedDialogue]]:
        engine, recordings = engines[group[0].id], [load_recording(dialogue) for dialogue in group]
        said = iter(
            step_recordings(
                engine,
                [
                    r.audio if c is CLEAN else c.apply(r, seed)
                    for r in recordings
                    for c in conditions
                ],
            )
        )
        return [
            [_evaluated(engine, recording, next(said)) for _ in conditions]
            for recording in recordings
        ]

    with ThreadPoolExecutor(jobs) as pool:
        for group in pool.map(run_group, _groups(engines, dialogues, len(conditions))):
            for per_condition in group:
                said_of[per_condition[0].id] = per_condition
                advance()
    return {
        condition.name: [said_of[dialogue.id][number] for dialogue in dialogues]
        for number, condition in enumerate(conditions)
    }


def run_baselines(
    scorer: SmartTurn,
    dialogues: Sequence[Dialogue],
    jobs: int,
    costs: dict[str, Cost],
    advance: Advance,
) -> dict[str, list[EvaluatedDialogue]]:
    """Run the baselines on every dialogue; add their costs to `costs`.

    Returns:
        The dialogues with the predictions of a baseline, by its name.
    """
    said: dict[str, list[EvaluatedDialogue]] = {"smart-turn": [], SILERO: []}
    decisions, cpu_s, seconds = dict.fromkeys(said, 0), dict.fromkeys(said, 0.0), 0.0
    for dialogue in dialogues:
        recording = load_recording(dialogue)
        seconds += recording.audio.shape[1] / SAMPLE_RATE_HZ
        # First the fast one: a missing silero-vad then shows before the slow one has run.
        quick = run_silero(recording)
        runs: dict[str, BaselineRun] = {
            "smart-turn": run_smart_turn(scorer, recording, jobs),
            SILERO: quick,
        }
        for name, run in runs.items():
            said[name].append(as_evaluated(recording, run.complete, run.vad))
            decisions[name] += run.decisions
            cpu_s[name] += run.cpu_s
        advance()
    for name, asked in (
        ("smart-turn", "both speakers, asked every 0.1 s of their pauses"),
        (SILERO, "both speakers, every 32 ms"),
    ):
        costs[name] = Cost(
            1000 * cpu_s[name] / seconds, 1000 * cpu_s[name] / max(1, decisions[name]), asked
        )
    return said


def read_scores(file: Path, dialogues: Sequence[Dialogue]) -> dict[str, Frames]:
    """Return the scores of a judge for every dialogue, by id.

    Raises:
        DialogueError: the file cannot be read, lacks a dialogue, or has another length than a
            dialogue.
    """
    recordings = map(load_recording, dialogues)
    return read_judge(file, {one.id: one.activity.shape[1] for one in recordings})


def run_judge(
    scores: Mapping[str, Frames], dialogues: Sequence[Dialogue]
) -> list[EvaluatedDialogue]:
    """Return every dialogue with the scores of a judge in place of a model's predictions."""
    return [judge_dialogue(load_recording(dialogue), scores[dialogue.id]) for dialogue in dialogues]


def _evaluated(
    engine: Engine, recording: Recording, said: tuple[Outputs, Outputs, Outputs]
) -> EvaluatedDialogue:
    rate_hz, frames = engine.metadata.frame_rate_hz, recording.activity.shape[1]
    stereo, first, second = (
        DialoguePrediction(*(at_activity_rate(outputs[name], rate_hz, frames) for name in OUTPUTS))
        for outputs in said
    )
    return EvaluatedDialogue(
        recording.id, recording.activity, recording.backchannel, stereo, (first, second)
    )


def _groups(
    engines: Mapping[str, Engine], dialogues: Sequence[Dialogue], conditions: int
) -> Iterator[Sequence[Dialogue]]:
    """Yield batches of dialogues that share a model.

    A batch is full when it has RECORDINGS_PER_BATCH recordings, counted over all conditions. It
    has at least one dialogue.
    """
    size = max(1, RECORDINGS_PER_BATCH // conditions)
    for engine in dict.fromkeys(engines.values()):
        own = [dialogue for dialogue in dialogues if engines[dialogue.id] is engine]
        yield from (own[start : start + size] for start in range(0, len(own), size))


def _model_cost(engine: Engine, recording: Recording) -> Cost:
    found = measure_batch(engine, recording.audio.T, 1, TIMED_STEPS)
    return Cost(
        1000 * found["real_time_factor"],
        found["median_us"] / 1000,
        "both speakers, one conversation at a time, every frame",
    )


def _about(
    args: argparse.Namespace,
    engines: Mapping[str, Engine],
    dialogues: Sequence[Dialogue],
    clean: Sequence[EvaluatedDialogue],
    judged: Sequence[EvaluatedDialogue] | None,
) -> dict[str, Any]:
    return {
        "turnstream": version("turnstream"),
        "manifest": str(args.manifest),
        "manifest_sha256": _sha256(args.manifest),
        "split": args.split,
        "seed": args.seed,
        "room": {"file": str(args.room), "sha256": _sha256(args.room)} if args.room else None,
        "model": None if args.folds else _describe(engines[dialogues[0].id]),
        "folds": _folds(args.folds, engines) if args.folds else None,
        JUDGE: {"file": str(args.judge), "file_sha256": _sha256(args.judge)}
        | asdict(coverage(judged))
        if judged is not None
        else None,
        "dialogues": [
            {
                "id": dialogue.id,
                "corpus": dialogue.corpus,
                "licence": dialogue.licence,
                "split": dialogue.split,
                "seconds": heard.activity.shape[1] / FRAME_RATE_HZ,
                "activity": activity_source(dialogue),
            }
            for dialogue, heard in zip(dialogues, clean, strict=True)
        ],
    }


def _describe(engine: Engine) -> dict[str, Any]:
    metadata = engine.metadata
    return {
        "file": engine.path.name,
        "file_sha256": _sha256(engine.path),
        "name": metadata.name,
        "version": metadata.version,
        "weights_sha256": metadata.weights_sha256,
    }


def _folds(folder: Path, engines: Mapping[str, Engine]) -> dict[str, Any]:
    """Return the models of a cross-validation, each with its dialogues.

    Two files with the same content count as one model.
    """
    models: dict[str, dict[str, Any]] = {}
    for engine in dict.fromkeys(engines.values()):
        described = _describe(engine) | {
            "file": Path(os.path.relpath(engine.path, folder)).as_posix()
        }
        heard = [name for name, of_dialogue in engines.items() if of_dialogue is engine]
        models.setdefault(described["file_sha256"], described | {"dialogues": []})["dialogues"] += (
            heard
        )
    path = folder / FILE_NAME
    return {"file": path.as_posix(), "file_sha256": _sha256(path), "models": list(models.values())}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
        dialogue.id: (dialogue, heard) for dialogue, heard in zip(dialogues, clean, strict=True)
    }
    for mistake in mistakes:
        dialogue, heard = by_id[mistake.dialogue]
        write_mistake(folder, mistake, heard, load_audio(dialogue, SAMPLE_RATE_HZ))


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
