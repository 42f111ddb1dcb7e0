"""A network on disk: a folder with its weights (model.safetensors) and its configuration (config.json)."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .config import ModelConfig
from .errors import ConfigError
from .turn_model import TurnModel

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


def bundled_checkpoint() -> Path:
    """Folder of the checkpoint that is installed with the package."""
    return Path(str(files("turnstream.models.weights")))


def save_checkpoint(model: TurnModel, folder: Path) -> None:
    """Write a network; the folder is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(model.config.to_json() + "\n")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS_FILE)


def load_checkpoint(folder: Path) -> TurnModel:
    """Read a network, in evaluation mode.

    Raises:
        ConfigError: a file is missing, or damaged, or the weights are of another configuration.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise ConfigError(f"expected a checkpoint folder with {CONFIG_FILE} and {WEIGHTS_FILE}, got {str(folder)!r} without {name}")
    model = TurnModel(ModelConfig.from_json((folder / CONFIG_FILE).read_text()))
    try:
        model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (SafetensorError, RuntimeError, ValueError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])  # the first of many mismatches is enough
        raise ConfigError(f"{folder / WEIGHTS_FILE}: expected weights that fit {CONFIG_FILE}: {reason}") from None
    return model.eval()


def weights_sha256(model: TurnModel) -> str:
    """Hash of all weights, by name and value; an exported file names the same one."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().to(torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()
