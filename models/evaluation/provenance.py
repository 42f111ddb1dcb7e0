"""Describe an evaluation for its report: which models, which dialogues, which options.

Files are named with their SHA-256, so that a report can be traced to its inputs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...stream.engine import Engine
from ...stream.pause_model import PauseModel
from ..dialogues.activity import FRAME_RATE_HZ
from ..dialogues.annotation import activity_source
from ..dialogues.manifest import Dialogue
from ..teachers.judge_files import HELD_OUT, scores_path
from .folds import FILE_NAME
from .judge import coverage
from .predictions import EvaluatedDialogue
from .report import JUDGE


def describe_run(
    args: argparse.Namespace,
    engines: Mapping[str, Engine],
    dialogues: Sequence[Dialogue],
    clean: Sequence[EvaluatedDialogue],
    judged: Sequence[EvaluatedDialogue] | None,
    pause_models: Mapping[str, PauseModel] | None = None,
) -> dict[str, Any]:
    """Return the model, the dialogues and the options of an evaluation as JSON values.

    Args:
        args: the parsed options.
        engines: the model of each dialogue, by id.
        dialogues: the dialogues.
        clean: the dialogues with the predictions of the model.
        judged: the dialogues with the scores of the judge; None if there is none.
        pause_models: the pause model of each dialogue, by id; None for none.
    """
    return {
        "turnstream": version("turnstream"),
        "manifest": str(args.manifest),
        "manifest_sha256": _sha256(args.manifest),
        "split": args.split,
        "seed": args.seed,
        "room": {"file": str(args.room), "sha256": _sha256(args.room)} if args.room else None,
        "model": None if args.folds else _describe(engines[dialogues[0].id]),
        "folds": _folds(args.folds, engines) if args.folds else None,
        "pause_model": None if pause_models is None else _pause_models(pause_models),
        JUDGE: {
            "file": str(scores_path(args.judge, HELD_OUT)),
            "file_sha256": _sha256(scores_path(args.judge, HELD_OUT)),
        }
        | asdict(coverage(judged))
        if judged is not None
        else None,
        "dialogues": [
            {
                "id": dialogue.id,
                "corpus": dialogue.corpus,
                "licence": dialogue.licence,
                "split": dialogue.split,
                "seconds": evaluated.activity.shape[1] / FRAME_RATE_HZ,
                "activity": activity_source(dialogue),
            }
            for dialogue, evaluated in zip(dialogues, clean, strict=True)
        ],
    }


def describe_model(about: Mapping[str, Any]) -> str:
    """Describe the evaluated model: name, version, and the first 12 digits of the weights' hash.

    A cross-validation gives the names and the number of its models.
    """
    folds, with_pauses = about.get("folds"), ""
    if about.get("pause_model") is not None:
        with_pauses = f" with the pause model ({', '.join(about['pause_model']['heads'])})"
    if folds is None:
        model = about["model"]
        return f"{model['name']} {model['version']} ({model['weights_sha256'][:12]}){with_pauses}"
    models = folds["models"]
    names = ", ".join(dict.fromkeys(f"{model['name']} {model['version']}" for model in models))
    return f"{names}, cross-validated by {count_models(models)}{with_pauses}"


def count_models(models: Sequence[Any]) -> str:
    """Return the number of models in words, such as "2 models"."""
    return f"{len(models)} model{'s' if len(models) != 1 else ''}"


def count_detected(about: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many dialogues have voice activity from a detector, and how many there are."""
    dialogues = about["dialogues"]
    return sum(dialogue["activity"] == "detector" for dialogue in dialogues), len(dialogues)


def _describe(engine: Engine) -> dict[str, Any]:
    metadata = engine.metadata
    return {
        "file": engine.path.name,
        "file_sha256": _sha256(engine.path),
        "name": metadata.name,
        "version": metadata.version,
        "weights_sha256": metadata.weights_sha256,
    }


def _pause_models(pause_models: Mapping[str, PauseModel]) -> dict[str, Any]:
    """Return the encoder's file, and what the heads were fitted on, without duplicates."""
    models = list(pause_models.values())
    return {
        "file": models[0].path.name,
        "file_sha256": _sha256(models[0].path),
        "heads": list(dict.fromkeys(model.head.name for model in models)),
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
        own = [name for name, of_dialogue in engines.items() if of_dialogue is engine]
        model = models.setdefault(described["file_sha256"], described | {"dialogues": []})
        model["dialogues"] += own
    path = folder / FILE_NAME
    return {"file": path.as_posix(), "file_sha256": _sha256(path), "models": list(models.values())}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
