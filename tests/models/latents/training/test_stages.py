"""States of the same moments at several stages, and their CSV files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from turnstream.models.evaluation.torch_runner import run_dialogue
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.training.stages import (
    Stages,
    follow,
    moving_stages,
    read_csv_stages,
    write_stages,
)
from turnstream.models.turn_model import TurnModel
from turnstream.stream.errors import ConfigError

from ....networks import CONFIGS, random_model


def networks() -> dict[str, TurnModel]:
    return {"one": random_model(CONFIGS["tiny"]), "two": random_model(CONFIGS["tiny"], seed=8)}


@pytest.fixture(scope="module")
def stages(tiny_collection: Collection) -> Stages:
    return moving_stages(networks(), tiny_collection, 60, "latent")


def test_states_are_those_at_moments_followed(tiny_collection: Collection, stages: Stages) -> None:
    assert stages.names == ("one", "two")
    places = zip(*(stages.moments or {}).values(), strict=True)
    for point, (number, frame, speaker) in enumerate(places):
        expected = tiny_collection.frames(number, ["latent"])["latent"][frame, speaker]
        # The collection's network is the first one.
        np.testing.assert_allclose(stages.states[0][point], expected, atol=1e-5)
        assert stages.ids[point].endswith(f"{(frame + 1) / 50:.2f} s, speaker {speaker}")
    assert np.abs(stages.states[1] - stages.states[0]).max() > 0.1
    events = tiny_collection.events("shift", "hold")
    moments, labels = follow(tiny_collection, 60)
    judged = labels["event"] != ""
    assert judged.sum() == len(events) == 15
    assert stages.wrong is not None
    for event, place in zip(events, np.flatnonzero(judged), strict=True):
        assert (moments.number[place], 1 - moments.speaker[place]) == (event.number, event.speaker)
        assert stages.wrong[0, place] == (not event.correct)
        assert labels["event"][place] == event.kind
    assert np.isnan(stages.wrong[:, ~judged]).all()
    assert set(labels["split"]) == {"train", "val"}


def test_networks_of_other_widths_and_rates_are_read_alike(tiny_collection: Collection) -> None:
    configs = ("tiny", "lstm_2d_gated_stride_concat")
    others = {name: random_model(CONFIGS[name]) for name in configs}
    found = moving_stages(others, tiny_collection, 40, "latent_speaker")
    assert [states.shape for states in found.states] == [(len(found.ids), 12), (len(found.ids), 8)]


def test_reading_that_was_cut_short_is_gone_on_with(
    tiny_collection: Collection, stages: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[TurnModel] = []

    def hear(model: TurnModel, *audio: Any) -> Iterator[Any]:
        heard.append(model)
        if len(heard) == 3:
            raise KeyboardInterrupt
        return run_dialogue(model, *audio)

    monkeypatch.setattr("turnstream.models.evaluation.torch_runner.run_dialogue", hear)
    again = partial(moving_stages, networks(), tiny_collection, 60, "latent", kept=tmp_path / "p")
    with pytest.raises(KeyboardInterrupt):
        again()
    found = again()
    # The first dialogue was heard once by each, the second begun twice.
    assert len(heard) == 1 + 2 * len(tiny_collection.dialogues)
    np.testing.assert_array_equal(found.states, stages.states)
    np.testing.assert_array_equal(found.wrong, stages.wrong)  # pyright: ignore[reportArgumentType]
    assert not (tmp_path / "p").exists()


def test_files_are_read_as_they_were_written(stages: Stages, tmp_path: Path) -> None:
    found = read_csv_stages(write_stages(stages, tmp_path))
    assert (found.names, found.ids) == (("000_one", "001_two"), stages.ids)
    np.testing.assert_allclose(found.states, stages.states, rtol=1e-5)
    np.testing.assert_array_equal(found.wrong, stages.wrong)  # pyright: ignore[reportArgumentType]
    for label in ("situation", "time in dialogue"):
        np.testing.assert_array_equal(found.labels[label], stages.labels[label])


def read(folder: Path, *texts: str, **options: int) -> Stages:
    files = [folder / f"{number}.csv" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return read_csv_stages(files, **options)


def test_anyones_files_are_joined_by_id_and_without_one_by_row(tmp_path: Path) -> None:
    words = "id,d0,d1,word\nx,1,2,cat\ny,3,4,dog\nz,5,6,owl\n"
    found = read(tmp_path, words, "word,d0,d1,d2,id\nDOG,1,1,1,y\nCAT,2,2,2,x\n")
    assert found.ids == ("y", "x")
    assert found.states[0].tolist() == [[3, 4], [1, 2]]
    assert found.states[1].shape == (2, 3)
    assert found.labels["word"].tolist() == ["DOG", "CAT"]
    assert read(tmp_path, *["e1,e2\n1,2\n3,4\n"] * 2).ids == ("0", "1")
    found = read(tmp_path, *["id,d0,d1,speaker1,speaker2,year2,score0\nx,1,2,3,4,5,6\n"] * 2)
    assert found.states[0].tolist() == [[1, 2]]  # though names of labels end in digits, too
    assert list(found.labels) == ["speaker1", "speaker2", "year2", "score0"]


def test_of_many_rows_some_common_ones_are_drawn(tmp_path: Path) -> None:
    rows = [f"p{i},{i},{i + 0.5},{i % 2}" for i in range(50)]
    files = ["\n".join(["id,d0,d1,wrong", *some]) for some in (rows, rows[:4:-1])]
    found = read(tmp_path, *files, points=10, seed=3)
    numbers = [int(name[1:]) for name in found.ids]
    assert len(set(numbers)) == 10
    assert min(numbers) >= 5
    assert [states[:, 0].tolist() for states in found.states] == [numbers, numbers]
    assert found.wrong is not None
    assert found.wrong.tolist() == [[number % 2 for number in numbers]] * 2
    again, other = (read(tmp_path, *files, points=10, seed=seed).ids for seed in (3, 4))
    assert again == found.ids != other
    assert len(read(tmp_path, *files, points=100).ids) == 45


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,name\n1,a\n", "expected one series of columns that are numbered from 0 or 1 on"),
        ("", "got nothing"),
        ("id,a0,a1,b0,b1\nx,1,2,3,4\n", r"expected one series .* got a\.\.\., b\.\.\."),
        ("d0,d1\n1,x\n", "line 2: expected a number in d1, got 'x'"),
        ("d0,d1\n1,nan\n", "line 2: expected a number in d1, got 'nan'"),
        ("d0,d1\n1,2\n1\n", "line 3: expected 2 values, got 1"),
        ("id,d0,d1\na,1,2\na,1,2\n", "line 3: expected every id once, got 'a' again"),
        ("id,d0,d1\nq,1,2\n", "got no common id"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, "id,d0,d1\nx,1,2\n", text)
    with pytest.raises(ConfigError, match=r"missing\.csv: expected a CSV file"):
        read_csv_stages([tmp_path / "missing.csv"] * 2)
