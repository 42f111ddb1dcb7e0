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
from turnstream.models.latents.labels import join_labels, read_labels
from turnstream.stream.errors import ConfigError


@pytest.fixture
def collection(tiny_collection: Collection, tmp_path: Path) -> Collection:
    return Collection(Path(shutil.copytree(tiny_collection.folder, tmp_path / "collection")))


def written(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_stretches_and_their_speakers_are_labelled_and_all_else_is_unknown(
    collection: Collection, tmp_path: Path
) -> None:
    first, second, _ = (dialogue.id for dialogue in collection.dialogues)
    path = written(
        tmp_path,
        "dialogue,begin_s,end_s,speaker,act,pitch\n"
        f"{first},1.0,2.0,0,ask,110\n"
        f"{first},1.5,1.6,0,,120.5\n"
        f"{second},0.0,0.1,,tell,\n",
    )
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
    name = collection.dialogues[0].id
    rows = "".join(f"{name},{time_s},1,x\n" for time_s in (0.0, 0.0399, 0.04))
    join_labels(collection, written(tmp_path, "dialogue,time_s,speaker,mark\n" + rows))
    assert np.flatnonzero(collection.frames(0, ["mark"])["mark"][:, 1] == "x").tolist() == [0, 1, 2]


def test_labels_are_added_and_those_of_the_same_name_replaced(
    collection: Collection, tmp_path: Path
) -> None:
    name = collection.dialogues[0].id
    head = "dialogue,begin_s,end_s,"
    join_labels(collection, written(tmp_path, f"{head}a,b\n{name},0,1,x,1\n"))
    join_labels(collection, written(tmp_path, f"{head}b,c\n{name},2,3,2,3\n"))
    assert collection.labels == ("a", "b", "c")
    found = collection.frames(0, ["a", "b"])
    assert (found["a"] == "x").sum() == 100
    assert np.nansum(found["b"]) == 200


def test_a_sample_and_windows_take_labels_as_they_take_columns(
    collection: Collection, tmp_path: Path
) -> None:
    name = collection.dialogues[0].id
    join_labels(collection, written(tmp_path, f"dialogue,begin_s,end_s,x\n{name},0,20,7\n"))
    sample = collection.sample(200, ["x"])
    assert set(sample["x"][sample["number"] == 0]) == {7}
    assert np.isnan(sample["x"][sample["number"] == 1]).all()
    windows, _ = collection.windows(collection.events("shift"), "x", 0.2, 0.2)
    assert windows.shape[1:] == (20, 2)
    assert np.nanmax(windows) == 7


def test_export_and_import_keep_labels(collection: Collection, tmp_path: Path) -> None:
    name = collection.dialogues[0].id
    path = written(tmp_path, f"dialogue,begin_s,end_s,act,x\n{name},1,2,ask,0.5\n")
    join_labels(collection, path)
    export(collection, tmp_path / "states.csv")
    again = import_table(tmp_path / "states.csv", tmp_path / "again")
    assert again.labels == ("act", "x")
    for number in range(3):
        for label in ("act", "x"):
            np.testing.assert_array_equal(
                again.frames(number, [label])[label], collection.frames(number, [label])[label]
            )
    export(collection, tmp_path / "states.npz", every=5)
    with np.load(tmp_path / "states.npz") as stored:
        assert set(stored["act"]) == {"", "ask"}
        assert np.nansum(stored["x"]) == 0.5 * 20
        assert len(stored["x"]) == len(stored["frame"])


def test_an_import_keeps_every_column(tmp_path: Path) -> None:
    rows = "".join(
        f"{frame},{frame},{speaker},0.1,{'sad' if frame else ''},{frame}.5\n"
        for frame in range(3)
        for speaker in (0, 1)
    )
    path = written(tmp_path, ",frame,speaker,d0,mood,load\n" + rows)
    collection = import_table(path, tmp_path / "again", rate_hz=10)
    assert collection.labels == ("mood", "load")
    labels = read_labels(collection.folder, 0)
    assert labels["mood"].tolist() == [["", ""], ["sad", "sad"], ["sad", "sad"]]
    assert labels["load"].tolist() == [[0.5, 0.5], [1.5, 1.5], [2.5, 2.5]]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("dialogue,x\n0,1\n", "expected either time_s or begin_s and end_s"),
        ("time_s,speaker\n1,0\n", "expected at least one column of labels, got none"),
        ("time_s,vad\n1,0\n", "that no column of a collection has, got 'vad'"),
        ("time_s,x\n", "expected rows below the header, got none"),
        ("time_s,x,x\n1,2,3\n", "got 'x' twice"),
        ("time_s,x\n1\n", "line 2: expected 2 cells, as the header has, got 1"),
        ("time_s,x\n1,2\n", "line 2: expected the dialogue, since there are 3, got none"),
        ("dialogue,time_s,x\nnobody,1,2\n", "got dialogue 'nobody'"),
        ("dialogue,time_s,x\n{id},soon,2\n", "column 'time_s': expected seconds, got 'soon'"),
        ("dialogue,time_s,speaker,x\n{id},1,2,2\n", "expected 0, 1 or nothing, got '2'"),
        ("dialogue,begin_s,end_s,x\n{id},2,1,2\n", "expected an end after the beginning"),
        ("dialogue,time_s,x\n{id},20,2\n", "expected a time in the 20 s of dialogue"),
        ("dialogue,time_s,x\n{id},-1,2\n", "expected a time in the 20 s of dialogue"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    text: str, complaint: str, collection: Collection, tmp_path: Path
) -> None:
    path = written(tmp_path, text.format(id=collection.dialogues[0].id))
    with pytest.raises(ConfigError) as error:
        join_labels(collection, path)
    assert complaint in str(error.value)
    assert collection.labels == ()


def test_the_command_says_how_much_is_labelled(
    collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = collection.dialogues[0].id
    path = written(tmp_path, f"dialogue,begin_s,end_s,act\n{name},0,20,ask\n")
    assert main(["latents", "label", str(collection.folder), str(path)]) == 0
    assert "act: known in 33.3% of the frames" in capsys.readouterr().out


def test_a_column_that_is_not_there_is_named_with_those_that_are(collection: Collection) -> None:
    with pytest.raises(ConfigError, match=r"one of its labels \(none\), got 'mood'"):
        collection.frames(0, ["mood"])
