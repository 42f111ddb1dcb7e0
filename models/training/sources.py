"""Sources of training conversations: endless, numbered series. No torch.

Conversation `number` of a source is always the same, whoever asks for it and in whatever order. So
batch rows, processes and a resumed run agree on it without communication.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ...stream.errors import ConfigError, DialogueError
from ..dialogues.manifest import Dialogue
from .labelled import LabelledAudio, labelled_audio
from .settings import ChunkSettings, TrainingSettings


class ConversationSource(ABC):
    """An endless series of labelled conversations, none shorter than a chunk.

    Attributes:
        workers: processes that the source keeps busy besides the training process.
    """

    workers = 0

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Text that identifies the series; a run can only be resumed on the same series."""

    @abstractmethod
    def conversation(self, number: int) -> LabelledAudio:
        """Return audio (2, N) and labels of conversation `number`, counted from 0.

        Raises:
            DialogueError: it cannot be read or made, or is shorter than a chunk.
        """

    @abstractmethod
    def prefetch(self, numbers: Sequence[int]) -> None:
        """Start to prepare these conversations, the most urgent first, as far as there is room.

        Returns at once.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop the worker processes."""


class ShuffledDialogues(ConversationSource):
    """The dialogues of a manifest, in a new order each round.

    A dialogue shorter than a chunk is skipped: the next one of the order takes its place.

    Raises:
        ConfigError: there are no dialogues.
    """

    def __init__(self, dialogues: Sequence[Dialogue], chunks: ChunkSettings) -> None:
        if not dialogues:
            raise ConfigError("expected at least one dialogue to train on, got none")
        self._dialogues, self._chunks = dialogues, chunks
        # Four orders are enough: batch rows are seldom more than one round apart.
        self._order = lru_cache(maxsize=4)(self._draw_order)

    @property
    def fingerprint(self) -> str:
        names = "\n".join(dialogue.id for dialogue in self._dialogues)
        return (
            f"{len(self._dialogues)} dialogues, {hashlib.sha256(names.encode()).hexdigest()[:12]}"
        )

    def conversation(self, number: int) -> LabelledAudio:
        round_number, position = divmod(number, len(self._dialogues))
        order = self._order(round_number)
        for index in order[position:] + order[:position]:
            audio, labels = self.load(self._dialogues[index])
            if labels.vad.shape[1] >= self._chunks.frames:
                return audio, labels
        raise DialogueError(
            f"expected conversations of at least {self._chunks.chunk_s} s, found none"
        )

    @abstractmethod
    def load(self, dialogue: Dialogue) -> LabelledAudio:
        """Return audio (2, N) and labels of a dialogue.

        Raises:
            DialogueError: it cannot be read.
        """

    def _draw_order(self, round_number: int) -> list[int]:
        return (
            np.random.default_rng([self._chunks.seed, round_number])
            .permutation(len(self._dialogues))
            .tolist()
        )

    def prefetch(self, numbers: Sequence[int]) -> None:
        """Do nothing: a file takes too little time to read."""

    def close(self) -> None:
        """Do nothing: nothing is open."""


class RecordedDialogues(ShuffledDialogues):
    """Shuffled dialogues with labels from their files."""

    def __init__(self, dialogues: Sequence[Dialogue], settings: TrainingSettings) -> None:
        super().__init__(dialogues, settings.chunks)
        self._model = settings.model

    def load(self, dialogue: Dialogue) -> LabelledAudio:
        return labelled_audio(dialogue, self._model)
