"""One moment beside its sound: what is asked, its numbers, its picture, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from turnstream.models.latents.collection import Collection
from turnstream.models.latents.memory.connectivity import connectivity
from turnstream.models.latents.memory.moment_view import moment_gradient
from turnstream.models.latents.memory.readings import log_mel, sound_at

from ....networks import TINY, random_model
from .conftest import Run


def test_sound_gradient_and_what_is_said_end_at_the_moment(tiny_collection: Collection) -> None:
    model = random_model(TINY)
    found = moment_gradient(model, tiny_collection, 0, 7.26, speaker=1, seconds=1.0)
    assert found.edges_s[[0, -1]] == pytest.approx([6.26, 7.26])
    mel = log_mel(model, sound_at(tiny_collection, 0, 16000))
    np.testing.assert_allclose(found.mel, mel[:, 313:363].transpose(0, 1))
    expected = connectivity(model, mel, 362, 1, 1.0).numpy()
    np.testing.assert_allclose(found.gradient, expected)
    assert np.abs(found.gradient).max() > 0
    said = tiny_collection.frames(0, ["p_next"])["p_next"][313:363, 1]
    np.testing.assert_allclose(found.p_next, said, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ("--at 7.25", 0, "that speaker 1 is next:"),
        ("--at 7.25 --speaker 0", 0, "that speaker 0 is next:"),
        ("--at 0.2", 2, "expected a moment before which somebody has spoken"),
        ("--at 30", 2, "expected a step of the dialogue's 1000, got 1499"),
        ("--at 5 --dialogue x", 2, "expected one of the 3 dialogues of the collection"),
    ],
)
def test_who_did_not_speak_last_is_asked_about_at_a_moment_that_is_there(
    options: str, status: int, words: str, latents: Run, tmp_path: Path
) -> None:
    found, said = latents("moment", f"--seconds 1 --out m.png {options}")
    assert found == status
    assert words in said
    assert (tmp_path / "m.png").is_file() == (status == 0)
