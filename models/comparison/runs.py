"""The networks of a grid, trained where they are missing and measured where they have not been. Every run can be resumed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..checkpoint import WEIGHTS_FILE, load_checkpoint, weights_sha256
from ..dialogues.activity import FRAME_RATE_HZ
from ..dialogues.annotation import speech_activity
from ..dialogues.events import find_transitions
from ..dialogues.loading import load_audio
from ..dialogues.manifest import Dialogue
from ..evaluation.predictions import at_activity_rate
from ..evaluation.shift_hold import SILENCES_MS, Silence, read_silence
from ..pretraining.loop import pretrain
from ..receptive_field import receptive_field
from ..training.evaluation import next_holder_probabilities, validation_losses
from ..training.loop import train
from ..training.run_folder import CHECKPOINT_FILE, refuse_other_settings
from ..turn_model import TurnModel
from .grid import Grid, Row, first_hours

MEASURED_FILE, COSTS_FILE, EXPORTED_FILE, PRETRAINED = "measured.json", "costs.json", "model.onnx", "pretrained"
JUDGED_MS = 250
_STEPS, _ROUNDS = 300, 5  # timed

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """One trained network.

    Attributes:
        row, seed: of the grid.
        parameters: how many, those of heads that only training has included.
        reach_s: how far back the encoder sees.
        losses: on the held-out dialogues, by head, in nats.
        dialogue, shift, score: of every shift and hold of the real dialogues, (E,): its dialogue, whether it is a shift, and the probability that the
            floor shifts, 0.25 s into the silence.
    """

    row: str
    seed: int
    parameters: int
    reach_s: float
    losses: dict[str, float]
    dialogue: list[int]
    shift: list[bool]
    score: list[float]


def run_grid(
    grid: Grid,
    rows: Sequence[Row],
    seeds: Sequence[int],
    training: Sequence[Dialogue],
    validation: Sequence[Dialogue],
    real: Sequence[Dialogue],
    out: Path,
) -> list[Measured]:
    """Train and measure, all rows with the first seed, then with the next, so that a grid that was cut short has every row.

    Args:
        grid: what to compare.
        rows, seeds: of it, those to run.
        training: labelled dialogues.
        validation: held-out ones, for the losses.
        real: real ones, for shift or hold.
        out: folder of the runs.
    """
    measured: list[Measured] = []
    for seed in seeds:
        for row in rows:
            _log.info("%s, seed %d", row.name, seed)
            run = out / row.folder / f"seed{seed}"
            model = _trained(grid, row, seed, training, validation, out, run)
            measured.append(_measured(row, seed, model, validation, real, run))
    return measured


def read_measured(grid: Grid, out: Path) -> list[Measured]:
    """What has been measured so far of a grid's rows."""
    files = [out / row.folder / f"seed{seed}" / MEASURED_FILE for seed in grid.seeds for row in grid.rows]
    return [Measured(**json.loads(path.read_text())["measured"]) for path in files if path.is_file()]


def _trained(grid: Grid, row: Row, seed: int, training: Sequence[Dialogue], validation: Sequence[Dialogue], out: Path, run: Path) -> TurnModel:
    encoder = _pretrained(grid, row, training, validation, out) if row.pretraining else None
    settings = grid.training_settings(row, seed, encoder)
    if (run / WEIGHTS_FILE).is_file():
        refuse_other_settings(run, settings)
        return load_checkpoint(run)
    chosen = first_hours(training, row.hours)
    return train(settings, chosen, run, validation=validation, resume=(run / CHECKPOINT_FILE).is_file())


