"""All units over a conversation: alike beside alike, in numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.latents.cells.activations import figures_in_words, similar_order
from turnstream.models.latents.collection import Collection


def test_units_that_go_together_lie_side_by_side() -> None:
    rng = np.random.default_rng(0)
    causes = rng.normal(size=(500, 2, 3))
    values = (causes[:, :, np.arange(30) % 3] + rng.normal(0, 0.3, (500, 2, 30))).astype(np.float32)
    values[:, :, 7] = 0.5
    order = similar_order(values)
    assert sorted(order) == list(range(30))
    assert order[-1] == 7  # it never moves
    groups = order[:-1] % 3
    assert (np.diff(groups) != 0).sum() == 2


def test_few_or_still_units_keep_their_order() -> None:
    few = np.random.default_rng(0).normal(size=(10, 2, 2)).astype(np.float32)
    assert similar_order(np.zeros((10, 2, 4), np.float32)).tolist() == [0, 1, 2, 3]
    assert similar_order(few).tolist() == [0, 1]


def test_words_count_units_that_follow_speech_and_those_that_are_still() -> None:
    rng = np.random.default_rng(1)
    speaking = np.repeat(rng.random((40, 2)) < 0.5, 10, axis=0)
    values = rng.normal(0, 0.3, (400, 2, 5)).astype(np.float32)
    values[:, :, 0] = np.where(speaking, 0.95, -0.95)
    values[:, :, 1] = np.where(speaking, -0.3, 0.3) + rng.normal(0, 0.05, speaking.shape)
    values[:, :, 2] = 0.1
    order = similar_order(values)
    words = figures_in_words({"latent": values}, {"latent": order}, speaking)
    assert "latent: of 5 units 1 hardly move, 1 are mostly higher and 1 mostly lower in" in words
    assert f"{100 * np.mean(np.abs(values) > 0.9):.0f} % of values beyond -0.9 or 0.9" in words
    correlations = np.corrcoef(values.reshape(-1, 5)[:, order[:4]], rowvar=False)
    assert f"neighbours correlate by {np.diag(correlations, 1).mean():.2f} (" in words


def test_the_command_draws_a_part_of_a_dialogue(
    tiny_collection: Collection,
    tiny_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "activations.png"
    given = ["--out", str(out), "--model", str(tiny_checkpoint), "--dialogue", "2"]
    given += ["--start", "3", "--end", "9.5"]
    assert main(["latents", "activations", str(tiny_collection.folder), *given]) == 0
    said = capsys.readouterr().out
    assert "3.0 to 9.5 s of 2." in said
    assert "latent: of 10 units" in said
    assert out.stat().st_size > 20_000
