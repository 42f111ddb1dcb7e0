"""States of the same moments at several stages, and their CSV files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.evaluation.torch_runner import run_dialogue
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.training.stages import (
    Stages,
    follow,
    read_csv_stages,
    read_stages,
    write_stages,
)
from turnstream.models.turn_model import TurnModel
from turnstream.stream.errors import ConfigError

from ....networks import CONFIGS, random_model


@pytest.fixture(scope="module")
def stages(tiny_collection: Collection) -> Stages:
    networks = {"one": random_model(CONFIGS["tiny"]), "two": random_model(CONFIGS["tiny"], seed=8)}
    return read_stages(networks, tiny_collection, follow(tiny_collection, 60), "latent")


def test_states_are_those_of_the_collection_at_the_moments_followed(
    tiny_collection: Collection, stages: Stages
) -> None:
    followed = follow(tiny_collection, 60)
    assert stages.names == ("one", "two")
    for point in range(len(stages.ids)):
        number, speaker = followed.number[point], followed.speaker[point]
        step = round(followed.heard_s[point] * 50) - 1
        expected = tiny_collection.frames(number, ["latent"])["latent"][step, speaker]
        np.testing.assert_allclose(
            stages.states[0][point], expected, atol=1e-5
        )  # the collection's network is the first one
    assert np.abs(stages.states[1] - stages.states[0]).max() > 0.1


def test_shifts_and_holds_are_followed_in_the_speaker_before_the_silence_and_judged(
    tiny_collection: Collection, stages: Stages
) -> None:
    events = tiny_collection.events("shift", "hold")
    followed = follow(tiny_collection, 60)
    assert np.isfinite(followed.shifts).sum() == len(events) == 15
    judged = np.isfinite(followed.shifts)
    for event, place in zip(events, np.flatnonzero(judged), strict=True):
        assert (followed.number[place], followed.speaker[place]) == (event.number, event.speaker)
        assert stages.wrong is not None
        assert stages.wrong[0, place] == (not event.correct)
        assert followed.labels["event"][place] == event.kind
    assert np.isnan(stages.wrong[:, ~judged]).all()
    assert set(followed.labels["split"]) == {"train", "val"}


def test_a_network_of_another_width_and_rate_is_read_at_the_same_moments(
    tiny_collection: Collection,
) -> None:
    followed = follow(tiny_collection, 40)
    networks = {
        "tiny": random_model(CONFIGS["tiny"]),
        "strided": random_model(CONFIGS["lstm_2d_gated_stride_concat"]),
    }
    found = read_stages(networks, tiny_collection, followed, "latent_speaker")
    assert [states.shape for states in found.states] == [(len(found.ids), 12), (len(found.ids), 8)]


def test_reading_that_was_cut_short_is_gone_on_with(
    tiny_collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed, networks = (
        follow(tiny_collection, 60),
        {"one": random_model(CONFIGS["tiny"]), "two": random_model(CONFIGS["tiny"], seed=8)},
    )
    heard: list[TurnModel] = []

    def hear(model: TurnModel, audio: NDArray[np.float32]) -> Iterator[Any]:
        heard.append(model)
        if len(heard) == 3:
            raise KeyboardInterrupt
        return run_dialogue(model, audio)

    whole = read_stages(networks, tiny_collection, followed, "latent")
    monkeypatch.setattr("turnstream.models.evaluation.torch_runner.run_dialogue", hear)
    with pytest.raises(KeyboardInterrupt):
        read_stages(networks, tiny_collection, followed, "latent", tmp_path / "parts")
    found = read_stages(networks, tiny_collection, followed, "latent", tmp_path / "parts")
    assert len(heard) == 1 + 2 * len(
        set(followed.number)
    )  # the first dialogue was heard once by each, the second begun twice
    for one, other in zip(found.states, whole.states, strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.wrong is not None
    np.testing.assert_array_equal(found.wrong, whole.wrong)
    assert not (tmp_path / "parts").exists()


def test_files_are_read_as_they_were_written(stages: Stages, tmp_path: Path) -> None:
    found = read_csv_stages(write_stages(stages, tmp_path))
    assert found.names == ("000_one", "001_two")
    assert found.ids == stages.ids
    for read, written in zip(found.states, stages.states, strict=True):
        np.testing.assert_allclose(read, written, rtol=1e-5)
    assert stages.wrong is not None
    assert found.wrong is not None
    np.testing.assert_array_equal(found.wrong, stages.wrong)
    assert found.labels["situation"].tolist() == stages.labels["situation"].tolist()
    np.testing.assert_allclose(found.labels["time in dialogue"], stages.labels["time in dialogue"])


def test_anyones_files_are_joined_by_id_and_without_one_by_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,d0,d1,word\nx,1,2,cat\ny,3,4,dog\nz,5,6,owl\n")
    (tmp_path / "b.csv").write_text("word,d0,d1,d2,id\nDOG,1,1,1,y\nCAT,2,2,2,x\n")
    found = read_csv_stages([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert found.ids == ("y", "x")
    assert found.states[0].tolist() == [[3, 4], [1, 2]]
    assert found.states[1].shape == (2, 3)
    assert found.labels["word"].tolist() == ["DOG", "CAT"]
    (tmp_path / "c.csv").write_text("e1,e2\n1,2\n3,4\n")
    assert read_csv_stages([tmp_path / "c.csv", tmp_path / "c.csv"]).ids == ("0", "1")


def test_of_many_rows_some_common_ones_are_drawn(tmp_path: Path) -> None:
    rows = [f"p{i},{i},{i + 0.5},{i % 2}" for i in range(50)]
    (tmp_path / "a.csv").write_text("\n".join(["id,d0,d1,wrong", *rows]))
    (tmp_path / "b.csv").write_text("\n".join(["id,d0,d1,wrong", *rows[:4:-1]]))
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    found = read_csv_stages(files, 10, seed=3)
    assert len(set(found.ids)) == 10
    assert all(int(name[1:]) >= 5 for name in found.ids)
    numbers = [int(name[1:]) for name in found.ids]
    assert [states[:, 0].tolist() for states in found.states] == [numbers, numbers]
    assert found.wrong is not None
    assert found.wrong.tolist() == [[number % 2 for number in numbers]] * 2
    assert (
        read_csv_stages(files, 10, seed=3).ids
        == found.ids
        != read_csv_stages(files, 10, seed=4).ids
    )
    assert len(read_csv_stages(files, 100).ids) == 45


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,name\n1,a\n", "expected one series of columns that are numbered from 0 or 1 on"),
        ("", "got nothing"),
        ("d0,d1\n1,x\n", "line 2: expected a number in d1, got 'x'"),
        ("d0,d1\n1,nan\n", "line 2: expected a number in d1, got 'nan'"),
        ("d0,d1\n1,2\n1\n", "line 3: expected 2 values, got 1"),
        ("id,d0,d1\na,1,2\na,1,2\n", "line 3: expected every id once, got 'a' again"),
        ("id,d0,d1\nq,1,2\n", "got no common id"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "good.csv").write_text("id,d0,d1\nx,1,2\n")
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_csv_stages([tmp_path / "good.csv", tmp_path / "bad.csv"])


def test_a_label_whose_name_ends_in_a_digit_is_no_value(tmp_path: Path) -> None:
    rows = "id,d0,d1,speaker1,speaker2,year2,score0\nx,1,2,3,4,5,6\ny,7,8,9,10,11,12\n"
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(rows)
    found = read_csv_stages([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert [states.tolist() for states in found.states] == [[[1, 2], [7, 8]]] * 2
    assert list(found.labels) == ["speaker1", "speaker2", "year2", "score0"]
    (tmp_path / "b.csv").write_text("id,a0,a1,b0,b1\nx,1,2,3,4\n")
    with pytest.raises(ConfigError, match=r"expected one series .* got a\.\.\., b\.\.\."):
        read_csv_stages([tmp_path / "a.csv", tmp_path / "b.csv"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.csv: expected a CSV file of representations"):
        read_csv_stages([tmp_path / "missing.csv", tmp_path / "missing.csv"])
