from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from turnstream.models.teachers.extraction import embed_end
from turnstream.models.teachers.whisper import HALVES, WhisperEncoder, whisper_folder
from turnstream.models.teachers.whisper_network import WhisperMel, WhisperNetwork
from turnstream.models.torchaudio_loader import load_torchaudio
from turnstream.stream.errors import ConfigError
from turnstream.stream.sources import bundled_sample

from ...recordings import buzz
from .tiny_whisper import CHANNELS, LAYERS, tiny_tensors, write_tiny_whisper

SECONDS, SAMPLES = 8, 128000
PACKAGES = ("faster_whisper", *HALVES)
MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
# They are faster-whisper's.
IGNORED = ("ignore::DeprecationWarning", "ignore:pkg_resources is deprecated:UserWarning")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> WhisperNetwork:
    return WhisperNetwork(write_tiny_whisper(tmp_path_factory.mktemp("tiny"))).eval()


@pytest.fixture(scope="module")
def audio() -> Tensor:
    """Two rows of syllables, with a pause inside and one at the end."""
    rng = np.random.default_rng(0)
    rows = np.stack([buzz(pitch, SECONDS, rng) for pitch in (110, 190)])
    rows[0, 60000:70000] *= 1e-3
    rows[:, -4000:] *= 1e-3
    return torch.from_numpy(rows)


def embed(network: WhisperNetwork, audio: Tensor) -> Tensor:
    with torch.inference_mode():
        return network(audio)


def plain_whisper(
    tensors: dict[str, NDArray[np.float32]], audio: Tensor, *, with_positions: bool = True
) -> Tensor:
    """The same encoder, written plainly: whole layers, and convolutions as such."""
    by_name = {name: torch.from_numpy(values) for name, values in tensors.items()}

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, by_name[f"{name}/weight"], by_name[f"{name}/bias"])

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (CHANNELS,), by_name[f"{name}/gamma"], by_name[f"{name}/beta"])

    spectrum = torch.stft(
        audio, 400, 160, window=torch.hann_window(400), pad_mode="reflect", return_complex=True
    )
    filters = load_torchaudio().functional.melscale_fbanks(
        201, 0.0, 8000.0, 80, 16000, norm="slaney", mel_scale="slaney"
    )
    mel = (filters.T @ spectrum[..., :-1].abs() ** 2).clamp(min=1e-10).log10()
    mel = (torch.maximum(mel, mel.amax(dim=(1, 2), keepdim=True) - 8) + 4) / 4
    for name, stride in (("conv1", 1), ("conv2", 2)):
        weight, bias = by_name[f"{name}/weight"], by_name[f"{name}/bias"]
        mel = F.gelu(F.conv1d(mel, weight, bias, stride=stride, padding=1))
    x = mel.transpose(1, 2)
    if with_positions:
        x = x + by_name["position_encodings/encodings"][: x.shape[1]]
    for layer in range(LAYERS):
        attention, frames = f"layer_{layer}/self_attention", f"layer_{layer}/ffn"
        projected = linear(norm(x, f"{attention}/layer_norm"), f"{attention}/linear_0")
        queries, keys, values = (
            part.unflatten(-1, (2, 64)).transpose(1, 2) for part in projected.chunk(3, dim=-1)
        )
        attended = F.scaled_dot_product_attention(queries, keys, values)
        x = x + linear(attended.transpose(1, 2).flatten(2), f"{attention}/linear_1")
        hidden = F.gelu(linear(norm(x, f"{frames}/layer_norm"), f"{frames}/linear_0"))
        x = x + linear(hidden, f"{frames}/linear_1")
    x = norm(x, "layer_norm")
    groups = (x[:, -10:], x[:, -25:-10], x[:, -60:-25])
    return torch.cat([group.mean(dim=1) for group in groups], dim=-1)


def test_the_embedding_has_three_groups_of_frames(network: WhisperNetwork, audio: Tensor) -> None:
    assert (network.samples, network.frames) == (SAMPLES, 400)
    found = embed(network, audio)
    assert (found.shape, found.dtype) == ((2, 3 * CHANNELS), torch.float32)


def test_the_network_equals_a_plain_transformer(network: WhisperNetwork, audio: Tensor) -> None:
    found = embed(network, audio)
    np.testing.assert_allclose(found, plain_whisper(tiny_tensors(), audio), atol=1e-4)
    without = plain_whisper(tiny_tensors(), audio, with_positions=False)
    assert (found - without).abs().max() > 0.1
    assert (found - plain_whisper(tiny_tensors(1), audio)).abs().max() > 0.1


def test_rows_do_not_know_each_other(network: WhisperNetwork, audio: Tensor) -> None:
    together, other = embed(network, audio), embed(network, audio.flip(0))
    np.testing.assert_allclose(together, other.flip(0), atol=1e-5)
    assert (together - other).abs().max() > 0.01


