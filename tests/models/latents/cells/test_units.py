"""The command that searches for units: its table, picture, page and words."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.latents.cells.unit_search import UnitSearch, find_units
from turnstream.models.latents.cells.units import HEADER, best_in_words, draw_units, search_in_words
from turnstream.stream.errors import ConfigError, DialogueError

from ..planted import planted_collection
from .test_unit_search import planted


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> UnitSearch:
    return find_units(planted_collection(tmp_path_factory.mktemp("planted"), planted), 5, limit=300)


def test_the_table_has_both_scores_of_every_half_and_target(
    search: UnitSearch, tmp_path: Path
) -> None:
    draw_units(search, tmp_path / "units.csv")
    with (tmp_path / "units.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == HEADER
    place = ("target", "layer", "chosen_on_half", "place")
    wanted = ("own speech", "latent", "2", "1")
    best = next(row for row in rows if tuple(row[name] for name in place) == wanted)
    found = search.of("own speech", "latent")
    assert int(best["unit"]) == 3
    assert float(best["score_where_chosen"]) == pytest.approx(found.scores[1, 3], abs=1e-4)
    assert float(best["score_in_other_half"]) == pytest.approx(found.scores[0, 3], abs=1e-4)
    assert float(best["chance_level"]) == pytest.approx(0.5 + found.level / 2, abs=1e-4)
    assert best["exceeds_chance"] == "1"
    assert len(rows) == 10 * sum(found.known for found in search.found)


def test_words_name_the_unit_the_score_and_the_level(search: UnitSearch) -> None:
    words, time = search_in_words(search), search.of("time since own speech", "latent")
    assert "own speech: latent:3, AUC 0.00 (AUC 0." in words
    assert "time since own speech: latent:5, rank correlation 1.00 (" in words
    assert "it moves by 0.1" in best_in_words(time)
    assert "too rare here for a score: overlap" in words
    assert "shift, not hold" in words.split("no unit does better than chance may:")[1]


def test_a_layer_can_be_shown_alone(search: UnitSearch, tmp_path: Path) -> None:
    view = draw_units(search, tmp_path / "units.csv", ("latent_speaker",))
    assert "latent:" not in view.caption
    assert ",latent," not in view.path.read_text(encoding="utf-8")


def test_the_command_searches_a_collection(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collection = planted_collection(tmp_path / "made", planted, dialogues=2)
    given = ["--out", str(tmp_path / "units.csv"), "--shifts", "2"]
    assert main(["latents", "units", str(collection.folder), *given]) == 0
    assert "own speech: latent:3, AUC 0.0" in capsys.readouterr().out


def test_dialogues_in_which_nothing_happens_and_other_files_are_refused(
    search: UnitSearch, tmp_path: Path
) -> None:
    empty = find_units(planted_collection(tmp_path / "short", frames=2, dialogues=2), 1, limit=10)
    assert not any(np.isfinite(found.scores).any() for found in empty.found)
    with pytest.raises(DialogueError, match="at least 3 stretches of speech and of silence in eac"):
        draw_units(empty, tmp_path / "units.csv")
    with pytest.raises(ConfigError, match=r"ending in \.csv or \.png or \.html"):
        draw_units(search, tmp_path / "units.pdf")
