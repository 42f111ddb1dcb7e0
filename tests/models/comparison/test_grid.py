"""A grid as a file: what a row contains, and which files are refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from turnstream.models.comparison.grid import find_grid, first_hours, merged, read_grid
from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.pretraining.settings import METHODS
from turnstream.stream.errors import ConfigError, DialogueError

ROWS: list[dict[str, Any]] = [
    {"name": "base"},
    {"name": "Plain!", "settings": {"model": {"encoder": {"block": "plain"}}}},
]


def written(folder: Path, **changes: Any) -> Path:
    plain = {
        "budget": {"steps": 3, "model": {"encoder": {"channels": 5}}},
        "seeds": [0, 1],
        "rows": ROWS,
    } | changes
    (folder / "grid.json").write_text(json.dumps(plain))
    return folder / "grid.json"


def test_a_row_is_the_budget_with_what_it_changes(tmp_path: Path) -> None:
    grid = read_grid(written(tmp_path))
    base, plain = (grid.training_settings(row, 1) for row in grid.rows)
    assert (base.steps, base.seed, base.model.encoder.channels, base.model.encoder.block) == (
        3,
        1,
        5,
        "residual",
    )
    assert plain == dataclasses.replace(
        base,
        model=dataclasses.replace(
            base.model, encoder=dataclasses.replace(base.model.encoder, block="plain")
        ),
    )
    assert grid.rows[1].folder == "plain"
    assert grid.reference(grid.rows[0]) is None
    assert grid.reference(grid.rows[1]) is grid.rows[0]
    assert grid.with_references(grid.rows[1:]) == list(grid.rows)


def test_a_pre_training_has_the_encoder_of_its_row(tmp_path: Path) -> None:
    rows = [
        *ROWS,
        {
            "name": "cpc",
            "pretraining": "cpc",
            "settings": {"freeze_encoder": True, "model": {"encoder": {"block": "gated"}}},
        },
    ]
    grid = read_grid(written(tmp_path, rows=rows, pretraining={"steps": 9}))
    settings = grid.pretraining_settings(grid.rows[2], 1)
    assert (
        settings.method,
        settings.steps,
        settings.seed,
        settings.encoder.channels,
        settings.encoder.block,
    ) == ("cpc", 9, 1, 5, "gated")
    trained = grid.training_settings(grid.rows[2], 0, Path("there"))
    assert (trained.encoder, trained.freeze_encoder, trained.model.encoder) == (
        "there",
        True,
        settings.encoder,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": []}, "expected at least one row and one seed, got 0 and 2"),
        (
            {"rows": [{"name": "a b"}, {"name": "A-B"}]},
            "expected another name for every row, got a b, A-B",
        ),
        (
            {"rows": [*ROWS, {"name": "x", "against": "nobody"}]},
            "row 'x': expected to be compared with one of base, Plain!, x, got 'nobody'",
        ),
        (
            {"rows": [{"name": "x", "pretraining": "gan"}]},
            "row 'x': expected pretraining to be one of autoencoder, vqvae, vqvae2, cpc, got 'gan'",
        ),
        (
            {"rows": [{"name": "x", "colour": "red"}]},
            "expected a grid of networks to compare, in JSON: .*colour",
        ),
        ({"rows": [{"name": "x", "settings": {"step": 1}}]}, "row 'x': unknown field 'step'"),
        ({"seeds": 3}, "expected a grid of networks to compare, in JSON"),
        ({"seeds": ["a"]}, "expected a grid of networks to compare, in JSON: seeds"),
        ({"budgets": {}}, "expected a grid of networks to compare, in JSON: .*budgets"),
    ],
)
def test_what_describes_no_grid_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_grid(written(tmp_path, **changes))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a grid of networks to compare, in JSON"):
        read_grid(tmp_path / "nowhere.json")


def test_the_grid_of_encoders_asks_every_question_of_the_family() -> None:
    grid = read_grid(find_grid("encoders"))
    settings = [
        grid.training_settings(row, 0, Path("x") if row.pretraining else None) for row in grid.rows
    ]
    encoders = [one.model.encoder for one in settings]
    assert {one.model.speaker_rnn.kind for one in settings} == {"none", "rnn", "gru", "lstm"}
    assert {one.model.speaker_rnn.layers for one in settings} == {1, 2, 3}
    assert {one.block for one in encoders} == {"plain", "residual", "gated"}
    assert {(one.combine, one.combine_at) for one in encoders if len(one.stacks) > 1} == {
        (how, at) for how in ("add", "concat") for at in ("end", "layer")
    }
    assert {one.dims for one in encoders} == {1, 2}
    assert {one.stride for one in encoders} == {1, 2}
    assert len({one.stacks[0] for one in encoders}) >= 4
    assert {
        (row.pretraining, one.freeze_encoder)
        for row, one in zip(grid.rows, settings, strict=True)
        if row.pretraining and not row.hours
    } == {(method, frozen) for method in METHODS for frozen in (False, True)}
    assert {row.hours for row in grid.rows} == {0, 1, 3}
    assert len({(one.steps, one.batch_rows, one.chunk_s) for one in settings}) == 1
    assert len(grid.seeds) == 3


def test_the_recurrent_grid_differs_in_its_recurrent_layers_alone() -> None:
    grid, encoders = (read_grid(find_grid(name)) for name in ("recurrent", "encoders"))
    assert grid.budget == encoders.budget
    assert {name for row in grid.rows for name in row.settings.get("model", {})} == {
        "speaker_rnn",
        "dialogue_rnn",
    }
    assert len(grid.seeds) == 3


def test_any_other_name_is_a_file(tmp_path: Path) -> None:
    assert find_grid(str(tmp_path / "own.json")) == tmp_path / "own.json"


def test_objects_are_merged_and_all_else_replaced() -> None:
    assert merged({"a": {"b": 1, "c": [1, 2]}, "d": 2}, {"a": {"c": [3]}, "e": {}}) == {
        "a": {"b": 1, "c": [3]},
        "d": 2,
        "e": {},
    }


def test_the_first_hours_are_as_many_whole_dialogues_as_it_takes(dialogues: list[Dialogue]) -> None:
    assert first_hours(dialogues, 0) == dialogues
    assert first_hours(dialogues, 10 / 3600) == dialogues[:2]  # 9 s each
    with pytest.raises(DialogueError, match=r"expected 1 h of dialogue to train on, got 0.0 h"):
        first_hours(dialogues, 1)
