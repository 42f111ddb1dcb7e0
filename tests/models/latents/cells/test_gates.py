"""Gates recomputed from the weights give PyTorch's own states; a wrong formula is noticed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from turnstream.models.config import ModelConfig, RecurrentConfig
from turnstream.models.evaluation.torch_runner import run_dialogue
from turnstream.models.latents.cells.gates import listen_inside, recorded, unrolled
from turnstream.models.recurrent import Recurrent
from turnstream.models.turn_model import TurnModel

from ....networks import TINY, random_audio, random_model, zero_state


def network(kind: str, layers: int = 1) -> TurnModel:
    rnn: ModelConfig = replace(
        TINY,
        speaker_rnn=RecurrentConfig(kind, 6, layers),
        dialogue_rnn=RecurrentConfig(kind, 5, layers),
    )  # pyright: ignore
    return random_model(rnn)


def lone_rnn(kind: str, layers: int) -> tuple[Recurrent, Tensor, dict[str, Tensor]]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        rnn = Recurrent(RecurrentConfig(kind, 7, layers), 4)  # pyright: ignore[reportArgumentType]
        for parameter in rnn.parameters():
            parameter.data.mul_(3)
        x = torch.randn(3, 40, 4)
        state = {name: torch.randn(3, layers, 7) for name in rnn.state_shapes()}
    return rnn, x, state


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn"])
def test_recomputed_states_are_pytorchs(kind: str, layers: int) -> None:
    rnn, x, state = lone_rnn(kind, layers)
    with torch.inference_mode():
        y, after = rnn(x, state)
    values = unrolled(rnn, x, state)
    assert values["h"].shape == (40, 3, layers, 7)
    torch.testing.assert_close(values["h"][:, :, -1].transpose(0, 1), y, atol=1e-5, rtol=0)
    for name, last in after.items():
        torch.testing.assert_close(values[name][-1], last, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_gates_make_the_states_that_pytorch_makes_one_step_at_a_time(kind: str) -> None:
    """PyTorch's cell modules, another implementation, take the same steps."""
    rnn, x, state = lone_rnn(kind, 1)
    cell = (torch.nn.GRUCell if kind == "gru" else torch.nn.LSTMCell)(4, 7)
    cell.load_state_dict(
        {name.removesuffix("_l0"): value for name, value in rnn.cell.state_dict().items()}
    )
    values = unrolled(rnn, x, state)
    h, c = state["h"][:, 0], state["c"][:, 0] if kind == "lstm" else None
    with torch.inference_mode():
        for step in range(40):
            if kind == "gru":
                before, h = h, cell(x[:, step], h)
                update, new = values["update"][step, :, 0], values["new"][step, :, 0]
                torch.testing.assert_close(
                    (1 - update) * new + update * before, h, atol=1e-6, rtol=0
                )
            else:
                h, c = cell(x[:, step], (h, c))
                torch.testing.assert_close(values["c"][step, :, 0], c, atol=1e-5, rtol=0)
                torch.testing.assert_close(
                    values["output"][step, :, 0] * values["tanh_c"][step, :, 0],
                    h,
                    atol=1e-6,
                    rtol=0,
                )


def test_a_gru_whose_gates_are_exchanged_is_far_from_pytorchs() -> None:
    rnn, x, state = lone_rnn("gru", 1)
    right = unrolled(rnn, x, state)["h"]
    rnn.cell.weight_ih_l0.data = rnn.cell.weight_ih_l0.data.roll(7, 0)  # reset where update was
    assert (unrolled(rnn, x, state)["h"] - right).abs().max() > 1e-2


def test_forcing_the_update_gate_open_keeps_the_state() -> None:
    rnn, x, state = lone_rnn("gru", 1)
    rnn.cell.bias_ih_l0.data[7:14] = 50
    values = unrolled(rnn, x, state)
    assert values["update"].min() > 0.999
    torch.testing.assert_close(values["h"][-1], state["h"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("kind", "layers"), [("gru", 1), ("gru", 2), ("lstm", 1), ("lstm", 2)])
def test_inside_the_network_states_are_its_latents_block_by_block(
    kind: str, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turnstream.models.evaluation.torch_runner.BLOCK_S", 0.5)
    model = network(kind, layers)
    audio = random_audio(model.config, 1, 60)[0].numpy()
    blocks = 0
    for output, _, inside in listen_inside(model, audio):
        for layer in ("latent_speaker", "latent"):
            latent = getattr(output, layer)[0].transpose(0, 1)  # (T, 2, H)
            assert inside[layer]["h"].shape == (*latent.shape[:2], layers, latent.shape[2])
            torch.testing.assert_close(inside[layer]["h"][:, :, -1], latent, atol=1e-5, rtol=0)
        blocks += 1
    assert blocks == 3


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_chunks_do_not_change_gates(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(kind, 2)
    audio = random_audio(model.config, 1, 60)[0].numpy()
    (whole,) = [inside for _, _, inside in listen_inside(model, audio)]
    monkeypatch.setattr("turnstream.models.evaluation.torch_runner.BLOCK_S", 0.14)
    pieces = [inside for _, _, inside in listen_inside(model, audio)]
    assert len(pieces) == 9
    for layer, values in whole.items():
        for name, expected in values.items():
            found = torch.cat([piece[layer][name] for piece in pieces])
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    forgetful = torch.cat(
        [
            unrolled_from_nothing(model, audio[:, start : start + 7 * 320])
            for start in range(0, audio.shape[1], 7 * 320)
        ]
    )
    assert (forgetful - whole["latent"]["h"]).abs().max() > 1e-2


def unrolled_from_nothing(model: TurnModel, audio: np.ndarray) -> Tensor:
    return next(listen_inside(model, audio))[2]["latent"]["h"]


def test_mel_frames_give_the_gates_of_the_audio() -> None:
    model = network("gru")
    audio = random_audio(model.config, 1, 30)
    (expected,) = [inside for _, _, inside in listen_inside(model, audio[0].numpy())]
    with torch.inference_mode(), recorded(model) as last:
        mel, _ = model.features(audio.flatten(0, 1), zero_state(model.features.state_shapes(), 2))
        model.forward_mel(mel[None], model.init_mel_state())
        found = last()
    torch.testing.assert_close(
        found["latent"]["reset"], expected["latent"]["reset"], atol=1e-5, rtol=0
    )


def test_hooks_are_gone_afterwards() -> None:
    model = network("gru")
    audio = random_audio(model.config, 1, 10)[0].numpy()
    list(listen_inside(model, audio))
    assert not model.speaker_rnn._forward_pre_hooks
    assert len(list(run_dialogue(model, audio))) == 1


def test_a_layer_without_gates_has_no_gates_inside() -> None:
    mixed = random_model(
        replace(
            TINY, speaker_rnn=RecurrentConfig("none", 6), dialogue_rnn=RecurrentConfig("rnn", 5)
        )
    )
    inside = next(listen_inside(mixed, random_audio(mixed.config, 1, 10)[0].numpy()))[2]
    assert inside["latent_speaker"] == {}
    assert set(inside["latent"]) == {"h"}
