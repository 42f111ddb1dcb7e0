"""Export: what stands in the files, and that it is what the collection holds."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.latents.collection import COLUMNS, LAYERS, Collection
from turnstream.models.latents.exchange import add_arguments, export, main
from turnstream.stream.errors import ConfigError


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_csv_file_has_a_row_for_every_frame_and_speaker_and_a_column_for_every_value(
    tiny_collection: Collection, tmp_path: Path
) -> None:
    export(tiny_collection, tmp_path / "states.csv")
    found = rows(tmp_path / "states.csv")
    assert list(found[0]) == [*COLUMNS, *(f"d{index}" for index in range(10))]
    assert len(found) == 3 * 1000 * 2
    expected = tiny_collection.frames(1, ["latent", "situation", "time_s", "p_next"])
    row = found[2 * (1000 + 321) + 1]
    assert (row["dialogue"], row["speaker"], row["frame"], row["situation"]) == (
        "1",
        "1",
        "321",
        expected["situation"][321, 1],
    )
    assert float(row["time_s"]) == expected["time_s"][321, 1]
    assert [np.float32(row[f"d{index}"]) for index in range(10)] == expected["latent"][
        321, 1
    ].tolist()
    assert np.float32(row["p_next"]) == expected["p_next"][321, 1]


def test_what_does_not_apply_is_an_empty_cell(tiny_collection: Collection, tmp_path: Path) -> None:
    export(tiny_collection, tmp_path / "states.csv")
    found = rows(tmp_path / "states.csv")
    assert {row["correct"] for row in found if not row["event"]} == {""}
    assert {row["correct"] for row in found if row["event"]} <= {"true", "false"}


def test_both_layers_are_told_apart_by_name(tiny_collection: Collection, tmp_path: Path) -> None:
    export(tiny_collection, tmp_path / "states.csv", LAYERS)
    names = list(rows(tmp_path / "states.csv")[0])
    assert names[len(COLUMNS) :] == [f"latent_speaker_{index}" for index in range(12)] + [
        f"latent_{index}" for index in range(10)
    ]


def test_fewer_frames_lie_on_a_regular_grid_from_its_first_step_on(
    tiny_collection: Collection, tmp_path: Path
) -> None:
    view = export(tiny_collection, tmp_path / "states.csv", every=300)
    found = [row for row in rows(tmp_path / "states.csv") if row["dialogue"] == "2"]
    assert [float(row["time_s"]) for row in found] == [6.0, 6.0, 12.0, 12.0, 18.0, 18.0]
    assert "18 rows" in view.caption


@pytest.mark.parametrize("every", [1, 7])
def test_an_archive_holds_the_columns_as_arrays(
    tiny_collection: Collection, tmp_path: Path, every: int
) -> None:
    export(tiny_collection, tmp_path / "states.npz", LAYERS, every)
    with np.load(tmp_path / "states.npz") as archive:
        assert set(archive) == {*COLUMNS, *LAYERS}
        for name in archive:
            parts = [
                tiny_collection.frames(number, [name])[name][every - 1 :: every]
                for number in range(3)
            ]
            expected = np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts])
            if name == "correct":
                expected = expected.astype(np.float32)
            np.testing.assert_array_equal(archive[name], expected)


def test_the_command_exports_what_it_says(
    tiny_collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert (
        main(
            parser.parse_args(
                [
                    str(tiny_collection.folder),
                    "--out",
                    str(tmp_path / "s.csv"),
                    "--layer",
                    "latent_speaker",
                    "--every",
                    "50",
                ]
            )
        )
        == 0
    )
    assert "120 rows of 3 dialogues in tiny" in capsys.readouterr().out
    assert len(rows(tmp_path / "s.csv")) == 120


@pytest.mark.parametrize("every", [0, -1, 1001])
def test_no_frame_to_keep_is_an_error(
    tiny_collection: Collection, tmp_path: Path, every: int
) -> None:
    with pytest.raises(
        ConfigError,
        match=f"expected to keep at least one frame, got every {every} of dialogues of at most "
        "1000",
    ):
        export(tiny_collection, tmp_path / "states.csv", every=every)
    assert not list(tmp_path.iterdir())


def test_a_layer_that_is_not_there_is_an_error(tiny_collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected layers of the collection"):
        export(tiny_collection, tmp_path / "states.csv", ("middle",))
