"""The folder of a run: settings, log, checkpoint, TensorBoard files, and finally the network.

training.json                    settings
training.jsonl                   one line of measures per validation
checkpoint.pt                    everything that is needed to resume
model.safetensors, config.json   the network, when the run is over (models/checkpoint.py)
snapshots/step_000700/           the averaged network at that validation, if snapshots are kept
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...stream.errors import ConfigError
from ..config import MAY_MOVE, from_plain

if TYPE_CHECKING:
    from _typeshed import DataclassInstance as Settings

CHECKPOINT_FILE, SETTINGS_FILE, LOG_FILE, SNAPSHOTS = (
    "checkpoint.pt",
    "training.json",
    "training.jsonl",
    "snapshots",
)


def read_checkpoint(out: Path, settings: Settings) -> dict[str, Any]:
    """Return the checkpoint of the run in `out`, on the CPU.

    Raises:
        ConfigError: there is none, it cannot be read, or its run had other settings.
    """
    path = out / CHECKPOINT_FILE
    if not path.is_file():
        raise ConfigError(f"expected a checkpoint to resume from at {path}, got none")
    import torch  # loads in seconds, and whoever only looks for snapshots needs none of it

    try:
        saved = torch.load(path, weights_only=True, map_location="cpu")
    except (
        OSError,
        RuntimeError,
        pickle.UnpicklingError,
        EOFError,
        LookupError,
        ValueError,
    ) as error:  # torch raises them all
        raise ConfigError(
            f"{path}: expected a checkpoint, got: {str(error).splitlines()[0]}"
        ) from None
    _refuse_others(out, settings, saved["settings"])
    return saved


def refuse_other_settings(out: Path, settings: Settings) -> None:
    """Raise ConfigError if the run in the folder had other settings."""
    _refuse_others(out, settings, json.loads((out / SETTINGS_FILE).read_text()))


def _refuse_others(out: Path, settings: Settings, theirs: dict[str, Any]) -> None:
    of_run = from_plain(type(settings), theirs)
    changed: list[str] = []
    for field in dataclasses.fields(settings):
        before, now = getattr(of_run, field.name), getattr(settings, field.name)
        if before != now and not (MAY_MOVE in field.metadata and before and now):
            changed.append(field.name)
    if changed:
        raise ConfigError(
            f"expected the settings of the run in {out}, got another {', '.join(changed)}"
        )


def begin_run(out: Path, settings: Settings, step: int) -> None:
    """Prepare the folder of a run that starts or resumes at `step`.

    The settings are written, and later lines are removed from the log.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / SETTINGS_FILE).write_text(json.dumps(dataclasses.asdict(settings), indent=1) + "\n")
    log = out / LOG_FILE
    lines = log.read_text().splitlines() if log.is_file() else []
    log.write_text("".join(line + "\n" for line in lines if _step(line) <= step))


def _step(line: str) -> float:
    """Return the step of a line of the log.

    A line that was cut short, because its process was killed, counts as later than every other.
    """
    try:
        return json.loads(line)["step"]
    except json.JSONDecodeError:
        return math.inf


def refuse_to_overwrite(out: Path) -> None:
    """Raise ConfigError if there is a run in the folder."""
    if (out / CHECKPOINT_FILE).exists():
        raise ConfigError(
            f"expected a folder without a run for a new one, got {out} with {CHECKPOINT_FILE}; "
            "resume it with --resume, or choose another"
        )


def write_validation(
    out: Path, settings: Settings, step: int, measured: dict[str, float], parts: dict[str, Any]
) -> None:
    """Add a line to the log and replace the checkpoint atomically."""
    with (out / LOG_FILE).open("a") as log:
        log.write(
            json.dumps(
                {
                    "step": step,
                    **{
                        name: None if math.isnan(value) else value
                        for name, value in measured.items()
                    },
                }
            )
            + "\n"
        )
    import torch

    torch.save(
        parts | {"step": step, "settings": dataclasses.asdict(settings)},
        out / f"{CHECKPOINT_FILE}.part",
    )
    os.replace(out / f"{CHECKPOINT_FILE}.part", out / CHECKPOINT_FILE)


def snapshot_folder(out: Path, step: int) -> Path:
    """Return the folder of the network at a step."""
    return out / SNAPSHOTS / f"step_{step:06d}"


def find_snapshots(out: Path) -> dict[int, Path]:
    """Return the folders of a run's kept networks by step, the earliest first."""
    return {
        int(folder.name.removeprefix("step_")): folder
        for folder in sorted((out / SNAPSHOTS).glob("step_*"))
    }
