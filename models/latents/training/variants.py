"""Networks that differ in their recurrent layers alone, trained on the same data with the same budget.

RNN, GRU and LSTM of one or several layers, every one with as many parameters as the given network has (its widths are scaled to that),
so that none wins by size. Every run keeps snapshots and can be resumed; a run that is whole is left alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...checkpoint import WEIGHTS_FILE, load_checkpoint
from ...config import ModelConfig
from ...dialogues.manifest import Dialogue
from ...runs.run_folder import CHECKPOINT_FILE, refuse_other_settings
from ...training.loop import train
from ...training.settings import TrainingSettings
from ...turn_model import TurnModel

KINDS = ("rnn", "gru", "lstm")


@dataclass(frozen=True)
class Variant:
    """One network to train.

    Attributes:
        kind: of both recurrent layers, one of KINDS.
        layers: depth of each of them.
        seed: of its weights and of the order of its data.
    """

    kind: str
    layers: int
    seed: int

    @property
    def family(self) -> str:
        """What it shares with those of other seeds, such as "gru x 2"."""
        return f"{self.kind} x {self.layers}"

    @property
    def folder(self) -> str:
        """Name of its run's folder."""
        return f"{self.kind}{self.layers}_seed{self.seed}"


def parameter_count(config: ModelConfig) -> int:
    """Parameters of a network."""
    return sum(parameter.numel() for parameter in TurnModel(config).parameters())


def matched_config(base: ModelConfig, kind: str, layers: int) -> ModelConfig:
    """The network with other recurrent layers, their widths scaled alike until it has about as many parameters as `base`.

    Args:
        base: network to match.
        kind: one of KINDS.
        layers: depth of both recurrent layers.
    """

    def scaled(scale: float) -> ModelConfig:
        widths = {
            name: max(4, round(scale * getattr(base, name).hidden))
            for name in ("speaker_rnn", "dialogue_rnn")
        }
        return dataclasses.replace(
            base,
            **{
                name: dataclasses.replace(
                    getattr(base, name), kind=kind, hidden=hidden, layers=layers
                )
                for name, hidden in widths.items()
            },
        )

    wanted = parameter_count(base)
    low, high = 0.05, 8.0
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if parameter_count(scaled(middle)) < wanted else (low, middle)
    return min(
        (scaled(low), scaled(high)), key=lambda config: abs(parameter_count(config) - wanted)
    )


def train_variant(
    variant: Variant,
    settings: TrainingSettings,
    training: Sequence[Dialogue],
    validation: Sequence[Dialogue],
    out: Path,
) -> TurnModel:
    """The trained network of a variant: read where its run is whole, trained from where it was cut otherwise.

    Args:
        variant: what to train.
        settings: budget, and the network whose size is matched.
        training, validation: dialogues.
        out: folder of all runs.
    Raises:
        ConfigError: its run was made with other settings.
    """
    folder = out / variant.folder
    own = dataclasses.replace(
        settings,
        seed=variant.seed,
        model=matched_config(settings.model, variant.kind, variant.layers),
    )
    if (folder / WEIGHTS_FILE).is_file():
        refuse_other_settings(folder, own)
        return load_checkpoint(folder)
    return train(
        own,
        training,
        folder,
        validation=validation,
        resume=(folder / CHECKPOINT_FILE).is_file(),
        snapshots=True,
    )
