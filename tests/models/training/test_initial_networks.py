"""A training can begin with an encoder or with a whole network."""

import dataclasses
from pathlib import Path

import pytest
import torch

from turnstream.models.checkpoint import save_checkpoint
from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.training.loop import new_network, train
from turnstream.stream.errors import ConfigError

from ...networks import TINY, random_model
from .short_runs import SETTINGS


@pytest.mark.parametrize("frozen", [True, False])
def test_a_given_encoder_is_begun_with_and_learns_on_unless_it_is_frozen(
    frozen: bool, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    given = random_model(TINY)
    save_checkpoint(given, tmp_path / "given")
    settings = dataclasses.replace(SETTINGS, encoder=str(tmp_path / "given"), freeze_encoder=frozen)
    weights, begun = given.encoder.state_dict(), new_network(settings)
    assert all(
        torch.equal(tensor, weights[name]) for name, tensor in begun.encoder.state_dict().items()
    )
    assert not torch.equal(begun.heads.weight, given.heads.weight)
    trained = train(settings, dialogues, tmp_path / "run")
    assert all(
        torch.equal(tensor, weights[name]) == frozen
        for name, tensor in trained.encoder.state_dict().items()
    )
    assert not torch.equal(trained.heads.weight, begun.heads.weight)


def test_a_whole_network_is_begun_with(dialogues: list[Dialogue], tmp_path: Path) -> None:
    given = random_model(TINY)
    save_checkpoint(given, tmp_path / "given")
    settings = dataclasses.replace(
        SETTINGS, initial=str(tmp_path / "given"), freeze_encoder=True, given_rate=0.1
    )
    begun = new_network(settings)
    assert all(
        torch.equal(tensor, given.state_dict()[name]) for name, tensor in begun.state_dict().items()
    )
    trained = train(settings, dialogues, tmp_path / "run")
    assert all(
        torch.equal(tensor, given.encoder.state_dict()[name])
        for name, tensor in trained.encoder.state_dict().items()
    )
    assert not torch.equal(
        next(trained.speaker_rnn.parameters()), next(given.speaker_rnn.parameters())
    )
    assert not torch.equal(trained.heads.weight, given.heads.weight)
    other = dataclasses.replace(TINY, dialogue_rnn=dataclasses.replace(TINY.dialogue_rnn, hidden=9))
    with pytest.raises(
        ConfigError, match=r"expected the shape of .*given, .*hidden=10.*, got .*hidden=9"
    ):
        new_network(dataclasses.replace(settings, model=other))
    with pytest.raises(
        ConfigError, match=r"expected an encoder or a whole network to begin with, got both"
    ):
        dataclasses.replace(settings, encoder=str(tmp_path / "given"))


def test_an_encoder_of_another_shape_is_refused(tmp_path: Path) -> None:
    save_checkpoint(random_model(TINY), tmp_path)
    other = dataclasses.replace(TINY, encoder=dataclasses.replace(TINY.encoder, channels=7))
    with pytest.raises(
        ConfigError,
        match=r"expected a network with the encoder of .*channels=\d+.*, got .*channels=7",
    ):
        new_network(dataclasses.replace(SETTINGS, model=other, encoder=str(tmp_path)))
