"""CPC on sequences whose mutual information is known.

It finds that value, up to the limit of its bound.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from turnstream.models.config import EncoderConfig
from turnstream.models.pretraining.cpc import CPC
from turnstream.models.pretraining.objectives import Judged
from turnstream.models.pretraining.settings import PretrainingSettings

SYMBOLS, WIDTH, ROWS, STEPS = 8, 8, 8, 24
SETTINGS = PretrainingSettings(
    "cpc",
    ahead=(1, 5),
    context_hidden=24,
    negatives_within=8,
    negatives_across=8,
    encoder=EncoderConfig(out_channels=WIDTH),
    chunk_s=STEPS * 0.02,
)
NEGATIVES = 16


def cycle(rng: np.random.Generator) -> np.ndarray:
    """Each symbol is followed by the next one, so the future is known."""
    return (rng.integers(SYMBOLS, size=(ROWS, 1)) + np.arange(STEPS)) % SYMBOLS


def dice(rng: np.random.Generator) -> np.ndarray:
    """Independent symbols."""
    return rng.integers(SYMBOLS, size=(ROWS, STEPS))


def binomial(draws: int, share: float) -> np.ndarray:
    """Return the probabilities of 0 to `draws` hits."""
    return np.array(
        [math.comb(draws, n) * share**n * (1 - share) ** (draws - n) for n in range(draws + 1)]
    )


def trained(
    draw: Callable[[np.random.Generator], np.ndarray],
    settings: PretrainingSettings = SETTINGS,
    steps: int = 150,
) -> list[Judged]:
    """Train an objective on fixed encodings; return its last judgements."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    encodings = 2 * torch.eye(SYMBOLS, WIDTH)
    objective = CPC(settings)
    optimizer = torch.optim.Adam(objective.parameters(), 2e-2)
    found: list[Judged] = []
    for _ in range(steps):
        encoded = encodings[torch.from_numpy(draw(rng))]
        judged = objective(
            encoded, encoded, {"context": {"h": torch.zeros(ROWS, 1, SETTINGS.context_hidden)}}
        )
        optimizer.zero_grad()
        judged.loss.backward()
        optimizer.step()
        found.append(judged)
    return found[-50:]


def test_a_known_future_is_found_up_to_negatives_that_are_alike() -> None:
    again = (
        STEPS / SYMBOLS - 1
    ) / STEPS  # probability that another moment of the row has the same symbol
    alike = np.convolve(binomial(NEGATIVES // 2, again), binomial(NEGATIVES // 2, 1 / SYMBOLS))
    best = sum(share * math.log(1 + n) for n, share in enumerate(alike))
    last = trained(cycle)
    loss = np.mean([float(judged.loss.detach()) for judged in last])
    assert loss == pytest.approx(best, abs=0.08)
    # Of the row's own negatives, one in STEPS is the right moment, and does not count.
    masked = binomial(NEGATIVES // 2, 1 / STEPS)
    chance = sum(share * math.log(1 + NEGATIVES - n) for n, share in enumerate(masked))
    assert np.mean([float(judged.measures["below_chance"]) for judged in last]) == pytest.approx(
        chance - loss, abs=0.01
    )
    accuracy = np.mean([float(judged.measures["accuracy"]) for judged in last])
    assert accuracy == pytest.approx(alike[0], abs=0.08)  # where no negative is the same symbol
    assert accuracy > 1.8 / (1 + NEGATIVES)


def test_with_negatives_of_others_no_more_is_found_than_the_mutual_information() -> None:
    settings = dataclasses.replace(SETTINGS, negatives_within=0, negatives_across=64)
    found = np.mean([float(judged.measures["below_chance"]) for judged in trained(cycle, settings)])
    assert 0.8 * math.log(SYMBOLS) < found < math.log(SYMBOLS) + 0.02


def test_where_there_is_nothing_to_know_nothing_is_found() -> None:
    last = trained(dice)
    assert np.mean([float(judged.measures["below_chance"]) for judged in last]) == pytest.approx(
        0, abs=0.03
    )


def test_what_predicts_nothing_is_not_below_chance_though_negatives_are_left_out() -> None:
    """In a row of three moments, a third of the row's own negatives are the right one."""
    settings = PretrainingSettings(
        "cpc",
        ahead=(1,),
        negatives_within=64,
        negatives_across=0,
        encoder=EncoderConfig(out_channels=4),
        chunk_s=0.06,
    )
    objective = CPC(settings)
    torch.nn.init.zeros_(objective.ahead[0].weight)
    torch.nn.init.zeros_(objective.ahead[0].bias)
    encoded = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    judged = objective(
        encoded, encoded, {"context": {"h": torch.zeros(2, 1, settings.context_hidden)}}
    )
    assert float(judged.loss.detach()) < math.log(1 + 64) - 0.2
    assert float(judged.measures["below_chance"]) == pytest.approx(0, abs=1e-5)


def test_the_right_moment_is_no_negative_of_itself() -> None:
    settings = PretrainingSettings(
        "cpc",
        ahead=(1,),
        negatives_within=64,
        negatives_across=0,
        encoder=EncoderConfig(out_channels=4),
        chunk_s=0.06,
    )
    objective = CPC(settings)
    torch.manual_seed(0)
    encoded = torch.randn(2, 3, 4)
    with torch.no_grad():
        judged = objective(
            encoded, encoded, {"context": {"h": torch.zeros(2, 1, settings.context_hidden)}}
        )
        torch.manual_seed(1)
        others, moments = objective._draw(encoded)
    assert torch.equal(others, encoded[torch.arange(2)[:, None], moments])
    assert math.isfinite(float(judged.loss))
