"""What a trained autoencoder, VQ-VAE or VQ-VAE-2 keeps of a recording, as sound and image.

torchaudio turns log-mel frames into sound. It spreads the mel bands over the spectrum (least
squares), and estimates the phases (Griffin & Lim 1984). The frames of the original are turned into
sound in the same way, so that the loss by bands and phases is not blamed on the encoder.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...stream.errors import ConfigError, DialogueError
from ..config import FeatureConfig
from ..dialogues.loading import load_audio
from ..dialogues.manifest import Dialogue
from ..features import LOG_MEAN, LOG_SCALE
from ..torchaudio_loader import load_torchaudio
from .network import PretrainingNetwork, load_network

ROUNDS = 64  # iterations of Griffin-Lim
SHOWN = ("what was heard", "reconstruction")


def reconstruct(
    run: Path, audio: Path, out: Path, *, start_s: float = 0.0, seconds: float = 20.0
) -> str:
    """Write a recording and its reconstruction, both made from log-mel frames.

    The files are original.wav, reconstruction.wav, and reconstruction.png, which shows the frames.

    Args:
        run: folder of a pre-training.
        audio: recording with one or two channels. Two channels are reconstructed one by one, and
            mixed in the files.
        out: folder of the files.
        start_s, seconds: part of the recording.
    Returns:
        A summary to print.
    Raises:
        ConfigError: there is no such run, or its method reconstructs nothing.
        DialogueError: the recording cannot be read, or it has no audio in this part.
    """
    import soundfile as sf

    from ..latents.views import picture

    network = load_network(run)
    features = network.settings.features
    try:
        channels = min(sf.info(audio).channels, 2)
    except sf.LibsndfileError as error:
        raise DialogueError(f"{audio}: expected a recording, got: {error}") from None
    dialogue = Dialogue(
        audio.stem, (audio,) * (3 - channels), ("a", "b"), start_s=start_s, end_s=start_s + seconds
    )
    samples = load_audio(dialogue, features.sample_rate_hz)
    if samples.shape[1] < features.hop_samples * network.settings.encoder.stride:
        raise DialogueError(f"{audio}: expected audio from {start_s:g} s on, got none")
    original, made, error, variance = reconstructed(network, samples)
    original, made = (frames[:channels] for frames in (original, made))
    out.mkdir(parents=True, exist_ok=True)
    for name, frames in (("original", original), ("reconstruction", made)):
        sf.write(out / f"{name}.wav", sound(frames, features).mean(axis=0), features.sample_rate_hz)
    words = (
        f"{network.settings.method} of {run.name}: {1 - error / variance:.0%} of the variance "
        "of the log-mel frames of each receptive field is "
        f"reconstructed (squared error {error:.3f} of {variance:.3f}). Drawn and heard is, of "
        "the field that ends at each step, its newest frames."
    )
    with picture(
        out / "reconstruction.png",
        "What was heard, and what the encoder kept of it",
        words,
        (11.0, 5.0),
        nrows=2,
        ncols=1,
    ) as panels:
        low, high = float(original.min()), float(original.max())
        for panel, name, frames in zip(np.ravel(panels), SHOWN, (original, made), strict=True):
            end_s = frames.shape[1] * features.hop_samples / features.sample_rate_hz
            panel.imshow(
                frames[0].T,
                origin="lower",
                aspect="auto",
                vmin=low,
                vmax=high,
                extent=(start_s, start_s + end_s, 0, features.mel_bins),
            )
            panel.set(title=f"{name}, first speaker", ylabel="mel band", xlabel="seconds")
    return f"{words}\n{out / 'reconstruction.png'}, original.wav, reconstruction.wav"


def reconstructed(
    network: PretrainingNetwork, samples: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], float, float]:
    """Return the input frames and their reconstruction, with its error.

    Args:
        network: in evaluation mode.
        samples: (2, N).
    Returns:
        input frames and reconstructed frames, each (2, T, M), of all whole steps of the samples;
        and mean squared error and variance over what the receptive fields have of these frames.
    Raises:
        ConfigError: the network's method reconstructs nothing.
    """
    settings = network.settings
    size, stride = settings.chunks.samples, settings.encoder.stride
    state = network.init_state(1)
    original: list[Tensor] = []
    fields: list[Tensor] = []  # (2, steps, frames of the field, M)
    frames = samples.shape[1] // (settings.features.hop_samples * stride) * stride
    samples = np.pad(samples, ((0, 0), (0, -samples.shape[1] % size)))
    tail = torch.zeros(2, settings.features.window_samples - settings.features.hop_samples)
    with torch.inference_mode():
        for start in range(0, samples.shape[1], size):
            audio = torch.from_numpy(np.ascontiguousarray(samples[:, start : start + size]))
            judged, state = network(audio[None], state)
            if judged.reconstruction is None:
                raise ConfigError(
                    f"expected a network that reconstructs what it hears, got {settings.method}"
                )
            mel, tail = network.features(audio, tail)
            original.append(mel)
            fields.append(judged.reconstruction)
    heard = torch.cat(original, dim=1).numpy()[:, :frames]
    field = torch.cat(fields, dim=1).numpy()[:, : frames // stride]
    # The frames of the field of each step, of which some are before the beginning.
    ends = stride * (1 + np.arange(field.shape[1]))
    places = ends[:, None] - np.arange(field.shape[2], 0, -1)
    target = np.where(places[:, :, None] >= 0, heard[:, np.maximum(places, 0)], np.nan)
    error = np.nanmean((field - target) ** 2)
    variance = np.nanmean(np.nanvar(target, axis=(0, 1)))
    made = field[:, :, -stride:].reshape(2, -1, field.shape[3])
    return heard, made, float(error), float(variance)


def sound(frames: NDArray[np.float32], features: FeatureConfig) -> NDArray[np.float32]:
    """Return sound (R, N) with these log-mel frames (R, T, M)."""
    transforms = load_torchaudio().transforms
    bins = features.window_samples // 2 + 1
    mel = (
        (torch.exp(torch.from_numpy(frames) / LOG_SCALE) * math.exp(LOG_MEAN) - features.log_floor)
        .clamp(min=0)
        .transpose(1, 2)
    )  # (R, M, T)
    spread = transforms.InverseMelScale(
        bins, features.mel_bins, features.sample_rate_hz, features.low_hz, features.high_hz
    )
    phases = transforms.GriffinLim(
        features.window_samples, n_iter=ROUNDS, hop_length=features.hop_samples, power=2.0
    )
    torch.manual_seed(0)  # for the initial phases
    return phases(spread(mel)).clamp(-1, 1).numpy()
