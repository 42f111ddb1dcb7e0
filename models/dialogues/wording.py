"""What a simulated speaker says in a turn, and where it pauses.

A turn consists of takes, which are pieces of recorded utterances, and of breaks in them. A turn
ends where an utterance ends, unless it is broken off. Pauses lie where the recorded speaker paused,
between words, and between the takes of a turn.
Where a judge scored turn completeness (completeness.py), ends are preferred at high scores and
pauses at low ones. The manner sets how strongly. voice.py cuts the pieces and makes the sound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .styles import Manner
from .timing import PlannedTurn
from .utterances import SAMPLE_RATE_HZ, UNFINISHED, UNKNOWN, Utterance

SHORTEST_PHRASE = round(0.2 * SAMPLE_RATE_HZ)
DOUBTFUL = 0.5  # turn completeness where there is no score
PENALTY = {"pause": 0.0, "dip": -0.3, "sentence": 0.3}  # cost by kind of break; low is preferred


@dataclass(frozen=True)
class Take:
    """A piece of an utterance, from sample `start` to sample `end`."""

    utterance: Utterance
    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Break:
    """A place in a turn where the speaker could pause."""

    take: int
    end: int  # last sample of speech before it
    resume: int  # first sample of speech after it
    position: float  # speech before it in the turn, seconds
    kind: str  # "pause", "dip" or "sentence"
    completeness: float


def _is_apart(place: Break, chosen: Iterable[tuple[Break, float]]) -> bool:
    """Whether there is at least a short phrase between this place and every chosen one."""
    return all(
        place.take != b.take
        or place.end - b.resume >= SHORTEST_PHRASE
        or b.end - place.resume >= SHORTEST_PHRASE
        for b, _ in chosen
    )


@dataclass
class Wording:
    """Chooses what one speaker says; utterances used less often come first.

    Attributes:
        utterances: to choose from.
        manner: the speaking style.
        rng: draws everything.
        speed: play-back speed. Turns have their planned length at this speed.
    """

    utterances: Sequence[Utterance]
    manner: Manner
    rng: np.random.Generator
    speed: float = 1.0
    _used: Counter[int] = field(default_factory=Counter[int], init=False)

    def any_utterance(self) -> Utterance:
        """A random utterance."""
        return self.utterances[int(self.rng.integers(len(self.utterances)))]

    def choose_takes(self, target_s: float, finished: bool) -> list[Take]:
        """Choose pieces of utterances that together last about `target_s`.

        The last piece ends a sentence if `finished`. The ones before it are whole sentences or stop
        inside one.
        """
        takes: list[Take] = []
        wanted = max(target_s, 0.3) * SAMPLE_RATE_HZ * self.speed
        remaining = wanted
        while True:
            same = takes[-1].utterance.speaker if takes else None
            remaining = max(remaining, 0.3 * SAMPLE_RATE_HZ)
            take = self._best_take(remaining, finished, same)
            more = (
                remaining - take.length >= max(0.35 * wanted, 0.8 * SAMPLE_RATE_HZ)
                and len(takes) < 5
            )
            if more and self.rng.random() < self.manner.run_on:
                take = self._best_take(remaining, False, same)
            self._used[take.utterance.index] += 1
            takes.append(take)
            remaining -= take.length
            if not more:
                return takes

    def choose_breaks(self, takes: Sequence[Take], turn: PlannedTurn) -> list[tuple[Break, float]]:
        """Choose breaks, each with its pause in seconds, in order.

        Every planned pause goes to the best place near its planned time, if there is one. All
        sentence boundaries are breaks too, and some natural pauses are lengthened.
        """
        candidates: list[Break] = []
        before = 0
        for i, take in enumerate(takes):
            u = take.utterance
            first, last = take.start + SHORTEST_PHRASE, take.end - SHORTEST_PHRASE
            inside = [(int(a), int(b)) for a, b in u.pauses if first < a and b < last]
            places = [(a, b, "pause") for a, b in inside] + [
                (int(d), int(d), "dip") for d in u.dips if first < d < last
            ]
            candidates += [
                Break(
                    i,
                    a,
                    b,
                    (before + a - take.start) / SAMPLE_RATE_HZ / self.speed,
                    kind,
                    u.completeness.get(a, DOUBTFUL),
                )
                for a, b, kind in places
            ]
            before += take.length
            if i + 1 < len(takes):
                candidates.append(
                    Break(
                        i,
                        take.end,
                        take.end,
                        before / SAMPLE_RATE_HZ / self.speed,
                        "sentence",
                        u.completeness.get(take.end, DOUBTFUL),
                    )
                )
        chosen: dict[tuple[int, int], tuple[Break, float]] = {}
        for at_s, part_s, pause_s in zip(
            np.cumsum(turn.parts_s), turn.parts_s, turn.pauses_s, strict=False
        ):
            between_words = self.rng.random() < self.manner.mid_phrase
            free = [
                c
                for c in candidates
                if (between_words or c.kind != "dip") and _is_apart(c, chosen.values())
            ]
            if free:
                place = min(
                    free,
                    key=lambda c: (
                        abs(c.position - at_s) / max(part_s, 0.5)
                        + PENALTY[c.kind]
                        + self.manner.legibility * c.completeness
                    ),
                )
                chosen[place.take, place.end] = (place, pause_s)
        for c in candidates:
            wanted = c.kind == "sentence" or (
                c.kind == "pause" and self.rng.random() < self.manner.stretch
            )
            if (
                wanted
                and (c.kind == "sentence" or _is_apart(c, chosen.values()))
                and (c.take, c.end) not in chosen
            ):
                chosen[c.take, c.end] = (c, self.manner.draw_pause_s(self.rng))
        return sorted(chosen.values(), key=lambda item: (item[0].take, item[0].end))

    def _best_take(self, wanted: float, finished: bool, same_speaker: str | None) -> Take:
        best, best_cost = None, np.inf
        for utterance in (self.any_utterance() for _ in range(14)):
            cost = 0.4 * self._used[utterance.index]
            if same_speaker is not None and utterance.speaker != same_speaker:
                cost += 0.7
            if finished:
                cost += {UNFINISHED: 1.5, UNKNOWN: 0.3}.get(utterance.finished, 0.0)
                options = [
                    (utterance.onset, utterance.offset, 0.0),
                    *((int(b), utterance.offset, 0.15) for _, b in utterance.pauses),
                ]
                options += [(int(dip), utterance.offset, 0.5) for dip in utterance.dips]
            else:
                options = [(utterance.onset, int(dip), 0.1) for dip in utterance.dips]
                options += [(utterance.onset, int(a), 0.0) for a, _ in utterance.pauses] or [
                    (utterance.onset, utterance.offset, 1.0)
                ]
            for start, end, extra in options:
                if end - start < 0.15 * SAMPLE_RATE_HZ:
                    continue
                misfit = abs(np.log((end - start) / wanted))
                unlike = self.manner.legibility * abs(
                    float(finished) - utterance.completeness.get(end, DOUBTFUL)
                )
                if cost + extra + misfit + unlike < best_cost:
                    best, best_cost = Take(utterance, start, end), cost + extra + misfit + unlike
        if best is None:
            whole = self.any_utterance()
            best = Take(whole, whole.onset, whole.offset)
        return best
