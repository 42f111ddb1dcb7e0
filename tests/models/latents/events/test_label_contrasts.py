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
    find_cases,
    silence_labels,
)
from turnstream.models.latents.events.probes import probe
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
                start, shift = collection.frame_of(event.start_s), event.kind == "shift"
                mood[start - 40 : start - 10, event.speaker] = "up" if shift else "down"
                load[start - 5, event.speaker] = 4.0 if shift else 1.0
        write_labels(folder, number, {"mood": mood, "load": load})
    return Collection(folder)


def test_a_name_says_both_classes() -> None:
    assert contrast_named("shift-hold") is CONTRASTS["shift-hold"]
    assert contrast_named("shift-correct").words() == "shifts: correct or wrong"
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


@pytest.mark.parametrize("name", ["mood=up/down", "mood=up", "load>2", "mood=up/calm"])
def test_silences_are_told_apart_by_the_label_before_them(name: str, planted: Collection) -> None:
    events = planted.events("gap", "pause")
    if "calm" in name:  # a value of neither class is left out
        events = [event for event in events if event.kind == "gap"]
    cases = event_cases(planted.events("gap", "pause"), contrast_in(planted, name))
    assert cases.start_s.tolist() == [event.start_s for event in events]
    assert cases.first.tolist() == [event.kind == "gap" for event in events]


def test_a_label_that_ends_too_early_is_not_the_silences(
    tiny_collection: Collection, tmp_path: Path
) -> None:
    collection = Collection(Path(shutil.copytree(tiny_collection.folder, tmp_path / "c")))
    event = collection.events("gap", "pause")[0]
    header, start, later = "dialogue,begin_s,end_s,speaker,a\n", event.start_s, event.start_s + 1
    for before_s, found in ((0.6, None), (0.4, "x")):
        own = f"{event.dialogue},0,{start - before_s},{event.speaker},x\n"
        (tmp_path / "l.csv").write_text(f"{header}{own}{event.dialogue},{start},{later},,y\n")
        join_labels(collection, tmp_path / "l.csv")
        assert silence_labels(collection, "a")[event.number, event.speaker, start] == found


def test_averages_and_probes_of_a_label_find_what_was_planted_with_it(planted: Collection) -> None:
    of_label, of_kind = (average(planted, c, orders=19) for c in ("mood=up/down", "gap-pause"))
    np.testing.assert_allclose(of_label.effect, of_kind.effect)
    assert of_label.contrast.classes == ("up", "down")
    assert find_cases(planted, ["load>2"])["load>2"].first.sum() == of_label.events[0]
    (one,) = probe(planted, questions=["mood=up"], times_s=[-1.5, 0.2]).probed
    assert one.contrast.words() == "mood: up or other mood"
    (own,) = [curve for curve in one.curves if curve.line == "latent own"]
    assert own.auc[0] < 0.7
    assert own.auc[1] > 0.9


def test_events_carry_their_labels_and_numbers_are_split_at_the_median(
    planted: Collection,
) -> None:
    events = planted.events("gap", "pause")[:20]
    labels = event_labels(planted, events)
    moods = ["up" if event.kind == "gap" else "down" for event in events]
    assert [found["mood"] for found in labels] == moods
    assert all("median" not in found["load"] and found["load"] for found in labels)
    assert event_labels(planted, []) == []
