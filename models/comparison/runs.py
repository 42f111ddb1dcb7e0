"""Train the missing networks of a grid, and measure those that are not measured yet.

Every run can be resumed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ...stream.bench import measure_batch, sample_audio
from ...stream.engine import Engine
from ...stream.errors import ConfigError, ExportError, MissingExtraError
from ..checkpoint import WEIGHTS_FILE, load_checkpoint, weights_sha256
from ..config import ModelConfig
from ..dialogues.activity import FRAME_RATE_HZ
from ..dialogues.loading import duration_s
from ..dialogues.manifest import Dialogue
from ..evaluation.recording import load_recording
from ..evaluation.shift_hold import SCORE_MS, find_silences, read_at
from ..evaluation.torch_runner import evaluate_dialogue
from ..pretraining.loop import pretrain
from ..receptive_field import receptive_field
from ..runs.run_folder import CHECKPOINT_FILE, refuse_other_settings
from ..training.evaluation import conversation_losses
from ..training.loop import train
from ..training.sources import RecordedDialogues
from ..turn_model import TurnModel
from .grid import Grid, Row, first_hours

MEASURED_FILE, LEARNED_FILE, COSTS_FILE, EXPORTED_FILE, PRETRAINED = (
    "measured.json",
    "learned_from.txt",
    "costs.json",
    "model.onnx",
    "pretrained",
)
_STEPS, _ROUNDS = 200, 9  # of a cost measurement

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """The measurements of one trained network.

    Attributes:
        row, seed: its row and its seed in the grid.
        parameters: number of parameters, including heads that only training needs.
        reach_s: receptive field of the encoder, in seconds.
        training_h: hours of labelled dialogue that its training processed.
        distinct_h: hours of different labelled dialogue that it could draw from.
        unlabelled_h: hours that its pre-training processed; 0 without pre-training.
        held_out, real: losses of each held-out and each real dialogue, by head, in nats.
        dialogue: index of the dialogue of each shift and hold of the real dialogues, (E,).
        speaker: who spoke before it, 0 or 1, (E,).
        shift: whether it is a shift, (E,).
        score: predicted probability of a shift, 0.25 s into the silence, (E,).
    """

    row: str
    seed: int
    parameters: int
    reach_s: float
    training_h: float
    distinct_h: float
    unlabelled_h: float
    held_out: dict[str, list[float]]
    real: dict[str, list[float]]
    dialogue: list[int]
    speaker: list[int]
    shift: list[bool]
    score: list[float]


def check(grid: Grid, rows: Sequence[Row], training: Sequence[Dialogue]) -> None:
    """Find errors before any training, not after hours of it.

    Raises:
        MissingExtraError: a package for export, plots or quantisation is not installed.
        DialogueError: a row asks for more hours of dialogue than there are.
    """
    for package, extra, needed in (
        ("onnx", "export", True),
        ("onnxscript", "export", True),
        ("matplotlib", "plot", True),
        (
            "vector_quantize_pytorch",
            "pretrain",
            any(row.pretraining.startswith("vq") for row in rows),
        ),
    ):
        if needed and importlib.util.find_spec(package) is None:
            raise MissingExtraError(package.replace("_", "-"), extra)
    for row in rows:
        first_hours(training, row.hours)


def run_grid(
    grid: Grid,
    rows: Sequence[Row],
    seeds: Sequence[int],
    training: Sequence[Dialogue],
    validation: Sequence[Dialogue],
    real: Sequence[Dialogue],
    out: Path,
) -> list[Measured]:
    """Train and measure the rows with the first seed, then with the next.

    So a grid that is interrupted has every row early.

    Args:
        grid: the grid.
        rows, seeds: the rows and seeds of the grid to run.
        training: labelled dialogues.
        validation: held-out dialogues, for the losses.
        real: real dialogues, for shift or hold.
        out: folder of the runs.
    Returns:
        The measurements, in the order of the runs.
    """
    measured: list[Measured] = []
    for seed in seeds:
        for row in rows:
            _log.info("%s, seed %d", row.name, seed)
            run = out / row.folder / f"seed{seed}"
            model = _trained(grid, row, seed, training, validation, out, run)
            measured.append(_measured(grid, row, seed, model, training, validation, real, run))
    return measured


def read_measured(
    grid: Grid, validation: Sequence[Dialogue], real: Sequence[Dialogue], out: Path
) -> list[Measured]:
    """Return what has been measured so far on these dialogues; other measurements are left out."""
    found: list[Measured] = []
    for seed in grid.seeds:
        for row in grid.rows:
            path = out / row.folder / f"seed{seed}" / MEASURED_FILE
            if path.is_file():
                there = json.loads(path.read_text())
                if there["key"][1:] == _key(validation, real):
                    found.append(Measured(**there["measured"]))
    return found


def _key(validation: Sequence[Dialogue], real: Sequence[Dialogue]) -> list[list[str]]:
    """Return what a measurement depends on beside the network: dialogues, and fields measured."""
    return [
        [dialogue.id for dialogue in validation],
        [dialogue.id for dialogue in real],
        [field.name for field in dataclasses.fields(Measured)],
    ]


def _trained(
    grid: Grid,
    row: Row,
    seed: int,
    training: Sequence[Dialogue],
    validation: Sequence[Dialogue],
    out: Path,
    run: Path,
) -> TurnModel:
    encoder = _pretrained(grid, row, seed, training, validation, out) if row.pretraining else None
    settings = grid.training_settings(row, seed, encoder)
    chosen = first_hours(training, row.hours)
    source = RecordedDialogues(chosen, settings)
    if (run / WEIGHTS_FILE).is_file():
        refuse_other_settings(run, settings)
        learned = (run / LEARNED_FILE).read_text().strip()
        if learned != source.fingerprint:
            raise ConfigError(
                f"{run}: expected a run on the dialogues that are given now "
                f"({source.fingerprint}), got one on others ({learned})"
            )
        return load_checkpoint(run)
    run.mkdir(parents=True, exist_ok=True)
    (run / LEARNED_FILE).write_text(source.fingerprint + "\n")
    return train(
        settings, source, run, validation=validation, resume=(run / CHECKPOINT_FILE).is_file()
    )


def _pretrained(
    grid: Grid,
    row: Row,
    seed: int,
    training: Sequence[Dialogue],
    validation: Sequence[Dialogue],
    out: Path,
) -> Path:
    """Return the folder of a row's pre-training; train it if it is missing.

    Rows with the same encoder and method share it. It uses the audio of all training dialogues,
    even if the row uses the labels of only some.
    """
    settings = grid.pretraining_settings(row, seed)
    shape = hashlib.sha256(
        json.dumps(dataclasses.asdict(settings), sort_keys=True).encode()
    ).hexdigest()[:8]
    run = out.resolve() / PRETRAINED / f"{row.pretraining}_seed{seed}_{shape}"
    if not (run / WEIGHTS_FILE).is_file():
        pretrain(
            settings, training, run, validation=validation, resume=(run / CHECKPOINT_FILE).is_file()
        )
    return run


def _measured(
    grid: Grid,
    row: Row,
    seed: int,
    model: TurnModel,
    training: Sequence[Dialogue],
    validation: Sequence[Dialogue],
    real: Sequence[Dialogue],
    run: Path,
) -> Measured:
    key = [weights_sha256(model), *_key(validation, real)]
    kept = run / MEASURED_FILE
    if kept.is_file() and (there := json.loads(kept.read_text()))["key"] == key:
        return Measured(**there["measured"])
    config, settings = (
        model.config,
        grid.training_settings(row, seed, Path("given") if row.pretraining else None),
    )
    before = grid.pretraining_settings(row, seed) if row.pretraining else None
    found = Measured(
        row=row.name,
        seed=seed,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        reach_s=receptive_field(config.encoder).size_samples(config.features)
        / config.features.sample_rate_hz,
        training_h=settings.steps * settings.batch_rows * settings.chunk_s / 3600,
        distinct_h=sum(duration_s(one) for one in first_hours(training, row.hours)) / 3600,
        unlabelled_h=before.steps * before.batch_rows * before.chunk_s / 3600 if before else 0.0,
        held_out=conversation_losses(model, validation),
        real=conversation_losses(model, real),
        **_read_silences(model, real),
    )
    kept.write_text(json.dumps({"key": key, "measured": dataclasses.asdict(found)}) + "\n")
    return found


def _read_silences(model: TurnModel, real: Sequence[Dialogue]) -> dict[str, Any]:
    """Return the fields of Measured that describe the shifts and holds."""
    sample_rate_hz = model.config.features.sample_rate_hz
    evaluated = [evaluate_dialogue(model, load_recording(one, sample_rate_hz)) for one in real]
    silences = [silence for silence in find_silences(evaluated) if silence.lasts(SCORE_MS)]
    return {
        "dialogue": [silence.dialogue for silence in silences],
        "speaker": [silence.transition.previous for silence in silences],
        "shift": [silence.transition.kind == "shift" for silence in silences],
        "score": read_at(evaluated, silences, "stereo").tolist(),
    }


def measure_costs(
    grid: Grid, out: Path, export: Callable[[Path, Path], object]
) -> dict[str, float]:
    """Return the microseconds for 20 ms of one conversation, by row.

    The cost is the median on one thread of the exported network, run as the product runs it.
    Networks of the same shape cost the same and are measured once. All are measured in turn, in
    several rounds, so that they can be compared even if the speed of the computer changes. If one
    is new, all are measured again. A network that cannot be exported has no cost.

    Args:
        grid: the grid whose rows are measured.
        out: folder of the comparison.
        export: writes the network in a folder to an ONNX file; raises ExportError.
    """
    runs = {
        row.name: next(
            (
                run
                for seed in grid.seeds
                if (run := out / row.folder / f"seed{seed}" / WEIGHTS_FILE).is_file()
            ),
            None,
        )
        for row in grid.rows
    }
    weights = {name: run.parent for name, run in runs.items() if run is not None}
    shapes = {
        name: dataclasses.replace(load_checkpoint(run).config, dropout=0.0)
        for name, run in weights.items()
    }
    key = {name: shape.to_json() for name, shape in shapes.items()}
    kept = out / COSTS_FILE
    if kept.is_file() and (there := json.loads(kept.read_text()))["key"] == key:
        return there["microseconds"]
    engines: dict[ModelConfig, Any] = {}
    for shape, name in tqdm(
        {shape: name for name, shape in reversed(shapes.items())}.items(),
        desc="export",
        unit="network",
        disable=None,
    ):
        run = weights[name]
        try:
            export(run, run / EXPORTED_FILE)
        except ExportError as error:
            _log.warning("%s has no cost: %s", name, error)
            continue
        engines[shape] = Engine(run / EXPORTED_FILE)
    taken: dict[ModelConfig, list[float]] = {shape: [] for shape in engines}
    for _ in range(_ROUNDS):
        for shape, engine in engines.items():
            metadata = engine.metadata
            median_us = measure_batch(engine, sample_audio(metadata.sample_rate_hz), 1, _STEPS)[
                "median_us"
            ]
            taken[shape].append(median_us * metadata.frame_rate_hz / FRAME_RATE_HZ)
    microseconds = {
        name: float(np.median(taken[shape])) for name, shape in shapes.items() if shape in taken
    }
    kept.write_text(json.dumps({"key": key, "microseconds": microseconds}, indent=1) + "\n")
    return microseconds
