"""A synthesiser for tests, so that they need no neural voice.

It buzzes; a longer text gives a longer sound.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from turnstream.models.dialogues.activity import Samples

SECONDS_PER_LETTER = 0.06
COMMA_PAUSE_S = 0.2


@dataclass
class FakeVoice:
    """Remembers the texts that it was asked to speak."""

    sample_rate: int = 24000
    said: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    def __call__(self, text: str, speed: float = 1.0, seed: int | None = None) -> Samples:
        self.said.append((text, speed))
        quiet = np.zeros(round(0.1 * self.sample_rate), np.float32)
        sounds = [quiet]
        for phrase in text.split(","):
            t = (
                np.arange(
                    round(max(len(phrase), 3) * SECONDS_PER_LETTER / speed * self.sample_rate)
                )
                / self.sample_rate
            )
            buzz = sum(np.sin(2 * np.pi * 200 * k * t) / k for k in range(1, 6))
            sounds += [
                (0.2 * buzz).astype(np.float32),
                np.zeros(round(COMMA_PAUSE_S * self.sample_rate), np.float32),
            ]
        return np.concatenate(sounds)