def _pretrained(grid: Grid, row: Row, training: Sequence[Dialogue], validation: Sequence[Dialogue], out: Path) -> Path:
    """The run of a row's pre-training, which rows with the same encoder and method share; its audio is that of all dialogues, whatever is labelled."""
    settings = grid.pretraining_settings(row)
    shape = hashlib.sha256(json.dumps(dataclasses.asdict(settings), sort_keys=True).encode()).hexdigest()[:8]
    run = out.resolve() / PRETRAINED / f"{row.pretraining}_{shape}"
    if not (run / WEIGHTS_FILE).is_file():
        pretrain(settings, training, run, validation=validation, resume=(run / CHECKPOINT_FILE).is_file())
    return run


def _measured(row: Row, seed: int, model: TurnModel, validation: Sequence[Dialogue], real: Sequence[Dialogue], run: Path) -> Measured:
    key = [weights_sha256(model), [dialogue.id for dialogue in validation], [dialogue.id for dialogue in real]]
    kept = run / MEASURED_FILE
    if kept.is_file() and (there := json.loads(kept.read_text()))["key"] == key:
        return Measured(**there["measured"])
    config = model.config
    dialogue, shift, score = _read_silences(model, real)
    field_s = receptive_field(config.encoder).size_samples(config.features) / config.features.sample_rate_hz
    parameters = sum(parameter.numel() for parameter in model.parameters())
    losses = validation_losses(model, validation, "cpu")
    found = Measured(row.name, seed, parameters, field_s, losses, dialogue, shift, score)
    kept.write_text(json.dumps({"key": key, "measured": dataclasses.asdict(found)}) + "\n")
    return found


def _read_silences(model: TurnModel, real: Sequence[Dialogue]) -> tuple[list[int], list[bool], list[float]]:
    dialogue: list[int] = []
    shift: list[bool] = []
    score: list[float] = []
    at = list(SILENCES_MS).index(JUDGED_MS)
    for number, one in enumerate(real):
        audio = load_audio(one, model.config.features.sample_rate_hz)
        activity, _ = speech_activity(one)
        p_next = at_activity_rate(next_holder_probabilities(model, audio), model.config.frame_rate_hz, activity.shape[1])
        for event in find_transitions(activity):
            if Silence(number, event).length_s >= JUDGED_MS / 1000 - 1e-9:
                dialogue.append(number)
                shift.append(event.kind == "shift")
                score.append(float(read_silence(p_next[1 - event.previous], event)[at]))
    return dialogue, shift, score


def measure_costs(grid: Grid, out: Path) -> dict[str, float]:
    """Microseconds for 20 ms of one conversation, by row: the median on one thread, of the exported network run as the product runs it.

    All rows are measured in turn, several times over, in one sitting, so that they can be compared on a machine whose speed changes; if one
    is new, all are measured again.
    """
    from ...export.export import export
    from ...stream.bench import measure_batch, sample_audio
    from ...stream.engine import Engine

    runs = {row.name: next((run for seed in grid.seeds if (run := out / row.folder / f"seed{seed}" / WEIGHTS_FILE).is_file()), None) for row in grid.rows}
    weights = {name: run.parent for name, run in runs.items() if run is not None}
    key = {name: weights_sha256(load_checkpoint(run)) for name, run in weights.items()}
    kept = out / COSTS_FILE
    if kept.is_file() and (there := json.loads(kept.read_text()))["key"] == key:
        return there["microseconds"]
    engines: dict[str, Any] = {}
    for name, run in tqdm(weights.items(), desc="export", unit="row", disable=None):
        export(run, run / EXPORTED_FILE)
        engines[name] = Engine(run / EXPORTED_FILE)
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(_ROUNDS):
        for name, engine in engines.items():
            metadata = engine.metadata
            median_us = measure_batch(engine, sample_audio(metadata.sample_rate_hz), 1, _STEPS)["median_us"]
            taken[name].append(median_us * metadata.frame_rate_hz / FRAME_RATE_HZ)
    microseconds = {name: float(np.median(values)) for name, values in taken.items()}
    kept.write_text(json.dumps({"key": key, "microseconds": microseconds}, indent=1) + "\n")
    return microseconds
