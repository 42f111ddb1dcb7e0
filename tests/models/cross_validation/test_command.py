from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from turnstream.models.checkpoint import load_checkpoint, save_checkpoint
from turnstream.models.config import EncoderConfig, ModelConfig, RecurrentConfig, from_plain
from turnstream.models.cross_validation.command import (
    FINE_TUNING,
    FOLDS,
    SETTINGS,
    TAUGHT_FINE_TUNING,
    add_arguments,
    main,
    train_one,
)
from turnstream.models.dialogues.manifest import read_manifest, write_manifest
from turnstream.models.training import command
from turnstream.models.training.settings import TrainingSettings
from turnstream.models.turn_model import TurnModel
from turnstream.stream.errors import DialogueError

from ...networks import TINY
from ..teaching import write_calls


@pytest.fixture
def arguments(tmp_path: Path) -> argparse.Namespace:
    """Three calls, and a judge's scores for each and for all."""
    calls = write_calls(tmp_path / "calls")
    write_manifest(tmp_path / "calls.jsonl", calls)
    judged = tmp_path / "judged"
    judged.mkdir()
    for name in ("all", *(f"without_{call.id}" for call in calls)):
        np.savez(
            judged / f"{name}.npz",
            **{call.id: np.full((2, 5), np.nan, np.float32) for call in calls},
        )
    words = [
        "--manifest",
        "dialogues.jsonl",
        "--calls",
        "calls.jsonl",
        "--judge",
        "judged",
        "--initial",
        "simulated",
        "--out",
        "crossed",
    ]
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(
        [str(tmp_path / word) if not word.startswith("--") else word for word in words]
    )


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[argparse.Namespace]:
    """Record the calls of `turnstream train`, which writes an empty network."""
    asked: list[argparse.Namespace] = []

    def train(args: argparse.Namespace) -> int:
        asked.append(args)
        args.out.mkdir(parents=True)
        (args.out / "model.safetensors").touch()
        return 0

    monkeypatch.setattr(command, "main", train)
    return asked


def test_a_network_for_a_call_is_trained_without_it(
    arguments: argparse.Namespace, trained: list[argparse.Namespace]
) -> None:
    call = read_manifest(arguments.calls)[0].id
    arguments.settings = arguments.out / SETTINGS
    train_one(arguments, f"without_{call}")
    train_one(arguments, "all")
    left_out, all_heard = trained
    assert (left_out.without, left_out.judge) == (call, arguments.judge)
    assert (all_heard.without, all_heard.judge) == (None, arguments.judge)
    assert left_out.initial == all_heard.initial == str(arguments.initial)


def test_with_a_teacher_the_network_learns_from_recorded_speech(
    arguments: argparse.Namespace, trained: list[argparse.Namespace]
) -> None:
    arguments.settings = arguments.out / SETTINGS
    arguments.teacher, arguments.data = Path("teacher"), Path("data")
    arguments.distilled, arguments.cache = Path("distilled"), Path("cache")
    train_one(arguments, "all")
    (asked,) = trained
    assert (asked.teacher, asked.data) == (arguments.teacher, arguments.data)
    assert (asked.distilled, asked.cache) == (arguments.distilled, arguments.cache)


def test_the_mean_of_the_trained_network_and_the_first_is_written(
    arguments: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks: list[TurnModel] = []

    def new(folder: Path) -> None:
        torch.manual_seed(len(networks))
        networks.append(TurnModel(TINY))
        save_checkpoint(networks[-1], folder)

    def train(args: argparse.Namespace) -> int:
        new(args.out)
        return 0

    monkeypatch.setattr(command, "main", train)
    new(arguments.initial)
    arguments.settings, arguments.average = arguments.out / SETTINGS, True
    assert train_one(arguments, "all") == train_one(arguments, "all") == "all"
    first, trained = (network.state_dict() for network in networks)
    mean = load_checkpoint(arguments.out / "all" / "run").state_dict()
    for name, weights in mean.items():
        torch.testing.assert_close(weights, (first[name] + trained[name]) / 2)


def test_what_is_trained_is_not_trained_again(
    arguments: argparse.Namespace, trained: list[argparse.Namespace]
) -> None:
    arguments.settings = arguments.out / SETTINGS
    assert train_one(arguments, "all") == train_one(arguments, "all") == "all"
    assert len(trained) == 1


def test_every_call_is_measured_by_the_network_without_it(
    arguments: argparse.Namespace, trained: list[argparse.Namespace]
) -> None:
    assert main(arguments) == 0
    calls = [call.id for call in read_manifest(arguments.calls)]
    assert json.loads((arguments.out / FOLDS).read_text()) == {
        call: f"without_{call}/model.onnx" for call in calls
    }
    assert json.loads((arguments.out / SETTINGS).read_text()) == FINE_TUNING
    assert [asked.without for asked in trained] == [*calls, None]


@pytest.mark.parametrize("fine_tuning", [FINE_TUNING, TAUGHT_FINE_TUNING])
def test_the_settings_of_fine_tuning_are_settings_of_a_training(
    fine_tuning: dict[str, object],
) -> None:
    model = ModelConfig(
        encoder=EncoderConfig(channels=8, out_channels=8), speaker_rnn=RecurrentConfig(hidden=8)
    )
    settings = from_plain(
        TrainingSettings,
        {**fine_tuning, "initial": "simulated", "model": dataclasses.asdict(model)},
        "settings",
    )
    assert settings.given == "simulated"


def test_a_call_without_a_judge_is_named(arguments: argparse.Namespace) -> None:
    call = read_manifest(arguments.calls)[1].id
    (arguments.judge / f"without_{call}.npz").unlink()
    with pytest.raises(
        DialogueError, match=rf"expected a judge for each call .*, got no without_{call}$"
    ):
        main(arguments)


def test_with_a_teacher_the_judges_themselves_are_needed(arguments: argparse.Namespace) -> None:
    arguments.teacher = Path("teacher")
    with pytest.raises(DialogueError, match=r"expected a judge for each call .*, got no without_"):
        main(arguments)


def test_one_call_cannot_be_cross_validated(arguments: argparse.Namespace) -> None:
    write_manifest(arguments.calls, read_manifest(arguments.calls)[:1])
    with pytest.raises(
        DialogueError, match="expected at least two calls to cross-validate on, got 1"
    ):
        main(arguments)
