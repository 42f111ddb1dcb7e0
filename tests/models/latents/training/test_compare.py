"""The comparison of variants: what is measured of each, what is said of all."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import pytest

from turnstream.models.checkpoint import load_checkpoint
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.training import compare as module
from turnstream.models.latents.training.compare import Measured, describe, measure_variant
from turnstream.models.latents.training.variants import Variant
from turnstream.models.training.settings import TrainingSettings

from ....networks import TINY

BUDGET = TrainingSettings(steps=100, batch_rows=6, chunk_s=6.0, model=TINY)


def measured(kind: str, seed: int, loss: float, auc: float = 0.6) -> Measured:
    return Measured(kind, 1, seed, 1000, loss, loss + 0.01, auc, 0.5, ((50.0, 0.7), (100.0, loss)))


def test_a_difference_beyond_the_seeds_is_called_one() -> None:
    words = describe(
        [
            measured("rnn", 0, 0.70),
            measured("rnn", 1, 0.69),
            measured("gru", 0, 0.60),
            measured("gru", 1, 0.61),
        ],
        BUDGET,
    )
    assert (
        "4 networks of 1,000 to 1,000 parameters, 100 steps (1.0 h of dialogue heard) each, seeds 0, 1"
        in words
    )
    assert (
        "Mean loss: rnn x 1 0.695, gru x 1 0.605. gru x 1 is best by 0.090, more than two seeds of one family differ (at most 0.010)"
        in words
    )
    assert "rnn x 1 +0.010" in words


def test_a_difference_within_the_seeds_is_not() -> None:
    words = describe(
        [
            measured("rnn", 0, 0.70),
            measured("rnn", 1, 0.60),
            measured("gru", 0, 0.64),
            measured("gru", 1, 0.64),
        ],
        BUDGET,
    )
    assert (
        "gru x 1 is ahead, but two seeds of one family differ by up to 0.100, so the nearest families cannot be told apart"
        in words
    )


def test_one_seed_says_nothing_about_luck() -> None:
    assert "One seed of each cannot say which differences are luck" in describe(
        [measured("rnn", 0, 0.7), measured("gru", 0, 0.6)], BUDGET
    )


def test_the_command_trains_what_is_missing_and_measures_it(
    tiny_manifest: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = tmp_path / "settings.json"
    small = {
        "batch_rows": 2,
        "chunk_s": 2.0,
        "warmup_steps": 0,
        "validate_every": 1,
        "average_decay": 0.5,
        "model": json.loads(TINY.to_json()),
    }
    settings.write_text(json.dumps(small))
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    everything = [str(tiny_manifest)] * 3
    words = [
        "--manifest",
        everything[0],
        "--validation",
        everything[1],
        "--source",
        everything[2],
        "--out",
        str(tmp_path / "out"),
    ]
    words += [
        "--kinds",
        "rnn",
        "gru",
        "--layers",
        "1",
        "--seeds",
        "0",
        "--settings",
        str(settings),
        "--steps",
        "2",
    ]
    assert module.main(parser.parse_args(words)) == 0
    said = capsys.readouterr().out
    assert "2 networks of" in said
    with (tmp_path / "out" / "comparison.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [(row["kind"], row["layers"], row["seed"]) for row in rows] == [
        ("rnn", "1", "0"),
        ("gru", "1", "0"),
    ]
    assert all(
        0 <= float(row["auc"]) <= 1 and float(row["loss"]) > 0 and float(row["half_life_s"]) > 0
        for row in rows
    )
    assert (tmp_path / "out" / "comparison.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(module, "measure_variant", lambda *_: pytest.fail("measured again"))
    assert module.main(parser.parse_args(words)) == 0
    assert (
        capsys.readouterr().out.splitlines() == said.splitlines()[-2:]
    )  # before, each training said its measures


def test_what_is_measured_is_what_the_collection_says_of_the_same_network(
    tiny_collection: Collection, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "training.jsonl").write_text('{"step": 1, "next_holder": 0.7}\n')
    found = measure_variant(
        Variant("gru", 1, 0), load_checkpoint(tiny_checkpoint), tiny_collection, tmp_path
    )
    events = tiny_collection.events("shift", "hold")
    shifts = [
        event.p_shift for event in events if event.kind == "shift" and event.p_shift is not None
    ]
    holds = [
        event.p_shift for event in events if event.kind == "hold" and event.p_shift is not None
    ]
    wins = [(shift > hold) + 0.5 * (shift == hold) for shift in shifts for hold in holds]
    assert found.auc == pytest.approx(sum(wins) / len(wins))
    assert found.curve == ((1.0, 0.7),)
