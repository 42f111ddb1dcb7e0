import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from turnstream.models.config import FeatureConfig
from turnstream.models.features import LOG_MEAN, LOG_SCALE, LogMel
from turnstream.models.torchaudio_loader import load_torchaudio

from ..networks import zero_state

CONFIGS = [
    FeatureConfig(),
    FeatureConfig(mel_bins=16, window_samples=320),
    FeatureConfig(mel_bins=16, window_samples=512),
    FeatureConfig(mel_bins=16, window_samples=800),
    FeatureConfig(mel_bins=20, window_samples=960, high_hz=8000.0, low_hz=0.0),
    FeatureConfig(
        mel_bins=16, sample_rate_hz=8000, hop_samples=160, window_samples=400, high_hz=4000.0
    ),
]
IDS = [f"{c.sample_rate_hz} Hz window {c.window_samples} hop {c.hop_samples}" for c in CONFIGS]


def noise(samples: int) -> Tensor:
    return 0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(0))


def chirp(samples: int) -> Tensor:
    t = torch.arange(samples, dtype=torch.float64) / samples
    # A sweep from 0 Hz to 0.4 of the sample rate.
    return (0.5 * torch.sin(2 * torch.pi * 0.2 * samples * t * t)).float().repeat(2, 1)


@pytest.mark.parametrize("signal", [noise, chirp])
@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_features_are_the_logarithm_of_torchaudios_mel_spectrogram(
    config: FeatureConfig, signal: object
) -> None:
    audio: Tensor = signal(40 * config.hop_samples)  # pyright: ignore[reportCallIssue]
    layer = LogMel(config)
    mel, _ = layer(audio, zero_state(layer.state_shapes(), 2))
    spectrogram = load_torchaudio().transforms.MelSpectrogram(
        config.sample_rate_hz,
        n_fft=config.window_samples,
        hop_length=config.hop_samples,
        f_min=config.low_hz,
        f_max=config.high_hz,
        n_mels=config.mel_bins,
        center=False,
    )
    # (B, T, M)
    power = spectrogram(F.pad(audio, (config.window_samples - config.hop_samples, 0))).transpose(
        1, 2
    )
    expected = (torch.log(power + config.log_floor) - LOG_MEAN) * LOG_SCALE
    assert mel.shape == (2, 40, config.mel_bins)
    # 0.01 dB is float32's precision beside a tone that is 60 dB louder.
    torch.testing.assert_close(mel, expected, atol=5e-4, rtol=0)


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_any_chunks_equal_the_whole(config: FeatureConfig) -> None:
    audio = noise(20 * config.hop_samples)
    layer = LogMel(config)
    zero = zero_state(layer.state_shapes(), 2)
    whole, _ = layer(audio, zero)
    for hops in (1, 3, 7):
        tail, pieces = zero, []
        for piece in audio.split(hops * config.hop_samples, dim=1):
            mel, tail = layer(piece, tail)
            pieces.append(mel)
        torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_a_frame_hears_its_window_and_no_sample_after_it(config: FeatureConfig) -> None:
    layer = LogMel(config)
    audio = noise(10 * config.hop_samples).requires_grad_()
    mel, _ = layer(audio, zero_state(layer.state_shapes(), 2))
    frame = 6
    (gradient,) = torch.autograd.grad(mel[:, frame].sum(), audio)
    heard = gradient.abs().sum(dim=0).nonzero()[:, 0]
    end = (frame + 1) * config.hop_samples
    assert heard.max() == end - 1
    assert heard.min() == end - config.window_samples + 1  # the Hann window's first weight is 0


def test_silence_is_finite_and_the_same_in_every_frame() -> None:
    layer = LogMel(FeatureConfig())
    mel, _ = layer(torch.zeros(1, 3200), zero_state(layer.state_shapes(), 1))
    assert torch.isfinite(mel).all()
    assert torch.equal(mel, mel[:, :1, :1].expand_as(mel))
