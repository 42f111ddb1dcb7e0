"""A conversation as training data: audio in whole steps, and a label per step. No torch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import ConfigError
from ..config import ModelConfig
from ..dialogues.activity import FRAME_RATE_HZ, BoolFrames, Samples
from ..dialogues.annotation import load_annotated
from ..dialogues.labels import FrameLabels, label_frames
from ..dialogues.loading import load_completeness
from ..dialogues.manifest import Dialogue

LabelledAudio = tuple[Samples, FrameLabels]


def labelled_audio(dialogue: Dialogue, config: ModelConfig) -> LabelledAudio:
    """Return the audio of a dialogue, (2, N), cut to whole steps of the network, and their labels.

    Raises:
        ConfigError: the network does not have 50 feature frames per second, as the activity has.
        DialogueError: a file cannot be read or is empty, or the files differ in length.
    """
    return label_audio(
        *load_annotated(dialogue, config.features.sample_rate_hz),
        config,
        load_completeness(dialogue),
    )


def label_audio(
    audio: Samples,
    activity: BoolFrames,
    backchannel: BoolFrames,
    config: ModelConfig,
    completeness: NDArray[np.floating] | None = None,
) -> LabelledAudio:
    """Return audio and labels as `labelled_audio` does, from arrays.

    Args:
        audio: (2, N) at the network's sample rate.
        activity: (2, T) at 50 Hz, every kind of speech.
        backchannel: (2, T), which of these frames are backchannels.
        config: of the network.
        completeness: (2, T), turn completeness according to a judge; None where none was asked.
    Raises:
        ConfigError: the network does not have 50 feature frames per second, as the activity has.
    """
    if config.features.sample_rate_hz != config.features.hop_samples * FRAME_RATE_HZ:
        got = config.features.sample_rate_hz / config.features.hop_samples
        raise ConfigError(
            f"expected {FRAME_RATE_HZ:g} feature frames a second, as in the activity that "
            f"labels them, got {got:g}"
        )
    hop, stride = config.features.hop_samples, config.encoder.stride
    frames = min(audio.shape[1] // hop, activity.shape[1]) // stride * stride
    newest = slice(stride - 1, frames, stride)  # the last frame of a step labels it
    judged = None if completeness is None else completeness[:, newest]
    labels = label_frames(
        activity[:, newest],
        backchannel[:, newest],
        config.frame_rate_hz,
        config.bin_edges_s,
        judged,
    )
    audio = audio[:, : frames * hop]
    return audio, mask_silent_channels(labels, audio)


def mask_silent_channels(labels: FrameLabels, audio: NDArray[np.float32]) -> FrameLabels:
    """Return the labels without voice activity and turn completeness of silent channels.

    A channel of digital silence does not speak, and its turn completeness is unknown. The turns of
    its speaker are still there to be predicted.
    """
    audible = audio.any(axis=1, keepdims=True)
    return replace(
        labels,
        vad=labels.vad & audible,
        completeness=np.where(audible, labels.completeness, np.float32(np.nan)),
    )
