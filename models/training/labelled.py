"""A conversation as the network learns it: audio cut to whole steps, and the labels of those steps. No torch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import ConfigError
from ..config import ModelConfig
from ..dialogues.activity import FRAME_RATE_HZ, BoolFrames, Samples
from ..dialogues.annotation import load_annotated
from ..dialogues.labels import FrameLabels, label_frames
from ..dialogues.loading import load_finality
from ..dialogues.manifest import Dialogue

LabelledAudio = tuple[Samples, FrameLabels]


def labelled_audio(dialogue: Dialogue, config: ModelConfig) -> LabelledAudio:
    """Audio (2, N), cut to whole steps of the network, and the labels of those steps.

    Raises:
        ConfigError: the network's feature frames are not those of the activity (50 a second).
        DialogueError: the files cannot be read, hold nothing, or differ in length.
    """
    return label_audio(
        *load_annotated(dialogue, config.features.sample_rate_hz), config, load_finality(dialogue)
    )


def label_audio(
    audio: Samples,
    activity: BoolFrames,
    backchannel: BoolFrames,
    config: ModelConfig,
    finality: NDArray[np.floating] | None = None,
) -> LabelledAudio:
    """The same from audio (2, N) at the network's rate and frames (2, T) at 50 Hz.

    Raises:
        ConfigError: the network's feature frames are not those of the activity (50 a second).
    """
    if config.features.sample_rate_hz != config.features.hop_samples * FRAME_RATE_HZ:
        got = config.features.sample_rate_hz / config.features.hop_samples
        raise ConfigError(
            f"expected {FRAME_RATE_HZ:g} feature frames a second, as in the activity that labels them, got {got:g}"
        )
    hop, stride = config.features.hop_samples, config.encoder.stride
    frames = min(audio.shape[1] // hop, activity.shape[1]) // stride * stride
    newest = slice(stride - 1, frames, stride)  # a step is labelled by its last frame
    judged = None if finality is None else finality[:, newest]
    labels = label_frames(
        activity[:, newest],
        backchannel[:, newest],
        config.frame_rate_hz,
        config.bin_edges_s,
        judged,
    )
    audio = audio[:, : frames * hop]
    return audio, heard(labels, audio)


def heard(labels: FrameLabels, audio: NDArray[np.float32]) -> FrameLabels:
    """A channel of digital silence is not speaking, nor does it sound finished, although its speaker's turns are still there to be predicted."""
    audible = audio.any(axis=1, keepdims=True)
    return replace(
        labels,
        vad=labels.vad & audible,
        finality=np.where(audible, labels.finality, np.float32(np.nan)),
    )
