"""Features, encoder and objective as one network, and its folder on disk.

config.json holds all settings; "features" and "encoder" in it have the same names as in any other
checkpoint. model.safetensors holds the weights; those of the encoder have the same names as in any
other checkpoint. So `checkpoint.load_encoder` reads both kinds.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...stream.errors import ConfigError
from ..checkpoint import CONFIG_FILE, WEIGHTS_FILE
from ..config import from_plain
from ..encoder import Encoder
from ..features import LogMel
from ..state import ShapeTree, StateLayout
from ..turn_model import pack_state, unpack_state
from .cpc import CPC
from .objectives import VQVAE, VQVAE2, Autoencoder, Judged
from .settings import PretrainingSettings

OBJECTIVES = {"autoencoder": Autoencoder, "vqvae": VQVAE, "vqvae2": VQVAE2, "cpc": CPC}


class PretrainingNetwork(nn.Module):
    """An encoder and its training objective.

    Args of forward:
        audio: samples in [-1, 1], (B, 2, N), N a multiple of the encoder's step.
        state: packed, (B, S), from `init_state` or the last call.
    Returns:
        The result of the objective, and the next state.
    """

    def __init__(self, settings: PretrainingSettings) -> None:
        super().__init__()
        self.settings = settings
        self.features = LogMel(settings.features)
        self.encoder = Encoder(settings.encoder, settings.features.mel_bins)
        self.objective = OBJECTIVES[settings.method](settings)
        self.layout = StateLayout.of(self.state_shapes())

    def state_shapes(self) -> dict[str, ShapeTree]:
        return {
            name: getattr(self, name).state_shapes()
            for name in ("features", "encoder", "objective")
        }

    def init_state(self, batch: int) -> Tensor:
        """Return the state before any audio, (batch, S)."""
        return next(self.parameters()).new_zeros(batch, self.layout.size)

    def forward(self, audio: Tensor, state: Tensor) -> tuple[Judged, Tensor]:
        before = unpack_state(state, self.state_shapes(), self.layout)
        mel, tail = self.features(audio.flatten(0, 1), before["features"])
        encoded, encoder = self.encoder(mel, before["encoder"])
        judged = self.objective(encoded, mel, before["objective"])
        return judged, pack_state(
            {"features": tail, "encoder": encoder, "objective": judged.state}, self.layout
        )


def save_network(network: PretrainingNetwork, folder: Path) -> None:
    """Write a network to a folder, which must exist."""
    (folder / CONFIG_FILE).write_text(
        json.dumps(dataclasses.asdict(network.settings), indent=1) + "\n"
    )
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()},
        folder / WEIGHTS_FILE,
    )


def load_network(folder: Path) -> PretrainingNetwork:
    """Return the network of a pre-training, in evaluation mode.

    Raises:
        ConfigError: a file is missing or damaged, or the folder is not that of a pre-training.
    """
    try:
        network = PretrainingNetwork(
            from_plain(
                PretrainingSettings,
                json.loads((folder / CONFIG_FILE).read_text()),
                str(folder / CONFIG_FILE),
            )
        )
        network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise ConfigError(
            f"{folder}: expected the folder of a pre-training (`turnstream pretrain`): {reason}"
        ) from None
    return network.eval()
