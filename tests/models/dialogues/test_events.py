"""The definitions of events, on hand-made cases and on random conversations.

For random conversations, the definitions are written a second time, frame by frame in plain
Python.
"""

import numpy as np
import pytest
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
from turnstream.stream.errors import DialogueError

from .random_activity import conversations

Segments = list[tuple[float, float]]
Floor = NDArray[np.bool_]


def speech(first: Segments, second: Segments, seconds: float = 10.0) -> Floor:
    return segments_to_frames([first, second], round(seconds * 50))


def transitions(first: Segments, second: Segments) -> list[Transition]:
    return find_transitions(speech(first, second))


def test_the_other_speaker_after_silence_is_a_shift():
    assert transitions([(2.0, 4.0)], [(4.5, 6.0)]) == [Transition("shift", 0, 1, 200, 225)]


def test_the_same_speaker_after_silence_is_a_hold():
    assert transitions([], [(2.0, 4.0), (4.5, 6.0)]) == [Transition("hold", 1, 1, 200, 225)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([(2.0, 4.0)], [(4.2, 6.0)]),  # silence too short
        ([(1.0, 2.9)], [(3.5, 5.0)]),  # too early
        ([(2.0, 4.0)], [(3.2, 3.4), (4.5, 6.0)]),  # both active in the second before
        ([(2.0, 4.0), (5.0, 5.2)], [(4.5, 6.0)]),  # both active in the second after
        ([(2.0, 4.0), (4.5, 6.0)], [(4.5, 6.0)]),  # both start at once
        ([(2.0, 4.0)], [(3.0, 4.5)]),  # overlap, no silence
        ([(2.0, 4.0)], []),  # nobody continues
    ],
)
def test_what_is_neither(first: Segments, second: Segments):
    assert transitions(first, second) == []


def test_a_silence_of_exactly_a_quarter_second_counts_from_the_frame_that_fills_it():
    assert len(transitions([(2.0, 4.0)], [(4.26, 6.0)])) == 1  # 13 frames of 20 ms
    assert len(transitions([(2.0, 4.0)], [(4.24, 6.0)])) == 0


@pytest.mark.parametrize(
    ("first", "scored"),
    [
        ([(2.0, 4.0)], True),
        ([(2.0, 3.4), (3.5, 4.0)], True),  # half a second without a break is long enough
        ([(2.0, 3.5), (3.6, 4.0)], False),  # a break in the last half second
        ([(2.0, 3.5)], True),
        ([(2.0, 3.4)], False),  # that half second begins before the third second
    ],
)
def test_shift_prediction_wants_half_a_second_of_unbroken_speech(first: Segments, scored: bool):
    activity = speech(first, [(4.5, 6.0)])
    found = find_transitions(activity)
    assert len(found) == 1
    assert with_last_speech(activity, found) == (found if scored else [])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            [(2.0, 4.0)],
            [(4.5, 5.5)],
            [Onset("long", 1, 225, 275)],
        ),  # one second is enough; a long onset is not also a short one
        ([(2.0, 4.0)], [(4.5, 5.4)], [Onset("short", 1, 225, 270)]),  # after a shift, but short
        ([(2.0, 4.0), (4.5, 6.0)], [], []),  # long, but after a hold
        (
            [(2.0, 9.0)],
            [(4.5, 5.0)],
            [Onset("short", 1, 225, 250)],
        ),  # in the middle of the other's speech
        ([(0.0, 9.0)], [(4.5, 5.5)], [Onset("short", 1, 225, 275)]),  # a second is still short
        ([(0.0, 9.0)], [(4.5, 5.52)], []),  # longer than a second
        ([(0.0, 9.0)], [(4.5, 5.0), (5.9, 6.3)], []),  # too close to each other
        (
            [(0.0, 9.0)],
            [(4.5, 5.0), (6.0, 6.3)],
            [Onset("short", 1, 225, 250), Onset("short", 1, 300, 315)],
        ),
        ([(0.0, 9.0)], [(2.9, 3.3)], []),  # in the first three seconds
        ([(0.0, 9.0)], [(8.7, 9.1)], []),  # the dialogue ends before a second of silence does
    ],
)
def test_onsets_are_long_or_short(first: Segments, second: Segments, expected: list[Onset]):
    assert find_onsets(speech(first, second)) == expected
    mirrored = [
        Onset(onset.kind, 1 - onset.speaker, onset.start_frame, onset.end_frame)
        for onset in expected
    ]
    assert find_onsets(speech(second, first)) == mirrored


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            [(0.0, 6.5)],
            [],
            [("none", 1, 150), ("none", 1, 175), ("none", 1, 200)],
        ),  # from the third second to two before the end
        ([(0.0, 6.48)], [], [("none", 1, 150), ("none", 1, 175)]),
        ([(4.0, 7.5)], [], [("none", 1, 250)]),  # a second after the start
        ([(4.0, 5.2), (6.0, 7.5)], [], [("none", 1, 250)]),  # a pause of its own does not end it
        (
            [(4.0, 5.2), (6.0, 7.5)],
            [(5.4, 5.7)],
            [("backchannel", 1, 245)],
        ),  # speech of the other ends it
        ([(0.0, 4.0)], [(3.5, 3.8)], [("backchannel", 1, 150)]),
        ([(0.0, 4.0)], [(3.48, 3.8)], []),  # the window before it begins too early
        ([], [(0.0, 6.0)], [("none", 0, 150), ("none", 0, 175)]),
    ],
)
def test_backchannel_windows(
    first: Segments, second: Segments, expected: list[tuple[str, int, int]]
):
    assert [
        (w.kind, w.listener, w.start_frame) for w in find_backchannel_windows(speech(first, second))
    ] == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([(0.2, 1.0), (1.5, 3.0)], [], [Pause("hold", 0, 50, 75)]),
        ([(0.2, 1.0)], [(1.5, 10.0)], [Pause("end", 0, 50, 500)]),
        ([(0.2, 1.0), (1.18, 10.0)], [], []),  # shorter than 0.2 s
        ([(0.2, 1.0), (1.2, 10.0)], [], [Pause("hold", 0, 50, 60)]),
        (
            [(0.2, 1.0)],
            [(0.9, 2.0)],
            [],
        ),  # it began while the other spoke, and the other spoke until the silence
        (
            [(0.2, 1.0)],
            [(0.5, 0.98), (1.16, 3.0)],
            [],
        ),  # the same with a break of 0.18 s at its start
        (
            [(0.2, 1.0)],
            [(0.5, 0.98), (1.18, 3.0)],
            [Pause("end", 0, 50, 500)],
        ),  # a break of 0.2 s is a pause
        ([(0.2, 1.0), (6.02, 10.0)], [], []),  # longer than 5 s
        ([(0.2, 1.0), (6.0, 10.0)], [], [Pause("hold", 0, 50, 300)]),
        ([(0.2, 1.0)], [(7.0, 10.0)], [Pause("end", 0, 50, 500)]),  # a late answer is still an end
        ([(0.2, 1.0), (1.5, 10.0)], [(1.5, 10.0)], [Pause("hold", 0, 50, 75)]),  # both at once
    ],
)
def test_a_pause_is_a_hold_or_an_end(first: Segments, second: Segments, expected: list[Pause]):
    assert find_pauses(speech(first, second)) == expected
    mirrored = [
        Pause(pause.kind, 1 - pause.speaker, pause.start_frame, pause.end_frame)
        for pause in expected
    ]
    assert find_pauses(speech(second, first)) == sorted(mirrored, key=lambda pause: pause.speaker)


