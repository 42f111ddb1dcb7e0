"""Objectives that train an encoder without labels, from its output and its input frames.

An objective is a layer with state, like all others. So conversations of any length are learned
chunk by chunk. Rows R are single speakers.

Sources: autoencoder and denoising autoencoder, Vincent et al. 2008; VQ-VAE, van den Oord et al.
2017; VQ-VAE-2, Razavi et al. 2019.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...stream.errors import MissingExtraError
from ..layers import CausalConv1d, context_frames, join_cache
from ..receptive_field import receptive_field
from ..state import ShapeTree
from .settings import PretrainingSettings

State = dict[str, Any]


class Judged(NamedTuple):
    """The result of an objective for a chunk.

    Attributes:
        loss: scalar to minimise.
        measures: scalars to report, without gradients.
        codes: indices of the codes in use, (R, T), by name of their codebook.
        reconstruction: log-mel frames of the receptive field that ends at each step, (R, T, size,
            M); None if the objective reconstructs nothing.
        state: the next state.
    """

    loss: Tensor
    measures: dict[str, Tensor]
    codes: dict[str, Tensor]
    reconstruction: Tensor | None
    state: State


class ReceptiveWindows(nn.Module):
    """The log-mel frames in the receptive field of each output frame of an encoder, holes included.

    Args of forward:
        mel: (R, T * stride, M).
        cache: (R, context, M).
    Returns:
        (R, T, size, M), the newest frame last, and the next cache.
    """

    def __init__(self, settings: PretrainingSettings) -> None:
        super().__init__()
        self.stride = settings.encoder.stride
        self.size = max(receptive_field(settings.encoder).size, self.stride)
        self.context = context_frames(self.size, 1, self.stride)
        self.cache_shape = (self.context, settings.features.mel_bins)

    def forward(self, mel: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        padded, cache = join_cache(mel, cache)
        return padded.unfold(1, self.size, self.stride).transpose(2, 3), cache


class Reconstruction(nn.Module):
    """Reconstructs each receptive field from one vector.

    The loss is the mean squared error; each frame of the field has the same weight.

    Args of forward:
        vectors: (R, T, inputs).
        mel: (R, T * stride, M).
        cache: of the windows.
    Returns:
        The reconstruction (R, T, size, M), its loss, measures and the next cache.
    """

    def __init__(self, settings: PretrainingSettings, inputs: int) -> None:
        super().__init__()
        self.windows = ReceptiveWindows(settings)
        self.bins = settings.features.mel_bins
        self.decode = nn.Sequential(
            nn.Linear(inputs, settings.decoder_hidden),
            nn.ReLU(),
            nn.Linear(settings.decoder_hidden, self.windows.size * self.bins),
        )

    def forward(
        self, vectors: Tensor, mel: Tensor, cache: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor], Tensor]:
        windows, cache = self.windows(mel, cache)
        reconstruction = self.decode(vectors).unflatten(-1, (self.windows.size, self.bins))
        error = F.mse_loss(reconstruction, windows)
        # The error if the mean of every bin were the reconstruction.
        variance = windows.var(dim=(0, 1), unbiased=False).mean()
        return (
            reconstruction,
            error,
            {"reconstruction": error.detach(), "variance": variance},
            cache,
        )


class Autoencoder(nn.Module):
    """Each output frame of the encoder reconstructs its receptive field.

    Args of forward:
        encoded: (R, T, out_channels).
        mel: (R, T * stride, M).
        state: as `state_shapes` describes it.
    """

    def __init__(self, settings: PretrainingSettings) -> None:
        super().__init__()
        self.reconstruction = Reconstruction(settings, settings.encoder.out_channels)

    def state_shapes(self) -> ShapeTree:
        return {"windows": self.reconstruction.windows.cache_shape}

    def forward(self, encoded: Tensor, mel: Tensor, state: State) -> Judged:
        reconstruction, error, measures, cache = self.reconstruction(encoded, mel, state["windows"])
        return Judged(error, measures, {}, reconstruction, {"windows": cache})


class VQVAE(nn.Module):
    """A code of a codebook for each output frame reconstructs its receptive field.

    See Autoencoder for the arguments.
    """

    def __init__(self, settings: PretrainingSettings) -> None:
        super().__init__()
        self.to_code = _to_code(settings.encoder.out_channels, settings)
        self.quantise = quantiser(settings)
        self.reconstruction = Reconstruction(settings, settings.code_channels)

    def state_shapes(self) -> ShapeTree:
        return {"windows": self.reconstruction.windows.cache_shape}

    def forward(self, encoded: Tensor, mel: Tensor, state: State) -> Judged:
        code, index, commitment = self.quantise(self.to_code(encoded))
        reconstruction, error, measures, cache = self.reconstruction(code, mel, state["windows"])
        loss = error + commitment.sum()
        return Judged(
            loss,
            measures | {"commitment": commitment.detach().sum()},
            {"codes": index},
            reconstruction,
            {"windows": cache},
        )


class VQVAE2(nn.Module):
    """Two levels of codes together reconstruct the receptive field.

    There is a slow code for every `top_stride` frames, and a fast code for every frame. The fast
    code also depends on the newest slow code. The levels are causal: a slow code is used from the
    last frame of its span on. See Autoencoder for the arguments; T is a multiple of top_stride.
    """

    def __init__(self, settings: PretrainingSettings) -> None:
        super().__init__()
        channels, width = settings.encoder.out_channels, settings.code_channels
        self.stride = settings.top_stride
        self.top = CausalConv1d(channels, channels, 2 * self.stride, stride=self.stride)
        self.to_top = _to_code(channels, settings)
        self.quantise_top = quantiser(settings)
        self.to_bottom = _to_code(channels + width, settings)
        self.quantise_bottom = quantiser(settings)
        self.reconstruction = Reconstruction(settings, 2 * width)
        self.held_shape = (self.stride - 1, width)

    def state_shapes(self) -> ShapeTree:
        return {
            "windows": self.reconstruction.windows.cache_shape,
            "top": self.top.state_shapes(),
            "held": self.held_shape,
        }

    def forward(self, encoded: Tensor, mel: Tensor, state: State) -> Judged:
        slow, top = self.top(encoded, state["top"])
        slow, slow_index, slow_commitment = self.quantise_top(self.to_top(torch.relu(slow)))
        held = torch.cat([state["held"], slow.repeat_interleave(self.stride, dim=1)], dim=1)
        known, held = held[:, : encoded.shape[1]], held[:, encoded.shape[1] :]
        fast, fast_index, fast_commitment = self.quantise_bottom(
            self.to_bottom(torch.cat([encoded, known], dim=-1))
        )
        reconstruction, error, measures, cache = self.reconstruction(
            torch.cat([fast, known], dim=-1), mel, state["windows"]
        )
        commitment = slow_commitment.sum() + fast_commitment.sum()
        codes = {"slow_codes": slow_index, "fast_codes": fast_index}
        return Judged(
            error + commitment,
            measures | {"commitment": commitment.detach()},
            codes,
            reconstruction,
            {"windows": cache, "top": top, "held": held},
        )


def _to_code(inputs: int, settings: PretrainingSettings) -> nn.Module:
    """Return a layer that maps to the width of a code, at a fixed scale.

    With a free scale, the encoder learns to shrink its output, and most codes die.
    """
    return nn.Sequential(
        nn.Linear(inputs, settings.code_channels),
        nn.LayerNorm(settings.code_channels, elementwise_affine=False),
    )


def quantiser(settings: PretrainingSettings) -> Any:
    """Return a codebook as a layer: a vector quantiser.

    It chooses the nearest code, and its gradient is straight-through. A code is the moving average
    of the vectors that chose it. Codes are initialised by k-means, and dead codes are replaced.
    All of this is done, over several processes too, by lucidrains' vector-quantize-pytorch (MIT),
    which is widely used.

    Raises:
        MissingExtraError: vector-quantize-pytorch is not installed.
    """
    try:
        from vector_quantize_pytorch import VectorQuantize
    except ModuleNotFoundError:
        raise MissingExtraError("vector-quantize-pytorch", "pretrain") from None

    return VectorQuantize(
        dim=settings.code_channels,
        codebook_size=settings.codes,
        decay=settings.code_decay,
        commitment_weight=settings.commitment,
        threshold_ema_dead_code=settings.revive_below,  # pyright: ignore[reportArgumentType]
        kmeans_init=True,
        rotation_trick=False,  # straight-through, as published
    )


def perplexity(counts: Tensor) -> float:
    """Return the effective number of codes in use, from counts (K,).

    It is exp of the entropy of the codes' shares.
    """
    shares = counts[counts > 0].double() / counts.sum()
    return float(torch.exp(-(shares * shares.log()).sum()))
