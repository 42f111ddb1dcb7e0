"""Gate saturation: counts are those of brute force, runs resume, no gates are said to be none."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.checkpoint import save_checkpoint
from turnstream.models.config import RecurrentConfig
from turnstream.models.latents.cells import saturation
from turnstream.models.latents.cells.gates import listen_inside
from turnstream.models.latents.cells.saturation import (
    BINS,
    GateShares,
    Saturation,
    draw_saturation,
    gate_saturation,
    heard_by,
    saturation_in_words,
)
from turnstream.models.latents.collect import load_network, load_sound, read_source
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.parts import Parts
from turnstream.models.turn_model import TurnModel
from turnstream.stream.errors import ConfigError

from ....networks import TINY, random_model


def network(speaker: Any, dialogue: Any) -> TurnModel:
    names = {"speaker_rnn": RecurrentConfig(*speaker), "dialogue_rnn": RecurrentConfig(*dialogue)}
    model = random_model(replace(TINY, **names))
    for name, parameter in model.named_parameters():
        if "_rnn" in name:
            parameter.data.mul_(4)  # so that gates do saturate
    return model


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_shares_are_those_of_brute_force(kind: str, tiny_manifest: Path) -> None:
    model, dialogues = network((kind, 6, 2), (kind, 5)), read_source(tiny_manifest)[:2]
    found = gate_saturation(model, dialogues)
    whole: dict[str, list[np.ndarray]] = {}
    for dialogue in dialogues:
        for _, _, inside in listen_inside(model, load_sound(dialogue, 16000)):
            for layer, values in inside.items():
                for name, value in values.items():
                    whole.setdefault(f"{layer} {name}", []).append(value.numpy())
    assert found.frames == 2 * 2000
    assert len(found.gates) == 3 * (3 if kind == "gru" else 4)
    saturated = 0.0
    for shares in found.gates:
        values = np.concatenate(whole[f"{shares.layer} {shares.gate}"])[:, :, shares.depth]
        values = values.reshape(found.frames, -1)
        least, low, high = (-1, -0.9, 0.9) if shares.gate == "h" else (0, 0.1, 0.9)
        np.testing.assert_allclose(shares.left, (values < low).mean(axis=0), atol=1e-9)
        np.testing.assert_allclose(shares.right, (values > high).mean(axis=0), atol=1e-9)
        histogram = np.histogram(values, np.linspace(least, 1, BINS + 1))[0] / values.size
        np.testing.assert_allclose(shares.histogram, histogram, atol=2e-4)
        saturated += shares.left.sum() + shares.right.sum()
    assert saturated > 1


def test_a_run_that_was_cut_short_is_resumed(
    tiny_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, dialogues = network(("gru", 6), ("gru", 5)), read_source(tiny_manifest)
    part, heard = tmp_path / "gates.parts", list[str]()
    expected = gate_saturation(model, dialogues)

    def load(dialogue: Any, rate: int) -> Any:
        heard.append(dialogue.id)
        if len(heard) == 3:
            raise KeyboardInterrupt
        return load_sound(dialogue, rate)

    monkeypatch.setattr(saturation.collect, "load_sound", load)
    with pytest.raises(KeyboardInterrupt):
        gate_saturation(model, dialogues, part)
    found = gate_saturation(model, dialogues, part)
    assert heard == ["0", "1", "2", "2"]
    assert not part.exists()
    for left, right in zip(found.gates, expected.gates, strict=True):
        np.testing.assert_array_equal(left.left, right.left)
        np.testing.assert_array_equal(left.histogram, right.histogram)
    assert found.frames == expected.frames


def test_counts_of_another_network_are_not_taken(tiny_manifest: Path, tmp_path: Path) -> None:
    dialogues, part = read_source(tiny_manifest)[:1], tmp_path / "gates.parts"
    Parts(part, "another network").of(0, lambda: {"frames": np.array(999)})
    assert gate_saturation(network(("gru", 6), ("gru", 4)), dialogues, part).frames == 2000


def test_a_network_without_gates_shows_its_states(tiny_manifest: Path, tmp_path: Path) -> None:
    dialogues = read_source(tiny_manifest)[:1]
    found = gate_saturation(network(("none", 6), ("rnn", 5)), dialogues)
    assert [(shares.layer, shares.gate) for shares in found.gates] == [("latent", "h")]
    view = draw_saturation(found, tmp_path / "gates.png")
    assert "without gates: this network (none and rnn), so only its states" in view.caption
    assert "linear, with nothing to count: latent_speaker\n" in view.caption
    with pytest.raises(ConfigError, match="expected a recurrent network, got one whose layers"):
        gate_saturation(network(("none", 6), ("none", 5)), dialogues)


def test_words_count_the_units_that_hardly_gate() -> None:
    left, right = np.array([0.95, 0.0, 0.2]), np.array([0.0, 0.0004, 0.8])
    shares = GateShares("latent", 0, "update", left, right, np.full(BINS, 1 / BINS))
    kinds = {"latent_speaker": "none", "latent": "gru"}
    words = saturation_in_words(Saturation((shares,), kinds, 6000, 1, 50.0), "a network")
    assert "over 1 dialogue (1.0 minutes, both speakers)" in words
    assert "latent (GRU), 3 units: update 20.0 % left (1) and under 0.1 % right (0)\n" in words


def test_the_command_writes_a_picture_and_a_row_for_each_unit(
    tiny_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(network(("lstm", 6, 2), ("lstm", 5)), tmp_path / "lstm")
    out, table = tmp_path / "gates.png", tmp_path / "gates.csv"
    given = ["--out", str(out), "--csv", str(table), "--model", str(tmp_path / "lstm")]
    assert main(["latents", "gates", str(tiny_manifest), *given]) == 0
    assert "latent_speaker (LSTM, layer 2 of 2), 6 units: input" in capsys.readouterr().out
    assert out.stat().st_size > 20_000
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * (6 + 6 + 5)
    for row in rows:
        shares = (float(row[name]) for name in ("left_saturated", "right_saturated", "neither"))
        assert sum(shares) == pytest.approx(1, abs=2e-6)


def test_a_collection_is_heard_by_its_own_network_only(
    tiny_collection: Collection, tiny_checkpoint: Path
) -> None:
    model, name, dialogues = heard_by(tiny_collection.folder, tiny_checkpoint)
    assert name == "tiny"
    assert [dialogue.id for dialogue in dialogues] == ["0", "1", "2"]
    assert model.config == load_network(tiny_checkpoint).config
    message = "expected a collection of the bundled model, got one of tiny"
    with pytest.raises(ConfigError, match=message):
        heard_by(tiny_collection.folder, None)
