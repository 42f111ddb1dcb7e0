"""What is learned first: networks whose sight is known are recognised by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.checkpoint import save_checkpoint
from turnstream.models.evaluation.measures import Estimate
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.memory import past
from turnstream.models.latents.memory.readings import Readings, decisive_readings, sound_at
from turnstream.models.latents.quality import Quality
from turnstream.models.latents.training import learning
from turnstream.models.runs.run_folder import find_snapshots, snapshot_folder

from ....networks import TINY, random_model


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "gru"
    for step in (0, 50):
        save_checkpoint(random_model(TINY, seed=step), snapshot_folder(folder, step))
    return folder


def planted(order: str, *, dialogues: int = 12, seed: int = 0) -> learning.Learning:
    """Four snapshots that answer as baselines do: near-sighted, then far-sighted; and noise.

    "chance": the answers of the last two snapshots are of a network that was never trained.
    """
    rng = np.random.default_rng(seed)
    number = np.repeat(np.arange(dialogues), 40)
    happened = rng.random(len(number)) < 0.5
    sign = np.where(happened, 1.0, -1.0)
    near, far = 0.4 * sign + rng.normal(0, 1, len(sign)), 1.5 * sign + rng.normal(0, 1, len(sign))
    share = np.linspace(1, 0, len(learning.ORDERS))[:, None]
    baselines = share * near + (1 - share) * far
    untrained = rng.normal(0, 0.01, len(sign))
    taught = {
        "short": [untrained, near, 0.5 * (near + far), far],
        "long": [untrained, far, 0.5 * (near + far), near],
        "none": [untrained, untrained, untrained, far + near],
        "chance": [untrained, near, rng.normal(0, 1, len(sign)), rng.normal(0, 1, len(sign))],
    }[order]
    said = np.repeat(np.array(taught)[:, None], len(learning.PASTS_S), axis=1)
    readings = Readings(number, np.ones(len(number)), np.ones(len(number), np.int64), happened)
    return learning.Learning((0, 10, 20, 30), said, baselines, np.zeros(len(sign)), readings)


def test_losses_and_divergences_are_those_of_the_snapshots(
    run_folder: Path, tiny_collection: Collection
) -> None:
    found = learning.learn(find_snapshots(run_folder), tiny_collection, 24)
    assert found.steps == (0, 50)
    readings = decisive_readings(tiny_collection, 24)
    last, pasts_s = random_model(TINY, seed=50), learning.PASTS_S
    said = past.score_with_past(last, tiny_collection, readings, pasts_s)
    p = 1 / (1 + np.exp(-said))
    expected = -np.log(np.where(readings.happened, p, 1 - p)).mean(axis=1)
    np.testing.assert_allclose(found.loss[1], expected, rtol=1e-6)
    sound = past.recent_sound(random_model(TINY), tiny_collection, readings, learning.ORDERS)
    for place, order in enumerate(learning.ORDERS):
        q = 1 / (1 + np.exp(-past.fixed_order_baseline(sound, order)))
        both = [(p[-1], q), (1 - p[-1], 1 - q)]
        divergence = sum(a * np.log(a / b) + b * np.log(b / a) for a, b in both).mean()
        assert found.divergence[1, place] == pytest.approx(divergence, rel=1e-6)
        baseline = -np.log(np.where(readings.happened, q, 1 - q)).mean()
        assert found.loss_difference[1, place] == pytest.approx(expected[-1] - baseline, rel=1e-6)


def test_answers_that_are_kept_are_not_asked_for_again(
    run_folder: Path, tiny_collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"snapshots": find_snapshots(run_folder), "kept": tmp_path / "learning.png"}
    whole = learning.learn(collection=tiny_collection, moments=12, **given)
    heard: list[int] = []
    monkeypatch.setattr(past, "sound_at", lambda *of: heard.append(of[1]) or sound_at(*of))
    found = learning.learn(collection=tiny_collection, moments=12, **given)
    assert heard == [0, 1, 2]  # by the last one, at shifts and holds
    np.testing.assert_array_equal(found.loss, whole.loss)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("short", "order: short-range dependencies come first: nearest to 128 frames (2.56 s) +20"),
        ("long", "order: long-range dependencies come first: nearest to 128 frames (2.56 s) -20"),
        ("none", "order: no order can be shown"),
        ("chance", "order: not said, since the network is not measurably better than chance"),
    ],
)
def test_what_is_learned_first_is_said_where_the_interval_shows_it(order: str, words: str) -> None:
    assert words in learning.describe(planted(order))


def test_snapshots_are_nearest_to_the_baselines_that_they_answer_as() -> None:
    short = planted("short")
    assert (short.nearest[0], short.nearest[-1]) == (1, 3)
    assert "loss with all the past: 0.69" in learning.describe(short)
    # Plain divergence is small early from what is unsure, and later from what is sure.
    surer = planted("none")
    plain = surer.divergence.argmin(axis=0)
    assert plain[0] < plain[-1]
    assert surer.nearest == [3] * len(learning.ORDERS)


def test_confidence_is_matched_by_one_factor() -> None:
    rng = np.random.default_rng(0)
    said = rng.normal(size=(1, 500))
    baselines = np.stack([3 * said[0], 0.1 * said[0], rng.normal(size=500)])
    matched = learning.match_confidence(said, baselines)
    np.testing.assert_allclose(matched[0, 0], 3 * said[0], rtol=0.06)
    np.testing.assert_allclose(matched[0, 1], 0.1 * said[0], rtol=0.06)
    assert np.abs(matched[0, 2]).mean() < 0.2


def test_of_a_network_at_chance_nothing_is_said() -> None:
    good = planted("short")
    assert good.above_chance()
    at_chance = replace(good, quality=Quality(Estimate(0.52, 0.45, 0.59), 0.42, 0.69))
    assert not at_chance.above_chance()
    assert "come first" not in learning.describe(at_chance)
    assert "counting this speaker's earlier shifts" in learning.describe(at_chance)


def test_noise_seldom_has_an_order() -> None:
    said = [planted("none", dialogues=6, seed=seed).steps_later() for seed in range(20)]
    assert sum(later.low > 0 or later.high < 0 for later in said) <= 2


def test_the_command_draws_and_tabulates(
    run_folder: Path, tiny_collection: Collection, tmp_path: Path
) -> None:
    command = f"latents learning {run_folder} --source {tiny_collection.folder} --moments 24"
    assert main(f"{command} --out {tmp_path}/l.png --csv {tmp_path}/l.csv".split()) == 0
    assert (tmp_path / "l.png").read_bytes().startswith(b"\x89PNG")
    header, *rows = (tmp_path / "l.csv").read_text().splitlines()
    kinds = ("divergence_{}_frames", "matched_divergence_{}_frames", "loss_minus_{}_frames")
    assert header.split(",") == [
        "step",
        *(kind.format(order) for kind in kinds for order in learning.ORDERS),
        *("loss_0.25s", "loss_1s", "loss_4s", "loss_16s", "loss_all"),
    ]
    assert [row.split(",")[0] for row in rows] == ["0", "50"]


def test_a_run_without_snapshots_is_named(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"latents learning {tiny_checkpoint} --source x --out {tmp_path}/l.png"
    assert main(command.split()) == 2
    assert "expected a run with two or more snapshots" in capsys.readouterr().err
