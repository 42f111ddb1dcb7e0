"""Conversations as an endless stream of chunks for training.

A batch has B rows, and each row plays one conversation after another. The state of a row is
carried from chunk to chunk and reset only where its next conversation begins. So the network
learns on contexts as long as the conversations themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...stream.errors import ConfigError
from ..dialogues.labels import FrameLabels
from ..projection import UNKNOWN, swapped_classes
from .labelled import LabelledAudio, mask_silent_channels
from .losses import TargetBatch
from .settings import ChunkSettings
from .sources import ConversationSource

_START_DRAWS, _CHANNEL_DRAWS = 2, 3  # purposes of generators; the simulator uses 0, 1


@dataclass(frozen=True)
class Chunk:
    """The next chunk of every batch row."""

    audio: Tensor  # (B, 2, N) float32
    target: TargetBatch
    begins: Tensor  # (B,) bool, a new conversation begins: reset the state


@dataclass
class _BatchRow:
    number: int  # of the conversation in its source
    audio: NDArray[np.float32]  # (2, N) at the model's rate
    labels: FrameLabels
    position: int = 0  # frames played
    frames: int = field(init=False)

    def __post_init__(self) -> None:
        self.frames = self.labels.vad.shape[1]


class ConversationStream:
    """An endless stream of conversations.

    Row i plays conversations i, i + batch_rows, i + 2 batch_rows ... of the source. Each
    conversation has its own random draws of channel order, gain and muting. So the content of a
    row depends neither on the other rows nor on the process that holds it.

    Args:
        source: the conversations.
        settings: of the rows and chunks.
        batch_rows: numbers of this process's rows; default: all rows.
    """

    def __init__(
        self,
        source: ConversationSource,
        settings: ChunkSettings,
        batch_rows: Sequence[int] | None = None,
    ) -> None:
        self.settings, self._source = settings, source
        # number of each row's next conversation
        self._next = list(range(settings.batch_rows)) if batch_rows is None else list(batch_rows)
        self._batch_rows: list[_BatchRow | None] = [None] * len(self._next)

    def next_chunk(self) -> Chunk:
        """Return the next chunk of every row.

        If less than a chunk of a conversation is left, it is dropped.
        """
        begins = np.zeros(len(self._batch_rows), bool)
        for i, batch_row in enumerate(self._batch_rows):
            if batch_row is None or batch_row.position + self.settings.frames > batch_row.frames:
                self._batch_rows[i] = self._start_row(i)
                begins[i] = True
        self._source.prefetch(self._upcoming())
        batch_rows = [batch_row for batch_row in self._batch_rows if batch_row is not None]
        audio, labels = zip(*(self._cut(batch_row) for batch_row in batch_rows), strict=True)
        return Chunk(
            torch.from_numpy(np.stack(audio)), TargetBatch.of(labels), torch.from_numpy(begins)
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the position of every row.

        A position is the number of the conversation (-1 before the first) and its frames played so
        far.
        """
        playing = [
            (batch_row.number, batch_row.position) if batch_row is not None else (-1, 0)
            for batch_row in self._batch_rows
        ]
        return {"source": self._source.fingerprint, "batch_rows": playing}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where another stream of the same source, settings and rows was.

        Raises:
            ConfigError: the state comes from another source, or has another number of rows.
        """
        if state["source"] != self._source.fingerprint:
            raise ConfigError(
                f"expected the dialogues of the run that is resumed ({state['source']}), got "
                f"others ({self._source.fingerprint})"
            )
        if len(state["batch_rows"]) != len(self._batch_rows):
            raise ConfigError(
                f"expected the positions of {len(self._batch_rows)} batch rows, got those "
                f"of {len(state['batch_rows'])}"
            )
        numbers = [number for number, _ in state["batch_rows"]]
        for i, (number, position) in enumerate(state["batch_rows"]):
            if number < 0:
                continue
            self._source.prefetch(numbers[i:])
            batch_row = self._open_row(number)
            batch_row.position = position
            self._batch_rows[i], self._next[i] = batch_row, number + self.settings.batch_rows

    def _draws(self, number: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, number, purpose])

    def _upcoming(self) -> list[int]:
        """Return the numbers of the next conversations, the soonest first."""
        left = [
            -1 if batch_row is None else batch_row.frames - batch_row.position
            for batch_row in self._batch_rows
        ]
        return [self._next[i] for i in np.argsort(left, kind="stable")]

    def _start_row(self, i: int) -> _BatchRow:
        number = self._next[i]
        self._source.prefetch(self._upcoming())
        batch_row = self._open_row(number)
        if number < self.settings.batch_rows:
            # The first conversations should not all end together.
            chunks = batch_row.frames // self.settings.frames
            first = int(self._draws(number, _START_DRAWS).integers(chunks))
            batch_row.position = first * self.settings.frames
        self._next[i] = number + self.settings.batch_rows
        return batch_row

    def _open_row(self, number: int) -> _BatchRow:
        audio, labels = self._source.conversation(number)
        rng = self._draws(number, _CHANNEL_DRAWS)
        if rng.random() < 0.5:  # the roles of the channels are exchangeable
            audio, labels = audio[::-1], _swapped(labels)
        gain_db = rng.uniform(-self.settings.gain_db, self.settings.gain_db, size=(2, 1))
        audio = np.clip(audio * 10 ** (gain_db / 20), -1, 1).astype(np.float32)
        if rng.random() < self.settings.mute_share:
            audio[rng.integers(2)] = 0
        return _BatchRow(number, audio, mask_silent_channels(labels, audio))

    def _cut(self, batch_row: _BatchRow) -> LabelledAudio:
        start, end = batch_row.position, batch_row.position + self.settings.frames
        batch_row.position = end
        size = self.settings.frame_samples
        return batch_row.audio[:, start * size : end * size], batch_row.labels.cut(start, end)


def _swapped(labels: FrameLabels) -> FrameLabels:
    known = labels.projection != UNKNOWN
    projection = np.where(known, swapped_classes()[labels.projection], UNKNOWN)
    holder = np.where(labels.next_holder == UNKNOWN, UNKNOWN, 1 - labels.next_holder)
    return replace(
        labels,
        vad=labels.vad[::-1],
        projection=projection,
        next_holder=holder,
        next_second=1 - labels.next_second,
        backchannel=labels.backchannel[::-1],
        completeness=labels.completeness[::-1],
    )
