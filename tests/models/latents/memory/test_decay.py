"""Half-lives of planted memories are theirs at any reach, with and without a plateau."""

import numpy as np
import pytest

from turnstream.models.latents.memory.decay import fit_decay, level_off

RATE_HZ = 50.0


def planted(half_life_s: float, reach_s: float, plateau: float = 0.0) -> np.ndarray:
    """A curve that halves every `half_life_s` on a plateau, (1, R)."""
    lags = np.arange(round(reach_s * RATE_HZ)) / RATE_HZ
    return (0.5 ** (lags / half_life_s) + plateau)[None]


@pytest.mark.parametrize("reach_s", [0.8, 2.0, 20.0, 60.0, 300.0])
@pytest.mark.parametrize("plateau", [0.0, 0.004])
def test_a_planted_memory_has_its_half_life_at_any_reach(reach_s: float, plateau: float) -> None:
    decay = fit_decay(planted(0.7, reach_s, plateau), RATE_HZ, 4)
    assert decay.time_within(0.5)[0] == pytest.approx(0.7, rel=0.05)
    assert decay.time_within(0.9)[0] == pytest.approx(0.7 * np.log2(10), rel=0.05)
    assert decay.constant_s[0] == pytest.approx(0.7 / np.log(2), rel=0.05)
    assert decay.plateau[0] == pytest.approx(plateau, abs=0.002 if reach_s > 5 else 0.02)
    assert decay.straight[0] > 0.99


def test_a_noisy_plateau_does_not_move_the_half_life() -> None:
    rng, newest = np.random.default_rng(0), planted(0.5, 1.0, 0.02).mean()
    for reach_s in (10.0, 30.0, 60.0, 120.0):
        curve = planted(0.5, reach_s, 0.02)
        noisy = curve * np.exp(rng.normal(0, 0.1, (20, curve.shape[1])))
        decay = fit_decay(noisy, RATE_HZ, 4)
        assert decay.time_within() == pytest.approx(0.5, rel=0.15)
        assert decay.plateau == pytest.approx(0.02, rel=0.1)
        assert decay.plateau_share() == pytest.approx(0.02 / newest, rel=0.15)


def test_what_still_falls_at_the_reach_has_not_levelled_off() -> None:
    lags = np.arange(1, 500)[None]
    assert level_off(planted(0.5, 10.0, 0.02))[0]
    assert not level_off(planted(0.5, 10.0))[0]
    assert not level_off(1 / lags)[0]


def test_what_has_no_fall_is_all_plateau_and_nothing_is_no_time() -> None:
    flat = fit_decay(np.ones((1, 500)), RATE_HZ, 4)
    assert flat.plateau[0] == pytest.approx(1, abs=0.02)
    assert np.isnan(fit_decay(np.zeros((1, 500)), RATE_HZ, 4).time_within()[0])
    short = fit_decay(np.array([[1.0, 1.0, 2.0, 0.0]]), RATE_HZ, 2)  # too few for a fit
    assert short.time_within()[0] == pytest.approx(2 / RATE_HZ)
    assert short.plateau[0] == 0


def test_lags_that_nobody_has_do_not_count() -> None:
    whole = planted(0.7, 10.0)
    gaps = np.concatenate([whole, np.full((1, 400), np.nan)], axis=1)
    assert fit_decay(gaps, RATE_HZ, 4).time_within()[0] == pytest.approx(0.7, rel=0.05)
