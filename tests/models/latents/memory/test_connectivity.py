from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from turnstream.cli import main
from turnstream.models.config import (
    ModelConfig,
    RecurrentConfig,
)
from turnstream.models.latents.collect import load_network
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.memory import connectivity as subject
from turnstream.models.latents.memory.connectivity import (
    connect,
    connectivity,
    score_gradients,
    states_before,
)
from turnstream.models.latents.memory.connectivity_view import describe
from turnstream.models.latents.memory.decay import fit_decay
from turnstream.models.latents.memory.readings import log_mel, silence_readings, sound_at
from turnstream.models.receptive_field import receptive_field
from turnstream.models.turn_model import TurnModel
from turnstream.stream.errors import ConfigError

from ....networks import CONFIGS, TINY, random_audio, random_model


def exact(config: ModelConfig) -> TurnModel:
    return random_model(config).double()


def mel_of(model: TurnModel, steps: int, seed: int = 0) -> Tensor:
    """Log-mel frames of noise in bursts, (2, T, M)."""
    return log_mel(model, random_audio(model.config, 1, steps, seed)[0].numpy())


@pytest.mark.parametrize("of", ["logit", "p_shift"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_equals_finite_differences(config: ModelConfig, of: subject.Score) -> None:
    model, step, small = exact(config), 25, 1e-5
    mel = mel_of(model, 30)
    reach_s = 12 / config.frame_rate_hz
    found = connectivity(model, mel, step, 1, reach_s, of)
    end = (step + 1) * config.encoder.stride

    def said(frames: Tensor) -> float:
        with torch.no_grad():
            logit = model.forward_mel(frames[None], model.init_mel_state(1))[0].next[0, 1, step]
        return float(logit if of == "logit" else torch.sigmoid(logit))

    rng = np.random.default_rng(1)
    assert len(found) == 12 * config.encoder.stride
    for _ in range(25):
        back, speaker, band = (
            rng.integers(len(found)),
            rng.integers(2),
            rng.integers(config.features.mel_bins),
        )
        changed = [mel.clone(), mel.clone()]
        changed[0][speaker, end - 1 - back, band] += small
        changed[1][speaker, end - 1 - back, band] -= small
        difference = (said(changed[0]) - said(changed[1])) / (2 * small)
        assert float(found[-1 - back, speaker, band]) == pytest.approx(
            difference, rel=1e-4, abs=1e-9
        )


def test_beyond_the_receptive_field_only_a_recurrent_layer_reaches() -> None:
    none = RecurrentConfig("none", 8)
    kinds = {"none": none, "gru": RecurrentConfig("gru", 8)}
    field = receptive_field(TINY.encoder).size
    reached: dict[str, Tensor] = {}
    for name, kind in kinds.items():
        model = exact(
            ModelConfig(
                features=TINY.features, encoder=TINY.encoder, speaker_rnn=none, dialogue_rnn=kind
            )
        )
        reached[name] = (
            connectivity(model, mel_of(model, 60), 59, 1, 1.0).abs().sum(dim=(1, 2)).flip(0)
        )
    assert reached["none"][:field].sum() > 0
    assert reached["none"][field:].sum() == 0
    assert (reached["gru"][field:] > 0).all()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_is_zero_in_the_future(config: ModelConfig) -> None:
    model, step, stride = exact(config), 9, config.encoder.stride
    mel = mel_of(model, 15)
    (gradient,) = score_gradients(
        model, mel[None], model.init_mel_state(1), torch.tensor([[step]]), torch.tensor([0])
    )
    assert gradient[0, :, (step + 1) * stride :].abs().max() == 0
    assert gradient[0, :, : (step + 1) * stride].abs().max() > 0


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_swapping_the_channels_swaps_the_picture(config: ModelConfig) -> None:
    model = exact(config)
    mel = mel_of(model, 30)
    found, swapped = (
        connectivity(model, mel, 28, 0, 0.4),
        connectivity(model, mel.flip(0), 28, 1, 0.4),
    )
    torch.testing.assert_close(swapped, found.flip(1), rtol=1e-9, atol=1e-12)
    assert (found - found.flip(1)).abs().max() > 1e-4  # so that not swapping would be seen


def test_the_state_before_the_reach_is_the_true_one() -> None:
    model = exact(TINY)
    mel = mel_of(model, 100)
    near, far = connectivity(model, mel, 99, 1, 0.4), connectivity(model, mel, 99, 1, 2.0)
    torch.testing.assert_close(near, far[-len(near) :], rtol=1e-9, atol=1e-12)
    forgotten = score_gradients(
        model, mel[None, :, 80:], model.init_mel_state(1), torch.tensor([[19]]), torch.tensor([1])
    )[0, 0].transpose(0, 1)
    assert (forgotten - near).abs().max() > 1e-3 * near.abs().max()


def test_states_are_those_of_a_single_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnstream.models.evaluation.torch_runner.BLOCK_S", 0.2)
    model = exact(TINY)
    mel = mel_of(model, 50)
    states = states_before(model, mel, [33, 0, 47])
    assert states[0].abs().max() == 0
    with torch.no_grad():
        torch.testing.assert_close(
            states[47], model.forward_mel(mel[None, :, :47], model.init_mel_state(1))[1]
        )
        torch.testing.assert_close(
            states[33], model.forward_mel(mel[None, :, :33], model.init_mel_state(1))[1]
        )


def test_averages_are_those_of_single_silences(
    tiny_checkpoint: Path, tiny_collection: Collection
) -> None:
    model, reach_s = load_network(tiny_checkpoint), 4.4  # further than the first silence goes back
    mels = [log_mel(model, sound_at(tiny_collection, number, 16000)) for number in range(3)]
    found = connect(model, tiny_collection, reach_s)
    for moment, into_s in enumerate(found.into_s):
        readings, events = silence_readings(tiny_collection, into_s)
        single = []
        for place, event in enumerate(events):
            gradient = (
                connectivity(
                    model,
                    mels[event.number],
                    int(readings.steps(50)[place]),
                    int(readings.speaker[place]),
                    reach_s,
                )
                .abs()
                .flip(0)
                .numpy()
            )
            padded = np.full((220, 2, 16), np.nan)
            padded[: len(gradient)] = gradient[:, [event.speaker, 1 - event.speaker]]
            single.append(padded)
            decay = fit_decay(gradient.sum(axis=(1, 2))[None], 50, found.encoder_frames)
            assert found.half_s[place, moment] == pytest.approx(decay.time_within()[0], rel=1e-2)
        for kind in (0, 1):
            chosen = np.array([event.kind == subject.KINDS[kind] for event in events])
            known = np.isfinite(single).any(axis=0)
            expected = np.nanmean(np.array(single)[chosen], axis=0, where=known)
            np.testing.assert_allclose(
                found.picture[moment, kind][: len(expected)], expected, rtol=2e-3, atol=1e-7
            )
            np.testing.assert_allclose(
                found.curves[moment, kind], expected.sum(axis=-1), rtol=2e-3, atol=1e-6
            )


def leaky(half_life_s: float) -> TurnModel:
    """A network whose only memory, beyond its encoder, leaks by half in so many seconds."""
    none = RecurrentConfig("none", 8)
    config = replace(TINY, speaker_rnn=none, dialogue_rnn=RecurrentConfig("gru", 8))
    model = random_model(config)
    cell, hidden = model.dialogue_rnn.cell, 8
    keep = 0.5 ** (1 / (50 * half_life_s))
    with torch.no_grad():
        cell.weight_hh_l0.zero_()
        cell.bias_hh_l0.zero_()
        cell.weight_ih_l0[: 2 * hidden] = 0  # gates do not depend on what is heard
        cell.weight_ih_l0[2 * hidden :] *= 0.05  # far from the bends of tanh
        cell.bias_ih_l0.zero_()
        cell.bias_ih_l0[hidden : 2 * hidden] = np.log(keep / (1 - keep))  # the update gate
    return model


@pytest.mark.parametrize("reach_s", [2.0, 4.0, 60.0])
def test_a_planted_memory_has_its_half_life_at_any_reach(
    tiny_collection: Collection, reach_s: float
) -> None:
    found = connect(leaky(0.6), tiny_collection, reach_s, into_s=(0.25,))
    for kind in (0, 1):
        decay = found.decay(0, kind)
        assert decay.constant_s[0] * np.log(2) == pytest.approx(0.6, rel=0.2)
        # The newest frames, which the encoder weighs in its own way, count as well.
        assert 0.3 < found.time_within(0, kind).value < 0.9


def test_work_that_was_cut_short_is_gone_on_with(
    tiny_checkpoint: Path,
    tiny_collection: Collection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, npz = load_network(tiny_checkpoint), tmp_path / "numbers.npz"
    whole = connect(model, tiny_collection, 0.4)
    sounds: list[int] = []

    def sound(collection: Collection, number: int, rate_hz: int) -> np.ndarray:
        sounds.append(number)
        if len(sounds) == 2:
            raise KeyboardInterrupt
        return sound_at(collection, number, rate_hz)

    monkeypatch.setattr(subject, "sound_at", sound)
    with pytest.raises(KeyboardInterrupt):
        connect(model, tiny_collection, 0.4, kept=npz)
    arguments = [
        "latents",
        "connectivity",
        str(tiny_collection.folder),
        "--out",
        str(tmp_path / "c.png"),
        "--npz",
        str(npz),
        "--reach",
        "0.4",
    ]
    assert main([*arguments, "--model", str(tiny_checkpoint)]) == 0
    assert sounds == [0, 1, 1, 2]
    with np.load(npz) as saved:
        np.testing.assert_allclose(saved["curves"], whole.curves)
        assert saved["half_life_s"].shape == (2, 2, 3)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".parts"] == []
    said = capsys.readouterr().out
    assert "0.4 s before, over" in said
    assert ("Nothing beyond the encoder's reach" in said) == (
        round(0.4 * 50) <= receptive_field(TINY.encoder).size
    )
    assert "nan" not in said


def test_parts_of_other_settings_are_not_used(
    tiny_checkpoint: Path, tiny_collection: Collection, tmp_path: Path
) -> None:
    model = load_network(tiny_checkpoint)
    connect(model, tiny_collection, 0.4, kept=tmp_path / "numbers.npz")
    again = connect(model, tiny_collection, 0.2, kept=tmp_path / "numbers.npz")
    np.testing.assert_allclose(again.curves, connect(model, tiny_collection, 0.2).curves)


@pytest.mark.parametrize("beyond", [0, 1, 2, 40])
def test_the_caption_says_only_what_was_looked_at(
    tiny_checkpoint: Path, tiny_collection: Collection, beyond: int
) -> None:
    reach = receptive_field(TINY.encoder).size + beyond
    words = describe(connect(load_network(tiny_checkpoint), tiny_collection, reach / 50))
    assert ("all that was looked at" in words) == (beyond == 0)
    assert ("the rest by recurrence alone" in words) == (beyond > 0)
    assert "nan" not in words


def test_a_reach_of_nothing_is_refused() -> None:
    model = exact(TINY)
    for reach_s in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="expected a reach of at least a step"):
            connectivity(model, mel_of(model, 5), 3, 0, reach_s)
    with pytest.raises(ConfigError, match="expected a step of the dialogue's 5, got 5"):
        connectivity(model, mel_of(model, 5), 5, 0)
