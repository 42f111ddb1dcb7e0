"""One moment beside its sound: what is asked, its numbers, its picture, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.latents.collect import load_network
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.memory.connectivity import connectivity
from turnstream.models.latents.memory.moment_view import moment_gradient
from turnstream.models.latents.memory.readings import log_mel, sound_at


def test_the_sound_the_gradient_and_what_is_said_end_at_the_moment(
    tiny_collection: Collection, tiny_checkpoint: Path
) -> None:
    model = load_network(tiny_checkpoint)
    found = moment_gradient(model, tiny_collection, 0, 7.26, speaker=1, seconds=1.0)
    assert found.at_s == pytest.approx(7.26)
    mel = log_mel(model, sound_at(tiny_collection, 0, 16000))
    np.testing.assert_allclose(found.mel, mel[:, 313:363].transpose(0, 1))
    expected = connectivity(model, mel, 362, 1, 1.0).numpy()
    np.testing.assert_allclose(found.gradient, expected)
    assert np.abs(found.gradient).max() > 0
    said = tiny_collection.frames(0, ["p_next"])["p_next"][313:363, 1]
    np.testing.assert_allclose(found.p_next, said, atol=1e-5)


def test_who_did_not_speak_last_is_asked_about_unless_told(
    tiny_collection: Collection,
    tiny_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "m.png"
    command = ["latents", "moment", str(tiny_collection.folder), "--model", str(tiny_checkpoint)]
    command += ["--out", str(out), "--seconds", "1"]
    assert main([*command, "--at", "7.25"]) == 0
    assert "the chance that speaker 1 is the next" in capsys.readouterr().out
    assert out.read_bytes().startswith(b"\x89PNG")
    assert main([*command, "--at", "7.25", "--speaker", "0"]) == 0
    assert "the chance that speaker 0 is the next" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--at", "0.2"], "expected a moment before which somebody has spoken"),
        (["--at", "30"], "expected a step of the dialogue's 1000, got 1499"),
        (["--at", "5", "--dialogue", "x"], "expected one of the 3 dialogues of the collection"),
    ],
)
def test_a_moment_that_is_not_there_is_one_clear_line(
    options: list[str],
    complaint: str,
    tiny_collection: Collection,
    tiny_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["latents", "moment", str(tiny_collection.folder), "--model", str(tiny_checkpoint)]
    assert main([*command, *options, "--out", str(tmp_path / "m.png")]) == 2
    assert complaint in capsys.readouterr().err.splitlines()[-1]
