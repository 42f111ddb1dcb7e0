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
from turnstream.models.latents.gallery.gallery import Room, index_page, make_views, untrained
from turnstream.models.latents.space.project import project
from turnstream.models.latents.views import View
from turnstream.stream.errors import ConfigError

NOT_SHOWN = "collect label place export import gallery cell seeds learning"  # or with another view
SHOWN = "project explore gates units activations averages probes paths film encoder intervene"
SHOWN += " connectivity moment past oracles animate colour page words classes"


@pytest.fixture
def room(tiny_collection: Collection, tiny_checkpoint: Path, tmp_path: Path) -> Room:
    return Room(tiny_collection, load_network(tiny_checkpoint), "tiny", None, tmp_path)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the views "one", "few" (which cannot be made) and "two" as they are made."""
    calls: list[str] = []

    def make(room: Room, name: str) -> View:
        calls.append(name)
        if name == "few":
            raise ConfigError("expected more events, got 2")
        (room.out / f"{name}.png").write_bytes(b"x")
        return View(room.out / f"{name}.png", name, f"what {name} <shows>")

    def steps(room: Room) -> list[tuple[str, str, module.Step]]:
        names = ("one", "few", "two")
        return [("Section", name, lambda name=name: make(room, name)) for name in names]

    monkeypatch.setattr(module, "_steps", steps)
    return calls


def titles(room: Room, *only: str) -> list[str]:
    return [view.title for _, view in make_views(room, only or None)[0]]


def test_views_are_made_once_and_lacking_ones_tried_again(room: Room, calls: list[str]) -> None:
    made, missing = make_views(room)
    assert [view.title for _, view in made] == ["one", "two"]
    assert missing == {"few": "expected more events, got 2"}
    (room.out / "two.png").unlink()
    assert make_views(room) == (made, missing)
    assert calls == ["one", "few", "two", "few", "two"]
    words = json.loads((room.out / "gallery.json").read_text())
    words["key"][1] = ["other dialogues"]
    (room.out / "gallery.json").write_text(json.dumps(words))
    assert (titles(room), calls.count("one")) == (["one", "two"], 2)
    text = index_page("tiny", room.collection, made, missing)
    assert text.count("<img") == 2
    assert "what one &lt;shows&gt;" in text
    assert "few: expected more events, got 2" in text


def test_only_some_are_made_and_unknown_ones_are_named(room: Room, calls: list[str]) -> None:
    assert titles(room, "ONE") == ["one"]
    assert titles(room, "two") == ["one", "two"]
    expected = r"expected words from the names of views \(one, few, two\), got three"
    with pytest.raises(ConfigError, match=expected):
        make_views(room, ["three"])


def test_the_command_keeps_what_was_heard(
    tiny_manifest: Path, tiny_checkpoint: Path, tmp_path: Path, calls: list[str]
) -> None:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    words = ["--source", tiny_manifest, "--model", tiny_checkpoint, "--out", tmp_path]
    assert module.main(parser.parse_args(map(str, words))) == 0
    assert len(Collection(tmp_path / "collection").dialogues) == 3
    assert (tmp_path / "index.html").is_file()


def test_projections_that_were_fitted_are_taken(room: Room) -> None:
    assert room.fitted("pca") is None
    project(room.collection, "pca", room.space("pca"), refits=0)
    assert getattr(room.fitted("pca"), "model", None) == room.collection.about.model


def test_every_view_has_its_place(room: Room) -> None:
    names, with_run = (
        [name for _, name, _ in module._steps(replace(room, run=run))] for run in (None, room.out)
    )
    assert len(names) == len(set(names))
    assert with_run == [*names, "what is learned first"]
    assert {*SHOWN.split(), *NOT_SHOWN.split()} == set(VIEWS)


def test_words_and_classes_are_of_the_collection_or_say_what_lacks(room: Room) -> None:
    asked = ["words", "class of moment"]
    made, missing = make_views(room, asked)
    assert {view.path.name for _, view in made} == {"words.html", "classes.png"}, missing
    one = Collection(room.collection.folder)
    one.about = replace(one.about, dialogues=(replace(one.dialogues[0], words=None),))
    _, missing = make_views(replace(room, collection=one), asked)
    assert missing.keys() == {"words coloured by a unit", "gains by class of moment"}


def test_a_network_before_training_has_other_weights_and_is_the_same_every_time(room: Room) -> None:
    before, again = untrained(room.model), untrained(room.model)
    assert before.config == room.model.config
    assert torch.equal(before.heads.weight, again.heads.weight)
    assert not torch.equal(before.heads.weight, room.model.heads.weight)
