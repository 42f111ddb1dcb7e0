"""What views of encodings compare: two classes of moments each, with whose encoding is looked at,
and what chance would make of them.

Contrasts of events take the start of a mutual silence as time 0; those of frames any frame, or the
start of a backchannel, against frames at which nobody is about to give one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from ...dialogues.activity import FRAME_RATE_HZ
from ...dialogues.events import (
    BACKCHANNEL_WINDOW_S,
    CONTEXT_S,
    SHORT_MARGIN_S,
    find_backchannel_windows,
)
from ...evaluation.predictions import at_activity_rate
from ..collection import Collection, Event
from ..moments import ENDINGS

SILENCES = ("gap", "pause")
BEGINS = "silence begins"
FEW_SILENCES = "there are few mutual silences"
NO_TEXT = "the words before the silences are not known"

Row = tuple[int, float, float, int, bool]  # the first five fields of Cases


@dataclass(frozen=True)
class Contrast:
    """Two classes of moments.

    Attributes:
        classes: the first one is what a score is high for.
        kinds: of the events, () where it is about frames.
        lacking: why there may be too few.
        subject: what both classes are of, where they do not say so themselves.
        zero: what happens at time 0.
    """

    name: str
    classes: tuple[str, str]
    kinds: tuple[str, ...]
    lacking: str
    subject: str = ""
    zero: str = BEGINS

    def words(self, between: str = " or ") -> str:
        """The classes, such as "shifts: correct or wrong"."""
        return f"{self.subject}: " * bool(self.subject) + between.join(self.classes)

    @property
    def of_speakers(self) -> bool:
        """The two speakers of the same event are compared."""
        return self.classes == ("speaker", "listener")

    def is_first(self, event: Event) -> bool | None:
        """Is an event of the first class? None: of neither, or both speakers are compared."""
        if self.of_speakers or event.kind not in self.kinds:
            return None
        if self.classes == ("correct", "wrong"):
            return event.correct
        label = event.ending if self.classes[0] in ENDINGS else event.kind
        return label == self.classes[0] if label in self.classes else None


def _predicted(kind: str) -> Contrast:
    lacking = f"few {kind}s were predicted, or few of them one way"
    return Contrast(f"{kind}-correct", ("correct", "wrong"), (kind,), lacking, f"{kind}s")


def _silences(first: str, second: str, lacking: str, kinds: tuple[str, ...] = SILENCES) -> Contrast:
    return Contrast(f"{first}-{second}", (first, second), kinds, lacking)


NEVER = "somebody hardly ever speaks or hardly ever does not"
FEW_KNOWN = "few backchannels are known"
CONTRASTS = {
    contrast.name: contrast
    for contrast in (
        _silences("shift", "hold", "few silences are clearly either", ("shift", "hold")),
        _silences("gap", "pause", FEW_SILENCES),
        # Not both kinds at once: of a network that always says hold, the correct ones are just the
        # holds.
        _predicted("shift"),
        _predicted("hold"),
        _silences("question", "statement", NO_TEXT),
        _silences("hesitation", "statement", NO_TEXT),
        _silences("speaker", "listener", FEW_SILENCES),
        Contrast("speaking", ("speaking", "silent"), (), NEVER, zero="any moment"),
        Contrast("backchannel", ("backchannel", "none"), (), FEW_KNOWN, zero="backchannel begins"),
    )
}
EVENT_CONTRASTS = tuple(name for name, contrast in CONTRASTS.items() if contrast.kinds)


@dataclass(frozen=True)
class Cases:
    """N moments; every field is (N,).

    Attributes:
        number: of the dialogue.
        start_s, end_s: time 0, and until when it lasts; infinite for a frame.
        speaker: whose own encoding is looked at; the other speaker's is the other one.
        first: is it of the first class?
        within: labels are as good as any other order of them within these, if there is nothing in
            them: `strata`, or, where both speakers of an event are compared, events.
    """

    number: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    speaker: NDArray[np.int64]
    first: NDArray[np.bool_]
    within: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.number)

    @property
    def strata(self) -> NDArray[np.int64]:
        """Number of the dialogue and speaker together, (N,): a class is told within these."""
        return 2 * self.number + self.speaker

    def only(self, places: NDArray[np.int64 | np.bool_]) -> Cases:
        """Some of them."""
        return Cases(*(getattr(self, field.name)[places] for field in fields(self)))

    def counts(self) -> tuple[int, int]:
        """How many there are of each class."""
        return int(self.first.sum()), int((~self.first).sum())

    def lasting(self, times_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether times, (K,) from time 0, are not after the end, (N, K)."""
        return (times_s <= 1e-9) | (times_s <= (self.end_s - self.start_s)[:, None] + 1e-9)

    def shuffled(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Labels in another order, drawn within `within`, (N,)."""
        order = np.lexsort((rng.random(len(self)), self.within))
        labels = np.empty(len(self), bool)
        labels[order] = self.first[np.argsort(self.within, kind="stable")]
        return labels


def event_cases(events: Sequence[Event], contrast: Contrast) -> Cases:
    """Return those events of a contrast that are of either class, in their order."""
    of_kind = [event for event in events if event.kind in contrast.kinds]
    rows: list[Row] = []
    for event in of_kind:
        where = (event.number, event.start_s, event.end_s)
        if contrast.of_speakers:
            rows += [(*where, speaker, speaker == event.speaker) for speaker in (0, 1)]
        elif (label := contrast.is_first(event)) is not None:
            rows.append((*where, event.speaker, label))
    pairs = np.repeat(np.arange(len(of_kind)), 2)
    return _cases(rows, pairs if contrast.of_speakers else None)


def speaking_cases(collection: Collection, count: int, seed: int = 0) -> Cases:
    """Return at most so many frames of single speakers, as many from each dialogue as its length
    gives, but not more than one a second, since neighbours say the same; the speaker is drawn, too.
    """
    rng, rate_hz = np.random.default_rng(seed), collection.frame_rate_hz
    numbers = range(len(collection.dialogues))
    frames = np.array([collection.frame_count(number) for number in numbers])
    amounts = np.minimum(count * frames / frames.sum(), frames / rate_hz).astype(int)
    rows: list[Row] = []
    for number, amount in enumerate(amounts):
        steps = np.sort(rng.choice(frames[number], amount, replace=False))
        speaker = rng.integers(0, 2, len(steps))
        speaking = collection.frames(number, ["speaking"])["speaking"][steps, speaker]
        rows += [
            (number, step / rate_hz, np.inf, int(who), bool(label))
            for step, who, label in zip(steps.tolist(), speaker, speaking, strict=True)
        ]
    return _cases(rows)


def backchannel_cases(
    collection: Collection, events: Sequence[Event], count: int, seed: int = 0
) -> Cases:
    """Return starts of backchannels whose giver was silent for a second while the other spoke, and
    frames in the other's long turns before which nobody was about to give one
    (`find_backchannel_windows`); at most so many of either. Nothing after time 0 is looked at: it
    would be the backchannel itself.
    """
    rows: list[Row] = []
    margin = round(SHORT_MARGIN_S * FRAME_RATE_HZ)
    earliest = (CONTEXT_S + BACKCHANNEL_WINDOW_S) * FRAME_RATE_HZ
    for number in range(len(collection.dialogues)):
        spoken = collection.frames(number, ["speaking"])["speaking"].T.astype(np.float32)
        rate_hz = collection.frame_rate_hz
        frames = round(spoken.shape[1] * FRAME_RATE_HZ / rate_hz)
        activity = at_activity_rate(spoken, rate_hz, frames) > 0.5
        for event in events:
            start = round(event.start_s * FRAME_RATE_HZ)
            if (event.number, event.kind) == (number, "backchannel") and start >= earliest:
                before = activity[:, start - margin : start]
                if not before[event.speaker].any() and before[1 - event.speaker].any():
                    rows.append((number, event.start_s, event.start_s, event.speaker, True))
        for window in find_backchannel_windows(activity):
            if window.kind == "none":
                end_s = window.end_frame / FRAME_RATE_HZ
                rows.append((number, end_s, end_s, window.listener, False))
    cases, rng = _cases(rows), np.random.default_rng(seed)
    classes = [np.flatnonzero(cases.first == label) for label in (True, False)]
    drawn = [rng.permutation(places)[:count] for places in classes]
    return cases.only(np.sort(np.concatenate(drawn)))


def stretch(times_s: NDArray[np.float64], holds: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Return from when on, and until when, something holds at times, (K,): without a break around
    time 0, or else, if it comes only later, up to the last time. None: at neither.
    """
    if not len(times_s):
        return None
    at = int(np.abs(times_s).argmin())
    at = at if holds[at] else len(times_s) - 1
    if not holds[at]:
        return None
    breaks = np.flatnonzero(~holds)
    first = max(breaks[breaks < at], default=-1) + 1
    last = min(breaks[breaks > at], default=len(times_s)) - 1
    return float(times_s[first]), float(times_s[last])


def stretch_in_words(found: tuple[float, float] | None, times_s: NDArray[np.float64]) -> str:
    """Return when a `stretch` of some times is, in words; "never" of None."""
    if found is None:
        return "never"
    if found[0] == found[1]:
        return f"only at {found[0]:+.2f} s"
    first = " (the first time)" if found[0] == times_s[0] else ""
    return f"from {found[0]:+.2f} s{first} to {found[1]:+.2f} s"


def _cases(rows: Sequence[Row], within: NDArray[np.int64] | None = None) -> Cases:
    number, start_s, end_s, speaker, first = list(zip(*rows, strict=True)) or [()] * 5
    times = (np.array(start_s, np.float64), np.array(end_s, np.float64))
    who, labels = np.array(speaker, np.int64), np.array(first, np.bool_)
    cases = Cases(np.array(number, np.int64), *times, who, labels, np.zeros(len(rows), np.int64))
    return replace(cases, within=cases.strata if within is None else within)
