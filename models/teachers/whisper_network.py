"""Whisper's encoder in torch, from audio to the embedding that a judge scores, for export.

whisper.py runs the same encoder through CTranslate2, which is faster for long work. This one can
be exported (export/pause_graph.py). Its input has a fixed length, WINDOW_S. It ends in a silence.

Source: Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision".
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...stream.errors import ConfigError
from ..torchaudio_loader import load_torchaudio
from .ctranslate2_file import read_tensors
from .extraction import WINDOWS
from .whisper import FRAME_SAMPLES, SAMPLE_RATE_HZ

WINDOW_S = 8.0  # a longer one costs more and is not more accurate (model card)
FFT_SAMPLES, HOP_SAMPLES, MEL_BINS = 400, 160, 80
HEAD_CHANNELS = 64  # of an attention head, in every size of Whisper
LOWEST_POWER, RANGE_LOG10 = 1e-10, 8.0
SMALLEST_SCALE = 1e-6


class WhisperMel(nn.Module):
    """Whisper's log-mel spectrogram, (B, N) -> (B, N / HOP_SAMPLES, MEL_BINS).

    Its frames are centred, and audio is mirrored at both ends.
    """

    def __init__(self) -> None:
        super().__init__()
        filters = load_torchaudio().functional.melscale_fbanks(
            FFT_SAMPLES // 2 + 1,
            0.0,
            SAMPLE_RATE_HZ / 2,
            MEL_BINS,
            SAMPLE_RATE_HZ,
            norm="slaney",
            mel_scale="slaney",
        )
        angle = (
            2
            * math.pi
            / FFT_SAMPLES
            * torch.outer(torch.arange(FFT_SAMPLES), torch.arange(FFT_SAMPLES // 2 + 1)).double()
        )
        window = torch.hann_window(FFT_SAMPLES, dtype=torch.float64)[:, None]
        waves = torch.cat([window * torch.cos(angle), window * torch.sin(angle)], dim=1)
        self.waves = nn.Parameter(waves.T[:, None].float(), requires_grad=False)
        # As a convolution, because the export quantises matrix products; these need float32.
        self.filters = nn.Parameter(filters.T[:, :, None].clone(), requires_grad=False)

    def forward(self, audio: Tensor) -> Tensor:
        padded = F.pad(audio[:, None], (FFT_SAMPLES // 2, FFT_SAMPLES // 2), mode="reflect")
        cosines, sines = F.conv1d(padded, self.waves, stride=HOP_SAMPLES).chunk(2, dim=1)
        power = (cosines.square() + sines.square())[:, :, :-1]
        mel = F.conv1d(power, self.filters).transpose(1, 2).clamp(min=LOWEST_POWER).log10()
        floor = mel.amax(dim=(1, 2), keepdim=True) - RANGE_LOG10
        return (torch.maximum(mel, floor) + 4) / 4


class _Block(nn.Module):
    """A layer of the transformer: self-attention and a network for each frame, (B, T, C)."""

    def __init__(self, tensors: dict[str, Tensor], name: str) -> None:
        super().__init__()
        first = f"{name}/self_attention"
        self.attention_norm = _norm(tensors, f"{first}/layer_norm")
        weight, bias = (tensors[f"{first}/linear_0/{part}"] for part in ("weight", "bias"))
        channels = weight.shape[1]
        self.queries = _Linear(weight[:channels], bias[:channels])
        self.keys_values = _Linear(weight[channels:], bias[channels:])
        self.attention_out = _linear(tensors, f"{first}/linear_1")
        self.frame_norm = _norm(tensors, f"{name}/ffn/layer_norm")
        self.wide = _linear(tensors, f"{name}/ffn/linear_0")
        self.narrow = _linear(tensors, f"{name}/ffn/linear_1")

    def forward(self, x: Tensor, wanted: int) -> Tensor:
        """Return the last `wanted` frames of the output, (B, wanted, C)."""
        normed, x = self.attention_norm(x), x[:, x.shape[1] - wanted :]
        queries = self._heads(self.queries(normed[:, normed.shape[1] - wanted :]))
        keys, values = (self._heads(part) for part in self.keys_values(normed).chunk(2, dim=-1))
        weights = torch.softmax(queries @ keys.transpose(-1, -2) * HEAD_CHANNELS**-0.5, dim=-1)
        x = x + self.attention_out((weights @ values).transpose(1, 2).flatten(2))
        return x + self.narrow(F.gelu(self.wide(self.frame_norm(x))))

    @staticmethod
    def _heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, HEAD_CHANNELS)).transpose(1, 2)


class WhisperNetwork(nn.Module):
    """Audio in, the embedding of its end out.

    Args of forward:
        audio: samples in [-1, 1] at 16 kHz, (B, WINDOW_S * 16000).
    Returns:
        the encoder's last frames, averaged over each of extraction.WINDOWS, (B, D).
    Raises:
        ConfigError: the folder holds no Whisper model in CTranslate2's format.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        path = folder / "model.bin"
        tensors = {
            name: torch.from_numpy(values)
            for name, values in read_tensors(path, "encoder/").items()
        }
        _refuse_other_kinds(path, tensors)
        layers = sum(name.endswith("self_attention/linear_0/weight") for name in tensors)
        try:
            self.mel = WhisperMel()
            # Convolutions of three frames as matrix products, which can be quantised.
            self.first = _linear_of(tensors["conv1/weight"], tensors["conv1/bias"])
            self.second = _linear_of(tensors["conv2/weight"], tensors["conv2/bias"])
            positions = tensors["position_encodings/encodings"]
            self.positions = nn.Parameter(positions[: self.frames].clone(), requires_grad=False)
            self.blocks = nn.ModuleList(_Block(tensors, f"layer_{i}") for i in range(layers))
            self.norm = _norm(tensors, "layer_norm")
        except KeyError as error:
            raise ConfigError(f"{path}: expected a Whisper model, got no tensor {error}") from None

    @property
    def samples(self) -> int:
        """Number of samples of the input."""
        return round(WINDOW_S * SAMPLE_RATE_HZ)

    @property
    def frames(self) -> int:
        """Number of frames of the output, before they are averaged."""
        return self.samples // FRAME_SAMPLES

    def forward(self, audio: Tensor) -> Tensor:
        x = F.gelu(self.first(_three(self.mel(audio), 1)))
        x = F.gelu(self.second(_three(x, 2))) + self.positions
        # The last layer is needed for the averaged frames alone.
        count = WINDOWS[-1][0]
        for number, block in enumerate(self.blocks, 1):
            x = block(x, count if number == len(self.blocks) else self.frames)
        x = self.norm(x)
        return torch.cat(
            [x[:, count - first : count - last].mean(dim=1) for first, last in WINDOWS], dim=-1
        )


