"""`turnstream train`: from a manifest of dialogues to a checkpoint. Dialogues that the manifest keeps for validation or test are left out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..config import from_plain
from ..dialogues.manifest import Dialogue, read_manifest
from ..errors import ConfigError, DialogueError
from .settings import TrainingSettings

TRAINING_SPLITS = ("", "train")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream train`."""
    defaults = TrainingSettings()
    parser.add_argument("--manifest", type=Path, required=True, help="dialogues to learn from (JSON Lines): those whose split is train or not given")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run: checkpoints, logs, and at the end the network")
    parser.add_argument("--validation", type=Path, help="held-out dialogues; their losses are logged")
    parser.add_argument("--real", type=Path, help="real dialogues; their shift/hold AUC is logged, never trained on")
    parser.add_argument("--settings", type=Path, help="JSON file of training settings, the network's configuration among them")
    parser.add_argument("--steps", type=int, help=f"optimizer steps (default {defaults.steps})")
    parser.add_argument("--lanes", type=int, help=f"conversations side by side (default {defaults.lanes})")
    parser.add_argument("--seed", type=int, help=f"(default {defaults.seed})")
    parser.add_argument("--device", default="cpu", help="torch device, e.g. cuda (default cpu)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")


def main(args: argparse.Namespace) -> int:
    """Train, and say where the network is."""
    from .loop import train

    plain = _read_settings(args.settings) if args.settings else {}
    plain |= {name: getattr(args, name) for name in ("steps", "lanes", "seed") if getattr(args, name) is not None}
    settings = from_plain(TrainingSettings, plain, "settings")
    train(
        settings,
        _read_training_part(args.manifest),
        args.out,
        validation=read_manifest(args.validation) if args.validation else [],
        real=read_manifest(args.real) if args.real else [],
        resume=args.resume,
        device=args.device,
    )
    print(f"trained network in {args.out}; export it with: turnstream export {args.out} {args.out}/model.onnx")
    return 0


def _read_training_part(path: Path) -> list[Dialogue]:
    dialogues = read_manifest(path)
    training = [dialogue for dialogue in dialogues if dialogue.split in TRAINING_SPLITS]
    if not training:
        others = ", ".join(sorted({repr(dialogue.split) for dialogue in dialogues})) or "no dialogues"
        raise DialogueError(f"{path}: expected dialogues whose split is 'train' or not given, got {others}")
    return training


def _read_settings(path: Path) -> dict[str, object]:
    try:
        loaded = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: expected a JSON file of training settings: {error}") from None
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: expected a JSON object, got {type(loaded).__name__}")
    return loaded
