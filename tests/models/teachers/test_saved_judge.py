"""The head of a pause model. test_judging.py tests judges as files."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.teachers.judge import Judge
from turnstream.models.teachers.saved_judge import PAUSE_MIX, SavedJudge
from turnstream.models.teachers.stop_point_space import StopPointSpace

DIMENSIONS, COMPONENTS = 48, 6


@pytest.fixture
def embeddings() -> NDArray[np.float16]:
    """Embeddings whose dimensions have very different means and scales, like Whisper's."""
    rng = np.random.default_rng(0)
    scale = rng.choice([0.05, 1.0, 8.0], DIMENSIONS)
    mean = 3 * rng.standard_normal(DIMENSIONS)
    return (mean + scale * rng.standard_normal((200, DIMENSIONS))).astype(np.float16)


@pytest.fixture
def saved(embeddings: NDArray[np.float16]) -> SavedJudge:
    weights = np.random.default_rng(1).standard_normal(COMPONENTS).astype(np.float32)
    return SavedJudge(Judge(weights, 0.7), StopPointSpace.fit(embeddings, COMPONENTS))


def test_the_head_gives_the_logit_of_the_judge_from_an_embedding(
    saved: SavedJudge, embeddings: NDArray[np.float16]
) -> None:
    head, expected = saved.head("made up"), saved.logits(embeddings)
    found = embeddings.astype(np.float32) @ np.array(head.weights, np.float32) + head.bias
    assert expected.std() > 1
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.abs(found - head.bias + saved.judge.bias - expected).max() > 0.1  # another bias


def test_the_head_says_what_it_was_fitted_on_and_how_it_is_mixed(saved: SavedJudge) -> None:
    head = saved.head("silences of two calls")
    assert (head.name, head.mix) == ("silences of two calls", PAUSE_MIX)
    assert len(head.weights) == DIMENSIONS
    assert all(type(value) is float for value in (*head.weights, head.bias))  # as JSON needs it
