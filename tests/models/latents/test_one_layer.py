"""A collection of one layer, as an import makes it, in every view that otherwise shows both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from turnstream.models.latents.cells.activations import activations_picture
from turnstream.models.latents.cells.cells import cell_page
from turnstream.models.latents.cells.shown_units import Unit
from turnstream.models.latents.cells.units import units_view
from turnstream.models.latents.collection import LAYERS, Collection
from turnstream.models.latents.events.averages import average_pictures
from turnstream.models.latents.events.probe_results import draw_probes
from turnstream.models.latents.events.probes import probe
from turnstream.models.latents.exchange import export
from turnstream.models.latents.importing import import_table
from turnstream.stream.errors import ConfigError


@pytest.fixture(scope="module", params=LAYERS)
def one_layer(
    request: pytest.FixtureRequest,
    tiny_collection: Collection,
    tmp_path_factory: pytest.TempPathFactory,
) -> Collection:
    folder = tmp_path_factory.mktemp("one_layer")
    export(tiny_collection, folder / "states.csv", (request.param,))
    header, _, rows = (folder / "states.csv").read_text(encoding="utf-8").partition("\n")
    # an export of one layer does not name it
    named = re.sub(r"\bd(\d+)\b", rf"{request.param}_\1", header)
    (folder / "states.csv").write_text(f"{named}\n{rows}", encoding="utf-8")
    return import_table(folder / "states.csv", folder / "again")


@pytest.fixture
def layer(one_layer: Collection) -> str:
    (found,) = one_layer.about.sizes
    return found


@pytest.mark.parametrize("suffix", [".csv", ".png", ".html"])
def test_units(one_layer: Collection, layer: str, tmp_path: Path, suffix: str) -> None:
    view = units_view(one_layer, tmp_path / f"units{suffix}", shifts=1)
    assert f"{layer}:" in view.caption
    assert view.path.stat().st_size > 1000


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_cell(one_layer: Collection, layer: str, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"cell{suffix}"
    assert f"{layer}:" in cell_page(one_layer, out).caption
    assert f"{layer}:2" in cell_page(one_layer, out, unit=Unit(layer, 2), end_s=5).caption


def test_activations(one_layer: Collection, layer: str, tmp_path: Path) -> None:
    caption = activations_picture(one_layer, tmp_path / "activations.png").caption
    assert f"{layer}: of {one_layer.about.sizes[layer]} units" in caption
    assert "There is no sound" in caption


def test_probes(one_layer: Collection, layer: str, tmp_path: Path) -> None:
    results = probe(one_layer, questions=("shift-hold", "speaking"), times_s=(-0.1, 0.0), most=200)
    lines = {curve.line for curve in results.probed[1].curves}
    assert lines == {f"{layer} own", f"{layer} both", "said"}
    rnn = {"latent": "last", "latent_speaker": "first"}[layer]
    caption = draw_probes(results, tmp_path / "probes.png").caption
    assert f"Speaking or silent, at time 0: the {rnn} RNN's states" in caption


def test_averages(one_layer: Collection, layer: str, tmp_path: Path) -> None:
    out = tmp_path / "averages.png"
    caption = average_pictures(one_layer, out, "speaker-listener", layer, orders=9).caption
    assert {"latent": "the last RNN", "latent_speaker": "the first RNN"}[layer] in caption


def test_a_layer_that_is_not_there_is_refused_with_those_that_are(
    one_layer: Collection, layer: str, tmp_path: Path
) -> None:
    other = next(name for name in LAYERS if name != layer)
    with pytest.raises(ConfigError, match=f"layers of this collection's, {layer}, got {other}"):
        units_view(one_layer, tmp_path / "units.csv", layers=(other,))
    with pytest.raises(ConfigError, match=f"this collection's layers, {layer}, got {other}:3"):
        cell_page(one_layer, tmp_path / "cell.png", unit=Unit(other, 3))
    with pytest.raises(
        ConfigError, match=f"a layer of this collection's, {layer}, got 'shift-hold' and '{other}'"
    ):
        average_pictures(one_layer, tmp_path / "averages.png", layer=other)
