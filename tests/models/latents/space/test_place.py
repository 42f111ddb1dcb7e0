"""Places of other dialogues in a fitted projection, as a table: right, in both formats, resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from turnstream.cli import main
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.space import place
from turnstream.models.latents.space.fitting import fit_projection, placer
from turnstream.models.latents.space.place import place_collection
from turnstream.stream.errors import ConfigError
from turnstream.stream.saved_embedding import SavedEmbedding


@pytest.fixture(scope="module")
def pca(tiny_collection: Collection) -> SavedEmbedding:
    return fit_projection(tiny_collection, "pca", dims=3, points=500, refits=0)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_every_frame_and_speaker_is_where_the_projection_puts_it(
    suffix: str, tiny_collection: Collection, pca: SavedEmbedding, tmp_path: Path
) -> None:
    view = place_collection(tiny_collection, pca, tmp_path / f"places{suffix}")
    read: Any = pd.read_csv if suffix == ".csv" else pd.read_parquet
    table, known = read(view.path), ["dialogue", "speaker", "frame", "time_s", "situation"]
    assert list(table.columns) == [*known, "x", "y", "z"]
    assert len(table) == 3 * 1000 * 2
    for number, (name, rows) in enumerate(table.groupby("dialogue", sort=False)):
        assert str(name) == tiny_collection.dialogues[number].id
        found = tiny_collection.frames(number, ["latent", *known[1:]])
        expected = pca.project(found["latent"]).reshape(2000, 3)
        np.testing.assert_allclose(rows[["x", "y", "z"]].to_numpy(), expected, atol=1e-5)
        for column in known[1:]:
            np.testing.assert_array_equal(rows[column], found[column].reshape(2000))
    assert [path.name for path in tmp_path.iterdir()] == [view.path.name]


def test_work_that_was_cut_short_is_gone_on_with(
    tiny_collection: Collection,
    pca: SavedEmbedding,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []

    def placed(states: np.ndarray) -> np.ndarray:
        calls.append(len(states))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return placer(pca)(states)

    monkeypatch.setattr(place, "placer", lambda projection: placed)
    with pytest.raises(KeyboardInterrupt):
        place_collection(tiny_collection, pca, tmp_path / "places.csv")
    assert not (tmp_path / "places.csv").exists()
    view = place_collection(tiny_collection, pca, tmp_path / "places.csv")
    assert len(calls) == 4  # the first dialogue was there already
    whole = place_collection(tiny_collection, pca, tmp_path / "again.csv")
    assert view.path.read_text() == whole.path.read_text()


def test_the_command_places_every_nth_frame_of_what_has_no_formula(
    tiny_collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tsne = fit_projection(tiny_collection, "tsne", points=60, refits=0)
    space, out = tmp_path / "space.json", tmp_path / "places.csv"
    tsne.save(space)
    words = [tiny_collection.folder, "--embedding", space, "--out", out, "--every", 100]
    assert main(["latents", "place", *map(str, words)]) == 0
    assert "60 places, of every 100th frame" in capsys.readouterr().out
    table = pd.read_csv(out)
    assert table["frame"].unique().tolist() == list(range(0, 1000, 100))
    assert len(table) == 3 * 10 * 2
    assert np.isfinite(table[["x", "y"]].to_numpy()).all()
    with pytest.raises(ConfigError, match="got every 0"):
        place_collection(tiny_collection, tsne, out, every=0)
