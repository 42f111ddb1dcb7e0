"""Read which model scores which dialogue in a cross-validated evaluation.

A folder holds `folds.json`, one object that names a model file for every dialogue,

    {"dialogue id": "relative/path/model.onnx", ...}

with paths relative to the folder. Each dialogue should be scored by a model, and by thresholds,
that were not trained or tuned on it. The code cannot check this: it relies on the author of the
folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...stream.errors import DialogueError

FILE_NAME = "folds.json"


def read_folds(folder: Path, dialogue_ids: Sequence[str]) -> dict[str, Path]:
    """Return the model file of every dialogue, by dialogue id.

    Args:
        folder: the folder that holds folds.json.
        dialogue_ids: the dialogues to score; other dialogues in folds.json are ignored.
    Returns:
        The paths in the order of `dialogue_ids`. The files need not exist.
    Raises:
        DialogueError: folds.json cannot be read, is no such object, or lacks a dialogue.
    """
    path = folder / FILE_NAME
    try:
        named: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DialogueError(
            f"{path}: expected the model of each dialogue (JSON), got: {error.strerror}"
        ) from None
    except ValueError as error:  # not JSON, or not UTF-8
        raise DialogueError(
            f"{path}: expected the model of each dialogue (JSON), got: {error}"
        ) from None
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise DialogueError(
            f"{path}: expected an object of dialogue ids and model files, got {str(named)[:60]}"
        )
    missing = [dialogue_id for dialogue_id in dialogue_ids if dialogue_id not in named]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DialogueError(
            f"{path}: expected a model for every dialogue, got none for {missing[0]!r}{more}"
        )
    return {dialogue_id: folder / named[dialogue_id] for dialogue_id in dialogue_ids}
