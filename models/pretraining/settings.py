"""Settings of one pre-training run. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...stream.errors import ConfigError
from ..config import EncoderConfig, FeatureConfig
from ..training.settings import ChunkSettings

METHODS = {
    "autoencoder": "each output frame of the encoder reconstructs its receptive field",
    "vqvae": "the same through one code of a codebook (van den Oord et al. 2017)",
    "vqvae2": "the same through two codebooks at two frame rates (Razavi et al. 2019)",
    "cpc": "a context tells the encoder's future output from negatives (van den Oord et al. 2018)",
}


@dataclass(frozen=True)
class PretrainingSettings:
    """Method, duration, learning rate and batch size of a pre-training.

    Attributes:
        method: one of METHODS.
        steps: number of optimizer steps.
        batch_rows: conversations per batch; each gives two rows, one per speaker.
        chunk_s: seconds between two updates; the state is carried from chunk to chunk, gradients
            are not.
        gain_db: the gain of each channel is drawn from -gain_db to gain_db for every conversation.
        validate_every: steps between two validations; each writes a checkpoint.
        decoder_hidden: width of the decoder's hidden layer; all methods but cpc.
        codes, code_channels: size of each codebook, and width of a code; vqvae, vqvae2.
        commitment: weight of the commitment loss, which pulls the encoder's output to its code;
            vqvae, vqvae2.
        code_decay: decay of the moving averages that form the codes; vqvae, vqvae2.
        revive_below: a dead code is replaced by a vector of the present chunk. A code is dead if
            the moving average of its uses per chunk is below this number; vqvae, vqvae2.
        top_stride: encoder frames per slow code; vqvae2.
        ahead: how many encoder steps ahead the predictions are; cpc.
        context_hidden: width of the recurrent context; cpc.
        negatives_within, negatives_across: number of negatives from the same speaker, and from
            other speakers; cpc.
    """

    method: str
    steps: int = 4000
    batch_rows: int = 16
    chunk_s: float = 3.2
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    gain_db: float = 20.0
    validate_every: int = 400
    seed: int = 0
    decoder_hidden: int = 256
    codes: int = 512
    code_channels: int = 32
    commitment: float = 0.25
    code_decay: float = 0.99
    revive_below: float = 0.5
    top_stride: int = 4
    ahead: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    context_hidden: int = 128
    negatives_within: int = 32
    negatives_across: int = 32
    features: FeatureConfig = field(default_factory=FeatureConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(
                f"expected method to be one of {', '.join(METHODS)}, got {self.method!r}"
            )
        positive = (
            "steps",
            "batch_rows",
            "chunk_s",
            "learning_rate",
            "gradient_clip",
            "validate_every",
            "decoder_hidden",
            "codes",
            "code_channels",
        )
        for name in (*positive, "top_stride", "context_hidden"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"expected {name} > 0, got {getattr(self, name)}")
        # The rise of the learning rate needs a first and a last step.
        if self.warmup_steps < 0 or self.warmup_steps == 1:
            raise ConfigError(f"expected warmup_steps of 0 or at least 2, got {self.warmup_steps}")
        for name in ("seed", "negatives_within", "negatives_across"):
            if getattr(self, name) < 0:
                raise ConfigError(f"expected {name} >= 0, got {getattr(self, name)}")
        if not 0 <= self.code_decay < 1:
            raise ConfigError(f"expected 0 <= code_decay < 1, got {self.code_decay}")
        steps = self.chunks.frames
        if self.method == "vqvae2" and steps % self.top_stride:
            raise ConfigError(
                f"expected a chunk in multiples of {self.top_stride} steps of the encoder, "
                f"got {steps}"
            )
        if self.method == "cpc":
            if not self.ahead or min(self.ahead) < 1 or max(self.ahead) >= steps:
                raise ConfigError(
                    f"expected steps ahead from 1 to less than a chunk ({steps}), got {self.ahead}"
                )
            if not self.negatives_within + self.negatives_across:
                raise ConfigError("expected negatives to tell a prediction from, got none")

    @property
    def chunks(self) -> ChunkSettings:
        return ChunkSettings(
            batch_rows=self.batch_rows,
            chunk_s=self.chunk_s,
            sample_rate_hz=self.features.sample_rate_hz,
            frame_samples=self.features.hop_samples * self.encoder.stride,
            gain_db=self.gain_db,
            seed=self.seed,
        )
