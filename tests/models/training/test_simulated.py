import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from turnstream.cli import main
from turnstream.models.config import FeatureConfig
from turnstream.models.dialogues.simulation import open_simulation_data, simulate
from turnstream.models.training import loop, simulated
from turnstream.models.training.loop import train
from turnstream.models.training.settings import TrainingSettings
from turnstream.models.training.simulated import AHEAD_PER_WORKER, SimulatedDialogues
from turnstream.models.training.stream import Chunk, ConversationStream
from turnstream.stream.errors import ConfigError, DialogueError

from ...networks import TINY

LENGTHS_S = (8.0, 12.0)
SETTINGS = TrainingSettings(
    steps=12, batch_rows=2, chunk_s=3.0, warmup_steps=2, validate_every=2, model=TINY, seed=5
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def open_source(
    data_folder: Path, cache: Path, workers: int = 1, settings: TrainingSettings = SETTINGS
) -> SimulatedDialogues:
    return SimulatedDialogues(
        data_folder, settings, cache, workers=workers, lengths_s=LENGTHS_S, synthetic=False
    )


@pytest.fixture
def source(data_folder: Path, cache: Path) -> Iterator[SimulatedDialogues]:
    with closing(open_source(data_folder, cache)) as opened:
        yield opened


def test_conversations_are_those_of_the_seed_whoever_makes_them_and_in_any_order(
    data_folder: Path, cache: Path
) -> None:
    data = open_simulation_data(data_folder, cache, synthetic=False)
    with closing(open_source(data_folder, cache, workers=2)) as source:
        source.prefetch([3, 0])
        for number in (0, 3, 1):
            audio, labels = source.conversation(number)
            expected = simulate(data, SETTINGS.seed, number, LENGTHS_S)
            assert np.array_equal(audio * 32768, expected.audio[:, : audio.shape[1]])
            assert np.array_equal(
                labels.vad,
                expected.activity[:, : labels.vad.shape[1]] & audio.any(axis=1, keepdims=True),
            )


def test_no_more_is_made_ahead_than_there_is_room_for(source: SimulatedDialogues) -> None:
    begun: list[int] = []
    submit = source._executor.submit
    source._executor.submit = lambda function, data, seed, number, lengths_s: (
        begun.append(number) or submit(function, data, seed, number, lengths_s)
    )  # pyright: ignore
    source.prefetch(range(10))
    assert begun == list(range(AHEAD_PER_WORKER))
    source.conversation(0)
    source.prefetch(range(1, 10))
    assert begun == list(range(AHEAD_PER_WORKER + 1))


def test_training_from_the_simulator_resumes_exactly(
    data_folder: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = 0

    class Stream(ConversationStream):
        def next_chunk(self) -> Chunk:
            nonlocal given
            if given == 5:
                raise InterruptedError
            given += 1
            return super().next_chunk()

    with closing(open_source(data_folder, cache)) as source:
        train(SETTINGS, source, tmp_path / "whole")
        monkeypatch.setattr(loop, "ConversationStream", Stream)
        with pytest.raises(InterruptedError):
            train(SETTINGS, source, tmp_path / "parts")
        monkeypatch.undo()
    begun = torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["stream"][
        "batch_rows"
    ]
    with closing(open_source(data_folder, cache)) as source:
        train(SETTINGS, source, tmp_path / "parts", resume=True)
    assert (tmp_path / "parts" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()
    batch_rows = torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["stream"][
        "batch_rows"
    ]
    # Far enough to reach conversations that had not begun at the cut.
    assert max(batch_rows)[0] > max(begun)[0]


def test_the_command_trains_from_the_simulator(
    data_folder: Path, cache: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text('{"steps": 1, "batch_rows": 1, "chunk_s": 1.0}')
    options = [
        "--simulate",
        "--data",
        str(data_folder),
        "--cache",
        str(cache),
        "--no-synthetic",
        "--lengths",
        "8",
        "12",
    ]
    assert (
        main(["train", *options, "--out", str(tmp_path / "run"), "--settings", str(settings)]) == 0
    )
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_the_simulator_needs_data(tmp_path: Path, complaint: Callable[..., str]) -> None:
    assert "expected --data FOLDER with --simulate, got none" in complaint(
        "train", "--simulate", "--out", tmp_path / "run"
    )


def test_a_worker_that_dies_loses_nothing(
    source: SimulatedDialogues, data_folder: Path, cache: Path
) -> None:
    source.prefetch([0, 1])
    source._executor.submit(os._exit, 1)
    data = open_simulation_data(data_folder, cache, synthetic=False)
    for number in (0, 1, 2):
        audio, _ = source.conversation(number)
        expected = simulate(data, SETTINGS.seed, number, LENGTHS_S).audio
        assert np.array_equal(audio * 32768, expected[:, : audio.shape[1]])


def test_workers_that_die_each_time_are_an_error_and_no_hang(
    source: SimulatedDialogues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulated, "simulate_here", die)
    source._executor.submit(os._exit, 1)
    with pytest.raises(
        DialogueError, match="expected dialogue 0 to be simulated, got a process that ended each of"
    ):
        source.conversation(0)


def die(*_: object) -> None:
    os._exit(1)


def test_dialogues_shorter_than_a_chunk_are_refused(data_folder: Path, cache: Path) -> None:
    expected = r"expected simulated dialogues of at least one chunk \(60 s\), got one of \d+\.\d s"
    settings = dataclasses.replace(SETTINGS, chunk_s=60.0)
    with (
        closing(open_source(data_folder, cache, settings=settings)) as source,
        pytest.raises(DialogueError, match=expected),
    ):
        source.conversation(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "expected at least one process to simulate, got 0"),
        (
            {"lengths_s": (5.0, 4.0)},
            "expected lengths of simulated dialogues with 0 < shortest <= longest, got 5 and 4",
        ),
    ],
)
def test_impossible_options_are_refused(
    options: dict[str, object], message: str, data_folder: Path, cache: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        SimulatedDialogues(data_folder, SETTINGS, cache, **options)  # pyright: ignore[reportArgumentType]


def test_a_network_at_another_rate_is_refused(data_folder: Path, cache: Path) -> None:
    model = dataclasses.replace(
        TINY, features=FeatureConfig(sample_rate_hz=8000, hop_samples=160, window_samples=320)
    )
    with pytest.raises(
        ConfigError, match="expected a network at the simulator's 16000 Hz, got 8000 Hz"
    ):
        SimulatedDialogues(data_folder, dataclasses.replace(SETTINGS, model=model), cache)
