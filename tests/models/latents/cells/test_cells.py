"""A conversation coloured by a unit: which units, which part; the page plays and changes units."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.checkpoint import save_checkpoint
from turnstream.models.config import RecurrentConfig
from turnstream.models.latents.cells.cells import cell_page
from turnstream.models.latents.cells.gates import listen_inside
from turnstream.models.latents.cells.shown_units import (
    NOTHING,
    Part,
    Unit,
    activations,
    chosen_units,
    leading_units,
    stretch_of,
    unit_named,
)
from turnstream.models.latents.cells.unit_search import find_units
from turnstream.models.latents.collect import collect, load_network, load_sound, read_source
from turnstream.models.latents.collection import Collection
from turnstream.stream.errors import ConfigError, DialogueError

from ....networks import TINY, random_model
from ..paths.test_page import set_to, shown_page
from ..planted import planted_collection
from .test_unit_search import planted


def test_units_are_named_as_layer_and_number() -> None:
    assert unit_named("latent:17") == Unit("latent", 17)
    assert unit_named("latent_speaker:3") == Unit("latent_speaker", 3)
    for wrong in ("17", "latent", "latent:", "latent:-1", "other:3", "latent:x"):
        with pytest.raises(ConfigError, match="expected a unit as latent:17"):
            unit_named(wrong)


def test_units_dialogues_and_parts_that_are_not_there_are_refused(
    tiny_collection: Collection,
) -> None:
    with pytest.raises(ConfigError, match="expected a unit of latent from 0 to 9, got 10"):
        chosen_units(tiny_collection, Unit("latent", 10), None)
    with pytest.raises(ConfigError, match=r"dialogues of the collection \(0, 1, 2\), got 'x'"):
        stretch_of(tiny_collection, Part(dialogue="x"), 60)
    with pytest.raises(ConfigError, match="expected a part of '1', 0 to 20 s, got 19 to 21 s"):
        stretch_of(tiny_collection, Part(dialogue="1", start_s=19, end_s=21), 60)
    assert stretch_of(tiny_collection, Part(), 60) == (0, 0, 1000)
    assert stretch_of(tiny_collection, Part(dialogue="2", start_s=5), 4) == (2, 250, 450)


def test_the_units_that_lead_come_first_each_once(tmp_path: Path) -> None:
    chosen = leading_units(find_units(planted_collection(tmp_path, planted), 0, limit=200), 9)
    tracks = {unit.name: unit.tracks for unit in chosen}
    assert len(tracks) == len(chosen) == 9
    assert set([*tracks][:2]) == {"latent:3", "latent:5"}
    assert "own speech (AUC 0.00)" in tracks["latent:3"]


@pytest.mark.parametrize("shifts", [0, 5])
def test_in_noise_no_unit_is_said_to_track_anything(tmp_path: Path, shifts: int) -> None:
    noise, out = planted_collection(tmp_path, seed=5), tmp_path / "cell.png"
    search = find_units(noise, shifts, limit=1000)
    chosen = leading_units(search, 14)
    assert [unit.tracks for unit in chosen] == [NOTHING] * 14
    caption = cell_page(noise, out, search=search).caption
    assert f"{chosen[0].name}: tracks nothing that was searched for" in caption
    assert "There is no sound" in caption
    # Nothing was searched:
    assert "latent:4: was asked for" in cell_page(noise, out, unit=Unit("latent", 4)).caption


def test_a_unit_that_was_asked_for_is_said_to_track_what_a_search_found(tmp_path: Path) -> None:
    collection = planted_collection(tmp_path, planted)
    search = find_units(collection, 2, limit=200)
    for number, tracked in ((3, "own speech (AUC 0.00)"), (1, NOTHING)):
        unit = Unit("latent", number)
        view = cell_page(collection, tmp_path / "cell.png", unit=unit, search=search)
        assert f"{unit.name}: tracks {tracked}" in view.caption


def test_of_a_gru_the_state_is_shown(tiny_collection: Collection, tiny_checkpoint: Path) -> None:
    found, words = activations(tiny_collection, 1, "latent", load_network(tiny_checkpoint), [4, 2])
    states = tiny_collection.frames(1, ["latent"])["latent"]
    np.testing.assert_array_equal(found, states[:, :, [4, 2]])
    assert words == "the state h"


def test_of_an_lstm_the_cell_is_shown_and_of_a_read_out_its_scaled_output(
    tiny_manifest: Path, tmp_path: Path
) -> None:
    rnns = {
        "speaker_rnn": RecurrentConfig("none", 5),
        "dialogue_rnn": RecurrentConfig("lstm", 6, 2),
    }
    save_checkpoint(random_model(replace(TINY, **rnns)), tmp_path / "lstm")
    model, dialogues = load_network(tmp_path / "lstm"), read_source(tiny_manifest)[:1]
    collection = collect(model, "lstm", dialogues, tmp_path / "collection")
    found, words = activations(collection, 0, "latent", model, [3])
    heard = listen_inside(model, load_sound(dialogues[0], 16000))
    cells = [np.tanh(inside["latent"]["c"][:, :, 1, 3].numpy()) for _, _, inside in heard]
    np.testing.assert_allclose(found[:, :, 0], np.concatenate(cells), atol=1e-6)
    assert np.abs(found[:, :, 0] - collection.frames(0, ["latent"])["latent"][:, :, 3]).max() > 0.01
    assert words == "tanh(c)"
    scaled, words = activations(collection, 0, "latent_speaker", model)
    assert np.abs(scaled).max(axis=(0, 1)) == pytest.approx(1)
    assert words == "the output divided by its greatest magnitude"


def test_the_command_draws_a_unit_and_says_how_it_moves(
    tiny_collection: Collection,
    tiny_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["--out", str(tmp_path / "cell.png"), "--unit", "latent:4", "--dialogue", "1"]
    given += ["--model", str(tiny_checkpoint), "--start", "4", "--end", "12"]
    assert main(["latents", "cell", str(tiny_collection.folder), *given]) == 0
    said, columns = capsys.readouterr().out, tiny_collection.frames(1, ["latent", "speaking"])
    mean = columns["latent"][200:600, :, 4][columns["speaking"][200:600]].mean()
    assert "4.0 to 12.0 s of 1." in said
    assert f"shown: the state h\nmean while its speaker speaks: {mean:+.2f}" in said
    assert (tmp_path / "cell.png").stat().st_size > 20_000


def test_without_a_unit_and_with_nothing_to_find_one_by_an_error_says_so(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "quiet.npy", np.zeros((2, 32000), np.int16))
    np.savez(tmp_path / "quiet.npz", activity=np.zeros((2, 100), bool))
    line = '{"audio": "quiet.npy", "activity": "quiet.npz", "sample_rate_hz": 16000}'
    (tmp_path / "manifest.jsonl").write_text(line)
    dialogues = read_source(tmp_path / "manifest.jsonl")
    quiet = collect(load_network(tiny_checkpoint), "tiny", dialogues, tmp_path / "quiet")
    with pytest.raises(DialogueError, match="expected a --unit, or enough speech and silence"):
        cell_page(quiet, tmp_path / "cell.png")
    view = cell_page(quiet, tmp_path / "cell.png", unit=Unit("latent", 0), start_s=1.5)
    assert "hardly changes" in view.caption


async def test_the_page_changes_unit_goes_to_a_click_and_plays(
    tiny_collection: Collection, tmp_path: Path, browser: str
) -> None:
    picture = "document.querySelector('#lanes').toDataURL()"
    view = cell_page(tiny_collection, tmp_path / "cell.html", unit=Unit("latent", 4))
    assert "was asked for" in view.caption or "tracks" in view.caption
    async with shown_page(browser, view.path, "document.querySelector('#told').innerText") as tab:
        first = await tab.text("#told")
        assert first.startswith("0:00.00")
        expected = tiny_collection.frames(0, ["latent"])["latent"][0, :, 4]
        assert f"speaker 0: {expected[0]:.3f}" in first
        named = "document.querySelector('#unit').options[0].textContent.startsWith('latent:4')"
        assert await tab.value(named)
        await set_to(tab, "#unit", 1)
        assert await tab.text("#told") != first
        before = await tab.value(picture)
        await set_to(tab, "#scale", "own")
        assert await tab.value(picture) != before
        await tab.click("#lanes")
        assert await tab.until("/^0:0[89]/.test(document.querySelector('#told').innerText)")
        await tab.click("#play")
        await tab.until("document.querySelector('#play').textContent === 'Pause'")
