"""The definitions of events a second time, frame by frame in plain Python, on random dialogues."""

import numpy as np
from hypothesis import example, given, settings
from numpy.typing import NDArray

from turnstream.models.dialogues.activity import segments_to_frames
from turnstream.models.dialogues.events import (
    NOBODY,
    BackchannelWindow,
    Onset,
    Pause,
    Transition,
    find_backchannel_windows,
    find_onsets,
    find_pauses,
    find_transitions,
    floor_around,
    with_last_speech,
)

from .random_activity import conversations

Floor = NDArray[np.bool_]


class Visited:
    """Visits frames one by one; `on(s, t)` is False outside the dialogue."""

    def __init__(self, activity: Floor) -> None:
        self.rows: list[list[bool]] = activity.tolist()
        self.length = activity.shape[1]

    def on(self, speaker: int, t: int) -> bool:
        return 0 <= t < self.length and self.rows[speaker][t]

    def quiet(self, t: int) -> bool:
        return not self.on(0, t) and not self.on(1, t)

    def alone(self, speaker: int, t: int) -> bool:
        return self.on(speaker, t) and not self.on(1 - speaker, t)

    def transitions(self) -> list[Transition]:
        found: list[Transition] = []
        for start in range(150, self.length):
            if not self.quiet(start) or self.quiet(start - 1):
                continue
            end = start
            while end < self.length and self.quiet(end):
                end += 1
            if end == self.length or (end - start) / 50 < 0.25:
                continue
            before = {s for s in (0, 1) for t in range(start - 50, start) if self.on(s, t)}
            after = {s for s in (0, 1) for t in range(end, end + 50) if self.on(s, t)}
            if len(before) == len(after) == 1:
                (a,), (b,) = before, after
                found.append(Transition("hold" if a == b else "shift", a, b, start, end))
        return found

    def with_last_speech(self) -> list[Transition]:
        def counts(t: Transition) -> bool:
            return t.silence_start_frame / 50 - 0.5 >= 3 and all(
                self.on(t.previous, t.silence_start_frame - back) for back in range(1, 26)
            )

        return [t for t in self.transitions() if counts(t)]

    def onsets(self) -> list[Onset]:
        shifted = [(t.silence_end_frame, t.next) for t in self.transitions() if t.kind == "shift"]
        found: list[Onset] = []
        for t in range(self.length):
            for speaker in (0, 1):
                if not self.on(speaker, t) or self.on(speaker, t - 1):
                    continue
                length = next(n for n in range(1, self.length + 2) if not self.on(speaker, t + n))
                if (t, speaker) in shifted and length >= 50:
                    found.append(Onset("long", speaker, t, t + length))
                    continue
                margins = [*range(t - 50, t), *range(t + length, t + length + 50)]
                free = all(0 <= at < self.length and not self.on(speaker, at) for at in margins)
                if length <= 50 and free and t / 50 >= 3:
                    found.append(Onset("short", speaker, t, t + length))
        return found

    def turn_of(self, speaker: int, t: int) -> bool:
        """Return whether frame t belongs to a turn of the speaker.

        The speaker alone is active, or the frame lies in a silence that the speaker both began and
        ended.
        """
        if self.alone(speaker, t):
            return True
        if not self.quiet(t):
            return False
        left, right = t, t
        while left >= 0 and self.quiet(left):
            left -= 1
        while right < self.length and self.quiet(right):
            right += 1
        return self.alone(speaker, left) and self.alone(speaker, right)

    def backchannel_windows(self) -> list[BackchannelWindow]:
        found = [
            BackchannelWindow("backchannel", o.speaker, o.start_frame - 25, o.start_frame)
            for o in self.onsets()
            if o.kind == "short"
        ]
        for speaker in (0, 1):
            since, taken = 0, 0  # length of the turn so far; end of the last window
            mine = [self.turn_of(speaker, t) for t in range(self.length)] + [False]
            for t in range(self.length):
                since = since + 1 if mine[t] else 0
                # Frames of the turn from t on
                left = next(n for n in range(self.length + 1) if not mine[t + n])
                if mine[t] and since > 50 and left - 25 >= 100 and t >= max(taken, 150):
                    found.append(BackchannelWindow("none", 1 - speaker, t, t + 25))
                    taken = t + 25
        return sorted(
            (w for w in found if w.start_frame >= 150), key=lambda w: (w.start_frame, w.listener)
        )

    def speaks(self, speaker: int, t: int) -> bool:
        """Return whether the speaker is active, or in a break of less than ten frames."""
        before = next((n for n in range(10) if self.on(speaker, t - n)), 99)
        after = next((n for n in range(10) if self.on(speaker, t + n)), 99)
        # At most nine frames lie between the two active frames.
        return before + after <= 10

    def pauses(self) -> list[Pause]:
        found: list[Pause] = []
        for speaker in (0, 1):
            other = 1 - speaker
            for start in range(1, self.length):
                if (
                    self.speaks(speaker, start)
                    or not self.speaks(speaker, start - 1)
                    or self.speaks(other, start)
                ):
                    continue
                end = next(
                    t
                    for t in range(start, self.length + 1)
                    if t == self.length or self.speaks(speaker, t)
                )
                said, t = 0, start
                while t < end or (self.speaks(other, t) and self.speaks(other, t - 1)):
                    said += self.speaks(other, t)
                    t += 1
                if said >= 50:
                    found.append(Pause("end", speaker, start, end))
                elif said == 0 and end < self.length and (end - start) / 50 <= 5.0:
                    found.append(Pause("hold", speaker, start, end))
        return found

    def floor_around(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for t in range(self.length):
            before = next(
                (s for back in range(t, -1, -1) for s in (0, 1) if self.alone(s, back)), NOBODY
            )
            after = next(
                (
                    [self.on(0, at), self.on(1, at)]
                    for at in range(t + 1, self.length)
                    if not self.quiet(at)
                ),
                [False, False],
            )
            found.append((before, after.index(True) if sum(after) == 1 else NOBODY))
        return found


@settings(max_examples=150, deadline=None)
@given(conversations())
@example(np.zeros((2, 0), bool))
@example(segments_to_frames([[(0.0, 4.0), (6.0, 9.0)], [(4.5, 5.0)]], 500))
@example(segments_to_frames([[(0.0, 4.0), (4.4, 4.6), (7.0, 9.0)], [(4.2, 4.5), (4.66, 5.4)]], 500))
def test_every_event_equals_an_independent_implementation(activity: Floor):
    visited = Visited(activity)
    found = find_transitions(activity)
    assert found == visited.transitions()
    assert with_last_speech(activity, found) == visited.with_last_speech()
    assert find_onsets(activity) == visited.onsets()
    assert find_backchannel_windows(activity) == visited.backchannel_windows()
    assert find_pauses(activity) == visited.pauses()
    assert [
        (int(last), int(following)) for last, following in zip(*floor_around(activity), strict=True)
    ] == visited.floor_around()


def test_on_long_random_conversations_every_kind_of_event_occurs_and_agrees():
    rng = np.random.default_rng(0)
    kinds: set[str] = set()
    for _ in range(20):
        activity, at = np.zeros((2, 3000), bool), 0
        while at < 3000:
            length = int(rng.choice([10, 30, 60, 200]))
            activity[rng.integers(2), at : at + length] = True
            at = max(0, at + length + int(rng.integers(-30, 70)))
        visited = Visited(activity)
        pairs = [
            (find_transitions(activity), visited.transitions()),
            (find_onsets(activity), visited.onsets()),
            (find_backchannel_windows(activity), visited.backchannel_windows()),
            (find_pauses(activity), visited.pauses()),
        ]
        for found, expected in pairs:
            assert found == expected
            kinds |= {f"{type(event).__name__}: {event.kind}" for event in found}
    assert len(kinds) == 8
