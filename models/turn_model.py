"""The turn-taking network: features, per-speaker encoder and RNN, cross-speaker RNN, heads.

Inside the network, a conversation is two rows, one per speaker, which share all weights. The rows
meet in the cross-speaker RNN, whose input is the own vector followed by the other speaker's. So
swapping the input channels swaps the outputs exactly. Rows are ordered by conversation: R = 2 B,
and row 2 b + s is speaker s of conversation b.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..stream.errors import ConfigError
from .config import ModelConfig
from .encoder import Encoder
from .features import LogMel
from .projection import CLASSES, expected_bins, swapped_classes
from .recurrent import Recurrent
from .state import ShapeTree, StateLayout

State = dict[str, Any]

# Added to each speaker's expected number of active bins, so that a future that is surely silent is
# shared equally and not 0 / 0.
SILENT_SHARE = np.float32(1e-6)


class TurnOutput(NamedTuple):
    """Logits of the heads, and the latents. T counts steps of `ModelConfig.frame_samples`."""

    vad: Tensor  # (B, 2, T) the speaker speaks now
    next: Tensor  # (B, 2, T) the speaker holds the floor next; the other's logit is the negative
    backchannel: Tensor  # (B, 2, T) the speaker gives a backchannel now or within 0.5 s
    projection: Tensor  # (B, 2, T, CLASSES) from each speaker's view: own bits first
    completeness: Tensor  # (B, 2, T) turn completeness, from the own channel alone; for training
    latent_speaker: Tensor  # (B, 2, T, H) output of the per-speaker RNN
    latent: Tensor  # (B, 2, T, H) output of the cross-speaker RNN


class TurnProbabilities(NamedTuple):
    """The probabilities that a runtime serves, each (B, 2, T)."""

    vad: Tensor
    p_now: Tensor  # sums to 1 over the speakers
    p_future: Tensor  # sums to 1 over the speakers
    p_next: Tensor  # sums to 1 over the speakers
    p_backchannel: Tensor


class TurnModel(nn.Module):
    """The network, in one definition for training, offline use and live use.

    Args of forward:
        audio: samples in [-1, 1], (B, 2, N), N a multiple of `config.frame_samples`.
        state: packed, (B, S), from `init_state` or the last call.
    Returns:
        TurnOutput and the next state.
    Raises:
        ConfigError: N is not a multiple of the frame, or the state has another size.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.features = LogMel(config.features)
        self.encoder = Encoder(config.encoder, config.features.mel_bins)
        self.speaker_rnn = Recurrent(config.speaker_rnn, config.encoder.out_channels)
        self.dialogue_rnn = Recurrent(config.dialogue_rnn, 2 * config.speaker_rnn.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.heads = nn.Linear(config.dialogue_rnn.hidden, 3 + CLASSES)
        self.completeness = nn.Linear(config.speaker_rnn.hidden, 1)
        own_bins, other_bins = expected_bins() + SILENT_SHARE
        self.register_buffer("_swapped", 3 + torch.from_numpy(swapped_classes()), persistent=False)
        self.register_buffer("_own_bins", torch.from_numpy(own_bins), persistent=False)
        self.register_buffer("_all_bins", torch.from_numpy(own_bins + other_bins), persistent=False)
        self._swapped: Tensor
        self._own_bins: Tensor
        self._all_bins: Tensor
        self.layout = StateLayout.of(self.state_shapes())
        self.mel_layout = StateLayout.of(self.mel_state_shapes())

    def mel_state_shapes(self) -> dict[str, ShapeTree]:
        """Return the state shapes of everything after the features."""
        return {
            "encoder": self.encoder.state_shapes(),
            "speaker_rnn": self.speaker_rnn.state_shapes(),
            "dialogue_rnn": self.dialogue_rnn.state_shapes(),
        }

    def state_shapes(self) -> dict[str, ShapeTree]:
        return {"features": self.features.state_shapes(), **self.mel_state_shapes()}

    def init_state(self, batch: int = 1) -> Tensor:
        """Return the state before any audio, (batch, S)."""
        return next(self.parameters()).new_zeros(batch, self.layout.size)

    def init_mel_state(self, batch: int = 1) -> Tensor:
        """Return the initial state of `forward_mel`, (batch, S) without the features' part.

        Raises:
            ConfigError: only the features of this network have memory, so this state would be
                empty.
        """
        if not self.mel_layout.entries:
            raise ConfigError(
                "expected a kernel > 1 or a recurrent layer to take log-mel frames, got a "
                "network whose only memory is in its features"
            )
        return next(self.parameters()).new_zeros(batch, self.mel_layout.size)

    def forward(self, audio: Tensor, state: Tensor) -> tuple[TurnOutput, Tensor]:
        frame = self.config.frame_samples
        if audio.shape[2] % frame or not audio.shape[2]:
            raise ConfigError(
                f"expected audio in whole frames of {frame} samples, got {audio.shape[2]} samples"
            )
        if audio.shape[0] != state.shape[0]:
            raise ConfigError(
                f"expected as many states as conversations ({audio.shape[0]}), got {state.shape[0]}"
            )
        unpacked = unpack_state(state, self.state_shapes(), self.layout)
        mel, tail = self.features(audio.flatten(0, 1), unpacked["features"])
        output, after = self._from_mel(mel, unpacked)
        return output, pack_state({"features": tail, **after}, self.layout)

    def forward_mel(self, mel: Tensor, state: Tensor) -> tuple[TurnOutput, Tensor]:
        """Compute the same as `forward` from log-mel frames, for callers that make them elsewhere.

        Args:
            mel: (B, 2, T, mel_bins) as `features` makes them, T a multiple of the encoder's stride.
            state: packed, from `init_mel_state` or the last call.
        """
        if mel.shape[2] % self.config.encoder.stride or not mel.shape[2]:
            raise ConfigError(
                f"expected mel frames in multiples of {self.config.encoder.stride}, got "
                f"{mel.shape[2]}"
            )
        output, after = self._from_mel(
            mel.flatten(0, 1), unpack_state(state, self.mel_state_shapes(), self.mel_layout)
        )
        return output, pack_state(after, self.mel_layout)

    def _from_mel(self, mel: Tensor, state: State) -> tuple[TurnOutput, State]:
        after: State = {}
        x, after["encoder"] = self.encoder(mel, state["encoder"])  # (R, T, C)
        own, after["speaker_rnn"] = self.speaker_rnn(
            self.dropout(x), state["speaker_rnn"]
        )  # (R, T, H)
        joined = torch.cat([own, _other_speaker(own)], dim=-1)
        latent, after["dialogue_rnn"] = self.dialogue_rnn(
            self.dropout(joined), state["dialogue_rnn"]
        )  # (R, T, H)
        heads = self.heads(self.dropout(latent))  # (R, T, 3 + CLASSES)
        other = _other_speaker(heads)
        floor = heads[..., 1] - other[..., 1]
        # the sum of both speakers' views of the same future
        projection = heads[..., 3:] + other.index_select(-1, self._swapped)
        completeness = self.completeness(self.dropout(own))[..., 0]
        return TurnOutput(
            *map(
                by_conversation,
                (heads[..., 0], floor, heads[..., 2], projection, completeness, own, latent),
            )
        ), after

    def probabilities(self, output: TurnOutput) -> TurnProbabilities:
        """Return the probabilities that a runtime serves, each (B, 2, T), from the logits."""
        classes = torch.softmax(output.projection, dim=-1)
        # (B, 2, T, 2), now and future
        share = (classes @ self._own_bins) / (classes @ self._all_bins)
        return TurnProbabilities(
            vad=torch.sigmoid(output.vad),
            p_now=share[..., 0],
            p_future=share[..., 1],
            p_next=torch.sigmoid(output.next),
            p_backchannel=torch.sigmoid(output.backchannel),
        )


def _other_speaker(rows: Tensor) -> Tensor:
    """Exchange the two speakers' rows, (R, ...)."""
    return by_conversation(rows).flip(1).flatten(0, 1)


def by_conversation(rows: Tensor) -> Tensor:
    """Reshape speaker rows (R, ...) to conversations (B, 2, ...)."""
    return rows.reshape(-1, 2, *rows.shape[1:])


def unpack_state(packed: Tensor, shapes: dict[str, ShapeTree], layout: StateLayout) -> State:
    """Return the packed state (B, S) as a tree of tensors, each (R, ...).

    Raises:
        ConfigError: the packed state has another size.
    """
    if packed.shape[1] != layout.size:
        raise ConfigError(f"expected a state of {layout.size} floats, got {packed.shape[1]}")
    # R is inferred, so that the batch size stays dynamic in an exported graph.
    return unpack_rows(packed.reshape(-1, layout.speaker_size), shapes, layout)


def unpack_rows(rows: Tensor, shapes: dict[str, ShapeTree], layout: StateLayout) -> State:
    """Return the packed states of R speakers, (R, S / 2), as a tree of tensors, each (R, ...)."""
    parts = torch.split(rows, [entry.size for entry in layout.entries], dim=1)
    tensors = {
        entry.name: part.reshape(-1, *entry.shape)
        for entry, part in zip(layout.entries, parts, strict=True)
    }

    def build(tree: ShapeTree, path: str) -> Any:
        if isinstance(tree, dict):
            return {
                name: build(child, f"{path}.{name}" if path else name)
                for name, child in tree.items()
            }
        # A tensor of size 0 is not stored.
        return tensors[path] if path in tensors else rows.new_zeros(rows.shape[0], *tree)

    return build(shapes, "")


def pack_state(state: State, layout: StateLayout) -> Tensor:
    """Return a tree of tensors as a packed state (B, S): the inverse of `unpack_state`."""
    return pack_rows(state, layout).reshape(-1, layout.size)


def pack_rows(state: State, layout: StateLayout) -> Tensor:
    """Return a tree of tensors as packed rows (R, S / 2): the inverse of `unpack_rows`."""
    parts: list[Tensor] = []
    for entry in layout.entries:
        tensor: Any = state
        for name in entry.name.split("."):
            tensor = tensor[name]
        parts.append(tensor.flatten(1))
    return torch.cat(parts, dim=1)
