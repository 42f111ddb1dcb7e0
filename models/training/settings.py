"""Settings of one training run. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from ...stream.errors import ConfigError
from ..config import MAY_MOVE, ModelConfig

TOTAL = "total"  # name of the weighted sum of the heads' losses


@dataclass(frozen=True)
class LossWeights:
    """Weights of the heads' losses in the total."""

    vad: float = 1.0
    projection: float = 0.3
    next_holder: float = 2.0
    backchannel: float = 0.5
    completeness: float = 1.0


@dataclass(frozen=True)
class ChunkSettings:
    """How conversations are played in batch rows and cut into chunks (stream.py).

    Attributes:
        batch_rows: batch rows of all processes together.
        chunk_s: seconds per chunk.
        sample_rate_hz, frame_samples: sample rate, and samples per step of the network.
        gain_db: the gain of each channel is drawn from -gain_db to gain_db for every conversation.
        mute_share: share of conversations with one silenced channel.
        seed: of the random draws.
    """

    batch_rows: int
    chunk_s: float
    sample_rate_hz: int
    frame_samples: int
    gain_db: float = 0.0
    mute_share: float = 0.0
    seed: int = 0

    @property
    def frames(self) -> int:
        """Steps of the network per chunk."""
        return round(self.chunk_s * (self.sample_rate_hz / self.frame_samples))

    @property
    def samples(self) -> int:
        """Samples per chunk."""
        return self.frames * self.frame_samples


@dataclass(frozen=True)
class TrainingSettings:
    """Duration, learning rate, batch size, initial weights and data of one training run.

    Attributes:
        steps: number of optimizer steps.
        batch_rows: conversations per batch, summed over all processes; each batch row plays one
            conversation after another.
        chunk_s: seconds between two updates; the state is carried from chunk to chunk, gradients
            are not.
        warmup_steps: the learning rate rises for so many steps, but at most for 30 % of all; then
            it falls to zero.
        average_decay: decay of the exponential moving average of the weights; the averaged weights
            are saved.
        gain_db: the gain of each channel is drawn from -gain_db to gain_db for every conversation.
        mute_share: share of conversations with one silenced channel, as if only the user had a
            microphone.
        validate_every: steps between two validations; each writes a checkpoint.
        patience: stop after this many validations in a row without a better `measure`; 0 never
            stops. This is the default, because the learning rate falls to zero at the last step.
            Most of the gain comes late, and a run that stops early misses it.
        measure: validation loss that decides which weights are best: a head's name, or "total".
        keep_best: write the best averaged weights at the end, not the last ones; patience implies
            it.
        encoder: checkpoint of a network or a pre-training. The run starts with its encoder, and
            with its per-speaker RNN if that has the same shape; "" starts with random weights.
        initial: checkpoint of a network of the same shape. The run starts with all its weights; ""
            for none.
        freeze_encoder, freeze_speaker_rnn: keep the weights of these parts fixed.
        given_rate: learning rate of encoder and per-speaker RNN from a checkpoint, as a multiple
            of the learning rate of the rest.
        teacher_weight: weight of the losses against a teacher, if there is one (teaching.py).
        speech_rows: batch rows of single speakers for these losses, summed over all processes.
        calls_share: share of the conversations that are real calls, if there are any.
    """

    steps: int = 7000
    batch_rows: int = 16
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
    initial: str = field(default="", metadata={MAY_MOVE: True})
    freeze_encoder: bool = False
    freeze_speaker_rnn: bool = False
    given_rate: float = 1.0
    teacher_weight: float = 1.0
    speech_rows: int = 16
    calls_share: float = 0.3
    losses: LossWeights = field(default_factory=LossWeights)
    model: ModelConfig = field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch_rows",
            "chunk_s",
            "learning_rate",
            "gradient_clip",
            "validate_every",
            "speech_rows",
        ):
            if getattr(self, name) <= 0:
                raise ConfigError(f"expected {name} > 0, got {getattr(self, name)}")
        # The rise of the learning rate needs a first and a last step.
        if self.warmup_steps < 0 or self.warmup_steps == 1:
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
        if self.encoder and self.initial:
            raise ConfigError(
                "expected an encoder or a whole network to begin with, got both "
                f"({self.encoder} and {self.initial})"
            )
        if (self.freeze_encoder or self.freeze_speaker_rnn) and not self.given:
            raise ConfigError("expected a checkpoint whose encoder is frozen, got none")
        measures = [*(head.name for head in fields(LossWeights)), TOTAL]
        if self.measure not in measures:
            raise ConfigError(
                "expected measure to be a loss of the validation dialogues, one "
                f"of {', '.join(measures)}, got {self.measure!r}"
            )

    @property
    def given(self) -> str:
        """Checkpoint of the initial encoder and per-speaker RNN; "" for none."""
        return self.encoder or self.initial

    @property
    def chunks(self) -> ChunkSettings:
        return ChunkSettings(
            batch_rows=self.batch_rows,
            chunk_s=self.chunk_s,
            sample_rate_hz=self.model.features.sample_rate_hz,
            frame_samples=self.model.frame_samples,
            gain_db=self.gain_db,
            mute_share=self.mute_share,
            seed=self.seed,
        )

    @property
    def keeps_best(self) -> bool:
        return self.keep_best or self.patience > 0
