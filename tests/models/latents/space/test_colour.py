"""The space coloured by a label of one's own or by a column: a picture, and its errors."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.labels import coded_label, join_labels
from turnstream.models.latents.paths.page import gather
from turnstream.models.latents.space.fitting import fit_projection


@pytest.fixture
def labelled(tiny_collection: Collection, tmp_path: Path) -> Collection:
    collection = Collection(Path(shutil.copytree(tiny_collection.folder, tmp_path / "c")))
    name = collection.dialogues[0].id
    rows = f"{name},0,10,ask,1.5\n{name},10,20,tell,\n"
    (tmp_path / "l.csv").write_text("dialogue,begin_s,end_s,act,load\n" + rows)
    join_labels(collection, tmp_path / "l.csv")
    return Collection(collection.folder)


@pytest.mark.parametrize("by", ["act", "load", "p_next", "speaking"])
def test_text_and_numbers_and_columns_are_drawn(
    by: str, labelled: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [labelled.folder, "--by", by, "--points", 300, "--out", out := tmp_path / "colour.png"]
    assert main(["latents", "colour", *map(str, words)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert f"{by} is known of" in capsys.readouterr().out


def test_rare_values_are_one_class_and_unknown_ones_another() -> None:
    values = np.array(["", *(f"v{k}" for k in range(12) for _ in range(20 - k))])
    coded = coded_label(values)
    assert coded["classes"] == [*(f"v{k}" for k in range(8)), "others", "unknown"]
    assert coded["values"][[0, -1, 1]].tolist() == [9, 8, 0]


def test_the_explorer_offers_every_label(labelled: Collection) -> None:
    plane = fit_projection(labelled, "pca", refits=0)
    contents = gather(labelled, [plane], points=200, sound_minutes=0.0)
    labels, points = contents["labels"], contents["points"]
    assert set(labels) == {"act", "load"}
    of_first = points["number"] == 0
    unknown = labels["act"]["classes"].index("unknown")
    np.testing.assert_array_equal(labels["act"]["values"] == unknown, ~of_first)
    known = of_first & (points["frame"] < 500)
    np.testing.assert_array_equal(np.isfinite(labels["load"]["values"]), known)
