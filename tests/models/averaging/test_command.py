from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch

from turnstream.cli import main
from turnstream.models.checkpoint import load_checkpoint, save_checkpoint
from turnstream.models.turn_model import TurnModel

from ...networks import TINY


def write_networks(folder: Path, count: int) -> list[Path]:
    runs = [folder / str(number) for number in range(count)]
    for seed, run in enumerate(runs):
        torch.manual_seed(seed)
        save_checkpoint(TurnModel(TINY), run)
    return runs


def test_every_weight_is_the_mean_of_the_networks(tmp_path: Path) -> None:
    runs = write_networks(tmp_path, 3)
    assert main(["average", *map(str, runs), "--out", str(tmp_path / "mean")]) == 0
    mean = load_checkpoint(tmp_path / "mean")
    assert mean.config == TINY
    parts = [load_checkpoint(run).state_dict() for run in runs]
    for name, tensor in mean.state_dict().items():
        assert torch.allclose(tensor, sum(part[name] for part in parts) / 3, atol=1e-6), name
    assert not torch.equal(mean.heads.weight, load_checkpoint(runs[0]).heads.weight)


def test_one_network_is_refused(tmp_path: Path, complaint: Callable[..., str]) -> None:
    (run,) = write_networks(tmp_path, 1)
    assert "expected at least two networks to average, got 1" in complaint(
        "average", run, "--out", tmp_path / "mean"
    )
    assert not (tmp_path / "mean").exists()


def test_networks_of_other_shapes_are_refused(
    tmp_path: Path, complaint: Callable[..., str]
) -> None:
    runs = write_networks(tmp_path, 2)
    wider = dataclasses.replace(TINY.dialogue_rnn, hidden=TINY.dialogue_rnn.hidden + 1)
    save_checkpoint(TurnModel(dataclasses.replace(TINY, dialogue_rnn=wider)), runs[1])
    assert f"expected networks of one configuration, that of {runs[0]}" in complaint(
        "average", *map(str, runs), "--out", tmp_path / "mean"
    )
