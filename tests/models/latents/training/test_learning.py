"""What is learned first: networks whose sight is known are recognised by it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from turnstream.models.checkpoint import save_checkpoint
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.memory.past import score_with_past
from turnstream.models.latents.memory.readings import decisive_readings
from turnstream.models.latents.training import learning as module
from turnstream.models.latents.training.learning import (
    ORDERS,
    PASTS_S,
    Learning,
    correlation,
    describe,
    learn,
)
from turnstream.models.runs.run_folder import find_snapshots, snapshot_folder
from turnstream.models.turn_model import TurnModel
from turnstream.stream.errors import ConfigError

from ....networks import TINY, random_model


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "gru"
    for step in (0, 50):
        save_checkpoint(random_model(TINY, seed=step), snapshot_folder(folder, step))
    return folder


def made(places: list[int]) -> Learning:
    """A run that is likest to baseline i at snapshot places[i]."""
    similarity = np.full((4, len(ORDERS)), 0.1)
    for order, place in enumerate(places):
        similarity[place, order] = 0.9
    loss = np.tile(np.array([0.69, 0.65, 0.60, 0.58])[:, None], (1, len(PASTS_S)))
    return Learning((0, 10, 20, 30), similarity, loss, np.full(len(ORDERS), 0.6), 500, 7)


def test_losses_and_likeness_are_those_of_the_snapshots(
    run_folder: Path, tiny_collection: Collection
) -> None:
    found = learn(find_snapshots(run_folder), tiny_collection, 80)
    assert found.steps == (0, 50)
    assert found.similarity.shape == (2, len(ORDERS))
    readings = decisive_readings(tiny_collection, 80)
    said = score_with_past(random_model(TINY, seed=50), tiny_collection, readings, PASTS_S)
    p = 1 / (1 + np.exp(-said))
    expected = -np.log(np.where(readings.happened, p, 1 - p)).mean(axis=1)
    np.testing.assert_allclose(found.loss[1], expected, rtol=1e-6)


def test_work_that_was_cut_short_is_gone_on_with(
    run_folder: Path, tiny_collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots, out = find_snapshots(run_folder), tmp_path / "learning.png"
    asked = module.score_with_past
    networks: list[object] = []

    def ask(model: TurnModel, *others: Any) -> Any:
        networks.append(model)
        if len(networks) == 2:
            raise KeyboardInterrupt
        return asked(model, *others)

    monkeypatch.setattr(module, "score_with_past", ask)
    with pytest.raises(KeyboardInterrupt):
        learn(snapshots, tiny_collection, 40, kept=out)
    networks += [object()]
    found = learn(snapshots, tiny_collection, 40, kept=out)
    assert len(networks) == 3 + len(snapshots) - 1
    monkeypatch.undo()
    whole = learn(snapshots, tiny_collection, 40)
    np.testing.assert_array_equal(found.loss, whole.loss)


def test_correlation_is_of_ranks() -> None:
    a = np.random.default_rng(0).normal(size=50)
    assert correlation(a, np.exp(3 * a)) == pytest.approx(1)
    assert correlation(a, -a) == pytest.approx(-1)
    assert correlation(a, np.zeros(50)) == 0


@pytest.mark.parametrize(
    ("places", "verdict"),
    [
        ([0, 1, 1, 2, 3], "short-range dependencies come first"),
        ([0, 2, 1, 2, 3], "though not all in order"),
        ([2, 2, 2, 2, 2], "no order shows"),
        ([3, 2, 2, 1, 0], "the order of sight does not show"),
    ],
)
def test_the_caption_says_only_what_the_order_shows(places: list[int], verdict: str) -> None:
    words = describe(made(places))
    assert verdict in words
    assert "the loss falls from 0.690 to 0.580" in words
    assert (
        "the peaks stand 0.80 to 0.80 above the next best snapshot; whether that is measurable was not looked at"
        in words
    )


def test_a_loss_that_rises_is_said_to_rise() -> None:
    found = made([0, 1, 1, 2, 3])
    assert "the loss rises from 0.580 to 0.690" in describe(replace(found, loss=found.loss[::-1]))
    assert "the loss goes from 0.690 to 0.690" in describe(
        replace(found, loss=found.loss[:1].repeat(4, axis=0))
    )


def test_a_single_snapshot_has_no_next_best() -> None:
    found = made([0] * len(ORDERS))
    words = describe(
        replace(found, steps=(0,), similarity=found.similarity[:1], loss=found.loss[:1])
    )
    assert "no order shows. Right" in words


def test_the_command_draws_and_tabulates(
    run_folder: Path,
    tiny_collection: Collection,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    words = [
        str(run_folder),
        "--source",
        str(tiny_collection.folder),
        "--out",
        str(tmp_path / "l.png"),
        "--csv",
        str(tmp_path / "l.csv"),
        "--moments",
        "60",
    ]
    assert module.main(parser.parse_args(words)) == 0
    assert "60 moments of 3 dialogues, at 2 snapshots up to step 50" in capsys.readouterr().out
    assert (tmp_path / "l.png").read_bytes().startswith(b"\x89PNG")
    header, *rows = (tmp_path / "l.csv").read_text().splitlines()
    assert header.split(",") == [
        "step",
        *(f"similarity_{order}_frames" for order in ORDERS),
        "loss_0.25s",
        "loss_1s",
        "loss_4s",
        "loss_16s",
        "loss_all",
    ]
    assert [row.split(",")[0] for row in rows] == ["0", "50"]


def test_a_run_without_snapshots_is_named(tiny_checkpoint: Path, tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    with pytest.raises(ConfigError, match="expected a run with two or more snapshots"):
        module.main(
            parser.parse_args(
                [str(tiny_checkpoint), "--source", "x", "--out", str(tmp_path / "l.png")]
            )
        )
