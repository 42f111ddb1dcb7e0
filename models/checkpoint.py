"""A network on disk: a folder with weights (model.safetensors) and configuration (config.json)."""

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
from .checkpoint_files import CONFIG_FILE, WEIGHTS_FILE, refuse_missing_files
from .config import EncoderConfig, FeatureConfig, ModelConfig, RecurrentConfig, from_plain
from .encoder import Encoder
from .recurrent import Recurrent
from .turn_model import TurnModel

_ENCODER, _SPEAKER_RNN = "encoder.", "speaker_rnn."  # prefixes of the names of their weights


def bundled_checkpoint() -> Path:
    """Return the folder of the checkpoint that is installed with the package."""
    return Path(str(files("turnstream.models.weights")))


def save_checkpoint(model: TurnModel, folder: Path) -> None:
    """Write weights and configuration of a network to `folder`, which is created if needed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(model.config.to_json() + "\n")
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()},
        folder / WEIGHTS_FILE,
    )


def load_checkpoint(folder: Path) -> TurnModel:
    """Return the network of a checkpoint folder, in evaluation mode.

    Raises:
        ConfigError: a file is missing or damaged, or the weights do not fit the configuration.
    """
    refuse_missing_files(folder)
    model = TurnModel(ModelConfig.from_json((folder / CONFIG_FILE).read_text()))
    try:
        model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"{folder / WEIGHTS_FILE}: expected weights that fit {CONFIG_FILE}: "
            f"{_first_lines(error)}"
        ) from None
    return model.eval()


@dataclass(frozen=True)
class EncoderCheckpoint:
    """A trained encoder, and the configuration of the features that it takes.

    Attributes:
        features: configuration of the log-mel features.
        config: configuration of the encoder.
        weights: weights of the encoder by name.
        speaker_rnn: configuration of the per-speaker RNN; None if the checkpoint has none.
        speaker_rnn_weights: weights of the per-speaker RNN by name.
    """

    features: FeatureConfig
    config: EncoderConfig
    weights: dict[str, Tensor]
    speaker_rnn: RecurrentConfig | None = None
    speaker_rnn_weights: dict[str, Tensor] = field(default_factory=dict[str, Tensor])


def load_encoder(folder: Path) -> EncoderCheckpoint:
    """Return the encoder of a checkpoint, and its per-speaker RNN if it has one.

    The checkpoint comes from `turnstream train` or from `turnstream pretrain`.

    Raises:
        ConfigError: a file is missing or damaged, or the checkpoint has no encoder.
    """
    refuse_missing_files(folder)
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
    """Return the SHA-256 of all weights, by name and value.

    An exported file stores the same hash.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().to(torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def _first_lines(error: Exception) -> str:
    # The first of many mismatches is enough.
    return " ".join(line.strip() for line in str(error).splitlines()[:2])
