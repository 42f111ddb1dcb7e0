"""A small grid from beginning to end, through its command."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.checkpoint import load_checkpoint, load_encoder
from turnstream.models.comparison import runs
from turnstream.models.comparison.grid import read_grid
from turnstream.models.comparison.runs import read_measured
from turnstream.models.dialogues.manifest import Dialogue, read_manifest, write_manifest
from turnstream.models.evaluation.measures import auc
from turnstream.models.training.evaluation import shift_hold_scores
from turnstream.stream.errors import DialogueError, MissingExtraError

from ...networks import TINY

GRID = {
    "about": "A small one.",
    "budget": {
        "steps": 2,
        "batch_rows": 2,
        "chunk_s": 1.6,
        "warmup_steps": 0,
        "validate_every": 2,
        "model": json.loads(TINY.to_json()),
    },
    "pretraining": {
        "steps": 2,
        "batch_rows": 2,
        "chunk_s": 1.6,
        "warmup_steps": 0,
        "validate_every": 2,
        "ahead": [1, 2],
        "codes": 8,
    },
    "seeds": [0, 1],
    "rows": [
        {"name": "base"},
        {
            "name": "vq-vae",
            "question": "Does it help?",
            "pretraining": "vqvae",
            "settings": {"freeze_encoder": True},
        },
        {
            "name": "stride",
            "question": "And this?",
            "settings": {"model": {"encoder": {"stride": 2}}},
        },
    ],
}


def test_a_grid_is_trained_measured_and_gone_on_with(
    manifest: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, out = tmp_path / "grid.json", tmp_path / "out"
    path.write_text(json.dumps(GRID))
    command = ["compare", "--grid", str(path), "--out", str(out)]
    everyone = read_manifest(manifest)
    for part, some in {
        "manifest": everyone[:2],
        "validation": everyone[2:3],
        "test-calls": everyone[2:],
    }.items():
        write_manifest(tmp_path / f"{part}.jsonl", some)
        command += [f"--{part}", str(tmp_path / f"{part}.jsonl")]
    assert main([*command, "--report"]) == 2
    assert "expected runs that have been measured, got none" in capsys.readouterr().err
    assert main([*command, "--only", "VQ", "--seeds", "0"]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        str(out / name) for name in ("index.html", "comparison.csv", "quality_and_cost.png")
    ]
    grid = read_grid(path)
    # The row of the reference, too
    assert [one.row for one in read_measured(grid, everyone[2:3], everyone[2:], out)] == [
        "base",
        "vq-vae",
    ]
    assert main(command) == 0
    measured = read_measured(grid, everyone[2:3], everyone[2:], out)
    assert [(one.row, one.seed) for one in measured] == [
        (row.name, seed) for seed in (0, 1) for row in grid.rows
    ]
    _, pretrained = sorted((out / "pretrained").iterdir())
    given = load_encoder(pretrained).weights
    network = load_checkpoint(out / "vq_vae" / "seed1")
    assert all(
        (given[name] == tensor).all() for name, tensor in network.encoder.state_dict().items()
    )
    assert all(one.parameters > 0 and min(one.held_out["next_holder"]) > 0 for one in measured)
    monkeypatch.setattr(runs, "train", lambda *_, **__: pytest.fail("trained again"))
    costs = json.loads((out / runs.COSTS_FILE).read_text())["microseconds"]
    assert set(costs) == {"base", "vq-vae", "stride"}
    assert costs["base"] == costs["vq-vae"] > 0  # networks of the same shape
    assert costs["stride"] > 0
    monkeypatch.setattr(runs, "conversation_losses", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr("turnstream.export.export.export", lambda *_: pytest.fail("exported again"))
    assert main(command) == 0
    score = shift_hold_scores(load_checkpoint(out / "base" / "seed0"), everyone[2:]).at[250]
    own = measured[0]
    assert (sum(own.shift), len(own.shift) - sum(own.shift)) == (score.positives, score.negatives)
    assert auc(np.array(own.score), np.array(own.shift)) == pytest.approx(score.auc.value)

    write_manifest(tmp_path / "manifest.jsonl", everyone[:1])
    assert main(command) == 2
    assert (
        "expected a run on the dialogues that are given now (1 dialogues" in capsys.readouterr().err
    )
    # Measured on other real dialogues
    assert main([*command[:-1], str(tmp_path / "validation.jsonl"), "--report"]) == 2
    assert "expected runs that have been measured, got none" in capsys.readouterr().err


def test_rows_and_seeds_that_there_are_not_are_named(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "grid.json"
    path.write_text(json.dumps(GRID))
    command = [
        "compare",
        "--grid",
        str(path),
        "--out",
        str(tmp_path),
        *(w for o in ("manifest", "validation", "test-calls") for w in (f"--{o}", str(manifest))),
    ]
    assert main([*command, "--only", "transformer"]) == 2
    assert (
        "expected words from the names of rows (base; vq-vae; stride), got transformer"
        in capsys.readouterr().err
    )
    assert main([*command, "--seeds", "7"]) == 2
    assert "expected seeds of the grid (0, 1), got 7" in capsys.readouterr().err
    assert main(command) == 2
    assert (
        "expected to measure on dialogues that are not trained on, got '0' in both"
        in capsys.readouterr().err
    )


def test_what_would_only_show_after_hours_is_found_before(
    dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "grid.json").write_text(
        json.dumps(
            GRID
            | {
                "rows": [
                    {"name": "base"},
                    {"name": "a day", "hours": 24},
                    {"name": "codes", "pretraining": "vqvae"},
                ]
            }
        )
    )
    grid = read_grid(tmp_path / "grid.json")
    with pytest.raises(DialogueError, match=r"expected 24 h of dialogue to train on, got 0.0 h"):
        runs.check(grid, grid.rows, dialogues)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name.startswith("vector") else name
    )
    with pytest.raises(MissingExtraError, match="vector-quantize-pytorch is not installed"):
        runs.check(grid, grid.rows[2:], dialogues)
    runs.check(grid, grid.rows[:1], dialogues)
