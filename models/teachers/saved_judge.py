"""A judge of turn completeness as a file, with the embedding space that it scores in. No torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import ConfigError
from ...stream.pause_model import PauseHead, PauseMix
from .judge import Judge
from .stop_point_space import StopPointSpace

# Chosen on the shifts and holds of seven calls, near a logistic regression (model card).
PAUSE_MIX = PauseMix(network=0.25, pause=0.75)
WORDS = 0.45  # weight of the recogniser's logit beside that of the judge

_SPACE = [field.name for field in dataclasses.fields(StopPointSpace)]


@dataclass(frozen=True)
class SavedJudge:
    """A judge and the space of its coordinates.

    Attributes:
        judge: the linear head.
        space: maps the teacher's embeddings to the coordinates that the head takes.
    """

    judge: Judge
    space: StopPointSpace

    def logits(self, embeddings: NDArray[np.float16]) -> NDArray[np.float32]:
        """Return the logit that a turn is complete, for embeddings (P, D) -> (P,)."""
        return self.judge.logits(self.space.coordinates_of(embeddings))

    def head(self, name: str) -> PauseHead:
        """Return the head of a pause model.

        It gives the judge's logit of an embedding, and adds WORDS times the recogniser's.

        Args:
            name: what the judge was fitted on, in words.
        """
        weights = self.space.basis @ self.judge.weights / self.space.scale
        bias = self.judge.bias - float(self.space.mean @ weights)
        return PauseHead(
            name, tuple(float(f"{weight:.6g}") for weight in weights), bias, PAUSE_MIX, WORDS
        )

    def save(self, path: Path) -> None:
        """Write the judge for `load`."""
        np.savez(
            path,
            weights=self.judge.weights,
            bias=np.float32(self.judge.bias),
            **{name: getattr(self.space, name) for name in _SPACE},
        )

    @classmethod
    def load(cls, path: Path) -> SavedJudge:
        """Read a judge.

        Raises:
            ConfigError: the file holds no judge.
        """
        try:
            # NumPy itself leaves a broken archive open.
            with path.open("rb") as file, np.load(file) as stored:
                return cls(
                    Judge(stored["weights"], float(stored["bias"])),
                    StopPointSpace(**{name: stored[name] for name in _SPACE}),
                )
        except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
            raise ConfigError(
                f"{path}: expected a judge, as `turnstream pretrain judge` writes it: {error}"
            ) from None
