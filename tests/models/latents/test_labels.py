"""Labels of one's own: joined by time and speaker, kept by import and export, what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.exchange import export
from turnstream.models.latents.importing import import_table
from turnstream.models.latents.labels import join_labels
from turnstream.stream.errors import ConfigError


@pytest.fixture
def collection(tiny_collection: Collection, tmp_path: Path) -> Collection:
    return Collection(Path(shutil.copytree(tiny_collection.folder, tmp_path / "collection")))


def written(folder: Path, header: str, *rows: str) -> Path:
    path = folder / "labels.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_stretches_and_their_speakers_are_labelled_and_all_else_is_unknown(
    collection: Collection, tmp_path: Path
) -> None:
    rows = ("0,1.0,2.0,0,ask,110", "0,1.5,1.6,0,,120.5", "1,0.0,0.1,,tell,")
    path = written(tmp_path, "dialogue,begin_s,end_s,speaker,act,pitch", *rows)
    shares = join_labels(collection, path)
    assert collection.labels == ("act", "pitch")
    found = collection.frames(0, ["act", "pitch", "speaking"])
    assert (found["act"][50:100, 0] == "ask").all()
    assert (found["act"] == "ask").sum() == 50
    assert set(found["act"][:, 1]) == {""}
    assert set(found["pitch"][75:80, 0]) == {120.5}
    assert (found["pitch"] == 110).sum() == 45
    assert np.isnan(found["pitch"][:, 1]).all()
    assert found["speaking"].dtype == bool
    both = collection.frames(1, ["act"])["act"]
    assert (both[:5] == "tell").all()
    assert (both == "tell").sum() == 10
    assert shares["act"] == pytest.approx((50 + 10) / (3 * 2000))


def test_a_time_labels_the_frame_in_which_it_lies(collection: Collection, tmp_path: Path) -> None:
    rows = [f"0,{time_s},1,x" for time_s in (0.0, 0.0399, 0.04)]
    join_labels(collection, written(tmp_path, "dialogue,time_s,speaker,mark", *rows))
    assert np.flatnonzero(collection.frames(0, ["mark"])["mark"][:, 1] == "x").tolist() == [0, 1, 2]


def test_labels_are_added_and_those_of_the_same_name_replaced(
    collection: Collection, tmp_path: Path
) -> None:
    join_labels(collection, written(tmp_path, "dialogue,begin_s,end_s,a,b", "0,0,1,x,1"))
    join_labels(collection, written(tmp_path, "dialogue,begin_s,end_s,b,c", "0,2,3,2,3"))
    assert collection.labels == ("a", "b", "c")
    found = collection.frames(0, ["a", "b"])
    assert (found["a"] == "x").sum() == 100
    assert np.nansum(found["b"]) == 200


def test_a_sample_and_windows_take_labels_as_they_take_columns(
    collection: Collection, tmp_path: Path
) -> None:
    join_labels(collection, written(tmp_path, "dialogue,begin_s,end_s,x", "0,0,20,7"))
    sample = collection.sample(200, ["x"])
    assert set(sample["x"][sample["number"] == 0]) == {7}
    assert np.isnan(sample["x"][sample["number"] == 1]).all()
    windows, _ = collection.windows(collection.events("shift"), "x", 0.2, 0.2)
    assert windows.shape[1:] == (20, 2)
    assert np.nanmax(windows) == 7


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_export_and_import_keep_labels(suffix: str, collection: Collection, tmp_path: Path) -> None:
    join_labels(collection, written(tmp_path, "dialogue,begin_s,end_s,act,x", "0,1,2,ask,0.5"))
    export(collection, tmp_path / f"states{suffix}")
    again = import_table(tmp_path / f"states{suffix}", tmp_path / "again")
    assert again.labels == ("act", "x")
    for number in range(3):
        for label in ("act", "x"):
            np.testing.assert_array_equal(
                again.frames(number, [label])[label], collection.frames(number, [label])[label]
            )


def test_an_import_keeps_every_column(tmp_path: Path) -> None:
    rows = [f"{t},{t},{s},0.1,{'sad' if t else ''},{t}.5" for t in range(3) for s in (0, 1)]
    path = written(tmp_path, ",frame,speaker,d0,mood,load", *rows)
    collection = import_table(path, tmp_path / "again", rate_hz=10)
    assert collection.labels == ("mood", "load")
    labels = collection.frames(0, collection.labels)
    assert labels["mood"].tolist() == [["", ""], ["sad", "sad"], ["sad", "sad"]]
    assert labels["load"].tolist() == [[0.5, 0.5], [1.5, 1.5], [2.5, 2.5]]


@pytest.mark.parametrize(
    ("header", "row", "complaint"),
    [
        ("dialogue,x", "0,1", "expected either time_s or begin_s and end_s"),
        ("time_s,speaker", "1,0", "expected at least one column of labels, got none"),
        ("time_s,vad", "1,0", "that no column of a collection has, got 'vad'"),
        ("time_s,x", "", "expected rows below the header, got none"),
        ("time_s,x,x", "1,2,3", "got 'x' twice"),
        ("time_s,x", "1", "Row #2: Expected 2 columns, got 1"),
        ("time_s,x", "1,2", "expected a column `dialogue`, since there are 3, got none"),
        (
            "dialogue,time_s,x",
            "nobody,1,2",
            "column 'dialogue': expected one of '0', '1', '2', got",
        ),
        ("dialogue,time_s,x", ",1,2", "line 2, column 'dialogue': expected one of '0', '1', '2'"),
        ("dialogue,time_s,x", "0,soon,2", "column 'time_s': expected seconds, got 'soon'"),
        ("dialogue,time_s,speaker,x", "0,1,2,2", "expected 0, 1 or nothing, got '2'"),
        ("dialogue,begin_s,end_s,x", "0,2,1,2", "expected an end after the beginning, got '1'"),
        ("dialogue,time_s,x", "0,20,2", "line 2, column 'time_s': expected a time in the 20 s of"),
        ("dialogue,time_s,x", "0,-1,2", "expected a time in the 20 s of dialogue '0', got '-1'"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    header: str, row: str, complaint: str, collection: Collection, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        join_labels(collection, written(tmp_path, header, row))
    assert complaint in str(error.value)
    assert collection.labels == ()


def test_the_command_says_how_much_is_labelled(
    collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "dialogue,begin_s,end_s,act", "0,0,20,ask")
    assert main(["latents", "label", str(collection.folder), str(path)]) == 0
    assert "act: known in 33.3% of the frames" in capsys.readouterr().out


def test_a_column_that_is_not_there_is_named_with_those_that_are(collection: Collection) -> None:
    with pytest.raises(ConfigError, match=r"one of its labels \(none\), got 'mood'"):
        collection.frames(0, ["mood"])
