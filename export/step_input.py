"""The two inputs that an exported step can have: audio samples, or log-mel frames."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from ..models.config import ModelConfig
from ..models.state import StateLayout
from ..models.turn_model import TurnModel, TurnOutput


class StepInput(ABC):
    """The input of a step besides the state.

    Attributes:
        kind: its name in the metadata.
        name: name of the graph's input.
    """

    kind: str
    name: str

    @abstractmethod
    def shape(self, config: ModelConfig) -> tuple[int, ...]:
        """Return the shape of the input of one step, without the batch."""

    @abstractmethod
    def layout(self, model: TurnModel) -> StateLayout:
        """Return the layout of the packed state."""

    @abstractmethod
    def init_state(self, model: TurnModel, batch: int) -> Tensor:
        """Return the state before any input, (batch, S)."""

    @abstractmethod
    def from_audio(self, model: TurnModel, audio: Tensor) -> Tensor:
        """Return the input of all steps in one sequence, from audio (B, 2, N)."""

    @abstractmethod
    def forward(self, model: TurnModel, x: Tensor, state: Tensor) -> tuple[TurnOutput, Tensor]:
        """Run the network over one or more steps; return its output and the next state."""


class _Pcm(StepInput):
    kind, name = "pcm", "audio"

    def shape(self, config: ModelConfig) -> tuple[int, ...]:
        return (2, config.frame_samples)

    def layout(self, model: TurnModel) -> StateLayout:
        return model.layout

    def init_state(self, model: TurnModel, batch: int) -> Tensor:
        return model.init_state(batch)

    def from_audio(self, model: TurnModel, audio: Tensor) -> Tensor:
        return audio

    def forward(self, model: TurnModel, x: Tensor, state: Tensor) -> tuple[TurnOutput, Tensor]:
        return model(x, state)


class _Mel(StepInput):
    kind, name = "mel", "mel"

    def shape(self, config: ModelConfig) -> tuple[int, ...]:
        return (2, config.encoder.stride, config.features.mel_bins)

    def layout(self, model: TurnModel) -> StateLayout:
        return model.mel_layout

    def init_state(self, model: TurnModel, batch: int) -> Tensor:
        """Return the state before any input, (batch, S).

        Raises:
            ConfigError: no layer after the features has a state.
        """
        return model.init_mel_state(batch)

    def from_audio(self, model: TurnModel, audio: Tensor) -> Tensor:
        features = model.config.features
        rows = audio.flatten(0, 1)
        tail = rows.new_zeros(len(rows), features.window_samples - features.hop_samples)
        mel, _ = model.features(rows, tail)
        return mel.unflatten(0, (-1, 2))

    def forward(self, model: TurnModel, x: Tensor, state: Tensor) -> tuple[TurnOutput, Tensor]:
        return model.forward_mel(x, state)


PCM, MEL = _Pcm(), _Mel()
