"""Export: what stands in the files, and that it is what the collection holds."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.latents.collection import COLUMNS, LAYERS, Collection
from turnstream.models.latents.exchange import export
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
    names = ["dialogue", "speaker", "frame", "situation", "time_s", "p_next", "latent"]
    expected = {n: v[321, 1] for n, v in tiny_collection.frames(1, names).items()}
    row = found[2 * (1000 + 321) + 1]
    for name in names[:4]:
        assert row[name] == str(expected[name])
    assert float(row["time_s"]) == expected["time_s"]
    assert np.float32(row["p_next"]) == expected["p_next"]
    assert [np.float32(row[f"d{k}"]) for k in range(10)] == expected["latent"].tolist()
    # what does not apply is an empty cell
    assert {row["correct"] for row in found if not row["event"]} == {""}
    assert {row["correct"] for row in found if row["event"]} <= {"true", "false"}


@pytest.mark.parametrize("every", [1, 7])
def test_an_archive_holds_the_columns_as_arrays(
    tiny_collection: Collection, tmp_path: Path, every: int
) -> None:
    export(tiny_collection, tmp_path / "states.npz", LAYERS, every)
    with np.load(tmp_path / "states.npz") as archive:
        assert set(archive) == {*COLUMNS, *LAYERS}
        for name in archive:
            whole = [tiny_collection.frames(number, [name])[name] for number in range(3)]
            parts = [part[every - 1 :: every] for part in whole]
            expected = np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts])
            np.testing.assert_array_equal(archive[name], expected)


def test_the_command_exports_what_it_says(
    tiny_collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    what = [str(tiny_collection.folder), "--out", str(tmp_path / "s.csv")]
    assert main(["latents", "export", *what, "--layer", "latent_speaker", "--every", "50"]) == 0
    assert "120 rows of 3 dialogues in tiny" in capsys.readouterr().out
    assert len(rows(tmp_path / "s.csv")) == 120


@pytest.mark.parametrize(
    ("layer", "every", "message"),
    [
        ("latent", 0, "expected to keep at least one frame, got every 0 of dialogues of at most"),
        ("latent", -1, "got every -1 of dialogues of at most 1000"),
        ("latent", 1001, "got every 1001 of dialogues of at most 1000"),
        ("middle", 1, "expected layers of the collection"),
    ],
)
def test_what_is_not_there_is_an_error_and_no_file(
    layer: str, every: int, message: str, tiny_collection: Collection, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        export(tiny_collection, tmp_path / "states.csv", (layer,), every)
    assert not list(tmp_path.iterdir())
