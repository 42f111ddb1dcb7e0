"""Settings of one training run, with defaults that trained the bundled model. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..config import ModelConfig
from ..errors import ConfigError


@dataclass(frozen=True)
class LossWeights:
    """Weights of the heads' losses in the sum."""

    vad: float = 1.0
    projection: float = 0.3
    next_holder: float = 2.0
    backchannel: float = 0.5


@dataclass(frozen=True)
class TrainingSettings:
    """How long, how fast and on how much at once.

    Attributes:
        lanes: conversations trained side by side; each lane plays one after another.
        chunk_s: seconds between two updates; state is carried from chunk to chunk, gradients are not.
        average_decay: of the exponential moving average of the weights, which is what is kept.
        gain_db: each conversation's channels are made louder or softer by up to this much.
        mute_share: share of conversations in which one channel is silenced, as when only the user has a microphone.
    """

    steps: int = 2600
    lanes: int = 16
    chunk_s: float = 6.0
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    average_decay: float = 0.998
    gain_db: float = 10.0
    mute_share: float = 0.15
    validate_every: int = 500
    seed: int = 0
    losses: LossWeights = field(default_factory=LossWeights)
    model: ModelConfig = field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        for name in ("steps", "lanes", "chunk_s", "learning_rate", "gradient_clip", "validate_every"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"expected {name} > 0, got {getattr(self, name)}")
        for name in ("average_decay", "mute_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"expected 0 <= {name} < 1, got {getattr(self, name)}")
