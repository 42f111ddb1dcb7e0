"""Effects of interventions on p_shift: planted units, means within speaker, sound, the command."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from turnstream.cli import main
from turnstream.models.checkpoint import save_checkpoint
from turnstream.models.latents.collect import collect, load_network, read_source
from turnstream.models.latents.interventions import effects as subject
from turnstream.models.latents.interventions.effects import (
    direction_effect,
    mean_state,
    mean_within_speaker,
    rank_units,
    sound_effect,
)
from turnstream.models.latents.interventions.silence_windows import SilenceWindows, silence_windows
from turnstream.models.latents.interventions.view import probe_direction, read_direction
from turnstream.stream.errors import ConfigError

from ....networks import TINY, random_model
from ..planted_silences import planted_silences

MATTERS, IDLE = 2, 7


class Planted:
    """A network in which unit MATTERS alone speaks for p_shift, and nothing reads unit IDLE."""

    def __init__(self, folder: Path, manifest: Path) -> None:
        model = random_model(TINY)
        with torch.no_grad():
            model.heads.weight[1] *= 0.05
            model.heads.weight[1, MATTERS] = 4.0
            model.heads.weight[:, IDLE] = 0.0
            cell = model.dialogue_rnn.cell
            cell.weight_hh_l0[:, IDLE] = 0.0  # pyright: ignore[reportIndexIssue]
        save_checkpoint(model, folder / "run")
        self.model = load_network(folder / "run")
        dialogues = read_source(manifest)
        self.collection = collect(self.model, "planted", dialogues, folder / "collection")
        self.windows = silence_windows(self.model, self.collection, before_s=0.4)
        self.source = ["latents", "intervene", str(folder / "collection")]
        self.command = [*self.source, "--model", str(folder / "run")]

    def change(self, to: float | None, whose: str = "both") -> np.ndarray:
        """Change of p_shift at every silence by an edit of unit MATTERS of the last layer."""
        unit = torch.eye(10)[MATTERS]
        return direction_effect(self.model, self.windows, "latent", unit, to, whose=whose).change


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, tiny_manifest: Path) -> Planted:
    return Planted(tmp_path_factory.mktemp("planted"), tiny_manifest)


def test_the_windows_say_what_the_whole_dialogue_says(planted: Planted) -> None:
    events, windows = planted.collection.events("shift", "hold"), planted.windows
    assert len(windows) == len(events) > 5
    said = [event.p_shift for event in events]
    np.testing.assert_allclose(windows.p_shift, np.array(said, float), atol=1e-5)
    assert windows.before.tolist() == [event.speaker for event in events]


def test_a_planted_unit_is_ranked_first_and_an_idle_one_changes_nothing(planted: Planted) -> None:
    mean = mean_state(planted.collection, "latent")
    ranking = rank_units(planted.model, planted.windows, "latent", mean, controls=3)
    assert ranking.ranked()[0] == MATTERS
    assert ranking.ranked()[-1] == IDLE
    np.testing.assert_allclose(ranking.effects[IDLE].change, 0, atol=1e-6)
    assert ranking.effects[MATTERS].magnitude.value > 1e-2
    assert len(ranking.control) == 3


def test_clamping_the_planted_unit_up_and_down_moves_p_shift_both_ways(planted: Planted) -> None:
    # p_next of the listener rises with the listener's unit
    assert (planted.change(1.5, "listener") > 0).all()
    assert (planted.change(-1.5, "listener") < 0).all()


def test_a_patch_takes_the_trajectory_of_a_silence_of_the_other_kind(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings, donors = planted.windows.readings, planted.windows.donors()
    assert (readings.happened[donors] != readings.happened).all()
    assert (readings.number[donors] == readings.number).all()
    assert np.abs(planted.change(None)).max() > 1e-3
    # from itself, a patch changes nothing
    monkeypatch.setattr(SilenceWindows, "donors", lambda self, seed: np.arange(len(self)))
    np.testing.assert_allclose(planted.change(None), 0, atol=1e-5)


@pytest.mark.parametrize("do", ["ablate", "clamp", "patch"])
def test_another_sound_before_the_silence_is_heard(do: subject.Do, planted: Planted) -> None:
    heard = planted.model, planted.windows
    changed = np.abs(sound_effect(*heard, (-0.3, 0.0), do).change).max()
    assert changed > 1e-4
    quiet = sound_effect(*heard, (-0.3, 0.0), "clamp", whose="listener")
    assert np.abs(quiet.change).max() < changed  # the listener is silent
    with pytest.raises(ConfigError, match=r"between -0\.4 and 0\.24 s from the silence's start"):
        sound_effect(*heard, (-0.5, 0.0), do)


def test_means_are_within_speaker(planted: Planted) -> None:
    windows = planted.windows
    speakers = np.stack([windows.readings.number, windows.before], axis=1)
    often = (speakers == speakers[0]).all(axis=1)
    values = np.where(often, 1.0, 0.0)
    found = mean_within_speaker(values, windows)
    assert found.value == pytest.approx(1 / len(np.unique(speakers, axis=0)))
    assert found.value != pytest.approx(values.mean())
    assert found.low <= found.value <= found.high


def test_a_probes_direction_finds_the_planted_unit(tmp_path: Path) -> None:
    collection = planted_silences(tmp_path / "planted")
    direction = probe_direction(collection, "latent", "shift-hold")
    assert int(direction.abs().argmax()) == 2
    assert direction[2] > 0  # higher in shifts
    with pytest.raises(ConfigError, match="expected one of shift-hold"):
        probe_direction(collection, "latent", "rain")


def test_a_direction_is_read_from_an_array_or_from_text(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.array([0, 2, 0]))
    (tmp_path / "d.csv").write_text("0, 2, 0\n")
    for name in ("d.npy", "d.csv"):
        assert read_direction(tmp_path / name, 3).tolist() == [0, 2, 0]
    with pytest.raises(ConfigError, match="expected 4 finite numbers that are not all 0, got 3"):
        read_direction(tmp_path / "d.csv", 4)
    (tmp_path / "d.txt").write_text("one two")
    with pytest.raises(ConfigError, match="expected a direction, an array"):
        read_direction(tmp_path / "d.txt", 2)


def test_the_command_ranks_units_beside_what_they_track(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "i.csv"
    out = ["--before", "0.4", "--out", str(tmp_path / "i.png"), "--csv", str(table)]
    assert main([*planted.command, *out]) == 0
    assert f"unit {MATTERS} changes it most" in capsys.readouterr().out
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [int(rows[0]["unit"]), int(rows[-1]["unit"])] == [MATTERS, IDLE]
    assert {"change_low", "at_shifts", "at_holds_high", "tracks", "above_chance"} <= set(rows[0])


@pytest.mark.parametrize(
    ("what", "done"),
    [
        ("--unit 2 --do clamp --value 1", "unit 2 of latent, of both, clamped to 1.0"),
        ("--sound -0.3 0 --whose speaker", "the sound of who spoke before from -0.3 to 0 s heard"),
    ],
)
def test_the_command_writes_the_effect_at_every_silence(
    what: str, done: str, planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "i.csv"
    out = ["--out", str(tmp_path / "i.png"), "--csv", str(table)]
    assert main([*planted.command, *what.split(), *out]) == 0
    assert done in capsys.readouterr().out
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {row["kind"] for row in rows} == {"shift", "hold"}
    for row in rows:
        change = float(row["p_shift_changed"]) - float(row["p_shift"])
        assert float(row["change"]) == pytest.approx(change, abs=2e-6)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--do patch", "expected --unit, --direction, --probe or --sound to patch"),
        ("--unit 1 --do clamp", "expected --value with --do clamp"),
        ("--unit 1 --value 1", "expected --value with --do clamp"),
        ("--unit 99", "expected a unit of latent from 0 to 9, got 99"),
        ("--before 0", "expected some time before at least 2 silences"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    options: str, complaint: str, planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*planted.command, *options.split()]) == 2
    assert complaint in capsys.readouterr().err.splitlines()[-1]


def test_states_of_another_network_are_refused(
    planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(planted.source) == 2
    said = "expected a collection of the bundled model, got one of planted; give its --model"
    assert said in capsys.readouterr().err
