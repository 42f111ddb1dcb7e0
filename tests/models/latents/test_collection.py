"""Collections read back as they were written, by us and by others; samples and windows of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from turnstream.models.latents.collection import COLUMNS, EVENT_COLUMNS, LAYERS, Collection
from turnstream.models.latents.moments import EVENT_KINDS, SITUATIONS
from turnstream.stream.errors import ConfigError


def test_files_are_plain_parquet_that_others_read(tiny_collection: Collection) -> None:
    table = pq.read_table(tiny_collection.folder / "frames" / "00000.parquet")
    assert table.column_names == [*COLUMNS, *LAYERS]
    assert table.num_rows == 2 * 1000
    latents = np.array(table.column("latent").to_pylist(), np.float32).reshape(1000, 2, -1)
    assert np.array_equal(latents, tiny_collection.frames(0, ["latent"])["latent"])
    assert table.column("correct").null_count > 1000
    events = pq.read_table(tiny_collection.folder / "events" / "00000.parquet")
    assert events.column_names == [*EVENT_COLUMNS]


def test_events_come_by_kind_in_order_of_dialogue_and_time(tiny_collection: Collection) -> None:
    everything = tiny_collection.events()
    assert {event.kind for event in everything} == set(EVENT_KINDS)
    order = [(e.number, e.start_s) for e in everything]
    assert order == sorted(order)
    found = [(e.number, e.speaker, e.start_s) for e in tiny_collection.events("backchannel")]
    assert found == [(0, 1, 14.0), (1, 0, 14.0), (2, 1, 14.0)]


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


def test_a_sample_holds_rare_situations_and_is_the_same_for_a_seed(
    tiny_collection: Collection,
) -> None:
    sample = tiny_collection.sample(600, ["situation", "latent", "frame"], seed=3)
    again = tiny_collection.sample(600, ["situation", "latent"], seed=3)
    assert np.array_equal(sample["latent"], again["latent"])
    assert 450 < len(sample["frame"]) <= 600
    names, counts = np.unique(sample["situation"], return_counts=True)
    assert set(names) == set(SITUATIONS)
    assert counts.min() > 20
    for place in (0, 100, -1):
        number, frame, speaker = (sample[name][place] for name in ("number", "frame", "speaker"))
        known = tiny_collection.frames(number, ["latent", "situation"])
        assert np.array_equal(sample["latent"][place], known["latent"][frame, speaker])
        assert sample["situation"][place] == known["situation"][frame, speaker]


def test_a_sample_of_more_than_there_is_is_everything(tiny_collection: Collection) -> None:
    assert len(tiny_collection.sample(10**9, [])["frame"]) == 3 * 2 * 1000


@pytest.mark.parametrize("about", [None, "{", '{"model": "x"}', '{"model": 3}'])
def test_what_is_no_collection_is_refused(about: str | None, tmp_path: Path) -> None:
    if about is not None:
        (tmp_path / "collection.json").write_text(about)
    with pytest.raises(ConfigError, match="expected a collection of latents"):
        Collection(tmp_path)
