"""`turnstream cross-validate`: one network for each real call, which has not heard it, and one that has heard all.

A call's figures come from a network whose judge, simulated dialogues and real calls all left that call out. In --out lie

    without_CALL/, all/      of one network each: dialogues/, simulated with its judge's scores, and run/, as `turnstream train` writes it
    folds.json               for `turnstream export` and `turnstream evaluate --folds`: which network each call is measured with

What is there already is kept, so that the command can be given again after it was cut short.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from ..dialogues.manifest import read_manifest
from ..errors import DialogueError

ALL, WITHOUT = "all", "without_"
FOLDS, SETTINGS = "folds.json", "settings.json"
# What a distilled encoder and per-speaker RNN are built upon with, unless --settings says otherwise; the bundled network's.
FINE_TUNING: dict[str, object] = {
    "steps": 500,
    "average_decay": 0.98,
    "warmup_steps": 50,
    "validate_every": 250,
    "calls_share": 0.35,
    "freeze_encoder": True,
    "freeze_speaker_rnn": True,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream cross-validate`."""
    parser.add_argument("--data", type=Path, required=True, help="utterances and more, as for `turnstream simulate`")
    parser.add_argument("--calls", type=Path, required=True, metavar="MANIFEST", help="real calls to learn from and to measure on")
    parser.add_argument("--judged", type=Path, required=True, metavar="FOLDER", help="what `turnstream pretrain judge --each` wrote of these calls")
    parser.add_argument("--out", type=Path, required=True, help="folder for all of it")
    parser.add_argument("--hours", type=float, default=2.0, help="simulated dialogues for each network (default 2)")
    parser.add_argument("--final-hours", type=float, help="for the network that hears all calls (default: as --hours)")
    parser.add_argument("--encoder", metavar="CHECKPOINT", help="as for `turnstream train`: a distillation")
    parser.add_argument("--settings", type=Path, help="JSON file of training settings (default with --encoder: those of the bundled network)")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "turnstream", help="where decoded utterances are kept")
    parser.add_argument("--no-synthetic", action="store_true", help="as for `turnstream simulate`")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="networks at a time (default 1)")


def main(args: argparse.Namespace) -> int:
    """Train every network that is not there yet."""
    calls = [call.id for call in read_manifest(args.calls)]
    if len(calls) < 2:
        raise DialogueError(f"{args.calls}: expected at least two calls to cross-validate on, got {len(calls)}")
    names = [*(f"{WITHOUT}{call}" for call in calls), ALL]
    missing = [name for name in names if not (args.judged / name).is_dir()]
    if missing:
        raise DialogueError(f"{args.judged}: expected a judge for each call (`turnstream pretrain judge --each`), got none named {', '.join(missing)}")
    args.out.mkdir(parents=True, exist_ok=True)
    if args.settings is None and args.encoder:
        args.settings = args.out / SETTINGS
        args.settings.write_text(json.dumps(FINE_TUNING, indent=1) + "\n")
    (args.out / FOLDS).write_text(json.dumps({call: f"{WITHOUT}{call}/model.onnx" for call in calls}, indent=1) + "\n")
    with ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as workers:
        for name in workers.map(train_one, [args] * len(names), names):
            print(f"trained {name}", flush=True)
    print(f"export them with: turnstream export {args.out / FOLDS}")
    return 0


def train_one(args: argparse.Namespace, name: str) -> str:
    """Simulate for one network and train it; returns its name."""
    from .run_folder import CHECKPOINT_FILE

    folder: Path = args.out / name
    if not (folder / "dialogues" / "manifest.jsonl").is_file():
        hours = args.final_hours if name == ALL and args.final_hours else args.hours
        options = ["--data", args.data, "--cache", args.cache, "--out", folder / "dialogues", "--hours", hours]
        _run("simulate", [*options, "--finality", args.judged / name / "finality", *(["--no-synthetic"] if args.no_synthetic else [])])
    if (folder / "run" / "model.safetensors").is_file():
        return name
    options = ["--manifest", folder / "dialogues" / "manifest.jsonl", "--out", folder / "run", "--accelerator", "cpu" if args.jobs > 1 else "auto"]
    options += ["--calls", args.calls, "--judged", args.judged / name / "calls.npz", "--noises", args.data]
    options += ["--without", name.removeprefix(WITHOUT)] if name != ALL else []
    options += ["--encoder", args.encoder] if args.encoder else []
    options += ["--settings", args.settings] if args.settings else []
    options += ["--resume"] if (folder / "run" / CHECKPOINT_FILE).is_file() else []
    if args.jobs > 1:
        import torch

        torch.set_num_threads(max(1, torch.get_num_threads() // args.jobs))
    _run("train", options)
    return name


def _run(command: str, options: list[object]) -> None:
    from ..dialogues import simulate
    from . import command as training

    module = {"simulate": simulate, "train": training}[command]
    parser = argparse.ArgumentParser(prog=f"turnstream {command}")
    module.add_arguments(parser)
    module.main(parser.parse_args([str(option) for option in options]))
