"""Collections read back as they were written, by us and by others; samples and windows of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from turnstream.models.latents.collection import COLUMNS, EVENT_COLUMNS, LAYERS, Collection
from turnstream.stream.errors import ConfigError


def test_files_are_plain_parquet_that_others_read(tiny_collection: Collection) -> None:
    table = pq.read_table(tiny_collection.folder / "frames" / "00000.parquet")
    assert table.column_names == [*COLUMNS, *LAYERS]
    assert table.num_rows == 2 * 1000
    latents = np.array(table.column("latent").to_pylist(), np.float32).reshape(1000, 2, -1)
    assert np.array_equal(latents, tiny_collection.frames(0, ["latent"])["latent"])
    assert table.column("correct").null_count > 1000
    assert pq.read_table(tiny_collection.folder / "events" / "00000.parquet").column_names == [
        *EVENT_COLUMNS
    ]


def test_events_come_by_kind_in_order_of_dialogue_and_time(tiny_collection: Collection) -> None:
    everything = tiny_collection.events()
    assert {event.kind for event in everything} == {
        "shift",
        "hold",
        "gap",
        "pause",
        "overlap",
        "backchannel",
    }
    assert [(e.number, e.start_s) for e in everything] == sorted(
        (e.number, e.start_s) for e in everything
    )
    backchannels = tiny_collection.events("backchannel")
    assert [(e.number, e.speaker, e.start_s, e.p_shift) for e in backchannels] == [
        (0, 1, 14.0, None),
        (1, 0, 14.0, None),
        (2, 1, 14.0, None),
    ]


def test_windows_put_the_speaker_before_the_event_first_and_end_with_the_dialogue(
    tiny_collection: Collection,
) -> None:
    events = tiny_collection.events("shift")
    found, times_s = tiny_collection.windows(events, "latent", 0.1, 6.0)
    assert found.shape == (len(events), 305, 2, 10)
    np.testing.assert_allclose(times_s[[0, 4, 5, -1]], [-0.08, 0.0, 0.02, 6.0])
    for event, window in zip(events, found, strict=True):
        latent = tiny_collection.frames(event.number, ["latent"])["latent"]
        first = round(event.start_s * 50) - 5
        expected = latent[first : first + 305, [event.speaker, 1 - event.speaker]]
        np.testing.assert_array_equal(window[: len(expected)], expected)
        assert np.isnan(window[len(expected) :]).all()
    assert np.isnan(found[-1, -1]).all()  # 6 s after the last shift there is nothing


def test_windows_of_a_number_have_no_width(tiny_collection: Collection) -> None:
    found, _ = tiny_collection.windows(tiny_collection.events("hold"), "p_next", 0.2, 0.2)
    assert found.shape == (6, 20, 2)


def test_a_sample_holds_rare_situations_and_is_the_same_for_a_seed(
    tiny_collection: Collection,
) -> None:
    sample = tiny_collection.sample(600, ["situation", "latent", "frame"], seed=3)
    again = tiny_collection.sample(600, ["situation", "latent"], seed=3)
    assert np.array_equal(sample["latent"], again["latent"])
    assert 450 < len(sample["frame"]) <= 600
    names, counts = np.unique(sample["situation"], return_counts=True)
    assert set(names) == {
        "other",
        "speaking",
        "listening",
        "pausing",
        "done",
        "about to speak",
        "both speaking",
    }
    assert counts.min() > 20
    for place in (0, 100, -1):
        number, frame, speaker = (sample[name][place] for name in ("number", "frame", "speaker"))
        assert np.array_equal(
            sample["latent"][place],
            tiny_collection.frames(number, ["latent"])["latent"][frame, speaker],
        )
        assert (
            sample["situation"][place]
            == tiny_collection.frames(number, ["situation"])["situation"][frame, speaker]
        )


def test_a_sample_holds_a_byte_for_every_situation(tiny_collection: Collection) -> None:
    coded, kinds = tiny_collection._coded_situations()
    assert kinds == 7
    for number, codes in enumerate(coded):
        situation = tiny_collection.frames(number, ["situation"])["situation"]
        assert (codes.dtype, codes.shape) == (np.uint8, situation.shape)
        pairs = {
            (int(code), str(name))
            for code, name in zip(codes.reshape(-1), situation.reshape(-1), strict=True)
        }
        assert len(pairs) == len({code for code, _ in pairs}) == len({name for _, name in pairs})
    assert len({codes[300, 0] for codes in coded[::2]}) == 1  # the same code in every dialogue


def test_a_sample_of_more_than_there_is_is_everything(tiny_collection: Collection) -> None:
    assert len(tiny_collection.sample(10**9, [])["frame"]) == 3 * 2 * 1000


@pytest.mark.parametrize("spoil", ["remove", "text", "fields"])
def test_what_is_no_collection_is_refused(
    tiny_collection: Collection, tmp_path: Path, spoil: str
) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(tiny_collection.folder, folder)
    about = folder / "collection.json"
    if spoil == "remove":
        about.unlink()
    elif spoil == "text":
        about.write_text("{")
    else:
        about.write_text(json.dumps({"model": "x"}))
    with pytest.raises(ConfigError, match="expected a collection of latents"):
        Collection(folder)
