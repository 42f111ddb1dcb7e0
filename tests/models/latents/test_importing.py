"""Import: round trips, other people's files, what is filled in; the line and column of an error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from turnstream.cli import main
from turnstream.models.latents.collection import COLUMNS, FRAMES, LAYERS, Collection, file_of
from turnstream.models.latents.exchange import export
from turnstream.models.latents.importing import import_table
from turnstream.stream.errors import ConfigError


def written(folder: Path, columns: str, rows: list[str]) -> Path:
    path = folder / "states.csv"
    path.write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return path


def plain(folder: Path, last: float = 1.5) -> Path:
    """Three frames of 0.1 s."""
    rows = [f"{s},{t},{s + 0.5},{-t}" for t in (0.1, 0.2) for s in (0, 1)]
    return written(folder, "speaker,time_s,d0,d1", [*rows, "0,0.3,0.5,-0.3", f"1,0.3,{last},-0.3"])


def test_what_was_exported_is_imported_as_it_was(
    tiny_collection: Collection, tmp_path: Path
) -> None:
    export(tiny_collection, tmp_path / "states.csv", LAYERS)
    again = import_table(tmp_path / "states.csv", tmp_path / "again")
    assert again.about.sizes == tiny_collection.about.sizes
    assert again.frame_rate_hz == tiny_collection.frame_rate_hz
    for number in range(3):
        for name in (*COLUMNS, *LAYERS):
            np.testing.assert_array_equal(
                again.frames(number, [name])[name], tiny_collection.frames(number, [name])[name]
            )
    known = [vars(event) | {"ending": ""} for event in tiny_collection.events()]  # has no words
    assert [vars(event) for event in again.events()] == known


def test_fewer_frames_come_back_at_their_rate_and_times(
    tiny_collection: Collection, tmp_path: Path
) -> None:
    export(tiny_collection, tmp_path / "states.csv", every=5)
    again = import_table(tmp_path / "states.csv", tmp_path / "again")
    assert again.frame_rate_hz == 10
    found, known = (c.frames(2, ["time_s", "latent"]) for c in (again, tiny_collection))
    np.testing.assert_allclose(found["time_s"], known["time_s"][4::5], atol=1e-9)
    np.testing.assert_array_equal(found["latent"], known["latent"][4::5])


def test_labels_are_found_where_only_speaking_is_known(
    tiny_collection: Collection, tmp_path: Path
) -> None:
    frames = tiny_collection.frames(
        0, ["speaking", "situation", "floor", "holder", "other_speaking", "event"]
    )
    spoken = frames["speaking"].astype(int)
    rows = [f"{frame},{s},{spoken[frame, s]},0.5" for frame in range(1000) for s in (0, 1)]
    path = written(tmp_path, "frame,speaker,speaking,d0", rows)
    again = import_table(path, tmp_path / "again", rate_hz=50)
    for name in frames:
        np.testing.assert_array_equal(again.frames(0, [name])[name], frames[name])
    expected = [e for e in tiny_collection.events("shift", "hold") if e.number == 0]
    found = again.events("shift", "hold")
    assert [(e.kind, e.start_s) for e in found] == [(e.kind, e.start_s) for e in expected]
    assert {event.p_shift for event in found} == {None}
    assert np.isnan(again.frames(0, ["correct"])["correct"]).all()


def test_states_alone_are_a_collection_of_which_nothing_else_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "again")
    assert main(["latents", "import", str(plain(tmp_path)), "--out", out, "--name", "theirs"]) == 0
    assert "1 dialogues, 3 frames at 10 Hz, 2 values of latent, 0 events" in capsys.readouterr().out
    again = Collection(tmp_path / "again")
    (dialogue,) = again.dialogues
    about = (again.about.model, dialogue.id, dialogue.split, dialogue.activity_from)
    assert about == ("theirs", "states", "unknown", "unknown")
    labels = again.frames(0, [*COLUMNS, "latent"])
    np.testing.assert_allclose(labels["latent"][1], [[0.5, -0.2], [1.5, -0.2]])
    expected = {"speaking": False, "holder": -1, "situation": "other", "floor": "silence"}
    for name, value in (expected | {"event": ""}).items():
        assert set(labels[name].flat) == {value}
    assert np.isnan(labels["vad"]).all()
    np.testing.assert_allclose(labels["time_s"][:, 0], [0.1, 0.2, 0.3])


def test_rows_may_come_speaker_by_speaker_and_columns_in_any_order_with_others_between(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{t},x,{s},{10 * s + t},{s}" for s in (1, 0) for t in (2.0, 1.5, 1.0)]
    path = written(tmp_path, "time_s,note,latent_1,latent_0,speaker", rows)
    assert main(["latents", "import", str(path), "--out", str(tmp_path / "again")]) == 0
    assert "labels of your own: 'note'" in capsys.readouterr().out
    again = Collection(tmp_path / "again")
    assert again.frame_rate_hz == 2
    np.testing.assert_allclose(
        again.frames(0, ["latent"])["latent"],
        [[[1, 0], [11, 1]], [[1.5, 0], [11.5, 1]], [[2, 0], [12, 1]]],
    )


def test_imports_of_one_name_are_of_one_network(tmp_path: Path) -> None:
    path = plain(tmp_path)
    hashes = [
        import_table(path, tmp_path / out, None, name).about.weights_sha256
        for out, name in (("a", "x"), ("b", "x"), ("c", "y"))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_file_that_has_changed_is_imported_again(tmp_path: Path) -> None:
    import_table(plain(tmp_path), tmp_path / "again")
    path = plain(tmp_path, last=7.5)
    later = file_of(tmp_path / "again", FRAMES, 0).stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))
    assert import_table(path, tmp_path / "again").frames(0, ["latent"])["latent"][2, 1, 0] == 7.5


def test_a_file_larger_than_a_block_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turnstream.models.latents.tables.BLOCK_BYTES", 2000)
    rows = [f"{n},{t},{s},{t + s / 2}" for n in "abc" for t in range(200) for s in (0, 1)]
    path = written(tmp_path, "dialogue,frame,speaker,d0", rows)
    again = import_table(path, tmp_path / "again", rate_hz=25)
    assert [dialogue.id for dialogue in again.dialogues] == ["a", "b", "c"]
    for number in range(3):
        found = again.frames(number, ["latent"])["latent"][:, :, 0]
        np.testing.assert_array_equal(found, np.arange(200)[:, None] + [0, 0.5])


GOOD = ["0,0,false,1.0", "0,1,false,2.0", "1,0,false,3.0", "1,1,false,4.0"]
PAIR = "expected one row for speaker 0 and one for speaker 1 in every frame, and frames at equal s"


@pytest.mark.parametrize(
    ("row", "cells", "message"),
    [
        (2, "1,0,false,abc", r"line 4, column 'd0': expected a finite number, got 'abc'"),
        (2, "1,0,false,", r"line 4, column 'd0': expected a finite number, got ''"),
        (3, "1,1,false,inf", r"line 5, column 'd0': expected a finite number, got 'inf'"),
        (1, "0,1,maybe,2.0", r"line 3, column 'speaking': expected true or false, or .*'maybe'"),
        (1, "0,2,false,2.0", r"line 3, column 'speaker': expected one of 0, 1, got '2'"),
        (0, "0.5,0,false,1.0", r"line 2, column 'frame': expected a whole number, got '0\.5'"),
        (0, "0,0,1.0", r"Row #2: Expected 4 columns, got 3"),
        (3, "2,1,false,4.0", "line 5: " + PAIR + "teps, got speaker 1 in frame 2 alone"),
        (3, "1,0,false,4.0", "line 5: " + PAIR + "teps, got speaker 0 in frame 1 alone, twice"),
    ],
)
def test_a_wrong_cell_is_named_by_line_and_column(
    row: int, cells: str, message: str, tmp_path: Path
) -> None:
    rows = [*GOOD[:row], cells, *GOOD[row + 1 :]]
    with pytest.raises(ConfigError, match=message):
        import_table(written(tmp_path, "frame,speaker,speaking,d0", rows), tmp_path / "again", 50)


def for_both(*cells: str) -> list[str]:
    """Rows for both speakers; {} is the speaker."""
    return [row.format(speaker) for row in cells for speaker in (0, 1)]


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("frame,speaker,x", [], r"expected either d0, d1, \.\.\. or latent_0"),
        ("frame,speaker,d0,latent_0", [], "expected either d0"),
        ("frame,speaker,d0,d2", [], "from 0 without a gap, got 2 of d without number 1"),
        ("frame,d0", [], r"expected a column `speaker` \(0 and 1 in every frame\)"),
        ("speaker,d0", [], "expected a column `frame` or `time_s`"),
        ("frame,speaker,d0,d0", [], "expected columns of different names, got 'd0' twice"),
        ("", [], "expected a table"),
        ("frame,speaker,d0", [], "expected rows below the header, got none"),
        (
            "frame,speaker,d0",
            ["0,0,1", "1,0,1"],
            "line 3: expected .* got speaker 0 in frame 1 alone",
        ),
        (
            "frame,speaker,d0",
            for_both(*(f"{frame},{{}},1" for frame in (0, 1, 2, 5, 6))),
            "line 8: expected .* got speaker 0 in frame 5 alone, twice or after a gap",
        ),
        (
            "dialogue,frame,speaker,d0",
            for_both("a,0,{},1", "b,0,{},1", "a,0,{},1"),
            "line 6: expected the rows of dialogue 'a' to stand together, got more after",
        ),
        (
            "frame,speaker,situation,d0",
            for_both("0,{},thinking,1"),
            r"line 2, column 'situation': expected one of 'other', .*, got 'thinking'",
        ),
    ],
)
def test_what_makes_no_collection_is_refused(
    header: str, rows: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        import_table(written(tmp_path, header, rows), tmp_path / "again", rate_hz=50)


@pytest.mark.parametrize(
    ("rate_hz", "message"),
    [(20.0, "expected the rate of its times, 10 Hz, got 20 Hz"), (-1.0, "got -1 Hz")],
)
def test_a_rate_that_the_times_deny_is_refused(
    rate_hz: float, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        import_table(plain(tmp_path), tmp_path / "again", rate_hz=rate_hz)


def test_without_times_the_rate_must_be_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a rate \(--rate HZ\)"):
        import_table(written(tmp_path, "frame,speaker,d0", for_both("0,{},1")), tmp_path / "again")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("states.csv", b"frame,speaker,d0\n\xff\xfe,0,1\n", r"states\.csv: expected a table"),
        ("states.csv", b"PK\x03\x04\x00\x00", r"states\.csv: expected"),
        ("states.npz", b"PK\x03\x04\x00\x00", r"states\.npz: expected a table"),
        ("states.csv", None, "No such file"),
        ("states.xlsx", b"", r"expected a table \(.csv, .parquet, .npz\), got .*xlsx"),
    ],
)
def test_what_is_no_table_is_one_clear_error(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        import_table(tmp_path / name, tmp_path / "again", rate_hz=50)


def as_table(path: Path, columns: dict[str, Any]) -> Path:
    """Write columns to a Parquet file or an .npz archive; those of vectors as they are."""
    if path.suffix == ".npz":
        np.savez(path, **columns)
    else:
        pq.write_table(pa.table({name: values.tolist() for name, values in columns.items()}), path)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_other_tables_are_imported_as_the_csv_file_is(
    suffix: str, tiny_collection: Collection, tmp_path: Path
) -> None:
    export(tiny_collection, tmp_path / "states.csv", LAYERS)
    read = pd.read_csv(tmp_path / "states.csv", keep_default_na=False, na_values=[""])
    columns = {name: read[name].fillna("").to_numpy(str) for name in ("dialogue", "split", "event")}
    columns |= {name: read[name].to_numpy() for name in ("speaker", "time_s", "speaking", "p_next")}
    for layer, size in tiny_collection.about.sizes.items():
        names = [f"{layer}_{unit}" for unit in range(size)]
        columns[layer] = read[names].to_numpy(np.float32)
    path = as_table(tmp_path / f"other{suffix}", columns | {"mood": read["time_s"].to_numpy() > 3})
    again = import_table(path, tmp_path / "again")
    assert again.about.sizes == tiny_collection.about.sizes
    assert again.labels == ("mood",)
    for name in ("speaking", "event", "situation", "p_next", *LAYERS):
        found, known = (c.frames(1, [name])[name] for c in (again, tiny_collection))
        if found.dtype.kind == "f":
            np.testing.assert_allclose(found, known, err_msg=name)
        else:
            np.testing.assert_array_equal(found, known, err_msg=name)
    assert set(again.frames(1, ["mood"])["mood"].flat) == {"true", "false"}
    said = [event.p_shift for event in tiny_collection.events()]
    assert [event.p_shift for event in again.events()] == pytest.approx(said)


def test_a_wrong_cell_of_an_archive_is_named_by_its_row(tmp_path: Path) -> None:
    columns = {"speaker": np.array([0, 1, 0, 1]), "time_s": np.array([0.1, 0.1, 0.2, 0.2])}
    states = np.zeros((4, 3), np.float32)
    states[2, 1] = np.nan
    path = as_table(tmp_path / "states.npz", columns | {"latent": states})
    with pytest.raises(
        ConfigError, match=r"states.npz, row 3, column 'latent_1': expected a finite number, got ''"
    ):
        import_table(path, tmp_path / "out")
    as_table(path, columns | {"latent": states[:3]})
    with pytest.raises(ConfigError, match=r"expected a table .* got: .* expected length 4 but got"):
        import_table(path, tmp_path / "out")
