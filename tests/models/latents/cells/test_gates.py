"""Gates recomputed from the weights give PyTorch's own states; a wrong formula is noticed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from turnstream.models.config import RecurrentConfig
from turnstream.models.evaluation.torch_runner import run_dialogue
from turnstream.models.latents.cells.gates import listen_inside, recorded, unrolled
from turnstream.models.recurrent import Recurrent
from turnstream.models.turn_model import TurnModel

from ....networks import TINY, random_audio, random_model, zero_state

BLOCK = "turnstream.models.evaluation.torch_runner.BLOCK_S"
GATED = pytest.mark.parametrize("kind", ["gru", "lstm"])


def network(kind: Any, layers: int = 1) -> TurnModel:
    speaker, dialogue = (RecurrentConfig(kind, size, layers) for size in (6, 5))
    return random_model(replace(TINY, speaker_rnn=speaker, dialogue_rnn=dialogue))


def audio_for(model: TurnModel, frames: int) -> np.ndarray:
    return random_audio(model.config, 1, frames)[0].numpy()


def inside_of(model: TurnModel, audio: np.ndarray) -> list[dict[str, dict[str, Tensor]]]:
    return [inside for _, _, inside in listen_inside(model, audio)]


def lone_rnn(kind: Any, layers: int = 1) -> tuple[Recurrent, Tensor, dict[str, Tensor]]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        rnn = Recurrent(RecurrentConfig(kind, 7, layers), 4)
        for parameter in rnn.parameters():
            parameter.data.mul_(3)
        x = torch.randn(3, 40, 4)
        state = {name: torch.randn(3, layers, 7) for name in rnn.state_shapes()}
    return rnn, x, state


def assert_close(found: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn"])
def test_recomputed_states_are_pytorchs(kind: str, layers: int) -> None:
    rnn, x, state = lone_rnn(kind, layers)
    with torch.inference_mode():
        y, after = rnn(x, state)
    values = unrolled(rnn, x, state)
    assert values["h"].shape == (40, 3, layers, 7)
    assert_close(values["h"][:, :, -1].transpose(0, 1), y)
    for name, last in after.items():
        assert_close(values[name][-1], last)


@GATED
def test_gates_make_the_states_that_pytorch_makes_one_step_at_a_time(kind: str) -> None:
    """PyTorch's cell modules, another implementation, take the same steps."""
    rnn, x, state = lone_rnn(kind)
    cell = (torch.nn.GRUCell if kind == "gru" else torch.nn.LSTMCell)(4, 7)
    weights = rnn.cell.state_dict().items()
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in weights})
    values = {name: value[:, :, 0] for name, value in unrolled(rnn, x, state).items()}
    h, c = state["h"][:, 0], state["c"][:, 0] if kind == "lstm" else None
    with torch.inference_mode():
        for step in range(40):
            now = {name: value[step] for name, value in values.items()}
            if kind == "gru":
                before, h = h, cell(x[:, step], h)
                assert_close((1 - now["update"]) * now["new"] + now["update"] * before, h, 1e-6)
            else:
                h, c = cell(x[:, step], (h, c))
                assert_close(now["c"], c)
                assert_close(now["output"] * now["tanh_c"], h, 1e-6)


def test_a_gru_whose_gates_are_exchanged_is_far_from_pytorchs() -> None:
    rnn, x, state = lone_rnn("gru")
    right = unrolled(rnn, x, state)["h"]
    rnn.cell.weight_ih_l0.data = rnn.cell.weight_ih_l0.data.roll(7, 0)  # reset where update was
    assert (unrolled(rnn, x, state)["h"] - right).abs().max() > 1e-2


def test_forcing_the_update_gate_open_keeps_the_state() -> None:
    rnn, x, state = lone_rnn("gru")
    rnn.cell.bias_ih_l0.data[7:14] = 50
    values = unrolled(rnn, x, state)
    assert values["update"].min() > 0.999
    assert_close(values["h"][-1], state["h"])


@GATED
@pytest.mark.parametrize("layers", [1, 2])
def test_inside_the_network_states_are_its_latents_block_by_block(
    kind: str, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BLOCK, 0.5)
    model = network(kind, layers)
    blocks = list(listen_inside(model, audio_for(model, 60)))
    assert len(blocks) == 3
    for output, _, inside in blocks:
        for layer in ("latent_speaker", "latent"):
            latent = getattr(output, layer)[0].transpose(0, 1)  # (T, 2, H)
            assert inside[layer]["h"].shape == (*latent.shape[:2], layers, latent.shape[2])
            assert_close(inside[layer]["h"][:, :, -1], latent)


@GATED
def test_chunks_do_not_change_gates(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(kind, 2)
    audio = audio_for(model, 60)
    (whole,) = inside_of(model, audio)
    monkeypatch.setattr(BLOCK, 0.14)
    pieces = inside_of(model, audio)
    assert len(pieces) == 9
    for layer, values in whole.items():
        for name, expected in values.items():
            assert_close(torch.cat([piece[layer][name] for piece in pieces]), expected)
    # Without the state of the chunk before it is another thing.
    chunks = [audio[:, start : start + 7 * 320] for start in range(0, audio.shape[1], 7 * 320)]
    forgetful = torch.cat([inside_of(model, chunk)[0]["latent"]["h"] for chunk in chunks])
    assert (forgetful - whole["latent"]["h"]).abs().max() > 1e-2


def test_mel_frames_give_the_gates_of_the_audio() -> None:
    model = network("gru")
    audio = random_audio(model.config, 1, 30)
    (expected,) = inside_of(model, audio[0].numpy())
    with torch.inference_mode(), recorded(model) as last:
        mel, _ = model.features(audio.flatten(0, 1), zero_state(model.features.state_shapes(), 2))
        model.forward_mel(mel[None], model.init_mel_state())
        found = last()
    assert_close(found["latent"]["reset"], expected["latent"]["reset"])


def test_hooks_are_gone_afterwards() -> None:
    model = network("gru")
    inside_of(model, audio_for(model, 10))
    assert not model.speaker_rnn._forward_pre_hooks
    assert len(list(run_dialogue(model, audio_for(model, 10)))) == 1


def test_a_layer_without_gates_has_no_gates_inside() -> None:
    rnns = {"speaker_rnn": RecurrentConfig("none", 6), "dialogue_rnn": RecurrentConfig("rnn", 5)}
    mixed = random_model(replace(TINY, **rnns))
    (inside,) = inside_of(mixed, audio_for(mixed, 10))
    assert inside["latent_speaker"] == {}
    assert set(inside["latent"]) == {"h"}
