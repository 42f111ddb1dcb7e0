"""The level of audio, and a microphone that gives no sound."""

from __future__ import annotations

import numpy as np
import pytest

from turnstream.stream.live.sound_level import FrameLevels, SilenceWatch, levels_dbfs


def test_levels_are_in_db_against_full_scale() -> None:
    sine = np.sin(2 * np.pi * np.arange(320) / 32)[:, None].astype(np.float32)
    assert levels_dbfs(sine) == pytest.approx((-3.01, -120.0), abs=0.01)
    assert levels_dbfs(np.concatenate([sine, 0.1 * sine], axis=1)) == pytest.approx(
        (-3.01, -23.01), abs=0.01
    )
    assert levels_dbfs(np.zeros((0, 2), np.float32)) == (-120.0, -120.0)


def test_silence_is_noticed_once_after_three_seconds_and_so_is_its_end() -> None:
    watch = SilenceWatch()
    assert [watch.push(level, 1.0) for level in (-60, -120, -120, -90, -90, -60, -60, -90)] == [
        None,
        None,
        None,
        True,
        None,
        False,
        None,
        None,
    ]


def test_short_silence_is_nothing_and_a_reset_begins_anew() -> None:
    watch = SilenceWatch()
    assert [watch.push(level, 1.4) for level in (-120, -120, -70, -120, -120)] == [None] * 5
    watch.reset()
    assert [watch.push(-120, 1.4) for _ in range(3)] == [None, None, True]


@pytest.mark.parametrize("chunk", [1, 37, 5000])
def test_each_frame_gets_its_level_whatever_the_blocks(chunk: int) -> None:
    # 11025 Hz: 220.5 samples a frame, so frames of 221 and 220 samples take turns.
    rows = [(0.1, 0.5), (0.3, 0.0), (0.7, 0.2), (0.0, 0.9)]
    lengths = [221, 220, 221, 220]
    sound = np.concatenate(
        [
            np.tile(np.where(np.arange(length)[:, None] % 2, row, np.negative(row)), 1)
            for length, row in zip(lengths, rows, strict=True)
        ]
    )
    levels = FrameLevels(220.5)
    for start in range(0, len(sound), chunk):
        levels.push((sound + 0.05)[start : start + chunk].astype(np.float32))
    for frame in (0, 2, 3):
        expected = [max(-120.0, 20 * np.log10(value + 1e-9)) for value in rows[frame]]
        assert levels.take(frame) == pytest.approx(expected, abs=0.1)
    assert levels.take(1) is None  # forgotten
    assert levels.take(4) is None  # not yet heard
