"""Contrasts of labels of one's own: their names, the label of a silence, and what views do."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.latents.collection import Collection
from turnstream.models.latents.events.averages import average
from turnstream.models.latents.events.contrasts import CONTRASTS, event_cases
from turnstream.models.latents.events.label_contrasts import (
    contrast_in,
    contrast_named,
    event_labels,
    silence_labels,
)
from turnstream.models.latents.events.probes import find_cases, probe
from turnstream.models.latents.labels import join_labels, write_labels
from turnstream.stream.errors import ConfigError

from ..planted_silences import planted_silences


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Silences before which the speaker was labelled "up" before a shift, else "down"."""
    folder = tmp_path_factory.mktemp("labelled") / "collection"
    collection = planted_silences(folder)
    for number in range(len(collection.dialogues)):
        frames = collection.frame_count(number)
        mood, load = np.full((frames, 2), "", object), np.full((frames, 2), np.nan)
        for event in collection.events("shift", "hold"):
            if event.number == number:
                start = collection.frame_of(event.start_s)
                mood[start - 40 : start - 10, event.speaker] = (
                    "up" if event.kind == "shift" else "down"
                )
                load[start - 5, event.speaker] = 4.0 if event.kind == "shift" else 1.0
        write_labels(folder, number, {"mood": mood, "load": load})
    return Collection(folder)


def test_a_name_says_both_classes() -> None:
    assert contrast_named("shift-hold") is CONTRASTS["shift-hold"]
    assert contrast_named("act=ask").classes == ("ask", "other act")
    assert contrast_named("act=ask/tell").words(" against ") == "act: ask against tell"
    assert contrast_named("load>2.50").classes == ("above 2.5", "at most 2.5")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("mood", "LABEL=VALUE, LABEL=VALUE/OTHER or LABEL>NUMBER, got 'mood'"),
        ("load>much", "expected a number after the > of 'load>much', got 'much'"),
        ("rain=1", "expected one of its labels (mood, load), got 'rain'"),
        ("mood>1", "expected mood=..., since it is text"),
        ("load=1", "expected load>..., since it is numbers"),
    ],
)
def test_what_is_no_contrast_is_one_clear_error(
    name: str, complaint: str, planted: Collection
) -> None:
    with pytest.raises(ConfigError) as error:
        contrast_in(planted, name)
    assert complaint in str(error.value)


@pytest.mark.parametrize("name", ["mood=up/down", "mood=up", "load>2"])
def test_silences_are_told_apart_by_the_label_before_them(name: str, planted: Collection) -> None:
    events = planted.events("gap", "pause")
    cases = event_cases(events, contrast_in(planted, name))
    assert len(cases) == len(events)
    assert cases.first.tolist() == [event.kind == "gap" for event in events]


def test_a_value_of_neither_class_is_left_out(planted: Collection) -> None:
    events = planted.events("gap", "pause")
    cases = event_cases(events, contrast_in(planted, "mood=up/calm"))
    assert len(cases) == sum(event.kind == "gap" for event in events)
    assert cases.first.all()


def test_a_label_that_ends_too_early_is_not_the_silences(
    tiny_collection: Collection, tmp_path: Path
) -> None:
    collection = Collection(Path(shutil.copytree(tiny_collection.folder, tmp_path / "c")))
    event = collection.events("gap", "pause")[0]
    name, start = event.dialogue, event.start_s
    rows = f"{name},0,{start - 0.6},{event.speaker},x\n{name},{start},{start + 1},,y\n"
    (tmp_path / "l.csv").write_text("dialogue,begin_s,end_s,speaker,a\n" + rows)
    join_labels(collection, tmp_path / "l.csv")
    assert silence_labels(collection, "a")[event.number, event.speaker, start] is None
    (tmp_path / "l.csv").write_text(
        f"dialogue,begin_s,end_s,speaker,a\n{name},0,{start - 0.4},{event.speaker},x\n"
    )
    join_labels(collection, tmp_path / "l.csv")
    assert silence_labels(collection, "a")[event.number, event.speaker, start] == "x"


def test_averages_and_probes_of_a_label_find_what_was_planted_with_it(planted: Collection) -> None:
    of_label = average(planted, "mood=up/down", orders=19)
    of_kind = average(planted, "gap-pause", orders=19)
    np.testing.assert_allclose(of_label.effect, of_kind.effect)
    assert of_label.contrast.classes == ("up", "down")
    assert find_cases(planted, ["load>2"])["load>2"].first.sum() == of_label.events[0]
    found = probe(planted, questions=["mood=up"], times_s=[-1.5, 0.2])
    (one,) = found.probed
    assert one.contrast.words() == "mood: up or other mood"
    (own,) = [curve for curve in one.curves if curve.line == "latent own"]
    assert own.auc[0] < 0.7
    assert own.auc[1] > 0.9


def test_events_carry_their_labels_and_numbers_are_split_at_the_median(
    planted: Collection,
) -> None:
    events = planted.events("gap", "pause")[:20]
    labels = event_labels(planted, events)
    assert [found["mood"] for found in labels] == [
        "up" if event.kind == "gap" else "down" for event in events
    ]
    assert all("median" not in found["load"] and found["load"] for found in labels)
    assert event_labels(planted, []) == []
