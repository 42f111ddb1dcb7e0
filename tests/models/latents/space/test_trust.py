"""How far a picture can be believed: against scikit-learn and brute force; structure and noise."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from turnstream.models.latents.space.trust import (
    NEIGHBOURS,
    faithfulness,
    nearest,
    neighbours_of,
    overlap_in_words,
    stability,
    summary,
)


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_trustworthiness_is_scikit_learns_and_continuity_the_same_with_roles_exchanged() -> None:
    states, places = noise(0, 200, 9), noise(0, 200, 9)[:, :2]
    found = faithfulness(states, places)
    assert found["trustworthiness"] == trustworthiness(states, places, n_neighbors=NEIGHBOURS)
    assert found["continuity"] == trustworthiness(places, states, n_neighbors=NEIGHBOURS)
    # Leaving out directions makes new neighbours rather than losing some.
    assert found["trustworthiness"] < found["continuity"] < 1
    whole = np.pad(noise(1, 200, 2), ((0, 0), (1, 2)))
    assert set(faithfulness(whole, whole[:, 1:3]).values()) == {1.0}
    assert faithfulness(whole, noise(2, 200, 2))["trustworthiness"] == pytest.approx(0.5, abs=0.05)


def test_overlap_tells_pictures_apart_that_trustworthiness_calls_alike() -> None:
    """Two of eight directions of smooth states: near 1 by rank; most neighbours are others."""
    states = noise(3, 2000, 8) * np.array([3, 3, 1, 1, 1, 1, 1, 1], np.float32)
    found = faithfulness(states, states[:, :2])
    assert found["trustworthiness"] > 0.85
    assert found["overlap"] < 0.3
    full, drawn = (
        np.argsort(((points[:, None] - points) ** 2).sum(axis=2))[:, 1:16]
        for points in (states[:500], states[:500, :2])
    )
    by_hand = [len({*one} & {*other}) / 15 for one, other in zip(full, drawn, strict=True)]
    measured = faithfulness(states[:500], states[:500, :2])["overlap"]
    assert measured == pytest.approx(np.mean(by_hand), abs=1e-3)
    assert faithfulness(states, noise(9, 2000, 2))["overlap"] == pytest.approx(15 / 1999, abs=0.005)
    assert overlap_in_words(0.57, 2000).startswith("57% of a point's 15 nearest")
    places = noise(3, 60, 2)  # nearest are those of all distances, and no point is its own
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_array_equal(nearest(places, 7), np.argsort(distances, axis=1)[:, :7])
    assert (nearest(np.zeros((30, 2), np.float32), 5) != np.arange(30)[:, None]).all()


def test_noise_stays_by_chance_and_only_points_that_moved_among_others_lose_neighbours() -> None:
    places = noise(5, 400, 2)
    shares = stability(places, [noise(6 + n, 400, 2) for n in range(5)])
    found = summary(shares)
    assert found["stability_by_chance"] == NEIGHBOURS / 399
    assert found["stability"] == pytest.approx(found["stability_by_chance"], abs=0.005)
    assert found["unstable"] == 1
    places = noise(9, 300, 2)
    places[:100] += 50
    moved = places.copy()
    moved[:100] = moved[np.random.default_rng(0).permutation(100)]
    shares = stability(places, [moved])
    assert shares[:100].max() < 0.75
    np.testing.assert_array_equal(shares[100:], 1)
    assert summary(shares)["unstable"] == pytest.approx(1 / 3, abs=0.02)
    turned = 7 * places @ np.array([[0.6, -0.8], [0.8, 0.6]], np.float32) + 3
    np.testing.assert_array_equal(stability(places, [turned, places]), 1)


def test_without_refits_stability_is_unknown_and_few_points_have_fewer_neighbours() -> None:
    shares = stability(noise(0, 20, 2), [])
    assert np.isnan(shares).all()
    assert summary(shares) == {}
    assert [neighbours_of(points) for points in (2, 11, 31, 5000)] == [1, 5, 15, 15]
