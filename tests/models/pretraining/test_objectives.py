"""Objectives on data whose answer is known."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from turnstream.models.config import EncoderConfig, FeatureConfig, StackConfig
from turnstream.models.pretraining.network import PretrainingNetwork
from turnstream.models.pretraining.objectives import ReceptiveWindows, perplexity, quantiser
from turnstream.models.pretraining.settings import METHODS, PretrainingSettings
from turnstream.models.receptive_field import receptive_field

from ...networks import CONFIGS

CLUSTERS, WIDTH = 8, 4
BOOK = PretrainingSettings(
    "vqvae", codes=CLUSTERS, code_channels=WIDTH, code_decay=0.8, revive_below=1.0
)
SMALL = EncoderConfig(channels=12, out_channels=10, stacks=(StackConfig((3,), (2,)),))


def settings_of(
    method: str,
    encoder: EncoderConfig = SMALL,
    features: FeatureConfig | None = None,
    **others: Any,
) -> PretrainingSettings:
    step_s = 0.02 * encoder.stride
    plain = {
        "chunk_s": 24 * step_s,
        "batch_rows": 2,
        "ahead": (1, 3),
        "codes": 16,
        "code_channels": 6,
        "decoder_hidden": 24,
        "context_hidden": 9,
    }
    return PretrainingSettings(
        method, encoder=encoder, features=features or FeatureConfig(), **(plain | others)
    )


def network_of(settings: PretrainingSettings) -> PretrainingNetwork:
    """Return a network whose code books have seen some audio, so that they stay fixed."""
    torch.manual_seed(1)
    network = PretrainingNetwork(settings)
    audio = audio_of(settings, 24)
    network.train()(audio, network.init_state(len(audio)))
    return network.eval()


def audio_of(settings: PretrainingSettings, steps: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    samples = steps * settings.chunks.frame_samples
    loudness = np.repeat(rng.random((2, 2, steps)), samples // steps, axis=2)
    return torch.from_numpy(
        (0.2 * loudness * rng.standard_normal((2, 2, samples))).astype(np.float32)
    )


def clusters(centres: np.ndarray[Any, Any], count: int, rng: np.random.Generator) -> torch.Tensor:
    which = rng.integers(len(centres), size=(1, count))
    return torch.from_numpy(
        (centres[which] + 0.05 * rng.standard_normal((1, count, centres.shape[1]))).astype(
            np.float32
        )
    )


def test_codes_recover_planted_clusters() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (CLUSTERS, WIDTH))
    torch.manual_seed(0)
    # With as many codes as clusters, k-means may share two codes among three clusters.
    book = quantiser(dataclasses.replace(BOOK, codes=3 * CLUSTERS))
    for _ in range(60):
        book(clusters(centres, 400, rng))
    # The shape is (clusters, codes).
    apart = np.linalg.norm(book.codebook.numpy()[None] - centres[:, None], axis=-1)
    assert (apart.min(axis=1) < 0.1).all()  # each centre has a code
    assert (apart.min(axis=0) < 0.3).all()  # and every code has a centre
    noisy, which = (
        np.repeat(centres, 50, axis=0) + 0.05 * rng.standard_normal((50 * CLUSTERS, WIDTH)),
        np.repeat(np.arange(CLUSTERS), 50),
    )
    _, index, _ = book.eval()(torch.from_numpy(noisy.astype(np.float32))[None])
    assert np.array_equal(apart.argmin(axis=0)[index[0].numpy()], which)


def test_dead_codes_are_revived_where_the_data_have_gone() -> None:
    rng = np.random.default_rng(1)
    torch.manual_seed(1)
    book = quantiser(BOOK)
    for _ in range(20):
        book(clusters(rng.normal(0, 1, (CLUSTERS, WIDTH)) * 0.01, 400, rng))
    elsewhere = 20 + rng.normal(0, 3, (CLUSTERS, WIDTH))
    for _ in range(60):
        book(clusters(elsewhere, 400, rng))
    _, index, _ = book.eval()(clusters(elsewhere, 4000, rng))
    assert perplexity(torch.bincount(index.flatten(), minlength=CLUSTERS)) > 0.8 * CLUSTERS
    assert (
        np.linalg.norm(book.codebook.numpy()[:, None] - elsewhere[None], axis=-1).min(axis=0) < 4
    ).all()


def test_the_gradient_goes_straight_through_and_the_commitment_pulls_towards_the_code() -> None:
    rng = np.random.default_rng(2)
    torch.manual_seed(2)
    book = quantiser(BOOK)
    book(clusters(rng.normal(0, 1, (CLUSTERS, WIDTH)), 400, rng))
    x = torch.randn(1, 5, WIDTH, requires_grad=True)
    code, _, commitment = book(x)
    weights = torch.randn(1, 5, WIDTH)
    (straight,) = torch.autograd.grad((code * weights).sum(), x, retain_graph=True)
    torch.testing.assert_close(straight, weights)
    (pull,) = torch.autograd.grad(commitment.sum(), x)
    torch.testing.assert_close(pull, BOOK.commitment * 2 * (x - code).detach() / x.numel())


def test_perplexity_counts_codes_in_use() -> None:
    assert perplexity(torch.tensor([5, 5, 5, 5, 0, 0])) == pytest.approx(4)
    assert perplexity(torch.tensor([7, 0])) == 1
    assert perplexity(torch.tensor([3, 1])) == pytest.approx(
        np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    )


@pytest.mark.parametrize("stride", [1, 2])
def test_windows_are_the_frames_that_reach_each_step(stride: int) -> None:
    settings = settings_of("autoencoder", dataclasses.replace(SMALL, stride=stride))
    windows = ReceptiveWindows(settings)
    assert windows.size == receptive_field(settings.encoder).size
    mel = torch.randn(2, 24 * stride, settings.features.mel_bins)
    found, _ = windows(mel, torch.zeros(2, *windows.cache_shape))
    for step in (0, 1, 13, 23):
        newest = (step + 1) * stride
        wanted = torch.cat([torch.zeros(2, windows.size, mel.shape[2]), mel], dim=1)[
            :, newest : newest + windows.size
        ]
        assert torch.equal(found[:, step], wanted)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CONFIGS)
def test_in_chunks_as_at_once_for_every_encoder_of_the_family(name: str, method: str) -> None:
    settings = settings_of(method, CONFIGS[name].encoder, CONFIGS[name].features)
    network, audio = network_of(settings), audio_of(settings, 48)
    with torch.inference_mode():
        whole, end = network(audio, network.init_state(2))
        first, state = network(audio[..., : audio.shape[2] // 2], network.init_state(2))
        second, state = network(audio[..., audio.shape[2] // 2 :], state)
    torch.testing.assert_close(state, end, atol=1e-5, rtol=0)
    for book, index in whole.codes.items():
        assert torch.equal(torch.cat([first.codes[book], second.codes[book]], dim=1), index)
    if whole.reconstruction is not None:
        assert first.reconstruction is not None
        assert second.reconstruction is not None
        torch.testing.assert_close(
            torch.cat([first.reconstruction, second.reconstruction], dim=1),
            whole.reconstruction,
            atol=1e-4,
            rtol=0,
        )


@pytest.mark.parametrize("method", [method for method in METHODS if method != "cpc"])
def test_nothing_flows_back_from_the_future(method: str) -> None:
    settings = settings_of(method)
    network, audio = network_of(settings), audio_of(settings, 24)
    future = audio.clone()
    future[..., 14 * settings.chunks.frame_samples :] = 0.5
    with torch.inference_mode():
        before, after = (
            network(heard, network.init_state(2))[0].reconstruction for heard in (audio, future)
        )
    assert before is not None
    assert after is not None
    assert torch.equal(before[:, :14], after[:, :14])
    assert not torch.equal(before[:, 14:], after[:, 14:])


def test_the_autoencoder_learns_what_a_few_sounds_look_like() -> None:
    settings = settings_of("autoencoder", decoder_hidden=64)
    torch.manual_seed(0)
    network = PretrainingNetwork(settings)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for step in range(200):
        judged, _ = network(tones(settings, step), network.init_state(2))
        optimizer.zero_grad()
        judged.loss.backward()
        optimizer.step()
    judged, _ = network.eval()(tones(settings, 1000), network.init_state(2))
    assert float(judged.measures["reconstruction"]) < 0.4 * float(judged.measures["variance"])


def tones(settings: PretrainingSettings, seed: int) -> torch.Tensor:
    """One of four tones every 0.24 s, (2, 2, N)."""
    rng = np.random.default_rng(seed)
    hz = np.repeat(rng.choice([200.0, 500.0, 1100.0, 2300.0], (2, 2, 2)), 12 * 320, axis=2)
    return torch.from_numpy(
        (0.3 * np.sin(np.cumsum(2 * np.pi * hz / settings.features.sample_rate_hz, axis=2))).astype(
            np.float32
        )
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"method": "gan"},
            "expected method to be one of autoencoder, vqvae, vqvae2, cpc, got 'gan'",
        ),
        ({"codes": 0}, "expected codes > 0, got 0"),
        (
            {"method": "vqvae2", "chunk_s": 3.0},
            "expected a chunk in multiples of 4 steps of the encoder, got 150",
        ),
        (
            {"ahead": (1, 160)},
            r"expected steps ahead from 1 to less than a chunk \(160\), got \(1, 160\)",
        ),
        (
            {"negatives_within": 0, "negatives_across": 0},
            "expected negatives to tell a prediction from, got none",
        ),
        ({"warmup_steps": 1}, "expected warmup_steps of 0 or at least 2, got 1"),
        ({"code_decay": 1.0}, "expected 0 <= code_decay < 1, got 1.0"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PretrainingSettings(**(dict[str, Any](method="cpc") | change))
