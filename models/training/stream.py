"""Conversations as an endless stream of chunks for training: B lanes side by side, each playing one after another.

A lane's state is carried from chunk to chunk and reset only where its next conversation begins, so the network learns
on contexts as long as the conversations themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import ModelConfig
from ..dialogues.activity import FRAME_RATE_HZ
from ..dialogues.annotation import speech_activity
from ..dialogues.labels import FrameLabels, label_frames
from ..dialogues.manifest import Dialogue, load_audio
from ..errors import ConfigError, DialogueError
from ..projection import UNKNOWN, swapped_classes
from .losses import TargetBatch
from .settings import TrainingSettings


@dataclass(frozen=True)
class Chunk:
    """The next piece of every lane."""

    audio: Tensor  # (B, 2, N) float32
    target: TargetBatch
    begins: Tensor  # (B,) bool, a new conversation begins: its state must be reset


@dataclass
class _Lane:
    audio: NDArray[np.float32]  # (2, N) at the model's rate
    labels: FrameLabels
    position: int = 0  # frames played
    frames: int = field(init=False)

    def __post_init__(self) -> None:
        self.frames = self.labels.vad.shape[1]


def labelled_audio(dialogue: Dialogue, config: ModelConfig) -> tuple[NDArray[np.float32], FrameLabels]:
    """Audio (2, N), cut to whole steps of the network, and the labels of those steps.

    Raises:
        ConfigError: the network's feature frames are not those of the activity (50 a second).
        DialogueError: the files cannot be read.
    """
    if config.features.sample_rate_hz != config.features.hop_samples * FRAME_RATE_HZ:
        got = config.features.sample_rate_hz / config.features.hop_samples
        raise ConfigError(f"expected {FRAME_RATE_HZ:g} feature frames a second, as in the activity that labels them, got {got:g}")
    audio = load_audio(dialogue, config.features.sample_rate_hz)
    activity, backchannel = speech_activity(dialogue)
    hop, stride = config.features.hop_samples, config.encoder.stride
    frames = min(audio.shape[1] // hop, activity.shape[1]) // stride * stride
    newest = slice(stride - 1, frames, stride)  # a step is labelled by its last frame
    labels = label_frames(activity[:, newest], backchannel[:, newest], config.frame_rate_hz, config.bin_edges_s)
    audio = audio[:, : frames * hop]
    return audio, _heard(labels, audio)


class ConversationStream:
    """Draws conversations without end, every one once before any comes again.

    Args:
        dialogues: at least one.
        settings: lanes, chunk length, gain and muting; the order is set by its seed.
    """

    def __init__(self, dialogues: Sequence[Dialogue], settings: TrainingSettings) -> None:
        self.settings = settings
        self._dialogues = dialogues
        self._rng = np.random.default_rng(settings.seed)
        self._order: list[int] = []
        self._lanes: list[_Lane | None] = [None] * settings.lanes
        self.chunk_frames = round(settings.chunk_s * settings.model.frame_rate_hz)

    def next_chunk(self) -> Chunk:
        """The next chunk of every lane; what is left of a conversation shorter than a chunk is dropped."""
        begins = np.zeros(len(self._lanes), bool)
        for i, lane in enumerate(self._lanes):
            if lane is None or lane.position + self.chunk_frames > lane.frames:
                self._lanes[i] = self._start_lane(spread=lane is None)
                begins[i] = True
        lanes = [lane for lane in self._lanes if lane is not None]
        audio, targets = zip(*(self._cut(lane) for lane in lanes), strict=True)
        stacked = [torch.from_numpy(np.stack(column)) for column in zip(*targets, strict=True)]
        return Chunk(torch.from_numpy(np.stack(audio)), TargetBatch(*stacked), torch.from_numpy(begins))

    def _start_lane(self, spread: bool) -> _Lane:
        for _ in range(2 * len(self._dialogues)):
            if not self._order:
                self._order = self._rng.permutation(len(self._dialogues)).tolist()
            audio, labels = labelled_audio(self._dialogues[self._order.pop()], self.settings.model)
            if labels.vad.shape[1] >= self.chunk_frames:
                break
        else:
            raise DialogueError(f"expected conversations of at least {self.settings.chunk_s} s, found none")
        if self._rng.random() < 0.5:  # the roles of the channels are exchangeable
            audio, labels = audio[::-1], _swapped(labels)
        gain_db = self._rng.uniform(-self.settings.gain_db, self.settings.gain_db, size=(2, 1))
        audio = np.clip(audio * 10 ** (gain_db / 20), -1, 1).astype(np.float32)
        if self._rng.random() < self.settings.mute_share:
            audio[self._rng.integers(2)] = 0
        lane = _Lane(audio, _heard(labels, audio))
        if spread:  # so that the first conversations do not all end together
            chunks = lane.frames // self.chunk_frames
            lane.position = int(self._rng.integers(chunks)) * self.chunk_frames
        return lane

    def _cut(self, lane: _Lane) -> tuple[NDArray[np.float32], tuple[NDArray[np.generic], ...]]:
        start, end = lane.position, lane.position + self.chunk_frames
        lane.position = end
        size, labels = self.settings.model.frame_samples, lane.labels
        target = (
            labels.vad[:, start:end].astype(np.float32),
            labels.projection[start:end],
            labels.next_holder[start:end],
            labels.next_weight[start:end],
            labels.backchannel[:, start:end].astype(np.float32),
        )
        return lane.audio[:, start * size : end * size], target


def _heard(labels: FrameLabels, audio: NDArray[np.float32]) -> FrameLabels:
    """A channel of digital silence is not speaking, although its speaker's turns are still there to be predicted."""
    return replace(labels, vad=labels.vad & audio.any(axis=1, keepdims=True))


def _swapped(labels: FrameLabels) -> FrameLabels:
    known = labels.projection != UNKNOWN
    projection = np.where(known, swapped_classes()[labels.projection], UNKNOWN)
    holder = np.where(labels.next_holder == UNKNOWN, UNKNOWN, 1 - labels.next_holder)
    return FrameLabels(labels.vad[::-1], projection, holder, labels.next_weight, labels.backchannel[::-1])
