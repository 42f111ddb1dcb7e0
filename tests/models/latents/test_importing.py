"""Import: round trips, other people's files, what is filled in; the line and column of an error."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from turnstream.models.latents.collection import COLUMNS, LAYERS, Collection, frames_file
from turnstream.models.latents.exchange import export
from turnstream.models.latents.importing import add_arguments, import_table, main
from turnstream.stream.errors import ConfigError


def written(folder: Path, text: str) -> Path:
    path = folder / "states.csv"
    path.write_text(text, encoding="utf-8")
    return path


def lines(columns: str, rows: list[str]) -> str:
    return "\n".join([columns, *rows]) + "\n"


PLAIN = lines(
    "speaker,time_s,d0,d1",
    [
        f"{speaker},{time_s},{speaker + 0.5},{-time_s}"
        for time_s in (0.1, 0.2, 0.3)
        for speaker in (0, 1)
    ],
)


# ---- round trips ----


@pytest.mark.parametrize("layers", [LAYERS, ("latent",)])
def test_what_was_exported_is_imported_as_it_was(
    layers: tuple[str, ...], tiny_collection: Collection, tmp_path: Path
) -> None:
    export(tiny_collection, tmp_path / "states.csv", layers)
    again = import_table(tmp_path / "states.csv", tmp_path / "again")
    assert again.about.sizes == {layer: tiny_collection.about.sizes[layer] for layer in layers}
    assert again.frame_rate_hz == tiny_collection.frame_rate_hz
    for number in range(3):
        for name in (*COLUMNS, *layers):
            np.testing.assert_array_equal(
                again.frames(number, [name])[name], tiny_collection.frames(number, [name])[name]
            )
    known = [
        event.__dict__ | {"ending": ""} for event in tiny_collection.events()
    ]  # words are not in the file
    assert [event.__dict__ for event in again.events()] == known


def test_fewer_frames_come_back_at_their_rate_and_times(
    tiny_collection: Collection, tmp_path: Path
) -> None:
    export(tiny_collection, tmp_path / "states.csv", every=5)
    again = import_table(tmp_path / "states.csv", tmp_path / "again")
    assert again.frame_rate_hz == 10
    np.testing.assert_allclose(
        again.frames(0, ["time_s"])["time_s"],
        tiny_collection.frames(0, ["time_s"])["time_s"][4::5],
        atol=1e-9,
    )
    np.testing.assert_array_equal(
        again.frames(2, ["latent"])["latent"], tiny_collection.frames(2, ["latent"])["latent"][4::5]
    )


def test_labels_are_found_where_only_speaking_is_known(
    tiny_collection: Collection, tmp_path: Path
) -> None:
    frames = tiny_collection.frames(
        0, ["speaking", "situation", "floor", "holder", "other_speaking", "event"]
    )
    rows = [
        f"{frame},{speaker},{int(frames['speaking'][frame, speaker])},0.5"
        for frame in range(1000)
        for speaker in (0, 1)
    ]
    again = import_table(
        written(tmp_path, lines("frame,speaker,speaking,d0", rows)), tmp_path / "again", rate_hz=50
    )
    for name in ("situation", "floor", "holder", "other_speaking", "event"):
        np.testing.assert_array_equal(again.frames(0, [name])[name], frames[name])
    events = again.events("shift", "hold")
    expected = [event for event in tiny_collection.events("shift", "hold") if event.number == 0]
    assert [(event.kind, event.start_s) for event in events] == [
        (event.kind, event.start_s) for event in expected
    ]
    assert {event.p_shift for event in events} == {None}
    assert np.isnan(again.frames(0, ["correct"])["correct"]).all()


# ---- other people's files ----


def test_states_alone_are_a_collection_of_which_nothing_else_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert (
        main(
            parser.parse_args(
                [
                    str(written(tmp_path, PLAIN)),
                    "--out",
                    str(tmp_path / "again"),
                    "--name",
                    "theirs",
                ]
            )
        )
        == 0
    )
    assert "1 dialogues, 3 frames at 10 Hz, 2 values of latent, 0 events" in capsys.readouterr().out
    again = Collection(tmp_path / "again")
    assert (
        again.about.model,
        again.dialogues[0].id,
        again.dialogues[0].split,
        again.dialogues[0].activity_from,
    ) == ("theirs", "states", "unknown", "unknown")
    np.testing.assert_allclose(again.frames(0, ["latent"])["latent"][1], [[0.5, -0.2], [1.5, -0.2]])
    labels = again.frames(0, ["speaking", "holder", "situation", "floor", "event", "vad", "time_s"])
    assert not labels["speaking"].any()
    assert [set(labels[name].flat) for name in ("holder", "situation", "floor", "event")] == [
        {-1},
        {"other"},
        {"silence"},
        {""},
    ]
    assert np.isnan(labels["vad"]).all()
    np.testing.assert_allclose(labels["time_s"][:, 0], [0.1, 0.2, 0.3])


def test_rows_may_come_speaker_by_speaker_and_columns_in_any_order_with_others_between(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        f"{time_s},x,{speaker},{10 * speaker + time_s},{speaker}"
        for speaker in (1, 0)
        for time_s in (2.0, 1.5, 1.0)
    ]
    path = written(tmp_path, lines("time_s,note,latent_1,latent_0,speaker", rows))
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    main(parser.parse_args([str(path), "--out", str(tmp_path / "again")]))
    assert "labels of your own: 'note'" in capsys.readouterr().out
    again = Collection(tmp_path / "again")
    assert again.frame_rate_hz == 2
    np.testing.assert_allclose(
        again.frames(0, ["latent"])["latent"],
        [[[1, 0], [11, 1]], [[1.5, 0], [11.5, 1]], [[2, 0], [12, 1]]],
    )


def test_imports_of_one_name_are_of_one_network(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN)
    hashes = [
        import_table(path, tmp_path / out, None, name).about.weights_sha256
        for out, name in (("a", "x"), ("b", "x"), ("c", "y"))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_file_that_has_changed_is_imported_again(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN)
    import_table(path, tmp_path / "again")
    path.write_text(PLAIN.replace("1.5", "7.5"))
    later = frames_file(tmp_path / "again", 0).stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))
    assert import_table(path, tmp_path / "again").frames(0, ["latent"])["latent"][0, 1, 0] == 7.5


def test_a_file_larger_than_a_block_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turnstream.models.latents.tables.BLOCK_BYTES", 2000)
    rows = [
        f"{name},{frame},{speaker},{frame + speaker / 2}"
        for name in ("a", "b", "c")
        for frame in range(200)
        for speaker in (0, 1)
    ]
    again = import_table(
        written(tmp_path, lines("dialogue,frame,speaker,d0", rows)), tmp_path / "again", rate_hz=25
    )
    assert [dialogue.id for dialogue in again.dialogues] == ["a", "b", "c"]
    for number in range(3):
        np.testing.assert_array_equal(
            again.frames(number, ["latent"])["latent"][:, :, 0], np.arange(200)[:, None] + [0, 0.5]
        )


# ---- what is wrong ----

GOOD = ["0,0,false,1.0", "0,1,false,2.0", "1,0,false,3.0", "1,1,false,4.0"]


@pytest.mark.parametrize(
    ("row", "cells", "message"),
    [
        (2, "1,0,false,abc", r"line 4, column 'd0': expected a finite number, got 'abc'"),
        (2, "1,0,false,", r"line 4, column 'd0': expected a finite number, got ''"),
        (3, "1,1,false,inf", r"line 5, column 'd0': expected a finite number, got 'inf'"),
        (
            1,
            "0,1,maybe,2.0",
            r"line 3, column 'speaking': expected true or false, or nothing, got 'maybe'",
        ),
        (1, "0,2,false,2.0", r"line 3, column 'speaker': expected 0 or 1, got '2'"),
        (0, "0.5,0,false,1.0", r"line 2, column 'frame': expected a whole number, got '0\.5'"),
        (0, "0,0,1.0", r"line 2: expected 4 cells, as the header has, got 3"),
        (
            3,
            "2,1,false,4.0",
            r"line 4: expected a row for speaker 0 and one for speaker 1 in every frame, "
            r"got speaker 0 alone",
        ),
        (3, "1,0,false,4.0", r"line 5: expected one row for a frame and speaker, got a second one"),
    ],
)
def test_a_wrong_cell_is_named_by_line_and_column(
    row: int, cells: str, message: str, tmp_path: Path
) -> None:
    rows = [*GOOD[:row], cells, *GOOD[row + 1 :]]
    with pytest.raises(ConfigError, match=message):
        import_table(
            written(tmp_path, lines("frame,speaker,speaking,d0", rows)),
            tmp_path / "again",
            rate_hz=50,
        )


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("frame,speaker,x", r"line 1: expected either d0, d1, \.\.\. or latent_0"),
        ("frame,speaker,d0,latent_0", "line 1: expected either d0"),
        (
            "frame,speaker,d0,d2",
            "line 1: expected values from 0 without a gap, got 2 of d without number 1",
        ),
        ("frame,d0", r"line 1: expected a column `speaker` \(0 and 1 in every frame\)"),
        ("speaker,d0", "line 1: expected a column `frame` or `time_s`"),
        ("frame,speaker,d0,d0", "line 1: expected columns of different names, got 'd0' twice"),
        ("", "line 1: expected either d0"),
    ],
)
def test_a_wrong_header_is_refused(header: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        import_table(written(tmp_path, lines(header, [])), tmp_path / "again", rate_hz=50)


def test_one_speaker_alone_makes_no_collection(tmp_path: Path) -> None:
    rows = [f"{frame},0,1.0" for frame in range(3)]
    with pytest.raises(
        ConfigError,
        match=r"one for speaker 1 in every frame, got speaker 0 alone, as in all of dialogue "
        r"'states'",
    ):
        import_table(
            written(tmp_path, lines("frame,speaker,d0", rows)), tmp_path / "again", rate_hz=50
        )


def test_a_gap_in_time_is_named(tmp_path: Path) -> None:
    rows = [f"{frame},{speaker},1.0" for frame in (0, 1, 2, 5, 6) for speaker in (0, 1)]
    with pytest.raises(
        ConfigError, match="line 8: expected frames at equal steps, got a gap before this one"
    ):
        import_table(
            written(tmp_path, lines("frame,speaker,d0", rows)), tmp_path / "again", rate_hz=50
        )


def test_a_dialogue_that_comes_back_is_refused(tmp_path: Path) -> None:
    rows = [f"{name},0,{speaker},1.0" for name in ("a", "b", "a") for speaker in (0, 1)]
    with pytest.raises(
        ConfigError,
        match="line 6: expected the rows of dialogue 'a' to stand together, got more after "
        "another dialogue's",
    ):
        import_table(
            written(tmp_path, lines("dialogue,frame,speaker,d0", rows)),
            tmp_path / "again",
            rate_hz=50,
        )


def test_labels_that_no_view_knows_are_refused(tmp_path: Path) -> None:
    rows = [f"0,{speaker},thinking,1.0" for speaker in (0, 1)]
    with pytest.raises(
        ConfigError,
        match=r"line 2, column 'situation': expected one of 'other', .*, got 'thinking'",
    ):
        import_table(
            written(tmp_path, lines("frame,speaker,situation,d0", rows)),
            tmp_path / "again",
            rate_hz=50,
        )


@pytest.mark.parametrize(
    ("rate_hz", "message"),
    [(20.0, "expected the rate of its times, 10 Hz, got 20 Hz"), (-1.0, "got -1 Hz")],
)
def test_a_rate_that_the_times_deny_is_refused(
    rate_hz: float, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        import_table(written(tmp_path, PLAIN), tmp_path / "again", rate_hz=rate_hz)


def test_without_times_the_rate_must_be_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a rate \(--rate HZ\)"):
        import_table(
            written(tmp_path, lines("frame,speaker,d0", ["0,0,1", "0,1,1"])), tmp_path / "again"
        )


@pytest.mark.parametrize("content", [b"frame,speaker,d0\n\xff\xfe,0,1\n", b"PK\x03\x04\x00\x00"])
def test_what_is_no_csv_file_is_one_clear_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "states.csv").write_bytes(content)
    with pytest.raises(ConfigError, match=r"states\.csv"):
        import_table(tmp_path / "states.csv", tmp_path / "again", rate_hz=50)


def test_a_file_that_is_not_there_and_one_without_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        import_table(tmp_path / "none.csv", tmp_path / "again")
    with pytest.raises(ConfigError, match="expected rows below the header, got none"):
        import_table(written(tmp_path, "frame,speaker,d0\n"), tmp_path / "again", rate_hz=50)


# ---- Parquet and .npz ----


def as_table(path: Path, columns: dict[str, np.ndarray]) -> Path:
    """Write columns to a Parquet file or an .npz archive; those of vectors as they are."""
    if path.suffix == ".npz":
        np.savez(path, **columns)
    else:
        lists = {name: values.tolist() for name, values in columns.items()}
        pq.write_table(pa.table(lists), path)
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
        np.testing.assert_allclose(
            *(
                values if values.dtype.kind == "f" else values == values[100]
                for values in (found.frames(1, [name])[name] for found in (again, tiny_collection))
            ),
            err_msg=name,
        )
    assert [event.p_shift for event in again.events()] == pytest.approx(
        [event.p_shift for event in tiny_collection.events()]
    )


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
    with pytest.raises(ConfigError, match=r"expected a table .* got: arrays of 3 and 4 rows"):
        import_table(path, tmp_path / "out")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a table \(.csv, .parquet, .npz\), got .*xlsx"):
        import_table(tmp_path / "states.xlsx", tmp_path / "out")
