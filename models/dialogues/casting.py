"""Choice of the two voices of a simulated dialogue, usually from the same set of recordings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from .synthesis import INTERJECTIONS_SET, SYNTHETIC_SET
from .utterances import SAMPLE_RATE_HZ, UNKNOWN, Utterance, UtterancePool, is_validation_speaker

ENOUGH_SPEECH_S = 75.0  # a voice with less also uses utterances of similar speakers
SAME_SET_SHARE = 0.75


class Cast:
    """The speakers of one split, by set.

    Sets with more speakers and more hours are drawn more often, but much less than in proportion.
    Synthetic sets, and sets with mostly unknown sentence ends, are drawn less often.
    """

    def __init__(self, pool: UtterancePool, split: str) -> None:
        wanted = [
            u
            for u in pool.utterances
            if u.set_name == INTERJECTIONS_SET
            or is_validation_speaker(u.speaker) == (split == "val")
        ]
        self.interjections = [u for u in wanted if u.set_name == INTERJECTIONS_SET]
        self.sets: dict[str, dict[str, list[Utterance]]] = defaultdict(lambda: defaultdict(list))
        for utterance in wanted:
            if utterance.set_name != INTERJECTIONS_SET:
                self.sets[utterance.set_name][utterance.speaker].append(utterance)
        self._names = sorted(self.sets)
        weights = np.array([self._weight(name) for name in self._names])
        self._shares = weights / weights.sum() if len(weights) else weights

    def _weight(self, name: str) -> float:
        utterances = [u for speaker in self.sets[name].values() for u in speaker]
        hours = sum(u.offset - u.onset for u in utterances) / SAMPLE_RATE_HZ / 3600
        known = 0.4 if np.mean([u.finished == UNKNOWN for u in utterances]) > 0.5 else 1.0
        # All speakers of the synthetic set are one voice, but they alone say conversational text.
        synthetic = 0.5 if name == SYNTHETIC_SET else 1.0
        return float(
            min(hours, 2.0) ** 0.5 * min(1.0, len(self.sets[name]) / 20) ** 0.4 * known * synthetic
        )

    @property
    def speakers(self) -> int:
        return sum(len(speakers) for speakers in self.sets.values())

    def draw_pair(self, rng: np.random.Generator, machine: bool) -> list[list[Utterance]]:
        """Return the utterances of two voices that share no speaker.

        With `machine` the second voice is synthetic, if there is a synthetic set.
        """
        first_set = str(rng.choice(self._names, p=self._shares))
        first = self._voice(rng, first_set, set())
        taken = {u.speaker for u in first}
        second_set = (
            first_set
            if rng.random() < SAME_SET_SHARE
            else str(rng.choice(self._names, p=self._shares))
        )
        if machine and SYNTHETIC_SET in self.sets:
            second_set = SYNTHETIC_SET
        if not set(self.sets[second_set]) - taken:
            second_set = str(
                rng.choice([name for name in self._names if set(self.sets[name]) - taken])
            )
        pair = [first, self._voice(rng, second_set, taken)]
        return pair if machine or rng.random() < 0.5 else pair[::-1]

    def _voice(self, rng: np.random.Generator, set_name: str, taken: set[str]) -> list[Utterance]:
        speakers = self.sets[set_name]
        free = sorted(set(speakers) - taken)
        anchor = free[rng.integers(len(free))]
        voice = list(speakers[anchor])
        if self._speech_s(voice) >= ENOUGH_SPEECH_S:
            return voice
        pitch = np.median([u.pitch_hz for u in voice])
        others = sorted(
            (name for name in free if name != anchor),
            key=lambda name: abs(np.log((speakers[name][0].pitch_hz or 1.0) / max(pitch, 1.0))),
        )
        # The first voice takes at most half of the other speakers, so that some are left.
        for name in others[: (len(free) - 1) // 2 if not taken else len(others)]:
            if self._speech_s(voice) >= ENOUGH_SPEECH_S:
                break
            voice += speakers[name]
        return voice

    @staticmethod
    def _speech_s(utterances: Sequence[Utterance]) -> float:
        return sum(u.speech_s for u in utterances)
