"""Run the systems that are evaluated on dialogues: the model, the baselines and the judge.

With `--folds` there are several models: each dialogue is run through the one that was not trained
on it. Every function returns the dialogues with the predictions of one system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from ...stream.bench import measure_batch
from ...stream.engine import Engine
from ...stream.errors import ModelError
from ...stream.pause_model import PauseModel, choose_pause_model
from ..dialogues.manifest import Dialogue
from ..teachers.judge_files import WITHOUT, judge_path
from .baselines import BaselineRun, TurnScorer, as_evaluated, run_silero, run_smart_turn
from .conditions import Condition
from .folds import read_folds
from .judge import judge_dialogue, read_judge
from .onnx_runner import evaluate_dialogues
from .predictions import EvaluatedDialogue, Frames
from .recording import SAMPLE_RATE_HZ, Recording, load_recording
from .report import SILERO, Cost

RECORDINGS_PER_BATCH = 16  # a dialogue counts once per condition; each has three batch rows
TIMED_STEPS = 500
CLEAN = Condition("clean", lambda recording, _: recording.audio)

Advance = Callable[[], None]


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


def run_models(
    engines: Mapping[str, Engine],
    dialogues: Sequence[Dialogue],
    conditions: Sequence[Condition],
    seed: int,
    jobs: int,
    advance: Advance,
    pause_models: Mapping[str, PauseModel] | None = None,
) -> dict[str, list[EvaluatedDialogue]]:
    """Run every dialogue in every condition through its model: in stereo, and each speaker alone.

    Args:
        engines: the model of each dialogue, by id.
        dialogues: the dialogues to run.
        conditions: the conditions to apply to each dialogue.
        seed: seed of the conditions.
        jobs: number of threads.
        advance: called after every dialogue.
        pause_models: the pause model of each dialogue, by id; None for none.
    Returns:
        The dialogues with their predictions, in the given order, by the name of the condition.
    """
    by_id: dict[str, list[EvaluatedDialogue]] = {}  # the predictions in each condition

    def run_batch(batch: Sequence[Dialogue]) -> list[EvaluatedDialogue]:
        recordings = [load_recording(dialogue) for dialogue in batch]
        changed = [
            r if c is CLEAN else replace(r, audio=c.apply(r, seed))
            for r in recordings
            for c in conditions
        ]
        return evaluate_dialogues(engines[batch[0].id], changed, pause_models)

    with ThreadPoolExecutor(jobs) as pool:
        for batch in pool.map(run_batch, _batches(engines, dialogues, len(conditions))):
            for start in range(0, len(batch), len(conditions)):
                by_id[batch[start].id] = batch[start : start + len(conditions)]
                advance()
    return {
        condition.name: [by_id[dialogue.id][number] for dialogue in dialogues]
        for number, condition in enumerate(conditions)
    }


def _batches(
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


def model_cost(engine: Engine, recording: Recording) -> Cost:
    """Measure the time that a model takes for one conversation."""
    measured = measure_batch(engine, recording.audio.T, 1, TIMED_STEPS)
    return Cost(
        1000 * measured["real_time_factor"],
        measured["median_us"] / 1000,
        "both speakers, one conversation at a time, every frame, without a pause model",
    )


def run_baselines(
    scorer: TurnScorer, dialogues: Sequence[Dialogue], jobs: int, advance: Advance
) -> tuple[dict[str, list[EvaluatedDialogue]], dict[str, Cost]]:
    """Run the baselines on every dialogue.

    Args:
        scorer: Smart Turn.
        dialogues: the dialogues to run.
        jobs: number of threads.
        advance: called after every dialogue.
    Returns:
        The dialogues with the predictions of a baseline, and its cost, by its name.
    """
    evaluated: dict[str, list[EvaluatedDialogue]] = {"smart-turn": [], SILERO: []}
    decisions, cpu_s, seconds = dict.fromkeys(evaluated, 0), dict.fromkeys(evaluated, 0.0), 0.0
    for dialogue in dialogues:
        recording = load_recording(dialogue)
        seconds += recording.audio.shape[1] / SAMPLE_RATE_HZ
        # First the fast one: a missing silero-vad then shows before the slow one has run.
        silero = run_silero(recording)
        runs: dict[str, BaselineRun] = {
            "smart-turn": run_smart_turn(scorer, recording, jobs),
            SILERO: silero,
        }
        for name, run in runs.items():
            evaluated[name].append(as_evaluated(recording, run.complete, run.vad))
            decisions[name] += run.decisions
            cpu_s[name] += run.cpu_s
        advance()
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
