"""Settings of one training run. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from ...stream.errors import ConfigError
from ..config import MAY_MOVE, ModelConfig

TOTAL = "total"  # name of the weighted sum of the heads' losses


@dataclass(frozen=True)
class LossWeights:
    """Weights of the heads' losses in the sum."""

    vad: float = 1.0
    projection: float = 0.3
    next_holder: float = 2.0
    backchannel: float = 0.5
    finality: float = 1.0


@dataclass(frozen=True)
class TrainingSettings:
    """How long, how fast and on how much at once.

    Attributes:
        lanes: conversations trained side by side, in all processes together; each lane plays one after another.
        chunk_s: seconds between two updates; state is carried from chunk to chunk, gradients are not.
        warmup_steps: in which the learning rate rises to its highest, at most three tenths of all steps; then it falls to zero.
        average_decay: of the exponential moving average of the weights, which is what is kept.
        gain_db: each conversation's channels are made louder or softer by up to this much.
        mute_share: share of conversations in which one channel is silenced, as when only the user has a microphone.
        validate_every: steps between two validations; a checkpoint is written at each.
        patience: stop after this many validations in a row without a better `measure`; 0 never stops. Off unless asked for, because the
            learning rate falls to zero at the last step: most of the gain comes late, and a run stopped before that has not had it.
        measure: loss of the validation dialogues that decides which weights are best: a head's name, or "total".
        keep_best: write the best averaged weights at the end instead of the last; always so with patience.
        encoder: checkpoint, of a network or of pre-training, whose encoder this one begins with, and whose per-speaker RNN, if it has one of
            the same shape; "" begins from random weights.
        network: checkpoint of a network of the same shape that this one begins with, in place of an encoder; "" for none.
        freeze_encoder, freeze_speaker_rnn: leave them as they are.
        given_rate: learning rate of encoder and per-speaker RNN, where a checkpoint gave them, as a multiple of that of the rest.
        teacher_weight: of the losses of what a teacher says, where one stays beside the dialogues (teaching.py).
        speech_lanes: streams of single speakers that its losses are of, in all processes together.
        calls_share: share of the conversations that are real calls, where some are given beside the dialogues to learn from.
    """

    steps: int = 7000
    lanes: int = 16
    chunk_s: float = 6.0
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    average_decay: float = 0.998
    gain_db: float = 20.0
    mute_share: float = 0.15
    validate_every: int = 700
    patience: int = 0
    measure: str = "next_holder"
    keep_best: bool = False
    seed: int = 0
    encoder: str = field(default="", metadata={MAY_MOVE: True})
    network: str = field(default="", metadata={MAY_MOVE: True})
    freeze_encoder: bool = False
    freeze_speaker_rnn: bool = False
    given_rate: float = 1.0
    teacher_weight: float = 1.0
    speech_lanes: int = 16
    calls_share: float = 0.3
    losses: LossWeights = field(default_factory=LossWeights)
    model: ModelConfig = field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "lanes",
            "chunk_s",
            "learning_rate",
            "gradient_clip",
            "validate_every",
            "speech_lanes",
        ):
            if getattr(self, name) <= 0:
                raise ConfigError(f"expected {name} > 0, got {getattr(self, name)}")
        if (
            self.warmup_steps < 0 or self.warmup_steps == 1
        ):  # a rise needs a step to begin and one to end at
            raise ConfigError(f"expected warmup_steps of 0 or at least 2, got {self.warmup_steps}")
        for name in ("patience", "seed", "teacher_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"expected {name} >= 0, got {getattr(self, name)}")
        for name in ("average_decay", "mute_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"expected 0 <= {name} < 1, got {getattr(self, name)}")
        if not 0 <= self.calls_share <= 1:
            raise ConfigError(f"expected 0 <= calls_share <= 1, got {self.calls_share}")
        if self.given_rate <= 0:
            raise ConfigError(f"expected given_rate > 0, got {self.given_rate}")
        if self.encoder and self.network:
            raise ConfigError(
                f"expected an encoder or a whole network to begin with, got both ({self.encoder} and {self.network})"
            )
        if (self.freeze_encoder or self.freeze_speaker_rnn) and not self.given:
            raise ConfigError("expected a checkpoint whose encoder is frozen, got none")
        measures = [*(head.name for head in fields(LossWeights)), TOTAL]
        if self.measure not in measures:
            raise ConfigError(
                f"expected measure to be a loss of the validation dialogues, one of {', '.join(measures)}, got {self.measure!r}"
            )

    @property
    def given(self) -> str:
        """The checkpoint that encoder and per-speaker RNN come from; "" for none."""
        return self.encoder or self.network

    @property
    def chunk_frames(self) -> int:
        """Steps of the network in a chunk."""
        return round(self.chunk_s * self.model.frame_rate_hz)

    @property
    def keeps_best(self) -> bool:
        return self.keep_best or self.patience > 0
