"""PCM in, log-mel frames out, as a layer of the network: other languages need no DSP code.

Frame t ends at sample (t + 1) * hop and uses no later sample. The frames equal the logarithm of
torchaudio's MelSpectrogram (Hann window, power, HTK scale, not centred), normalised by LOG_MEAN
and LOG_SCALE, of the signal with window - hop zeros in front.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .config import FeatureConfig
from .layers import join_cache
from .state import ShapeTree
from .torchaudio_loader import load_torchaudio

# They bring the logarithm of mel power to about zero mean and unit variance for speech at usual
# levels.
LOG_MEAN = -3.0
LOG_SCALE = 0.25


class LogMel(nn.Module):
    """Causal log-mel spectrogram.

    Args of forward:
        audio: samples in [-1, 1], (B, N), N a multiple of the hop.
        tail: the window - hop samples before `audio`, (B, window - hop).
    Returns:
        log-mel frames (B, N / hop, mel_bins) and the next tail.
    """

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        window, rate = config.window_samples, config.sample_rate_hz
        filters = load_torchaudio().functional.melscale_fbanks(
            window // 2 + 1, config.low_hz, config.high_hz, config.mel_bins, rate
        )  # (F, M)
        used = filters.sum(dim=1) > 0
        # Bins outside all filters are never computed.
        bins = torch.nonzero(used)[:, 0].double()
        # Window and cosine are even about the middle of the window, the sine is odd. So mirrored
        # samples are added or subtracted first, which halves both matrix products. Sample 0 has
        # weight 0; the middle sample mirrors itself.
        half = torch.arange(1, window // 2 + 1).double()
        angle = 2 * math.pi / window * torch.outer(half, bins)
        hann = torch.hann_window(window, dtype=torch.float64)[1 : window // 2 + 1, None]
        hann[-1] /= 2
        self.register_buffer(
            "cosines", (hann * torch.cos(angle)).float(), persistent=False
        )  # (window / 2, F')
        self.register_buffer("sines", (hann * torch.sin(angle)).float(), persistent=False)
        self.register_buffer(
            "filters", filters[used] * math.exp(-LOG_MEAN), persistent=False
        )  # (F', M)
        self.cosines: Tensor
        self.sines: Tensor
        self.filters: Tensor

    def state_shapes(self) -> ShapeTree:
        return (self.config.window_samples - self.config.hop_samples,)

    def forward(self, audio: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        hop, window = self.config.hop_samples, self.config.window_samples
        frames = audio.shape[1] // hop
        padded, tail = join_cache(audio, tail)
        pieces = [
            padded[:, start : start + frames * hop] for start in range(0, window - hop + 1, hop)
        ]
        pieces = [piece.reshape(-1, frames, hop) for piece in pieces]
        rest = window - hop * len(pieces)
        if rest:  # the hop does not divide the window, which ends with part of a piece
            start = hop * len(pieces)
            last = nn.functional.pad(padded[:, start:], (0, hop - rest)).reshape(-1, frames, hop)
            pieces.append(last[:, :, :rest])
        windows = torch.cat(pieces, dim=-1)  # (B, T, window)
        early, late = windows[..., 1 : window // 2 + 1], windows[..., window // 2 :].flip(-1)
        real, imaginary = (early + late) @ self.cosines, (early - late) @ self.sines  # (B, T, F')
        mel_power = (real * real + imaginary * imaginary) @ self.filters  # (B, T, M)
        return torch.log(mel_power + self.config.log_floor * math.exp(-LOG_MEAN)) * LOG_SCALE, tail
