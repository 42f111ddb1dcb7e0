from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.dialogues.utterances import UtterancePool
from turnstream.models.teachers import extraction
from turnstream.models.teachers.extraction import (
    COMPONENTS,
    CUT,
    DIP,
    EMBEDDINGS,
    END,
    FRAMES,
    PAUSE,
    QUANTUM,
    STOP_POINTS,
    Components,
    Extraction,
    clip_frames,
    clip_until,
    embed_end,
    extract,
    list_stop_points,
)
from turnstream.stream.errors import ConfigError

from ..teaching import CHANNELS, FakeEncoder, band_levels, plant

FILES = (COMPONENTS, FRAMES, STOP_POINTS, EMBEDDINGS)
ROW_BYTES = 2 * 3 * CHANNELS  # bytes per place


@pytest.fixture(autouse=True)
def fake_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "WhisperEncoder", FakeEncoder)


@pytest.fixture
def copied(taught: Extraction, tmp_path: Path) -> Path:
    """A copy of the extraction, for tests that damage it."""
    return Path(shutil.copytree(taught.folder, tmp_path / "copied"))


def truncate(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


def assert_same_files(a: Path, b: Path) -> None:
    for name in (FRAMES, EMBEDDINGS):
        assert (a / name).read_bytes() == (b / name).read_bytes()


@pytest.mark.parametrize("cut", [0, 7, 5000])
def test_an_extraction_cut_short_among_the_frames_ends_as_one_that_was_not(
    cut: int, copied: Path, taught: Extraction, speech_sets: list[Path], pool: UtterancePool
) -> None:
    truncate(copied / FRAMES, cut)
    (copied / EMBEDDINGS).unlink()
    FakeEncoder.asked = 0
    extract(copied, speech_sets, components=6)
    assert_same_files(copied, taught.folder)
    whole = int(np.searchsorted(6 * taught.starts[1:], cut, side="right"))  # the kept clips
    assert FakeEncoder.asked == len(pool.utterances) - whole + len(taught.stop_points()[0])
    assert whole > 0 or cut < 5000


@pytest.mark.parametrize("cut", [0, ROW_BYTES + 9, 5 * ROW_BYTES])
def test_an_extraction_cut_short_among_the_places_ends_as_one_that_was_not(
    cut: int, copied: Path, taught: Extraction, speech_sets: list[Path]
) -> None:
    truncate(copied / EMBEDDINGS, cut)
    FakeEncoder.asked = 0
    extract(copied, speech_sets, components=6)
    assert_same_files(copied, taught.folder)
    assert FakeEncoder.asked == len(taught.stop_points()[0]) - cut // ROW_BYTES


def test_one_that_was_killed_at_work_is_resumed_too(
    taught: Extraction, speech_sets: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mortal(FakeEncoder):
        left = 30  # 21 clips for the components, and 9 of their frames

        def encode(self, clips: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
            Mortal.left -= 1
            if Mortal.left < 0:
                raise KeyboardInterrupt
            return super().encode(clips)

    with monkeypatch.context() as patched:
        patched.setattr(extraction, "WhisperEncoder", Mortal)
        with pytest.raises(KeyboardInterrupt):
            extract(tmp_path / "killed", speech_sets, components=6)
    assert (tmp_path / "killed" / FRAMES).stat().st_size == 6 * taught.starts[9]
    extract(tmp_path / "killed", speech_sets, components=6)
    assert_same_files(tmp_path / "killed", taught.folder)


def test_nothing_is_asked_again_of_what_is_finished(copied: Path, speech_sets: list[Path]) -> None:
    FakeEncoder.asked = 0
    extract(copied, speech_sets, components=6)
    assert FakeEncoder.asked == 0


def test_only_the_first_places_are_asked_about_and_more_may_follow(
    taught: Extraction, speech_sets: list[Path], pool: UtterancePool, tmp_path: Path
) -> None:
    extract(tmp_path, speech_sets, components=6, most_stop_points=5)
    some = Extraction(tmp_path, pool).stop_points()
    everything = taught.stop_points()
    assert [len(column) for column in some] == [5] * 4
    assert len(everything[0]) > 40
    for column, whole in zip(some, everything, strict=True):
        assert np.array_equal(column, whole[:5])
    extract(tmp_path, speech_sets, components=6)
    assert_same_files(tmp_path, taught.folder)


def test_another_pool_is_refused(copied: Path, speech_sets: list[Path]) -> None:
    expected = (
        rf"expected the utterances that it was made of \({speech_sets[0].name}, "
        rf"{speech_sets[1].name}\), got {speech_sets[0].name}$"
    )
    with pytest.raises(ConfigError, match=expected):
        extract(copied, speech_sets[:1], components=6)
    with pytest.raises(ConfigError, match=expected):
        Extraction(copied, UtterancePool(speech_sets[:1]))
    with pytest.raises(ConfigError, match="expected the utterances that it was made of"):
        Extraction(copied, UtterancePool(speech_sets[::-1]))


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_which_something_is_missing_says_so(
    name: str, copied: Path, pool: UtterancePool
) -> None:
    (copied / name).unlink()
    with pytest.raises(
        ConfigError,
        match=(
            r"expected what a teacher said of the utterances \(`turnstream pretrain teacher`\), "
            f"got no {name}$"
        ),
    ):
        Extraction(copied, pool)


def test_frames_are_those_of_the_teacher_within_half_a_quantum(
    taught: Extraction, pool: UtterancePool
) -> None:
    parts = taught.components
    for utterance in pool.utterances[3:6]:
        expected = (band_levels(pool.audio(utterance)) - parts.mean) @ parts.basis / parts.scale
        assert np.abs(taught.frames(utterance) - expected).max() <= 0.5 / QUANTUM + 1e-4
        late = np.roll(expected, 1, axis=0)
        assert np.abs(taught.frames(utterance) - late).max() > 10 / QUANTUM


def test_places_are_embedded_as_the_teacher_hears_them_end(
    taught: Extraction, pool: UtterancePool
) -> None:
    clips, places, kinds, embeddings = taught.stop_points()
    assert set(kinds.tolist()) == {END, PAUSE, DIP, CUT}
    for row in range(0, len(clips), 7):
        utterance = pool.utterances[clips[row]]
        heard = clip_until(pool.audio(utterance), utterance, int(places[row]))
        assert np.array_equal(embeddings[row], embed_end(FakeEncoder(), heard))  # pyright: ignore[reportArgumentType]


def test_components_quantise_within_half_a_quantum_and_far_values_are_cut_off() -> None:
    rng = np.random.default_rng(0)
    frames = (
        rng.standard_normal((3000, 5)) @ rng.standard_normal((5, 5)) + rng.standard_normal(5)
    ).astype(np.float32)
    parts = Components.fit(frames, 3)
    assert parts.basis.shape == (5, 3)
    exact = (frames - parts.mean) @ parts.basis / parts.scale
    assert exact.std(axis=0) == pytest.approx(np.ones(3), abs=1e-3)
    inside = np.abs(exact) < 5
    assert np.abs(parts.quantise(frames) / QUANTUM - exact)[inside].max() <= 0.5 / QUANTUM + 1e-5
    far = parts.quantise(parts.mean + 100 * parts.scale[0] * parts.basis[:, 0][None])
    assert far[0, 0] == 127
    assert (np.diff(parts.explained) < 0).all()
    assert 0.5 < parts.explained.sum() < 1
    assert Components.fit(frames, 5).explained.sum() == pytest.approx(1, abs=1e-5)


def test_components_come_back_from_disk(tmp_path: Path) -> None:
    parts = Components.fit(np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32), 2)
    parts.save(tmp_path / "parts.npz")
    again = Components.load(tmp_path / "parts.npz")
    assert all(np.array_equal(value, getattr(again, name)) for name, value in vars(parts).items())


def test_what_follows_a_place_is_the_recordings_own_silence_as_far_as_it_goes(
    pool: UtterancePool,
) -> None:
    utterance = pool.utterances[0]
    ((pause, resume),) = utterance.pauses.tolist()
    # Each sample's value is its number.
    clip = np.arange(1, pool.samples(utterance) + 1, dtype=np.float32)
    for kept in (1000, resume - pause):
        short = dataclasses.replace(utterance, pauses=np.array([[pause, pause + kept]], np.int32))
        heard = clip_until(clip, short, pause)
        own = min(kept, 3200)
        assert len(heard) == pause + 3200
        assert np.array_equal(heard[: pause + own], clip[: pause + own])
        assert not heard[pause + own :].any()
    heard = clip_until(clip, utterance, utterance.offset)
    own = min(len(clip) - utterance.offset, 3200)
    assert own > 1600
    assert np.array_equal(heard[: utterance.offset + own], clip[: utterance.offset + own])
    assert not heard[utterance.offset + own :].any()


def test_nothing_is_heard_beyond_a_place_inside_speech(pool: UtterancePool) -> None:
    utterance = pool.utterances[0]
    clip = np.ones(pool.samples(utterance), np.float32)
    dip = int(utterance.dips[0])
    heard = clip_until(clip, utterance, dip)
    assert heard.sum() == dip
    assert len(heard) == dip + 3200


def test_no_more_than_the_last_ten_seconds_are_heard(pool: UtterancePool) -> None:
    utterance = pool.utterances[0]
    clip = np.arange(12 * 16000, dtype=np.float32)
    late = dataclasses.replace(utterance, pauses=np.zeros((0, 2), np.int32), offset=len(clip))
    heard = clip_until(clip, late, 11 * 16000)
    assert np.array_equal(heard[: 10 * 16000], clip[16000 : 11 * 16000])
    assert len(heard) == 10 * 16000 + 3200


class CountingEncoder(FakeEncoder):
    """Its one channel counts the frames."""

    def encode(self, clips: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        return [np.arange(-(-len(clip) // 320), dtype=np.float32)[:, None] for clip in clips]


def test_the_last_frames_are_averaged_in_three_groups_and_short_sounds_get_silence_in_front() -> (
    None
):
    encoder = CountingEncoder()
    assert embed_end(encoder, np.ones(100 * 320, np.float32)).tolist() == [94.5, 82.0, 57.0]  # pyright: ignore[reportArgumentType]
    assert embed_end(encoder, np.ones(320, np.float32)).tolist() == [54.5, 42.0, 17.0]  # pyright: ignore[reportArgumentType]
    short = np.full(3200, 0.3, np.float32)
    (padded,) = FakeEncoder().encode([np.pad(short, (50 * 320, 0))])
    expected = np.concatenate(
        [padded[50:].mean(axis=0), padded[35:50].mean(axis=0), padded[:35].mean(axis=0)]
    )
    assert np.array_equal(embed_end(FakeEncoder(), short), expected.astype(np.float16))  # pyright: ignore[reportArgumentType]


def test_places_are_ends_pauses_dips_and_cuts_inside_speech(pool: UtterancePool) -> None:
    listed = list(list_stop_points(pool, 0))
    assert listed == list(list_stop_points(pool, 0))
    assert listed != list(list_stop_points(pool, 1))
    for utterance in pool.utterances:
        own = {
            kind: [place for clip, place, of in listed if clip == utterance.index and of == kind]
            for kind in (END, PAUSE, DIP, CUT)
        }
        assert own[END] == [utterance.offset]
        assert own[PAUSE] == utterance.pauses[:, 0].tolist()
        assert set(own[DIP]) <= set(utterance.dips.tolist())
        for place in own[CUT]:
            assert utterance.onset + 6400 <= place <= utterance.offset - 3200
            assert not any(start <= place <= end for start, end in utterance.pauses)


def test_places_come_in_a_random_order_ends_early(taught: Extraction) -> None:
    with np.load(taught.folder / STOP_POINTS) as listed:
        assert (np.diff(listed["clip"]) < 0).any()
    order = [
        extraction._shuffled(
            [(number, 0, END if number % 2 else CUT) for number in range(400)], seed
        )
        for seed in (0, 1)
    ]
    assert order[0] != order[1]
    assert sorted(order[0]) == sorted(order[1])
    ranks = {
        of: np.mean([rank for rank, (_, _, what) in enumerate(order[0]) if what == of])
        for of in (END, CUT)
    }
    assert ranks[END] < 160
    assert ranks[CUT] > 240


def test_no_more_than_thirty_seconds_of_a_clip_are_asked_about() -> None:
    assert [clip_frames(samples) for samples in (1, 320, 321, 30 * 16000, 60 * 16000)] == [
        1,
        1,
        2,
        1500,
        1500,
    ]


def test_clips_that_were_not_reached_are_not_counted(pool: UtterancePool, tmp_path: Path) -> None:
    planted = plant(
        tmp_path / "whole", pool, lambda _, frames: np.zeros((frames, 4), np.int8), [(0, 5000, CUT)]
    )
    assert planted.clips == len(pool.utterances)
    truncate(tmp_path / "whole" / FRAMES, 4 * int(planted.starts[3]) + 10)
    assert Extraction(tmp_path / "whole", pool).clips == 3
    truncate(tmp_path / "whole" / FRAMES, 0)
    assert Extraction(tmp_path / "whole", pool).clips == 0
