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
from turnstream.models.latents.space.project import draw_projection, trust_in_words
from turnstream.stream.saved_embedding import SavedEmbedding, load_embedding


@pytest.fixture(scope="module")
def pca(tiny_collection: Collection) -> SavedEmbedding:
    return fit_projection(tiny_collection, "pca", points=1000, refits=2)


def run(*options: object) -> int:
    return main(["latents", "project", "--method", "pca", *map(str, options)])


def test_the_command_writes_file_and_picture_and_says_how_far_to_believe(
    tiny_collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plot = tmp_path / "space.json", tmp_path / "space.png"
    options = ["--layer", "latent_speaker", "--points", 1000, "--refits", 1, "--dims", 3]
    assert run(tiny_collection.folder, *options, "--out", out, "--plot", plot) == 0
    projection, said = load_embedding(out), capsys.readouterr().out
    assert projection.layer == "latent_speaker"
    assert f": {projection.trust['trustworthiness']:.2f}" in said
    assert f"{projection.trust['stability']:.0%} (" in said
    assert "How good the network is" in said
    height, width, _ = imread(plot).shape
    assert imread(plot).std() > 0.05
    assert width > 1.5 * height  # from three sides


def test_a_wrong_plot_is_refused_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("space.pdf", "nowhere/space.png"):
        files = ["--out", tmp_path / "space.json", "--plot", tmp_path / name]
        assert run(tmp_path / "no source", *files) == 2
        assert "error: expected a" in capsys.readouterr().err


def test_whims_are_hollow_and_distances_are_warned_of(pca: SavedEmbedding, tmp_path: Path) -> None:
    ink: list[int] = []
    view = draw_projection(pca, tmp_path / "drawn.png")
    for share in (0.0, 1.0):
        drawn = replace(pca, stability=np.full(len(pca.places), share, np.float32))
        draw_projection(drawn, view.path)
        ink.append((imread(view.path)[..., :3].min(axis=2) < 0.9).sum())
    assert ink[0] < ink[1]
    assert "distances between groups" not in view.caption
    reference = np.zeros((len(pca.places), 10), np.float32)
    tsne = replace(pca, method="tsne", layers=(), reference=reference)
    assert "distances between groups" in draw_projection(tsne, view.path).caption


def test_words_depend_on_what_was_measured(pca: SavedEmbedding) -> None:
    trust = {"overlap": 0.57, "trustworthiness": 0.97, "continuity": 0.9, "judged": 300.0}
    trust |= {"stability": 0.8, "stability_by_chance": 0.05, "unstable": 0.1}
    good = trust_in_words(replace(pca, trust=trust))
    assert "57% of a point's 15 nearest neighbours among the full states" in good
    for figure in ("0.97", "0.90", "80% (5.0% by chance), on dialogues drawn with", ": 10%"):
        assert figure in good
    assert "do not survive" not in good
    trust |= {"unstable": 0.9, "stability": 0.2}
    bad = trust_in_words(replace(pca, trust=trust, settings={"dialogues": 1}))
    assert "Most neighbourhoods do not survive" in bad
    assert "on frames drawn with replacement" in bad
    trust = {name: trust[name] for name in ("trustworthiness", "continuity", "judged")}
    assert "not fitted again" in trust_in_words(replace(pca, trust=trust))
    assert "has not been measured" in trust_in_words(replace(pca, trust={}))
