"""A network on disk: a folder with its weights (model.safetensors) and its configuration (config.json)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..stream.errors import ConfigError
from .config import EncoderConfig, FeatureConfig, ModelConfig, RecurrentConfig, from_plain
from .encoder import Encoder
from .recurrent import Recurrent
from .turn_model import TurnModel

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
_ENCODER, _SPEAKER_RNN = "encoder.", "speaker_rnn."  # before the names of their weights


def bundled_checkpoint() -> Path:
    """Folder of the checkpoint that is installed with the package."""
    return Path(str(files("turnstream.models.weights")))


def save_checkpoint(model: TurnModel, folder: Path) -> None:
    """Write a network; the folder is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(model.config.to_json() + "\n")
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()},
        folder / WEIGHTS_FILE,
    )


def load_checkpoint(folder: Path) -> TurnModel:
    """Read a network, in evaluation mode.

    Raises:
        ConfigError: a file is missing, or damaged, or the weights are of another configuration.
    """
    _refuse_missing_files(folder)
    model = TurnModel(ModelConfig.from_json((folder / CONFIG_FILE).read_text()))
    try:
        model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"{folder / WEIGHTS_FILE}: expected weights that fit {CONFIG_FILE}: {_first_lines(error)}"
        ) from None
    return model.eval()


@dataclass(frozen=True)
class EncoderCheckpoint:
    """A trained encoder, with the features that it hears."""

    features: FeatureConfig
    config: EncoderConfig
    weights: dict[str, Tensor]
    speaker_rnn: RecurrentConfig | None = None
    speaker_rnn_weights: dict[str, Tensor] = field(default_factory=dict[str, Tensor])


def load_encoder(folder: Path) -> EncoderCheckpoint:
    """Read the encoder of a checkpoint, and its per-speaker RNN where it has one: of a network, or of pre-training (`turnstream pretrain`).

    Raises:
        ConfigError: a file is missing or damaged, or there is no encoder in it.
    """
    _refuse_missing_files(folder)
    try:
        plain = json.loads((folder / CONFIG_FILE).read_text())
        stored = load_file(folder / WEIGHTS_FILE)
        features, config = (
            from_plain(FeatureConfig, plain["features"], "features"),
            from_plain(EncoderConfig, plain["encoder"], "encoder"),
        )
        encoder = Encoder(config, features.mel_bins)
        encoder.load_state_dict(_under(stored, _ENCODER))
        rnn = None
        if "speaker_rnn" in plain:
            rnn = from_plain(RecurrentConfig, plain["speaker_rnn"], "speaker_rnn")
            Recurrent(rnn, config.out_channels).load_state_dict(_under(stored, _SPEAKER_RNN))
    except (SafetensorError, RuntimeError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            f"{folder}: expected a checkpoint with an encoder: {_first_lines(error)}"
        ) from None
    return EncoderCheckpoint(
        features, config, encoder.state_dict(), rnn, _under(stored, _SPEAKER_RNN)
    )


def _under(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }


def weights_sha256(model: TurnModel) -> str:
    """Hash of all weights, by name and value; an exported file names the same one."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().to(torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def _refuse_missing_files(folder: Path) -> None:
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise ConfigError(
                f"expected a checkpoint folder with {CONFIG_FILE} and {WEIGHTS_FILE}, got {str(folder)!r} without {name}"
            )


def _first_lines(error: Exception) -> str:
    return " ".join(
        line.strip() for line in str(error).splitlines()[:2]
    )  # the first of many mismatches is enough
