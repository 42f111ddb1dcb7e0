import numpy as np
import pytest

from turnstream.models.evaluation.predictions import (
    DialoguePrediction,
    EvaluatedDialogue,
    at_activity_rate,
    last_frame_at,
)
from turnstream.stream.contract import PROBABILITIES
from turnstream.stream.errors import DialogueError


def prediction(frames: int) -> DialoguePrediction:
    return DialoguePrediction(*(np.zeros((2, frames), np.float32) for _ in range(5)))


def test_mono_is_what_was_said_with_only_that_speaker_heard():
    active = np.zeros((2, 9), bool)
    both, first, second = prediction(9), prediction(9), prediction(9)
    dialogue = EvaluatedDialogue("a", active, active, both, (first, second))
    assert dialogue.predictions_for("stereo", 1) is both
    assert dialogue.predictions_for("mono", 0) is first
    assert dialogue.predictions_for("mono", 1) is second
    with pytest.raises(AssertionError, match="dialogue 'a' was run in stereo alone"):
        EvaluatedDialogue("a", active, active, both).predictions_for("mono", 0)


def test_outputs_of_a_slower_network_are_brought_to_50_hz():
    values = {name: np.full((2, 3), n, np.float32) for n, name in enumerate(PROBABILITIES)}
    values["vad"][:, 1] = 7
    found = DialoguePrediction.from_outputs(values, 25.0, 6)
    assert found.vad.tolist() == [[0, 0, 0, 7, 7, 0]] * 2
    assert found.p_backchannel.tolist() == [[4] * 6] * 2


@pytest.mark.parametrize(
    ("activity", "backchannel", "frames", "message"),
    [
        (
            (1, 9),
            (1, 9),
            9,
            r"dialogue 'a': expected activity of two speakers, \(2, T\), got shape \(1, 9\)",
        ),
        (
            (2, 9),
            (2, 8),
            9,
            r"expected backchannel to be as long as the activity, \(2, 9\), got \(2, 8\)",
        ),
        (
            (2, 9),
            (2, 9),
            10,
            r"expected stereo.vad to be as long as the activity, \(2, 9\), got \(2, 10\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    activity: tuple[int, int], backchannel: tuple[int, int], frames: int, message: str
):
    with pytest.raises(DialogueError, match=message):
        EvaluatedDialogue(
            "a",
            np.zeros(activity, bool),
            np.zeros(backchannel, bool),
            prediction(frames),
            (prediction(9), prediction(9)),
        )


@pytest.mark.parametrize(
    ("rate_hz", "expected"),
    [
        (50.0, [0, 1, 2, 3, 4, 5, 6, 7]),
        (25.0, [0, 0, 0, 1, 1, 2, 2, 3]),
        (50 / 3, [0, 0, 0, 0, 0, 1, 1, 1]),
    ],
)
def test_at_the_end_of_every_frame_the_newest_complete_prediction_stands(
    rate_hz: float, expected: list[int]
):
    numbers = np.tile(np.arange(100, dtype=np.float32), (2, 1))
    read = at_activity_rate(numbers, rate_hz, 8)
    assert read.tolist() == [expected, expected]
    assert read.dtype == np.float32


def test_after_the_last_prediction_it_stays():
    assert at_activity_rate(np.array([[1, 2], [3, 4]], np.float32), 50.0, 4).tolist() == [
        [1, 2, 2, 2],
        [3, 4, 4, 4],
    ]


def test_a_system_that_said_nothing_is_refused():
    with pytest.raises(
        DialogueError,
        match=r"expected predictions \(2, T\) of at least one frame, got shape \(2, 0\)",
    ):
        at_activity_rate(np.zeros((2, 0), np.float32), 50.0, 4)


@pytest.mark.parametrize(
    ("start", "seconds", "expected"),
    [
        (200, 0.05, 201),
        (200, 0.25, 211),
        (200, 0.5, 224),
        (200, 0.1, 204),
        (0, 0.0, 0),
        (990, 3.5, 999),
    ],
)
def test_only_whole_frames_have_been_heard(start: int, seconds: float, expected: int):
    assert last_frame_at(start, seconds, 1000) == expected
