"""How good a network is: within dialogue and speaker, beside counting, and in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.evaluation.measures import Estimate, auc
from turnstream.models.latents.quality import (
    UNKNOWN,
    Quality,
    auc_within,
    counted_log_odds,
    measure_quality,
    quality_of,
)

from .planted_silences import planted_silences


def silences(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shift, dialogue and speaker of 600 silences; each speaker yields as often as is their way."""
    rng = np.random.default_rng(seed)
    dialogue, speaker = np.repeat(np.arange(10), 60), rng.integers(0, 2, 600)
    habit = rng.choice([0.1, 0.9], (10, 2))
    return rng.random(600) < habit[dialogue, speaker], dialogue, speaker


def test_knowing_who_speaks_is_good_pooled_and_nothing_within() -> None:
    shift, dialogue, speaker = silences()
    counted = counted_log_odds(shift, dialogue, speaker)
    assert auc(counted, shift) > 0.75
    found = measure_quality(counted, shift, dialogue, speaker)
    assert found.network.value == found.counting < 0.5
    assert found.counting_pooled == pytest.approx(auc(counted, shift))
    assert not found.above_chance
    assert "That is not above chance: nothing here shows" in found.in_words()


def test_what_tells_silences_of_one_speaker_apart_is_above_chance() -> None:
    shift, dialogue, speaker = silences()
    heard = shift + np.random.default_rng(1).normal(0, 0.7, 600)
    found = measure_quality(heard, shift, dialogue, speaker)
    assert found.above_chance
    assert found.network.low < found.network.value < found.network.high
    assert f"AUC {found.network.value:.2f} ({found.network.low:.2f} to" in found.in_words()
    assert f"{found.counting_pooled:.2f} if dialogues and speakers are pooled" in found.in_words()
    pairs = np.argwhere(
        (shift[:, None] & ~shift) & (dialogue[:, None] == dialogue) & (speaker[:, None] == speaker)
    ).T
    expected = (heard[pairs[0]] > heard[pairs[1]]).mean()
    assert auc_within(heard, shift, dialogue, speaker).value == pytest.approx(expected)


def test_one_dialogue_and_none_are_said() -> None:
    nan = float("nan")
    one = Quality(Estimate(0.8, nan, nan), 0.4, 0.6)
    assert one.above_chance is None
    assert "cannot be told from chance" in one.in_words()
    assert replace(one, network=Estimate(nan, nan, nan)).in_words() == UNKNOWN


def test_a_collection_is_judged_by_what_was_collected(tmp_path: Path) -> None:
    collection = planted_silences(tmp_path / "planted")  # p_shift is always 0.5 in it
    assert quality_of(collection).network == Estimate(0.5, 0.5, 0.5)
    collection.events = lambda *_: []  # type: ignore[method-assign]
    assert quality_of(collection).in_words() == UNKNOWN
