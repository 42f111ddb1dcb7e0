from pathlib import Path

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.latents.cells.shown_units import Unit
from turnstream.models.latents.cells.words import coloured_words, words_page
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.labels import join_labels
from turnstream.stream.errors import ConfigError

from ..planted import planted_collection


def test_a_word_has_the_units_mean_over_it_seen_from_its_speaker(
    tiny_collection: Collection,
) -> None:
    values = tiny_collection.frames(1, ["latent"])["latent"][:, :, 2]
    words = coloured_words(tiny_collection, 1, values, (0, 1000))
    assert [(word.text, word.speaker) for word in words] == [("Is it?", 1), ("It is.", 0)]
    assert words[0].value == pytest.approx(values[225:350, 1].mean(), abs=1e-6)
    assert words[1].value == pytest.approx(values[510:600, 0].mean(), abs=1e-6)
    (later,) = coloured_words(tiny_collection, 1, values, (300, 1000))
    assert later.text == "It is."


def test_words_of_a_label_of_ones_own(tmp_path: Path) -> None:
    collection = planted_collection(tmp_path / "made", dialogues=1, frames=500)
    (tmp_path / "words.csv").write_text(
        "begin_s,end_s,speaker,word,load\n1,1.5,0,<well>,1\n1.5,2,0,yes,2\n2,3,1,no,3\n"
    )
    join_labels(collection, tmp_path / "words.csv")
    values = collection.frames(0, ["latent"])["latent"][:, :, 0]
    words = coloured_words(collection, 0, values, (0, 500), "word")
    expected = [("<well>", 0, 1.0), ("yes", 0, 1.5), ("no", 1, 2.0)]
    assert [(word.text, word.speaker, word.begin_s) for word in words] == expected
    assert words[1].value == pytest.approx(values[75:100, 0].mean(), abs=1e-6)
    unit = Unit("latent", 0)
    view = words_page(collection, tmp_path / "words.html", unit=unit, label="word")
    page = view.path.read_text()
    assert "&lt;well&gt;</span>" in page
    assert page.count("<span") == 3
    assert page.count('<p class="said">') == 2  # two turns
    with pytest.raises(ConfigError, match="expected a label of text, got 'load', which is numbers"):
        coloured_words(collection, 0, values, (0, 500), "load")
    with pytest.raises(ConfigError, match="expected words in this part of 'made0'"):
        words_page(collection, tmp_path / "words.html", unit=unit)


def test_command_writes_a_page_and_a_table(
    tiny_collection: Collection,
    tiny_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, table = tmp_path / "words.html", tmp_path / "words.csv"
    given = ["--unit", "latent:2", "--out", str(out), "--csv", str(table)]
    given += ["--model", str(tiny_checkpoint)]
    assert main(["latents", "words", str(tiny_collection.folder), *given]) == 0
    assert "2 words of 0, each coloured by the mean of latent:2 of tiny" in capsys.readouterr().out
    assert len(table.read_text().splitlines()) == 3
    values = tiny_collection.frames(0, ["latent"])["latent"][:, :, 2]
    mean = float(np.mean(values[225:350, 0]))
    assert table.read_text().splitlines()[1] == f"0,4.5,7,Is it?,{mean:.6g}"
