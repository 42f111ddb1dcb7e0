"""The gallery: what is made stands on its page, what cannot be is named, and it resumes."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from turnstream.models.latents.collect import load_network
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.command import VIEWS
from turnstream.models.latents.gallery import gallery as module
from turnstream.models.latents.gallery.gallery import Room, make_views, untrained
from turnstream.models.latents.gallery.index import index_page
from turnstream.models.latents.space.project import project
from turnstream.models.latents.views import View
from turnstream.stream.errors import ConfigError


@pytest.fixture
def room(tiny_collection: Collection, tiny_checkpoint: Path, tmp_path: Path) -> Room:
    return Room(tiny_collection, load_network(tiny_checkpoint), "tiny", None, tmp_path)


def steps(monkeypatch: pytest.MonkeyPatch, calls: list[str]) -> None:
    def make(room: Room, name: str) -> list[View]:
        calls.append(name)
        if name == "few":
            raise ConfigError("expected more events, got 2")
        (room.out / f"{name}.png").write_bytes(b"x")
        return [View(room.out / f"{name}.png", name, f"what {name} <shows>")]

    monkeypatch.setattr(
        module,
        "_steps",
        lambda room: [
            ("Section", name, lambda name=name: make(room, name)) for name in ("one", "few", "two")
        ],
    )


def test_views_are_made_once_and_what_cannot_be_made_is_tried_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    steps(monkeypatch, calls)
    made, missing = make_views(room)
    assert [view.title for _, view in made] == ["one", "two"]
    assert missing == {"few": "expected more events, got 2"}
    (room.out / "two.png").unlink()
    assert make_views(room) == (made, missing)
    assert calls == ["one", "few", "two", "few", "two"]
    text = index_page("tiny", room.collection, made, missing)
    assert text.count("<img") == 2
    assert "what one &lt;shows&gt;" in text
    assert "few: expected more events, got 2" in text


def test_only_some_views_are_made_and_unknown_ones_named(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    steps(monkeypatch, calls)
    made, missing = make_views(room, ["TWO"])
    assert ([view.title for _, view in made], missing, calls) == (["two"], {}, ["two"])
    with pytest.raises(
        ConfigError, match=r"expected words from the names of views \(one, few, two\), got three"
    ):
        make_views(room, ["three"])


def test_views_that_were_made_before_are_listed_with_only_some(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    steps(monkeypatch, calls)
    make_views(room, ["one"])
    made, missing = make_views(room, ["two"])
    assert [view.title for _, view in made] == ["one", "two"]
    assert (missing, calls) == ({}, ["one", "two"])


def test_the_command_keeps_what_was_heard(
    tiny_manifest: Path,
    tiny_checkpoint: Path,
    tiny_collection: Collection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps(monkeypatch, [])
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    assert (
        module.main(
            parser.parse_args(
                [
                    "--source",
                    str(tiny_manifest),
                    "--model",
                    str(tiny_checkpoint),
                    "--out",
                    str(tmp_path),
                ]
            )
        )
        == 0
    )
    assert Collection(tmp_path / "collection").about == tiny_collection.about
    assert (tmp_path / "index.html").is_file()


def test_projections_of_another_network_are_not_taken(room: Room) -> None:
    assert room.fitted("pca") is None
    project(room.collection, "pca", room.space("pca"), room.out / "pca.png")
    found = room.fitted("pca")
    assert found is not None
    assert found.weights_sha256 == room.collection.about.weights_sha256
    replace(found, weights_sha256="another").save(room.space("pca"))
    assert room.fitted("pca") is None


def test_views_of_other_dialogues_are_made_anew(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    steps(monkeypatch, calls)
    make_views(room)
    words = json.loads((room.out / "gallery.json").read_text())
    words["key"][1] = ["others"]
    (room.out / "gallery.json").write_text(json.dumps(words))
    make_views(room)
    assert calls.count("one") == 2


def test_every_view_has_its_place(room: Room) -> None:
    names = [name for _, name, _ in module._steps(room)]
    assert len(names) == len(set(names))
    assert "what is learned first" not in names
    with_run = [name for _, name, _ in module._steps(replace(room, run=room.out))]
    assert with_run == [*names, "what is learned first"]
    shown = {
        "project",
        "explore",
        "gates",
        "units",
        "activations",
        "averages",
        "probes",
        "paths",
        "film",
        "encoder",
        "intervene",
        "connectivity",
        "moment",
        "past",
        "oracles",
        "animate",
        "colour",
        "page",
        "words",
        "classes",
    }
    not_pictures = {
        "collect",
        "label",
        "place",
        "cell",
        "seeds",
        "export",
        "import",
        "learning",
        "gallery",
    }  # cell comes with units; learning needs a run, and seeds several networks
    assert shown | not_pictures == set(VIEWS)


def test_words_and_classes_are_of_the_collection_or_say_what_lacks(room: Room) -> None:
    made, missing = make_views(room, ["words", "class of moment"])
    found = {view.path.name for _, view in made}
    assert found == {"words.html", "classes.png"}, missing
    one = Collection(room.collection.folder)
    one.about = replace(one.about, dialogues=(replace(one.dialogues[0], words=None),))
    _, missing = make_views(replace(room, collection=one), ["words", "class of moment"])
    assert missing == {
        "words coloured by a unit": "expected words in this part of '0', from the manifest or a "
        "--label, got none",
        "gains by class of moment": "expected two or more dialogues with shifts and holds, to fit "
        "baselines on some and to judge on others, got 1",
    }


def test_a_network_before_training_has_other_weights_and_is_the_same_every_time(room: Room) -> None:
    before, again = untrained(room.model), untrained(room.model)
    assert before.config == room.model.config
    assert torch.equal(before.heads.weight, again.heads.weight)
    assert not torch.equal(before.heads.weight, room.model.heads.weight)