@pytest.mark.parametrize(
    ("other", "resumes_s", "expected"),
    [
        ([(1.4, 1.8)], 2.4, None),  # a short answer, then the speaker continues
        ([(1.4, 2.38)], 2.4, None),  # 0.98 s
        ([(1.4, 2.4)], 2.6, "end"),  # 1 s
        ([(1.4, 1.8), (2.2, 2.8)], 3.2, "end"),  # a short answer, then more of it: 1 s in all
        ([(1.4, 1.8), (2.2, 2.78)], 3.2, None),  # 0.98 s in all; the silence between adds nothing
        ([(1.4, 1.8), (1.98, 2.4)], 3.2, "end"),  # a break of 0.18 s counts as speech
        ([(1.4, 1.8), (2.0, 2.4)], 3.2, None),  # a silence of 0.2 s does not
        (
            [(1.4, 1.8), (3.0, 6.0)],
            2.4,
            None,
        ),  # what begins after the speaker continued does not count
        ([(1.4, 4.0)], 1.6, "end"),  # the speaker says something while the other has the floor
        ([(1.4, 1.8), (1.96, 4.0)], 1.9, "end"),  # also in a short break of the other
        ([(1.4, 1.8)], 1.5, None),  # both at once for a moment, and the speaker keeps the floor
        (
            [(0.1, 0.9), (1.4, 1.8)],
            2.4,
            None,
        ),  # what the other said before the pause does not count
        ([(0.5, 1.1), (1.4, 3.0)], 4.0, None),  # the other was speaking when the pause began
        (
            [(1.4, 1.8)],
            10.0,
            None,
        ),  # the speaker never continues, and the other does not take the floor
        ([(9.2, 10.0)], 10.0, None),  # the dialogue ends before a second was spoken
        ([(9.0, 10.0)], 10.0, "end"),
    ],
)
def test_the_other_takes_the_floor_with_a_second_of_speech(
    other: Segments, resumes_s: float, expected: str | None
):
    activity = speech([(0.2, 1.0), (resumes_s, 10.0)], other)
    found = [
        pause for pause in find_pauses(activity) if (pause.speaker, pause.start_frame) == (0, 50)
    ]
    assert [pause.kind for pause in found] == ([] if expected is None else [expected])
    assert all(pause.end_frame == round(resumes_s * 50) for pause in found)


@pytest.mark.parametrize(
    "find", [find_transitions, find_onsets, find_backchannel_windows, find_pauses, floor_around]
)
def test_activity_of_one_speaker_is_refused(find):
    with pytest.raises(DialogueError, match=r"two speakers, \(2, T\), got shape \(1, 100\)"):
        find(np.zeros((1, 100), bool))


# The definitions a second time. Frames are visited one by one.
# `on(s, t)` is False outside the dialogue.


class Visited:
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
@example(speech([(0.0, 4.0), (6.0, 9.0)], [(4.5, 5.0)]))
@example(speech([(0.0, 4.0), (4.4, 4.6), (7.0, 9.0)], [(4.2, 4.5), (4.66, 5.4)]))
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
