"""Which moments are compared, chance, and stretches of time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from turnstream.models.latents.collection import Collection, Event
from turnstream.models.latents.events.contrasts import (
    CONTRASTS,
    Cases,
    backchannel_cases,
    event_cases,
    speaking_cases,
    stretch,
)


def event(kind: str, start_s: float, number: int = 0, speaker: int = 0, **more: Any) -> Event:
    who = {"number": number, "dialogue": f"d{number}", "speaker": speaker, "next": 1 - speaker}
    when = {"start_s": start_s, "end_s": start_s + 0.4}
    rest = {"split": "", "ending": "", "p_shift": None, "correct": None, **more}
    return Event(kind=kind, **who, **when, **rest)


EVENTS = [
    event("shift", 4.0, correct=True),
    event("gap", 4.0, ending="question"),
    event("hold", 8.0, 1, 1, correct=False),
    event("pause", 8.0, 1, 1, ending="statement"),
    event("pause", 9.0, 1),
    event("backchannel", 11.0, 1),
]
BOTH = [(4.0, 0, True), (8.0, 1, False)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shift-hold", BOTH),
        ("gap-pause", [*BOTH, (9.0, 0, False)]),
        ("shift-correct", [(4.0, 0, True)]),
        ("hold-correct", [(8.0, 1, False)]),
        ("question-statement", BOTH),
        (
            "speaker-listener",
            [(s, who, who == own) for s, own in ((4.0, 0), (8.0, 1), (9.0, 0)) for who in (0, 1)],
        ),
    ],
)
def test_each_contrast_takes_its_own_events_and_classes(
    name: str, expected: list[tuple[float, int, bool]]
) -> None:
    cases = event_cases(EVENTS, CONTRASTS[name])
    found = (cases.start_s.tolist(), cases.speaker.tolist(), cases.first.tolist())
    assert list(zip(*found, strict=True)) == expected


def test_labels_are_shuffled_only_within_dialogues_or_the_two_speakers_of_an_event() -> None:
    rng = np.random.default_rng(0)
    within = rng.integers(0, 4, 200)
    first = rng.random(200) < 0.1 + 0.25 * within
    cases = Cases(within, np.zeros(200), np.zeros(200), np.zeros(200, np.int64), first, within)
    shuffled = cases.shuffled(rng)
    assert (shuffled != first).sum() > 20
    for one in range(4):
        assert shuffled[within == one].sum() == first[within == one].sum()
    pairs = event_cases(EVENTS, CONTRASTS["speaker-listener"])
    drawn = np.stack([pairs.shuffled(rng) for _ in range(40)]).reshape(40, 3, 2)
    assert (drawn.sum(axis=2) == 1).all()
    assert 0 < drawn[:, 0, 0].sum() < 40


def test_speaking_is_asked_of_frames_of_all_dialogues(tiny_collection: Collection) -> None:
    assert len(speaking_cases(tiny_collection, 30)) == 30
    cases = speaking_cases(tiny_collection, 300)
    assert len(cases) == 60  # one a second
    assert np.unique(cases.number).tolist() == [0, 1, 2]
    moments = zip(cases.number, cases.start_s, cases.speaker, cases.first, strict=True)
    for number, start_s, speaker, first in moments:
        speaking = tiny_collection.frames(number, ["speaking"])["speaking"]
        assert speaking[round(start_s * 50), speaker] == first


def test_backchannels_count_only_where_their_giver_was_silent_and_the_other_spoke(
    tiny_collection: Collection,
) -> None:
    events = tiny_collection.events("backchannel")
    assert len(events) == 3  # at 14 s, while who was silent since 12 s listens
    cases = backchannel_cases(tiny_collection, events, 100)
    assert cases.start_s[cases.first].tolist() == [14.0] * 3
    others = [event("backchannel", 4.6, speaker=0), event("backchannel", 1.0, speaker=1)]
    assert not backchannel_cases(tiny_collection, others, 100).first.any()
    few = backchannel_cases(tiny_collection, events, 1).counts()
    assert (few[0], few[1] <= 1) == (1, True)  # at most so many of a class are drawn


@pytest.mark.parametrize(
    ("holds", "expected"),
    [
        ([0, 0, 1, 1, 1, 1, 0], (-0.1, 0.2)),  # around time 0
        ([1, 0, 0, 1, 0, 0, 0], (0.0, 0.0)),
        ([1, 1, 0, 0, 0, 1, 1], (0.2, 0.3)),  # only later, to the end
        ([1, 1, 1, 0, 1, 1, 0], None),
        ([1, 1, 1, 1, 1, 1, 1], (-0.3, 0.3)),
    ],
)
def test_a_stretch_is_unbroken_around_the_silences_start_or_lasts_to_the_end(
    holds: list[int], expected: tuple[float, float] | None
) -> None:
    times = np.array([-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3])
    assert stretch(times, np.array(holds, bool)) == expected
    assert stretch(times[:0], np.array([], bool)) is None