def _refuse_other_kinds(path: Path, tensors: dict[str, Tensor]) -> None:
    if any(name.endswith("weight_scale") for name in tensors):
        raise ConfigError(f"{path}: expected a Whisper model in float16 or float32, got int8")
    if "conv1/weight" in tensors and tensors["conv1/weight"].shape[1] != MEL_BINS:
        raise ConfigError(
            f"{path}: expected a Whisper model that takes {MEL_BINS} mel bins, got one that takes "
            f"{tensors['conv1/weight'].shape[1]}"
        )


def _three(x: Tensor, stride: int) -> Tensor:
    """Return each `stride`-th frame with its neighbours, (B, T, C) -> (B, T / stride, 3 C)."""
    x = F.pad(x, (0, 0, 1, 1))
    return torch.cat([x[:, start : x.shape[1] - 2 + start : stride] for start in range(3)], dim=-1)


class _Linear(nn.Module):
    """A linear layer that divides every frame by its largest value, and multiplies after it.

    The result is the same. But int8 then has one scale for each frame, as in CTranslate2: some
    frames of Whisper are many times larger than others, and one scale for all loses those.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = _constant(weight), _constant(bias)

    def forward(self, x: Tensor) -> Tensor:
        largest = x.abs().amax(dim=-1, keepdim=True).clamp(min=SMALLEST_SCALE)
        return (x / largest) @ self.weight.T * largest + self.bias


def _linear_of(weight: Tensor, bias: Tensor) -> _Linear:
    """Return a linear layer for `_three`, from a convolution's weight (C', C, 3)."""
    return _Linear(weight.transpose(1, 2).flatten(1), bias)


def _linear(tensors: dict[str, Tensor], name: str) -> _Linear:
    return _Linear(tensors[f"{name}/weight"], tensors[f"{name}/bias"])


def _norm(tensors: dict[str, Tensor], name: str) -> nn.LayerNorm:
    layer = nn.LayerNorm(len(tensors[f"{name}/gamma"]))
    layer.weight, layer.bias = (_constant(tensors[f"{name}/{part}"]) for part in ("gamma", "beta"))
    return layer


def _constant(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)
