import numpy as np
import pytest

from turnstream.models.training.frontier import (
    DELAYS_S,
    THRESHOLDS,
    TIMEOUTS_S,
    OperatingPoint,
    Pause,
    best_cut_off,
    best_latency,
    find_pauses,
    operating_points,
    read_scores,
)

TIMES = 35  # scores of a pause: every 0.1 s up to the longest time-out


def spoken(frames: int, *stretches: tuple[int, int, int]) -> np.ndarray:
    """Activity (2, frames) of these (speaker, start, end)."""
    active = np.zeros((2, frames), bool)
    for speaker, start, end in stretches:
        active[speaker, start:end] = True
    return active


@pytest.mark.parametrize(
    ("activity", "expected"),
    [
        (spoken(150, (0, 10, 50), (0, 75, 150)), [Pause(0, 1.0, 0.5)]),  # goes on: a hold
        (spoken(150, (0, 10, 50), (1, 75, 150)), [Pause(0, 1.0, None)]),  # the other takes the floor: an end
        (spoken(150, (0, 10, 50), (1, 60, 100), (0, 120, 150)), [Pause(0, 1.0, None), Pause(1, 2.0, None)]),
        (spoken(150, (0, 10, 50), (0, 59, 150)), []),  # shorter than 0.2 s
        (spoken(150, (0, 10, 50), (0, 60, 150)), [Pause(0, 1.0, 0.2)]),
        (spoken(150, (0, 10, 50), (1, 45, 100)), []),  # began while the other spoke, who then spoke until nobody did
        (spoken(400, (0, 10, 50), (0, 301, 400)), []),  # longer than 5 s
        (spoken(400, (0, 10, 50), (0, 300, 400)), [Pause(0, 1.0, 5.0)]),
        (spoken(400, (0, 10, 50), (1, 330, 400)), [Pause(0, 1.0, None)]),  # a late answer is still an end
    ],
)
def test_a_pause_is_a_hold_or_an_end(activity: np.ndarray, expected: list[Pause]) -> None:
    assert find_pauses(activity, 50.0) == expected
    swapped = [Pause(1 - pause.speaker, pause.start_s, pause.length_s) for pause in expected]
    assert find_pauses(activity[::-1], 50.0) == sorted(swapped, key=lambda pause: pause.speaker)


def test_pauses_are_the_same_at_any_frame_rate() -> None:
    activity = spoken(150, (0, 10, 50), (0, 76, 100), (1, 120, 150))
    assert find_pauses(activity[:, ::2], 25.0) == find_pauses(activity, 50.0) == [Pause(0, 1.0, 0.52), Pause(0, 2.0, None)]


@pytest.mark.parametrize(("rate_hz", "first"), [(50.0, [54, 59, 64, 69]), (25.0, [26, 29, 31, 34]), (50 / 3, [17, 19, 20, 22])])
def test_scores_are_the_newest_that_were_there_by_then(rate_hz: float, first: list[int]) -> None:
    numbers = np.arange(500, dtype=np.float32)  # score of frame t, which ends at (t + 1) / rate
    read = read_scores(numbers, Pause(0, 1.0, 0.5), rate_hz)
    assert read.shape == (TIMES,)
    assert read[:4].tolist() == first
    late_s = 1.0 + 0.1 * np.arange(1, TIMES + 1) - (read + 1) / rate_hz
    assert (late_s > -1e-6).all()
    assert (late_s < 1 / rate_hz).all()


def test_beyond_the_end_the_last_score_stays() -> None:
    assert read_scores(np.arange(60, dtype=np.float32), Pause(0, 1.0, None), 50.0).tolist() == [54, *[59] * (TIMES - 1)]


def test_before_the_first_frame_the_first_score_is_read() -> None:
    assert read_scores(np.arange(9, dtype=np.float32), Pause(0, 0.02, None), 5.0)[0] == 0


def test_every_point_is_what_waiting_step_by_step_gives() -> None:
    rng = np.random.default_rng(0)
    pauses = [Pause(0, 0.0, length) for length in (0.25, 0.85, 1.7, 4.2, None, None, None)]
    scores = np.clip(rng.random((len(pauses), TIMES)) ** 3, 0, 1).astype(np.float32)
    points = list(operating_points(pauses, scores))
    assert len(points) == len(THRESHOLDS) * len(DELAYS_S) * len(TIMEOUTS_S)
    for point in rng.choice(np.array(points, object), 300, replace=False):
        fired = []
        for row in scores:
            fire, passed = point.timeout_s, False
            for tick in range(1, TIMES + 1):
                passed |= bool(row[tick - 1] > point.threshold)
                if (passed and tick / 10 > point.delay_s - 1e-9) or tick / 10 > point.timeout_s - 1e-9:
                    fire = min(tick / 10, point.timeout_s)
                    break
            fired.append(fire)
        cut = [pause.length_s > fire for pause, fire in zip(pauses, fired, strict=True) if pause.length_s is not None]
        late = [fire for pause, fire in zip(pauses, fired, strict=True) if pause.length_s is None]
        assert (point.cut_off, point.latency_s) == pytest.approx((np.mean(cut), np.mean(late)))


def test_a_perfect_score_cuts_nobody_off_at_the_smallest_delay() -> None:
    pauses = [Pause(0, 0.0, 0.3), Pause(1, 0.0, 3.2), Pause(0, 0.0, None), Pause(1, 0.0, None)]
    scores = np.array([[pause.length_s is None] * TIMES for pause in pauses], np.float32)
    points = list(operating_points(pauses, scores))
    best = best_latency(points, 0.0)
    assert best is not None
    assert (best.cut_off, best.latency_s, best.delay_s) == (0.0, pytest.approx(0.1), pytest.approx(0.1))
    assert best_cut_off(points, 0.1) == best
    timer = list(operating_points(pauses, np.ones_like(scores)))  # a plain silence timer has to wait
    assert best_cut_off(timer, 0.1) is not None
    assert min(point.cut_off for point in timer if point.latency_s < 0.2) == 1.0


POINTS = [OperatingPoint(0.5, 0.1, 1.0, cut_off, latency_s) for cut_off, latency_s in ((0.3, 0.2), (0.1, 0.6), (0.05, 1.0), (0.2, 0.5))]


@pytest.mark.parametrize(("latency_s", "expected"), [(0.2, POINTS[0]), (0.55, POINTS[3]), (0.6, POINTS[1]), (9.0, POINTS[2]), (0.1, None)])
def test_the_fewest_cut_offs_among_those_fast_enough(latency_s: float, expected: OperatingPoint | None) -> None:
    assert best_cut_off(POINTS, latency_s) == expected


@pytest.mark.parametrize(("cut_off", "expected"), [(1.0, POINTS[0]), (0.2, POINTS[3]), (0.1, POINTS[1]), (0.05, POINTS[2]), (0.01, None)])
def test_the_fastest_among_those_that_cut_off_seldom_enough(cut_off: float, expected: OperatingPoint | None) -> None:
    assert best_latency(POINTS, cut_off) == expected
