from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from turnstream.models.config import ModelConfig, RecurrentConfig
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.memory import connectivity as subject
from turnstream.models.latents.memory.connectivity import connect, connectivity, states_before
from turnstream.models.latents.memory.connectivity_view import describe
from turnstream.models.latents.memory.decay import fit_decay
from turnstream.models.latents.memory.readings import log_mel, silence_readings, sound_at
from turnstream.models.receptive_field import receptive_field
from turnstream.models.turn_model import TurnModel
from turnstream.stream.errors import ConfigError

from ....networks import CONFIGS, TINY, random_audio, random_model
from .conftest import Run


def exact(config: ModelConfig) -> TurnModel:
    return random_model(config).double()


def mel_of(model: TurnModel, steps: int, seed: int = 0) -> Tensor:
    """Log-mel frames of noise in bursts, (2, T, M)."""
    return log_mel(model, random_audio(model.config, 1, steps, seed)[0].numpy())


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_equals_finite_differences(config: ModelConfig) -> None:
    model, step, small = exact(config), 25, 1e-5
    mel = mel_of(model, 30)
    found = connectivity(model, mel, step, 1, 12 / config.frame_rate_hz)
    end = (step + 1) * config.encoder.stride

    def said(frames: Tensor) -> float:
        with torch.no_grad():
            state = model.init_mel_state(1)
            return float(model.forward_mel(frames[None], state)[0].next[0, 1, step])

    rng = np.random.default_rng(1)
    assert len(found) == 12 * config.encoder.stride
    for back, speaker, band in rng.integers((len(found), 2, mel.shape[2]), size=(25, 3)):
        moved = torch.zeros_like(mel)
        moved[speaker, end - 1 - back, band] = small
        difference = (said(mel + moved) - said(mel - moved)) / (2 * small)
        expected = pytest.approx(difference, rel=1e-4, abs=1e-9)
        assert float(found[-1 - back, speaker, band]) == expected


def test_beyond_the_receptive_field_only_a_recurrent_layer_reaches() -> None:
    none, field = RecurrentConfig("none", 8), receptive_field(TINY.encoder).size
    reached: dict[str, Tensor] = {}
    for kind in ("none", "gru"):
        config = replace(TINY, speaker_rnn=none, dialogue_rnn=RecurrentConfig(kind, 8))
        model = exact(config)
        found = connectivity(model, mel_of(model, 60), 59, 1, 1.0)
        reached[kind] = found.abs().sum(dim=(1, 2)).flip(0)
    assert reached["none"][:field].sum() > 0
    assert reached["none"][field:].sum() == 0
    assert (reached["gru"][field:] > 0).all()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_is_zero_in_the_future(config: ModelConfig) -> None:
    model, end = exact(config), 10 * config.encoder.stride
    mel, state = mel_of(model, 15)[None], model.init_mel_state(1)
    asked = torch.tensor([[9]]), torch.tensor([0])
    gradient = subject.logit_gradients(model, mel, state, *asked)[0, 0]
    assert gradient[:, end:].abs().max() == 0
    assert gradient[:, :end].abs().max() > 0


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_swapping_the_channels_swaps_the_picture(config: ModelConfig) -> None:
    model = exact(config)
    mel = mel_of(model, 30)
    found = connectivity(model, mel, 28, 0, 0.4)
    swapped = connectivity(model, mel.flip(0), 28, 1, 0.4)
    torch.testing.assert_close(swapped, found.flip(1), rtol=1e-9, atol=1e-12)
    assert (found - found.flip(1)).abs().max() > 1e-4  # so that not swapping would be seen


def test_the_state_before_the_reach_is_the_true_one() -> None:
    model = exact(TINY)
    mel = mel_of(model, 100)
    near, far = connectivity(model, mel, 99, 1, 0.4), connectivity(model, mel, 99, 1, 2.0)
    torch.testing.assert_close(near, far[-len(near) :], rtol=1e-9, atol=1e-12)
    late, state = mel[None, :, 80:], model.init_mel_state(1)
    asked = torch.tensor([[19]]), torch.tensor([1])
    forgotten = subject.logit_gradients(model, late, state, *asked)[0, 0]
    assert (forgotten.transpose(0, 1) - near).abs().max() > 1e-3 * near.abs().max()


