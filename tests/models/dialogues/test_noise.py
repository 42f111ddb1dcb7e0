from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from turnstream.models.dialogues.activity import Samples
from turnstream.models.dialogues.noise import babble, background, hiss, hum, music
from turnstream.stream.errors import DialogueError


def clips() -> list[Samples]:
    rng = np.random.default_rng(0)
    return [
        (0.1 * rng.standard_normal(int(rng.integers(8000, 40000)))).astype(np.float32)
        for _ in range(6)
    ]


@pytest.mark.parametrize(
    "make", [hiss, hum, music, lambda length, rng: babble(clips(), length, 4, rng)]
)
def test_every_noise_has_the_length_asked_for_and_unit_rms(
    make: Callable[[int, np.random.Generator], Samples],
) -> None:
    for length in (160_000, 200_001):
        noise = make(length, np.random.default_rng(3))
        assert noise.shape == (length,)
        assert noise.dtype == np.float32
        assert 0.8 < np.sqrt(np.mean(noise**2)) < 1.25
        np.testing.assert_array_equal(noise, make(length, np.random.default_rng(3)))


def test_babble_has_no_gap_in_which_nobody_talks() -> None:
    crowd = babble(clips(), 160_000, 6, np.random.default_rng(1))
    assert np.sqrt((crowd.reshape(-1, 1600) ** 2).mean(axis=1)).min() > 0.1


def test_babble_without_voices_is_an_error() -> None:
    with pytest.raises(DialogueError, match="got 0 clips and 3 voices"):
        babble([], 16000, 3, np.random.default_rng(0))


@pytest.mark.parametrize("seed", range(20))
def test_background_is_finite_with_and_without_recordings(seed: int) -> None:
    for noises, crowds in (([], []), (clips(), []), ([], clips()), (clips(), clips())):
        heard = background(48_000, noises, crowds, np.random.default_rng(seed))
        assert heard.shape == (48_000,)
        assert heard.dtype == np.float32
        assert np.isfinite(heard).all()
        assert np.sqrt(np.mean(heard**2)) < 3
