"""The command that fits a projection: its file, its picture, and a caption with the figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from turnstream.cli import main
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.space.fitting import fit_projection
from turnstream.models.latents.space.project import (
    caption_of,
    draw_projection,
    project,
    trust_in_words,
)
from turnstream.stream.saved_embedding import SavedEmbedding, load_embedding


@pytest.fixture(scope="module")
def pca(tiny_collection: Collection) -> SavedEmbedding:
    return fit_projection(tiny_collection, "pca", points=1000, refits=2)


def run(*options: object) -> int:
    return main(["latents", *map(str, options)])


def test_the_command_writes_file_and_picture_and_says_how_far_to_believe(
    tiny_collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [
        "--method",
        "pca",
        "--layer",
        "latent_speaker",
        "--points",
        1000,
        "--refits",
        1,
        "--out",
        tmp_path / "space.json",
    ]
    assert run("project", tiny_collection.folder, *options, "--plot", tmp_path / "space.png") == 0
    projection, said = load_embedding(tmp_path / "space.json"), capsys.readouterr().out
    assert projection.layer == "latent_speaker"
    assert f"trustworthiness {projection.trust['trustworthiness']:.2f}" in said
    assert f"{projection.trust['stability']:.0%} of a point's neighbours stay" in said
    assert imread(tmp_path / "space.png").std() > 0.05


@pytest.mark.parametrize(
    ("option", "name"),
    [("--out", "space.csv"), ("--plot", "space.pdf"), ("--out", "nowhere/space.json")],
)
def test_files_that_cannot_be_written_are_refused_before_any_work(
    option: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {
        "--out": tmp_path / "space.json",
        "--plot": tmp_path / "space.png",
        option: tmp_path / name,
    }
    assert (
        run(
            "project",
            tmp_path / "no source",
            "--method",
            "pca",
            *(word for pair in options.items() for word in pair),
        )
        == 2
    )
    assert "error: expected a" in capsys.readouterr().err


def test_points_of_neighbourhoods_that_do_not_survive_are_drawn_hollow(
    pca: SavedEmbedding, tmp_path: Path
) -> None:
    ink = {}
    for name, share in {"stable": 1.0, "unstable": 0.0}.items():
        drawn = replace(pca, stability=np.full(len(pca.places), share, np.float32))
        draw_projection(drawn, tmp_path / f"{name}.png")
        ink[name] = (imread(tmp_path / f"{name}.png")[..., :3].min(axis=2) < 0.9).sum()
    assert ink["unstable"] < ink["stable"]


def test_three_dimensions_are_drawn_from_three_sides(
    tiny_collection: Collection, tmp_path: Path
) -> None:
    view = project(
        tiny_collection,
        "pca",
        tmp_path / "space.json",
        tmp_path / "space.png",
        dims=3,
        points=500,
        refits=0,
    )
    height, width, _ = imread(view.path).shape
    assert width > 1.5 * height
    assert "was not fitted again" in view.caption


def test_words_depend_on_what_was_measured(pca: SavedEmbedding) -> None:
    trust = {
        "overlap": 0.57,
        "trustworthiness": 0.97,
        "continuity": 0.9,
        "neighbours": 15.0,
        "judged": 300.0,
        "stability": 0.8,
        "stability_by_chance": 0.05,
        "unstable": 0.1,
    }
    good = trust_in_words(replace(pca, trust=trust))
    assert "57% of a point's 15 nearest neighbours among the full states" in good
    assert "(5.0% by chance)" in good
    assert "alike" not in good  # which trustworthiness of almost any picture would have said
    assert "10% of points" in good
    assert "dialogues drawn with replacement" in good
    bad = trust_in_words(
        replace(
            pca,
            trust=trust | {"trustworthiness": 0.7, "unstable": 0.9, "stability": 0.2},
            settings={"dialogues": 1},
        )
    )
    assert "Most neighbourhoods do not survive" in bad
    assert "frames drawn with replacement" in bad
    assert (
        trust_in_words(replace(pca, trust={}))
        == "How far this can be believed has not been measured."
    )


def test_of_what_has_no_formula_the_caption_warns_of_distances(pca: SavedEmbedding) -> None:
    assert "distances between groups" in caption_of(
        replace(
            pca, method="tsne", layers=(), reference=np.zeros((len(pca.places), 10), np.float32)
        )
    )
    assert "distances between groups" not in caption_of(pca)
