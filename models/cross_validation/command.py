"""`turnstream cross-validate`: for each real call, train a network that does not use this call.

One more network uses all calls. Each network starts from one that was trained on simulated
dialogues only. What it then learns of the calls is

- with --teacher, what the judge that was fitted on the calls says about recorded speech,
- otherwise, the calls themselves and their judge's scores.

The results of a call come from a network for which neither the judge nor the training used this
call. The folder --out contains

    without_CALL/run, all/run   the networks, as `turnstream train` writes them
    without_CALL/trained, ...   with --average, the networks before they were averaged
    folds.json                  which network evaluates each call; an input of
                                `turnstream export` and `turnstream evaluate --folds`

Finished networks are kept, so an interrupted command can be started again.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

from ...stream.errors import DialogueError
from ..dialogues.manifest import read_manifest
from ..runs.options import add_data_options, add_jobs_option, workers_from
from ..teachers.judge_files import ALL, WITHOUT, judge_path, scores_path
from ..work import map_tasks

FOLDS, SETTINGS = "folds.json", "settings.json"
# Settings that fine-tune a network, trained on simulated dialogues, on a few real calls.
# --settings replaces them.
FINE_TUNING: dict[str, object] = {
    "steps": 80,
    "learning_rate": 3e-4,
    "warmup_steps": 8,
    "average_decay": 0.95,
    "validate_every": 80,
    "calls_share": 0.5,
    "freeze_encoder": True,
    "freeze_speaker_rnn": True,
}
# The same with --teacher. The calls themselves are not played.
TAUGHT_FINE_TUNING: dict[str, object] = {
    "steps": 120,
    "learning_rate": 6e-4,
    "warmup_steps": 12,
    "average_decay": 0.97,
    "validate_every": 120,
    "calls_share": 0.0,
    "batch_rows": 8,
    "speech_rows": 24,
    "teacher_weight": 1.0,
    "given_rate": 0.5,
    "mute_share": 0.25,
    "losses": {
        "vad": 1.0,
        "projection": 0.3,
        "next_holder": 1.0,
        "backchannel": 0.5,
        "completeness": 1.0,
    },
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream cross-validate`."""
    parser.add_argument(
        "--manifest",
        type=Path,
        required=True,
        metavar="FILE",
        help="manifest of simulated dialogues (JSON Lines); the networks are trained on these too",
    )
    parser.add_argument(
        "--calls",
        type=Path,
        required=True,
        metavar="FILE",
        help="manifest of the real calls to train and to evaluate on",
    )
    parser.add_argument(
        "--judge",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder of `turnstream pretrain judge --each` for these calls",
    )
    parser.add_argument(
        "--initial",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="start with the network of this run of `turnstream train`; it must not have been "
        "trained on these calls",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder for the networks and folds.json",
    )
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="JSON file of training settings (default: a short fine-tuning; without --teacher, "
        "encoder and per-speaker RNN are frozen)",
    )
    add_data_options(
        parser,
        "folder as for `turnstream simulate`; its noises are mixed into the calls (default: "
        "synthetic hiss only), and --teacher needs it",
        required=False,
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        metavar="FOLDER",
        help="folder of `turnstream pretrain teacher`: learn how complete recorded speech sounds "
        "to the judge of the calls; needs --data and --distilled",
    )
    parser.add_argument(
        "--distilled",
        type=Path,
        metavar="FOLDER",
        help="run of `turnstream pretrain distill` for --teacher",
    )
    parser.add_argument(
        "--average",
        action="store_true",
        help="write the mean of each trained network and --initial, as `turnstream average` does",
    )
    add_jobs_option(parser)


def main(args: argparse.Namespace) -> int:
    """Train every network that is missing."""
    calls = [call.id for call in read_manifest(args.calls)]
    if len(calls) < 2:
        raise DialogueError(
            f"{args.calls}: expected at least two calls to cross-validate on, got {len(calls)}"
        )
    names = [*(f"{WITHOUT}{call}" for call in calls), ALL]
    paths = (scores_path, judge_path) if args.teacher else (scores_path,)
    missing = [
        name for name in names if not all(path(args.judge, name).is_file() for path in paths)
    ]
    if missing:
        raise DialogueError(
            f"{args.judge}: expected a judge for each call (`turnstream pretrain judge "
            f"--each`), got no {', '.join(missing)}"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    if args.settings is None:
        fine_tuning = TAUGHT_FINE_TUNING if args.teacher else FINE_TUNING
        args.settings = args.out / SETTINGS
        args.settings.write_text(json.dumps(fine_tuning, indent=1) + "\n")
    (args.out / FOLDS).write_text(
        json.dumps({call: f"{WITHOUT}{call}/model.onnx" for call in calls}, indent=1) + "\n"
    )
    for name in map_tasks(
        partial(train_one, args),
        names,
        workers_from(args),
        desc="networks",
        unit="network",
        ordered=False,
    ):
        print(f"trained {name}", flush=True)
    print(f"export them with: turnstream export {args.out / FOLDS}")
    return 0


def train_one(args: argparse.Namespace, name: str) -> str:
    """Train one network, unless it exists already; return its name."""
    from ..averaging.command import average
    from ..checkpoint import WEIGHTS_FILE
    from ..runs.run_folder import CHECKPOINT_FILE
    from ..training.command import add_arguments as add_training_arguments
    from ..training.command import main as train

    finished: Path = args.out / name / "run"
    if (finished / WEIGHTS_FILE).is_file():
        return name
    run: Path = args.out / name / "trained" if args.average else finished
    options: list[object] = [
        "--manifest",
        args.manifest,
        "--out",
        run,
        "--initial",
        args.initial,
        "--settings",
        args.settings,
    ]
    options += ["--calls", args.calls, "--judge", args.judge]
    for name_of in ("data", "cache", "teacher", "distilled"):
        value = getattr(args, name_of)
        options += [f"--{name_of}", value] if value else []
    options += ["--without", name.removeprefix(WITHOUT)] if name != ALL else []
    options += ["--resume"] if (run / CHECKPOINT_FILE).is_file() else []
    parser = argparse.ArgumentParser(prog="turnstream train")
    add_training_arguments(parser)
    if not (run / WEIGHTS_FILE).is_file():
        train(parser.parse_args([str(option) for option in options]))
    if args.average:
        average([run, args.initial], finished)
    return name
