"""The network of a distillation, and its folder on disk.

config.json, model.safetensors   settings and weights, as in every checkpoint (models/checkpoint.py)
places.npz                       the space of the teacher's embeddings, which maps the predicted
                                 components of a stop point back to an embedding
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from zipfile import BadZipFile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...stream.errors import ConfigError
from ..checkpoint import CONFIG_FILE, WEIGHTS_FILE
from ..config import FeatureConfig, from_plain
from ..encoder import Encoder
from ..features import LOG_MEAN, LOG_SCALE, LogMel
from ..recurrent import Recurrent
from ..state import ShapeTree, StateLayout
from ..teachers.stop_point_space import StopPointSpace
from ..turn_model import pack_rows, unpack_rows
from .settings import DistillationSettings

SPACE_FILE = "places.npz"


class DistilledNetwork(nn.Module):
    """Features, encoder and per-speaker RNN, named as in the turn-taking network, and three heads.

    Args of forward:
        audio, line, warp: see SpeechChunk, as tensors.
        state: packed, (B, S), from `init_state` or the last call.
    Returns:
        Predicted components of frames (B, T, K) and of stop points (B, T, E), turn completeness
        (B, T), each on the scale of its target, and the next state.
    """

    def __init__(self, settings: DistillationSettings) -> None:
        super().__init__()
        self.settings = settings
        self.features = LogMel(settings.features)
        self.encoder = Encoder(settings.encoder, settings.features.mel_bins)
        self.speaker_rnn = Recurrent(settings.speaker_rnn, settings.encoder.out_channels)
        # The names of the heads are those of the weights in every checkpoint.
        self.frame_head = nn.Linear(settings.speaker_rnn.hidden, settings.components)
        self.place_head = nn.Linear(settings.speaker_rnn.hidden, settings.place_components)
        self.told_head = nn.Linear(settings.speaker_rnn.hidden, 1)
        self.shapes: dict[str, ShapeTree] = {
            name: getattr(self, name).state_shapes()
            for name in ("features", "encoder", "speaker_rnn")
        }
        self.layout = StateLayout.of(self.shapes)

    def init_state(self, batch: int) -> Tensor:
        """Return the state before any audio, (batch, S); each row holds one speaker."""
        return next(self.parameters()).new_zeros(batch, self.layout.speaker_size)

    def forward(
        self, audio: Tensor, line: Tensor, warp: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        before = unpack_rows(state, self.shapes, self.layout)
        mel, tail = self.features(audio, before["features"])
        encoded, encoder = self.encoder(
            over_line(mel, line, warp, self.settings.features), before["encoder"]
        )
        own, rnn = self.speaker_rnn(encoded, before["speaker_rnn"])
        after = pack_rows({"features": tail, "encoder": encoder, "speaker_rnn": rnn}, self.layout)
        return self.frame_head(own), self.place_head(own), self.told_head(own)[..., 0], after


def over_line(mel: Tensor, line: Tensor, warp: Tensor, features: FeatureConfig) -> Tensor:
    """Return log-mel frames as another recording and another vocal tract would give them.

    Args:
        mel: log-mel frames (B, T, M).
        line: gain of each band in nats, (B, M).
        warp: factor that stretches the frequency axis, (B,).
        features: configuration of the frames.
    Returns:
        log-mel frames (B, T, M).
    """
    bands = mel.shape[2]
    at = (torch.arange(bands, device=mel.device) * warp[:, None]).clamp(max=bands - 1)  # (B, M)
    low = at.floor().long().clamp(max=bands - 2)
    share = (at - low)[:, None, :]
    index = low[:, None, :].expand(-1, mel.shape[1], -1)
    warped = mel.gather(2, index) * (1 - share) + mel.gather(2, index + 1) * share
    # No gain moves a band below digital silence.
    return (warped + line[:, None, :] * LOG_SCALE).clamp(min=mel_of_silence(features))


def mel_of_silence(features: FeatureConfig) -> float:
    """Return the value of every band in a log-mel frame of digital silence."""
    return (math.log(features.log_floor) - LOG_MEAN) * LOG_SCALE


def save_distilled(network: DistilledNetwork, space: StopPointSpace, folder: Path) -> None:
    """Write the network as other checkpoints are written, and the space of stop points.

    `checkpoint.load_encoder` can read its features, encoder and per-speaker RNN.
    """
    (folder / CONFIG_FILE).write_text(
        json.dumps(dataclasses.asdict(network.settings), indent=1) + "\n"
    )
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()},
        folder / WEIGHTS_FILE,
    )
    space.save(folder / SPACE_FILE)


def load_distilled(folder: Path) -> tuple[DistilledNetwork, StopPointSpace]:
    """Return the network of a distillation, in evaluation mode, and the space of stop points.

    Raises:
        ConfigError: a file is missing or damaged, or the folder is not that of a distillation.
    """
    try:
        network = DistilledNetwork(
            from_plain(
                DistillationSettings,
                json.loads((folder / CONFIG_FILE).read_text()),
                str(folder / CONFIG_FILE),
            )
        )
        network.load_state_dict(load_file(folder / WEIGHTS_FILE))
        space = StopPointSpace.load(folder / SPACE_FILE)
    except (
        OSError,
        EOFError,
        BadZipFile,
        SafetensorError,
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
    ) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise ConfigError(
            f"{folder}: expected the folder of a distillation (`turnstream pretrain distill`): "
            f"{reason}"
        ) from None
    return network.eval(), space
