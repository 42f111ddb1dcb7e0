from __future__ import annotations

import numpy as np
import pytest

from turnstream.models.dialogues import crosstalk
from turnstream.models.dialogues.activity import Samples
from turnstream.models.dialogues.crosstalk import (
    ECHO_DB,
    LEAK_DB,
    add_crosstalk,
    delayed,
    echo,
    leak,
)


def talk(seed: int) -> Samples:
    return (0.05 * np.random.default_rng(seed).standard_normal(32_000)).astype(np.float32)


def loudness_db(sound: Samples) -> float:
    return float(10 * np.log10(np.mean(sound.astype(np.float64) ** 2)))


@pytest.mark.parametrize("seed", range(10))
def test_leak_and_echo_are_quieter_than_the_other_channel(seed: int) -> None:
    rng, other = np.random.default_rng(seed), talk(0)
    room = np.exp(-np.arange(4000) / 500).astype(np.float32)
    assert loudness_db(leak(other, rng)) < loudness_db(other) + LEAK_DB[1]
    for rooms in ([], [room]):
        assert loudness_db(echo(other, rooms, rng)) < loudness_db(other) + ECHO_DB[1] + 1


def test_most_dialogues_have_no_crosstalk_and_some_have_it_in_both_directions() -> None:
    sides = [talk(1), talk(2)]
    changed = np.zeros((200, 2), bool)
    for seed in range(200):
        heard = add_crosstalk(sides, [], np.random.default_rng(seed))
        changed[seed] = [not np.array_equal(heard[c], sides[c]) for c in (0, 1)]
    assert 0.5 < np.mean(~changed.any(axis=1)) < 0.8
    assert 0 < np.mean(changed.all(axis=1)) < np.mean(changed.any(axis=1))


def test_what_is_heard_twice_is_the_other_side_and_never_the_own_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crosstalk, "ECHO_SHARE", 1.0)
    for seed in range(10):
        quiet = add_crosstalk(
            [talk(1), np.zeros(32_000, np.float32)], [], np.random.default_rng(seed)
        )
        np.testing.assert_array_equal(quiet[0], talk(1))


def test_delay_moves_sound_later_and_keeps_the_length() -> None:
    sound = talk(3)
    np.testing.assert_array_equal(delayed(sound, 0.0), sound)
    np.testing.assert_array_equal(delayed(sound, 0.1)[1600:], sound[:-1600])
    assert not delayed(sound, 9.0).any()
    assert delayed(sound, 9.0).shape == sound.shape
