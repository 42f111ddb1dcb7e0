"""Settings of a distillation. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...stream.errors import ConfigError
from ..config import EncoderConfig, FeatureConfig, RecurrentConfig


@dataclass(frozen=True)
class DistillationSettings:
    """Targets, duration, learning rate and batch size of a distillation.

    Attributes:
        steps: number of optimizer steps.
        batch_rows: streams of speech per batch, summed over all processes.
        chunk_s: seconds between two updates; the state is carried from chunk to chunk, gradients
            are not.
        learning_rate: largest learning rate of the weight matrices, which Muon updates; AdamW
            updates the rest at a tenth of it (models/muon.py).
        delay_s: a frame of the teacher is predicted this many seconds after its audio.
        components: number of principal components of the teacher's frames that are predicted.
        whitening: each component is divided by its standard deviation to the power of 2 *
            whitening; 0 keeps the teacher's scale, 0.5 makes all components equally important.
        place_components: number of principal components of the teacher's embeddings of stop
            points that are predicted.
        frame_weight, place_weight: weights of these two losses.
        told_weight: weight of the third loss. Its target is turn completeness at a stop point, by
            a judge; the one that was fitted on the texts of the utterances, if none is given.
        cut_share: share of the utterances that are cut off at one of their stop points.
        reach_s: the embedding of a stop point is predicted up to this many seconds into the silence
            after it.
        gain_db: the gain of each speaker is drawn from -gain_db to gain_db.
        room_share, noise_share, gated_share: shares of the recordings in a room, with noise, and
            without any sound where nobody speaks. The network learns speech faster without them.
        validate_every: steps between two validations; each writes a checkpoint.
    """

    steps: int = 4000
    batch_rows: int = 64
    chunk_s: float = 5.0
    learning_rate: float = 0.02
    warmup_steps: int = 150
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    delay_s: float = 0.2
    components: int = 128
    whitening: float = 0.35
    place_components: int = 128
    frame_weight: float = 1.0
    place_weight: float = 1.0
    told_weight: float = 2.0
    cut_share: float = 0.5
    reach_s: float = 0.6
    gain_db: float = 15.0
    room_share: float = 0.12
    noise_share: float = 0.6
    gated_share: float = 0.35
    validate_every: int = 250
    seed: int = 0
    features: FeatureConfig = field(default_factory=FeatureConfig)
    encoder: EncoderConfig = field(
        default_factory=lambda: EncoderConfig(channels=128, out_channels=192)
    )
    speaker_rnn: RecurrentConfig = field(
        default_factory=lambda: RecurrentConfig(hidden=256, layers=2)
    )

    def __post_init__(self) -> None:
        positive = (
            "steps",
            "batch_rows",
            "chunk_s",
            "learning_rate",
            "gradient_clip",
            "components",
            "place_components",
            "validate_every",
        )
        for name in positive:
            if getattr(self, name) <= 0:
                raise ConfigError(f"expected {name} > 0, got {getattr(self, name)}")
        for name in (
            "delay_s",
            "reach_s",
            "frame_weight",
            "place_weight",
            "told_weight",
            "seed",
            "weight_decay",
        ):
            if getattr(self, name) < 0:
                raise ConfigError(f"expected {name} >= 0, got {getattr(self, name)}")
        # The rise of the learning rate needs a first and a last step.
        if self.warmup_steps < 0 or self.warmup_steps == 1:
            raise ConfigError(f"expected warmup_steps of 0 or at least 2, got {self.warmup_steps}")
        for name in ("whitening", "cut_share", "room_share", "noise_share", "gated_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"expected 0 <= {name} <= 1, got {getattr(self, name)}")
        if self.encoder.stride != 1:
            raise ConfigError(
                "expected an encoder of stride 1, whose frames are the teacher's, got "
                f"stride {self.encoder.stride}"
            )

    @property
    def chunk_frames(self) -> int:
        """Frames per chunk."""
        return round(self.chunk_s * self.features.sample_rate_hz / self.features.hop_samples)