def test_each_group_hears_its_own_part_of_the_end_most(
    network: WhisperNetwork, audio: Tensor
) -> None:
    quiet = audio.clone()
    quiet[:, -60 * 320 :] *= 1e-3
    before = embed(network, quiet)
    noise = 0.1 * torch.randn(SAMPLES, generator=torch.Generator().manual_seed(0))
    # Group, and the frames of it that become loud, counted back from the end
    for group, first, last in ((0, 10, 0), (1, 24, 11), (2, 59, 26)):
        changed, heard = quiet.clone(), slice(SAMPLES - 320 * first, SAMPLES - 320 * last)
        changed[:, heard] = noise[heard]
        change = (embed(network, changed) - before).unflatten(-1, (3, CHANNELS)).norm(dim=-1)
        others = change[:, [other for other in range(3) if other != group]]
        assert (change[:, group] > 1.5 * others.amax(dim=1)).all()


@pytest.mark.parametrize("level", [1.0, 1e-6, 0.0])
def test_silence_gives_finite_values(level: float, network: WhisperNetwork, audio: Tensor) -> None:
    assert torch.isfinite(embed(network, level * audio)).all()


@pytest.mark.skipif(
    importlib.util.find_spec("faster_whisper") is None, reason="not installed: faster_whisper"
)
@pytest.mark.filterwarnings(*IGNORED)
def test_the_spectrogram_is_that_of_faster_whisper(audio: Tensor) -> None:
    extractor: Any = importlib.import_module("faster_whisper.feature_extractor")
    quiet = torch.cat([audio, torch.zeros(1, SAMPLES), 1e-4 * audio[:1]])
    with torch.inference_mode():
        found = WhisperMel()(quiet)
    assert found.shape == (4, 800, 80)
    for row, samples in zip(found, quiet, strict=True):
        expected = extractor.FeatureExtractor()(samples.numpy(), padding=0)[:, :800].T
        np.testing.assert_allclose(row, expected, atol=1e-3)
        assert np.abs(row.roll(1, dims=0).numpy() - expected).max() > 0.01 or not samples.any()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WhisperEncoder, Path]]:
    """Whisper-base and its folder."""
    cache = tmp_path_factory.mktemp("whisper")
    yield WhisperEncoder(cache=cache), whisper_folder(cache=cache)
    shutil.rmtree(cache)  # 150 MB


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
@pytest.mark.filterwarnings(*IGNORED)
def test_the_real_network_embeds_a_call_as_the_real_encoder_does(
    real: tuple[WhisperEncoder, Path],
) -> None:
    encoder, folder = real
    call, rate_hz = sf.read(bundled_sample(), frames=8 * 8000, dtype="float32")
    clip = soxr.resample(call[:, 0], rate_hz, 16000)
    (found,) = embed(WhisperNetwork(folder).eval(), torch.from_numpy(clip)[None]).numpy()
    assert found.shape == (3 * 512,)
    assert np.corrcoef(found, embed_end(encoder, clip))[0, 1] >= 0.99
    assert np.corrcoef(found, embed_end(encoder, clip[:-4800]))[0, 1] < 0.97  # another end


@pytest.mark.parametrize(
    "name",
    [
        "conv1/bias",
        "conv2/weight",
        "position_encodings/encodings",
        "layer_0/self_attention/linear_0/weight",
        "layer_0/self_attention/layer_norm/beta",
        "layer_1/self_attention/linear_1/bias",
        "layer_1/ffn/linear_1/weight",
        "layer_norm/gamma",
    ],
)
def test_a_missing_tensor_is_named(name: str, tmp_path: Path) -> None:
    tensors = tiny_tensors()
    del tensors[name]
    write_tiny_whisper(tmp_path, tensors)
    with pytest.raises(
        ConfigError, match=rf"model\.bin: expected a Whisper model, got no tensor '{name}'$"
    ):
        WhisperNetwork(tmp_path)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^{tmp_path}/model\.bin: expected a CTranslate2 model"):
        WhisperNetwork(tmp_path)


def test_int8_and_other_numbers_of_mel_bins_are_refused(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    scale = {"layer_0/ffn/linear_0/weight_scale": np.ones(192, np.float32)}
    with pytest.raises(ConfigError, match="expected a Whisper model in float16 or float32, got"):
        WhisperNetwork(write_tiny_whisper(tmp_path / "int8", tensors | scale))
    wide = {"conv1/weight": np.zeros((CHANNELS, 128, 3), np.float32)}
    with pytest.raises(ConfigError, match=r"that takes 80 mel bins, got one that takes 128$"):
        WhisperNetwork(write_tiny_whisper(tmp_path / "large", tensors | wide))
