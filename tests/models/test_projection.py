import numpy as np
import pytest

from turnstream.models.config import ModelConfig
from turnstream.models.projection import (
    CLASSES,
    UNKNOWN,
    class_bits,
    expected_bins,
    projection_classes,
    swapped_classes,
)

EDGES_S = ModelConfig().bin_edges_s


def random_activity(frames: int, seed: int) -> np.ndarray:
    """Return stretches of speech and silence of all lengths up to a second."""
    rng = np.random.default_rng(seed)
    return np.stack(
        [
            np.repeat(rng.random(frames) < 0.5, rng.integers(1, 50, frames))[:frames]
            for _ in range(2)
        ]
    )


def brute_force_class(activity: np.ndarray, frame: int, frame_rate_hz: float) -> int:
    """Return the class from the definition, one bin at a time."""
    bits = ""
    for speaker in (0, 1):
        for start_s, end_s in zip(EDGES_S, EDGES_S[1:], strict=False):
            first, last = (
                frame + 1 + round(start_s * frame_rate_hz),
                frame + 1 + round(end_s * frame_rate_hz),
            )
            if last > activity.shape[1]:
                return UNKNOWN
            bits += "1" if np.mean(activity[speaker, first:last]) >= 0.5 else "0"
    return int(bits[::-1], 2)  # bit 0 is the first speaker's first bin


@pytest.mark.parametrize("frame_rate_hz", [50.0, 25.0, 50 / 3])
@pytest.mark.parametrize("seed", range(3))
def test_classes_follow_the_definition(seed: int, frame_rate_hz: float) -> None:
    activity = random_activity(400, seed)
    expected = [brute_force_class(activity, frame, frame_rate_hz) for frame in range(400)]
    assert projection_classes(activity, frame_rate_hz, EDGES_S).tolist() == expected


@pytest.mark.parametrize("frames", [0, 1, 99, 100, 101, 150])
def test_the_last_two_seconds_have_an_unknown_future(frames: int) -> None:
    classes = projection_classes(np.zeros((2, frames), bool), 50.0, EDGES_S)
    assert classes.tolist() == [0] * max(0, frames - 100) + [UNKNOWN] * min(frames, 100)


def test_half_of_a_bin_is_enough_and_the_present_frame_is_no_part_of_it() -> None:
    activity = np.zeros((2, 101), bool)
    activity[0, :6] = True  # frames 1-5 are half of the first bin of ten
    assert projection_classes(activity, 50.0, EDGES_S)[0] == 1
    activity[0, 5] = False
    assert projection_classes(activity, 50.0, EDGES_S)[0] == 0


def test_exchanging_the_speakers_exchanges_the_classes_and_twice_is_nothing() -> None:
    swap = swapped_classes()
    assert swap[swap].tolist() == list(range(CLASSES))
    assert np.array_equal(class_bits()[swap], class_bits()[:, ::-1])
    activity = random_activity(400, 5)
    classes, mirrored = (
        projection_classes(a, 50.0, EDGES_S)[:300] for a in (activity, activity[::-1])
    )
    assert np.array_equal(mirrored, swap[classes])
    assert len(set(classes.tolist())) > 20


def test_read_outs_are_the_expected_number_of_bins_on() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(CLASSES))
    expected = np.zeros((2, 2))  # speaker, now and future
    for number, probability in enumerate(p):
        bits = [number >> i & 1 for i in range(8)]
        expected += probability * np.array(
            [[bits[0] + bits[1], bits[2] + bits[3]], [bits[4] + bits[5], bits[6] + bits[7]]]
        )
    for speaker in (0, 1):
        np.testing.assert_allclose(p @ expected_bins()[speaker], expected[speaker])


def test_a_certain_class_is_read_out_as_its_bits() -> None:
    number = 0b0000_0011  # only the first speaker, and only in the next 0.6 s
    assert expected_bins()[:, number].tolist() == [[2, 0], [0, 0]]
    assert class_bits()[number].tolist() == [[True, True, False, False], [False] * 4]
