import dataclasses
import json
from pathlib import Path

import pytest
import torch

from turnstream.models.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    load_checkpoint,
    load_encoder,
    save_checkpoint,
)
from turnstream.models.config import RecurrentConfig
from turnstream.stream.errors import ConfigError

from ..networks import CONFIGS, random_audio, random_model, whole_conversation


@pytest.mark.parametrize("name", CONFIGS)
def test_a_network_comes_back_from_disk_with_the_same_numbers(name: str, tmp_path: Path) -> None:
    model = random_model(CONFIGS[name])
    save_checkpoint(model.train(), tmp_path / "new" / "folder")
    loaded = load_checkpoint(tmp_path / "new" / "folder")
    assert loaded.config == model.config
    assert not loaded.training
    audio = random_audio(model.config, 1, 10)
    for ours, theirs in zip(
        whole_conversation(model.eval(), audio), whole_conversation(loaded, audio), strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("file", [CONFIG_FILE, WEIGHTS_FILE])
def test_a_missing_file_is_named(file: str, tmp_path: Path) -> None:
    save_checkpoint(random_model(CONFIGS["tiny"]), tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(
        ConfigError,
        match=(
            "expected a checkpoint folder with config.json and model.safetensors, got .* "
            f"without {file}"
        ),
    ):
        load_checkpoint(tmp_path)


def test_weights_of_another_configuration_are_refused(tmp_path: Path) -> None:
    save_checkpoint(random_model(CONFIGS["tiny"]), tmp_path)
    other = dataclasses.replace(CONFIGS["tiny"], dialogue_rnn=RecurrentConfig("gru", 11))
    (tmp_path / CONFIG_FILE).write_text(other.to_json())
    with pytest.raises(
        ConfigError, match=r"expected weights that fit config.json: .*dialogue_rnn"
    ) as caught:
        load_checkpoint(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x10\x00\x00\x00\x00\x00\x00\x00{}"])
def test_damaged_weights_are_refused(content: bytes, tmp_path: Path) -> None:
    save_checkpoint(random_model(CONFIGS["tiny"]), tmp_path)
    (tmp_path / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(ConfigError, match=r"expected weights that fit config.json"):
        load_checkpoint(tmp_path)


def test_a_damaged_configuration_is_refused(tmp_path: Path) -> None:
    save_checkpoint(random_model(CONFIGS["tiny"]), tmp_path)
    (tmp_path / CONFIG_FILE).write_text('{"channels": ')
    with pytest.raises(ConfigError, match="expected a model configuration in JSON"):
        load_checkpoint(tmp_path)


def test_the_encoder_alone_is_read_whatever_else_is_there(tmp_path: Path) -> None:
    model = random_model(CONFIGS["tiny"])
    save_checkpoint(model, tmp_path)
    described = json.loads((tmp_path / CONFIG_FILE).read_text())
    (tmp_path / CONFIG_FILE).write_text(
        json.dumps({name: described[name] for name in ("features", "encoder")} | {"method": "cpc"})
    )
    given = load_encoder(tmp_path)
    assert (given.features, given.config) == (model.config.features, model.config.encoder)
    assert (given.speaker_rnn, set(given.weights)) == (None, set(model.encoder.state_dict()))
    assert all(
        torch.equal(tensor, given.weights[name])
        for name, tensor in model.encoder.state_dict().items()
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_the_per_speaker_rnn_is_read_with_the_encoder(name: str, tmp_path: Path) -> None:
    model = random_model(CONFIGS[name])
    save_checkpoint(model, tmp_path)
    given = load_encoder(tmp_path)
    assert given.speaker_rnn == model.config.speaker_rnn
    weights = model.speaker_rnn.state_dict()
    assert set(given.speaker_rnn_weights) == set(weights)
    assert all(
        torch.equal(tensor, given.speaker_rnn_weights[name]) for name, tensor in weights.items()
    )


def test_a_per_speaker_rnn_that_is_not_as_described_is_refused(tmp_path: Path) -> None:
    save_checkpoint(random_model(CONFIGS["tiny"]), tmp_path)
    described = json.loads((tmp_path / CONFIG_FILE).read_text())
    described["speaker_rnn"]["hidden"] += 1
    (tmp_path / CONFIG_FILE).write_text(json.dumps(described))
    with pytest.raises(ConfigError, match="expected a checkpoint with an encoder: "):
        load_encoder(tmp_path)


@pytest.mark.parametrize(
    "described", ["{}", "[]", "{", '{"features": {}, "encoder": {"channels": 7}}']
)
def test_a_checkpoint_without_that_encoder_is_refused(described: str, tmp_path: Path) -> None:
    save_checkpoint(random_model(CONFIGS["tiny"]), tmp_path)
    (tmp_path / CONFIG_FILE).write_text(described)
    with pytest.raises(ConfigError, match="expected a checkpoint with an encoder: ") as caught:
        load_encoder(tmp_path)
    assert "\n" not in str(caught.value)
