"""What happens when, against hand-made conversations."""

from __future__ import annotations

import numpy as np
import pytest

from turnstream.models.dialogues.activity import BoolFrames, segments_to_frames
from turnstream.models.latents.moments import (
    FLOORS,
    SITUATIONS,
    Moment,
    ending_of,
    find_floors,
    find_moments,
    find_situations,
)


@pytest.fixture
def activity() -> BoolFrames:
    """A hold at 4 s, a shift at 7 s, an overlap at 9.9 s, a gap at 12 s.

    The gap is no clear shift, as the other speaks soon after.
    """
    return segments_to_frames(
        [[(0.0, 4.0), (5.0, 7.0), (12.5, 14.0)], [(8.0, 10.0), (9.9, 12.0), (13.0, 13.2)]], 750
    )


def moments_of(activity: BoolFrames, *kinds: str) -> list[Moment]:
    found = find_moments(activity, np.zeros_like(activity))
    return [moment for moment in found if moment.kind in kinds]


def test_a_silence_is_a_pause_of_who_goes_on_and_the_end_for_who_does_not() -> None:
    activity = segments_to_frames([[(0.0, 4.0), (5.0, 7.0)], [(8.0, 10.0), (9.9, 12.0)]], 600)
    activity[0, 550:600] = True
    names = np.array(SITUATIONS)[find_situations(activity)]
    assert set(names[0, :200]) == {"speaking"}
    assert set(names[1, :200]) == {"listening"}
    assert (set(names[0, 200:250]), set(names[1, 200:250])) == ({"pausing"}, {"listening"})
    assert (set(names[0, 350:400]), set(names[1, 350:400])) == ({"done"}, {"about to speak"})
    assert set(names[:, 550:].reshape(-1)) == {"both speaking"}


def test_every_frame_of_the_conversation_is_speech_overlap_gap_pause_or_silence(
    activity: BoolFrames,
) -> None:
    names = np.array(FLOORS)[find_floors(activity)]
    assert set(names[200:250]) == {"pause"}
    assert set(names[350:400]) == set(names[600:625]) == {"gap"}
    assert set(names[650:660]) == {"overlap"}
    assert set(names[700:]) == {"silence"}  # nobody ends it
    assert (names == "speech").sum() == 750 - 50 - 50 - 25 - 10 - 50


def test_clear_shifts_and_holds_are_gaps_and_pauses_as_well(activity: BoolFrames) -> None:
    assert moments_of(activity, "shift", "hold") == [
        Moment("hold", 0, 0, 200, 250),
        Moment("shift", 0, 1, 350, 400),
    ]
    assert moments_of(activity, "gap", "pause") == [
        Moment("pause", 0, 0, 200, 250),
        Moment("gap", 0, 1, 350, 400),
        Moment("gap", 1, 0, 600, 625),
    ]


def test_an_overlap_belongs_to_who_spoke_first(activity: BoolFrames) -> None:
    assert moments_of(activity, "overlap") == [Moment("overlap", 0, 1, 650, 660)]


def test_short_speech_during_the_others_is_a_backchannel_only_where_none_is_known() -> None:
    activity = segments_to_frames([[(0.0, 10.0)], [(5.0, 5.4), (12.0, 14.0)]], 750)
    assert moments_of(activity, "backchannel") == [Moment("backchannel", 1, 0, 250, 270)]
    known = np.zeros_like(activity)
    known[1, 600:620] = True
    assert [m for m in find_moments(activity, known) if m.kind == "backchannel"] == [
        Moment("backchannel", 1, 0, 600, 620)
    ]


def test_the_words_that_end_at_a_silence_say_how_they_end(activity: BoolFrames) -> None:
    texts = [
        [((0.0, 1.0), "What?"), ((2.0, 3.95), "is that it"), ((5.0, 7.1), "Is it?")],
        [((8.0, 9.0), "No.")],
    ]
    moments = find_moments(activity, np.zeros_like(activity), texts)
    found = {m.start_frame: m.ending for m in moments if m.kind in ("gap", "pause")}
    assert found == {200: "", 350: "question", 600: ""}


TEXTS = {
    "question": [
        *("Is it?", "Uhm?", "Really?!", "Really‽", "Τι κάνεις;", "هل؟", "آپ کیسے ہیں؟"),
        *("是吗？", "「本当ですか？」", "እንዴት ነህ፧"),
    ],
    "statement": [
        *('"So."', "the drum.", "…", "„Ja.“", "好的。", "はい｡", "Ինչպե՞ս ես։", "ጤና ይስጥልኝ።"),
        *("ٹھیک ہے۔", "हाँ।"),
    ],
    "hesitation": ["well, um...", "I think, er"],
    "": ["so", "", "well,", "Well;", "(ja)"],
}


@pytest.mark.parametrize(
    ("text", "ending"), [(text, ending) for ending, texts in TEXTS.items() for text in texts]
)
def test_only_a_final_mark_tells_a_question_from_a_statement(text: str, ending: str) -> None:
    assert ending_of(text) == ending


def test_silence_and_no_frames_at_all_hold_nothing() -> None:
    for frames in (0, 100):
        silent = np.zeros((2, frames), bool)
        assert find_moments(silent, silent) == []
        assert (find_floors(silent) == FLOORS.index("silence")).all()