def test_states_are_those_of_a_single_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnstream.models.evaluation.torch_runner.BLOCK_S", 0.2)
    model = exact(TINY)
    mel = mel_of(model, 50)
    states = states_before(model, mel, [33, 0, 47])
    assert states[0].abs().max() == 0
    for frame in (33, 47):
        with torch.no_grad():
            expected = model.forward_mel(mel[None, :, :frame], model.init_mel_state(1))[1]
        torch.testing.assert_close(states[frame], expected)


def test_averages_are_those_of_single_silences(tiny_collection: Collection) -> None:
    model, reach_s = random_model(TINY), 4.4  # further than the first silence goes back
    mels = [log_mel(model, sound_at(tiny_collection, number, 16000)) for number in range(3)]
    found = connect(model, tiny_collection, reach_s)
    for moment, into_s in enumerate(subject.INTO_S):
        readings, events = silence_readings(tiny_collection, into_s)
        single = np.full((len(events), 220, 2, 16), np.nan)
        asked = zip(readings.steps(50).tolist(), readings.speaker.tolist(), strict=True)
        for place, (event, (step, speaker)) in enumerate(zip(events, asked, strict=True)):
            gradient = connectivity(model, mels[event.number], step, speaker, reach_s)
            sizes = gradient.abs().flip(0).numpy()
            single[place, : len(sizes)] = sizes[:, [event.speaker, 1 - event.speaker]]
            decay = fit_decay(sizes.sum(axis=(1, 2))[None], 50, found.encoder_frames)
            assert found.half_s[place, moment] == pytest.approx(decay.time_within()[0], rel=1e-2)
        for kind in (0, 1):
            chosen = readings.happened == (kind == 0)
            expected = np.nanmean(single[chosen], axis=0)
            np.testing.assert_allclose(found.picture[moment, kind], expected, 2e-3, 1e-7)
            summed = expected.sum(axis=-1)
            np.testing.assert_allclose(found.curves[moment, kind], summed, 2e-3, 1e-6)


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
    tiny_collection: Collection, reach_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "INTO_S", (0.25,))
    found = connect(leaky(0.6), tiny_collection, reach_s)
    for kind in (0, 1):
        decay = found.decay(0, kind)
        assert decay.constant_s[0] * np.log(2) == pytest.approx(0.6, rel=0.2)
        # The newest frames, which the encoder weighs in its own way, count as well.
        assert 0.3 < found.time_within(0, kind).value < 0.9


def test_work_that_was_cut_short_is_resumed(
    latents: Run, tiny_collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, npz = random_model(TINY), tmp_path / "numbers.npz"
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
    status, said = latents("connectivity", "--out c.png --npz numbers.npz --reach 0.4")
    assert (status, "0.4 s before, over" in said) == (0, True)
    assert sounds == [0, 1, 1, 2]
    with np.load(npz) as saved:
        np.testing.assert_allclose(saved["curves"], whole.curves)
        assert saved["half_life_s"].shape == (2, 2, 3)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".parts"] == []


def test_parts_of_other_settings_are_not_used(tiny_collection: Collection, tmp_path: Path) -> None:
    model, kept = random_model(TINY), tmp_path / "numbers.npz"
    connect(model, tiny_collection, 0.4, kept=kept)
    again, expected = (connect(model, tiny_collection, 0.2, kept=path) for path in (kept, None))
    np.testing.assert_allclose(again.curves, expected.curves)


@pytest.mark.parametrize("beyond", [0, 1, 2, 40])
def test_the_caption_says_only_what_was_looked_at(tiny_collection: Collection, beyond: int) -> None:
    reach = receptive_field(TINY.encoder).size + beyond
    words = describe(connect(random_model(TINY), tiny_collection, reach / 50))
    assert ("all that was looked at" in words) == (beyond == 0)
    assert ("the rest by recurrence alone" in words) == (beyond > 0)
    assert "nan" not in words


def test_a_step_that_is_not_there_is_refused() -> None:
    model = exact(TINY)
    with pytest.raises(ConfigError, match="expected a step of the dialogue's 5, got 5"):
        connectivity(model, mel_of(model, 5), 5, 0)
