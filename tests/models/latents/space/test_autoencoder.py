"""The autoencoder: it keeps what is there, is a formula, and leaves out still ends of dialogues."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from turnstream.models.latents.collection import Collection
from turnstream.models.latents.space.autoencoder import fit_autoencoder, moving_span, moving_steps
from turnstream.stream.saved_embedding import apply_layers


def curved_states(count: int = 3000) -> np.ndarray:
    """A curved, noisy sheet in ten dimensions: two numbers say everything, no plane holds it."""
    rng = np.random.default_rng(0)
    u, v = rng.uniform(-1.5, 1.5, (2, count))
    curved = np.stack([np.sin(2 * u), np.cos(2 * u), np.sin(2 * v), np.cos(2 * v)], axis=1)
    sheet = curved @ np.linalg.qr(rng.normal(size=(10, 4)))[0].T
    return (5 + 0.5 * (sheet + rng.normal(0, 0.05, sheet.shape))).astype(np.float32)


def test_three_layers_with_a_linear_bottleneck_keep_more_of_a_curved_sheet_than_a_plane() -> None:
    formula = fit_autoencoder(curved_states(), 2, seed=0)
    assert formula.trust["reconstructed"] > formula.trust["reconstructed_by_pca"] + 0.1
    states = curved_states()
    values = np.linalg.svd(states - states.mean(axis=0), compute_uv=False) ** 2
    expected = pytest.approx(values[:2].sum() / values.sum(), abs=0.03)
    assert formula.trust["reconstructed_by_pca"] == expected
    assert [layer.activation for layer in formula.layers] == ["tanh", "tanh", "linear"]
    assert [layer.weight.shape for layer in formula.layers] == [(64, 10), (32, 64), (2, 32)]
    places = apply_layers(formula.layers, states)
    assert places.shape == (3000, 2)
    assert (places.std(axis=0) > 0.1).all()


def test_the_same_seed_gives_the_same_network_and_torchs_own_chance_is_left_alone() -> None:
    states = curved_states(300)
    torch.manual_seed(5)
    first = fit_autoencoder(states, 3, seed=1)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.rand(1) == drawn
    again, other = fit_autoencoder(states, 3, seed=1), fit_autoencoder(states, 3, seed=2)
    np.testing.assert_array_equal(first.layers[-1].weight, again.layers[-1].weight)
    assert not np.allclose(first.layers[-1].weight, other.layers[-1].weight)
    plain, moved = (  # scale and origin of the states are folded into the formula
        apply_layers(fit_autoencoder(given, 2, seed=0).layers, given)
        for given in (states, 4 * states - 7)
    )
    np.testing.assert_allclose(plain, moved, atol=1e-2)


def test_still_ends_are_outside_of_the_span_and_still_middles_inside() -> None:
    states = np.zeros((100, 3), np.float32)
    states[20:] += np.random.default_rng(0).normal(size=(80, 3))
    states[50:60] = states[49]
    states[90:] = states[89]
    assert moving_span(states) == (19, 90)
    assert [moving_span(np.ones((n, 3), np.float32)) for n in (9, 1)] == [(0, 9), (0, 1)]


def test_rows_are_kept_by_their_own_dialogue_and_speaker(tiny_collection: Collection) -> None:
    rows = tiny_collection.sample(10000, ["latent"], spare=0)
    moving = moving_steps(tiny_collection, "latent", rows)
    for number in range(3):
        states = tiny_collection.frames(number, ["latent"])["latent"]
        for speaker in (0, 1):
            low, high = moving_span(states[:, speaker])
            here = (rows["number"] == number) & (rows["speaker"] == speaker)
            frame = rows["frame"][here]
            np.testing.assert_array_equal(moving[here], (frame >= low) & (frame < high))
    assert moving.any()
