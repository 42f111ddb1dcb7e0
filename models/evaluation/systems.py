"""Run the systems that are evaluated on dialogues: the model, the baselines and the judge.

With `--folds` there are several models: each dialogue is run through the one that was not trained
on it. Every function returns the dialogues with the predictions of one system.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

from ...stream.bench import measure_batch
from ...stream.engine import Engine
from ...stream.errors import ModelError
from ...stream.pause_model import PauseHead, PauseModel, choose_pause_model
from ..dialogues.manifest import Dialogue
from ..teachers.judge_files import WITHOUT, judge_path
from ..teachers.smart_turn import SmartTurn
from ..work import HERE, Workers, map_tasks
from .baselines import as_evaluated, run_silero, run_smart_turn
from .conditions import CLEAN, Condition, ConditionNames
from .folds import read_folds
from .judge import judge_dialogue, read_judge
from .onnx_runner import evaluate_dialogues
from .predictions import EvaluatedDialogue, Frames
from .recording import SAMPLE_RATE_HZ, Recording, load_recording
from .report import SILERO, Cost

RECORDINGS_PER_BATCH = 16  # a dialogue counts once per condition; each has three batch rows
TIMED_STEPS = 500


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


def load_pause_models(
    chosen: bool | None, judges: Path | None, engines: Mapping[str, Engine]
) -> dict[str, PauseModel] | None:
    """Return the pause model of every dialogue, by dialogue id; all share one encoder.

    Args:
        chosen: whether there is one; None: with the bundled model only.
        judges: folder of `turnstream pretrain judge`. Each dialogue is scored by the head that was
            fitted without it. None: all are scored by the bundled head.
        engines: the model of each dialogue, by id.
    Returns:
        None if there is no pause model.
    Raises:
        ModelError: the bundled pause model cannot be run.
        ConfigError: the folder holds no judge without a dialogue.
    """
    from ..teachers.saved_judge import SavedJudge  # needs scipy, which --help must not

    pause_models: dict[str, PauseModel] = {}
    for dialogue, engine in engines.items():
        pause_model = choose_pause_model(chosen, engine)
        if pause_model is None:
            return None
        if judges is not None:
            name = f"{WITHOUT}{dialogue}"
            head = SavedJudge.load(judge_path(judges, name)).head(name)
            pause_model = pause_model.with_head(head)
        pause_models[dialogue] = pause_model
    return pause_models


@dataclass(frozen=True)
class _Batch:
    """Dialogues that share a model, and the files that a process opens to run them."""

    dialogues: Sequence[Dialogue]
    model: Path
    pause_model: Path | None
    heads: Sequence[PauseHead]


def run_models(
    engines: Mapping[str, Engine],
    dialogues: Sequence[Dialogue],
    conditions: ConditionNames,
    workers: Workers = HERE,
    pause_models: Mapping[str, PauseModel] | None = None,
) -> dict[str, list[EvaluatedDialogue]]:
    """Run every dialogue in every condition through its model: in stereo, and each speaker alone.

    Args:
        engines: the model of each dialogue, by id.
        dialogues: the dialogues to run.
        conditions: the conditions to apply to each dialogue, besides none at all.
        workers: where the models run.
        pause_models: the pause model of each dialogue, by id; None for none.
    Returns:
        The dialogues with their predictions, in the given order, by the name of the condition; the
        first is CLEAN.
    Raises:
        DialogueError: a dialogue, or what a condition needs, cannot be read.
    """
    names = [condition.name for condition in _conditions(conditions)]
    by_id: dict[str, list[EvaluatedDialogue]] = {}  # the predictions in each condition
    batches = list(_batches(engines, dialogues, len(names), pause_models))
    for batch in map_tasks(
        partial(_run_batch, conditions),
        batches,
        workers,
        desc="model",
        unit="batch",
        disable=None,
    ):
        for start in range(0, len(batch), len(names)):
            by_id[batch[start].id] = batch[start : start + len(names)]
    return {
        name: [by_id[dialogue.id][number] for dialogue in dialogues]
        for number, name in enumerate(names)
    }


def _run_batch(conditions: ConditionNames, batch: _Batch) -> list[EvaluatedDialogue]:
    changed = [
        recording
        if one is CLEAN
        else replace(recording, audio=one.apply(recording, conditions.seed))
        for recording in map(load_recording, batch.dialogues)
        for one in _conditions(conditions)
    ]
    pause_models = None
    if batch.pause_model is not None:
        encoder = _pause_model(batch.pause_model)
        pause_models = {
            dialogue.id: encoder.with_head(head)
            for dialogue, head in zip(batch.dialogues, batch.heads, strict=True)
        }
    return evaluate_dialogues(_engine(batch.model), changed, pause_models)


# Each process opens these once, for all of its batches.
@lru_cache(maxsize=1)
def _conditions(names: ConditionNames) -> list[Condition]:
    return names.make()


@lru_cache(maxsize=1)
def _engine(file: Path) -> Engine:
    return Engine(file)


@lru_cache(maxsize=1)
def _pause_model(file: Path) -> PauseModel:
    return PauseModel(file)


def _batches(
    engines: Mapping[str, Engine],
    dialogues: Sequence[Dialogue],
    conditions: int,
    pause_models: Mapping[str, PauseModel] | None,
) -> Iterator[_Batch]:
    """Yield batches of dialogues that share a model.

    A batch is full when it has RECORDINGS_PER_BATCH recordings, counted over all conditions. It
    has at least one dialogue.
    """
    size = max(1, RECORDINGS_PER_BATCH // conditions)
    for engine in dict.fromkeys(engines.values()):
        all_own = [dialogue for dialogue in dialogues if engines[dialogue.id] is engine]
        for start in range(0, len(all_own), size):
            own = all_own[start : start + size]
            pauses = [pause_models[one.id] for one in own] if pause_models else []
            yield _Batch(
                own, engine.path, pauses[0].path if pauses else None, [one.head for one in pauses]
            )


def model_cost(engine: Engine, recording: Recording) -> Cost:
    """Measure the time that a model takes for one conversation."""
    measured = measure_batch(engine, recording.audio.T, 1, TIMED_STEPS)
    return Cost(
        1000 * measured["real_time_factor"],
        measured["median_us"] / 1000,
        "both speakers, one conversation at a time, every frame, without a pause model",
    )


def run_baselines(
    dialogues: Sequence[Dialogue], workers: Workers = HERE
) -> tuple[dict[str, list[EvaluatedDialogue]], dict[str, Cost]]:
    """Run the baselines, Smart Turn and Silero VAD, on every dialogue.

    Returns:
        The dialogues with the predictions of a baseline, and its cost, by its name.
    Raises:
        MissingExtraError: a baseline is not installed.
    """
    evaluated: dict[str, list[EvaluatedDialogue]] = {"smart-turn": [], SILERO: []}
    decisions, cpu_s, seconds = dict.fromkeys(evaluated, 0), dict.fromkeys(evaluated, 0.0), 0.0
    for length_s, runs in map_tasks(
        _run_baselines, dialogues, workers, desc="baselines", unit="dialogue", disable=None
    ):
        seconds += length_s
        for name, (scored, number, took_s) in runs.items():
            evaluated[name].append(scored)
            decisions[name] += number
            cpu_s[name] += took_s
    counted = {
        "smart-turn": "both speakers, asked every 0.1 s of their pauses",
        SILERO: "both speakers, every 32 ms",
    }
    costs = {
        name: Cost(
            1000 * cpu_s[name] / seconds, 1000 * cpu_s[name] / max(1, decisions[name]), words
        )
        for name, words in counted.items()
    }
    return evaluated, costs


def _run_baselines(
    dialogue: Dialogue,
) -> tuple[float, dict[str, tuple[EvaluatedDialogue, int, float]]]:
    """Return the length of a dialogue in seconds and, for each baseline, what it predicts.

    That is the predictions, how often it ran, and the processor time in seconds.
    """
    recording = load_recording(dialogue)
    # First the fast one: a missing silero-vad then shows before the slow one has run.
    silero = run_silero(recording)
    runs = {"smart-turn": run_smart_turn(SmartTurn(), recording), SILERO: silero}
    return recording.audio.shape[1] / SAMPLE_RATE_HZ, {
        name: (as_evaluated(recording, run.complete, run.vad), run.decisions, run.cpu_s)
        for name, run in runs.items()
    }


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
