import math
from collections.abc import Iterable

import numpy as np
import pytest

from turnstream.models.dialogues.events import Pause
from turnstream.models.evaluation.frontier import (
    DELAYS_S,
    THRESHOLDS,
    TIMEOUTS_S,
    TIMES_S,
    DialoguePause,
    OperatingPoint,
    best_cut_off,
    best_latency,
    find_dialogue_pauses,
    frontier,
    pareto_front,
    read_pauses,
    score_pauses,
    timer_frontier,
)
from turnstream.models.evaluation.measures import RESAMPLES, SEED
from turnstream.models.evaluation.predictions import EvaluatedDialogue

from .conftest import MakeDialogue

TIMES = len(TIMES_S)


def pauses(lengths_s: Iterable[float | None], dialogue: int = 0) -> list[DialoguePause]:
    """Return holds of the given lengths, and ends of turns where a length is missing."""
    kinds = [("end", 1.0) if length is None else ("hold", length) for length in lengths_s]
    return [
        DialoguePause(dialogue, Pause(kind, 0, 100, 100 + round(length * 50)))
        for kind, length in kinds
    ]  # pyright: ignore[reportArgumentType]


def waited(scores: np.ndarray, threshold: float, delay_s: float, timeout_s: float) -> float:
    """Return when a system that is asked every 0.1 s fires, computed step by step."""
    passed = False
    for tick in range(1, TIMES + 1):
        passed |= bool(scores[tick - 1] > threshold)
        if (passed and tick / 10 > delay_s - 1e-9) or tick / 10 > timeout_s - 1e-9:
            return min(tick / 10, timeout_s)
    return timeout_s


def rates(
    found: list[DialoguePause], scores: np.ndarray, settings: tuple[float, float, float]
) -> tuple[float, float]:
    """Return the cut-off rate and the latency, computed one pause at a time."""
    fired = [waited(row, *settings) for row in scores]
    lengths = [(each.pause.end_frame - each.pause.start_frame) / 50 for each in found]
    cut = [
        length > fire
        for each, length, fire in zip(found, lengths, fired, strict=True)
        if each.pause.kind == "hold"
    ]
    return float(np.mean(cut)), float(
        np.mean([fire for each, fire in zip(found, fired, strict=True) if each.pause.kind == "end"])
    )


def test_pauses_are_read_every_tenth_of_a_second_from_their_start(dialogue: MakeDialogue) -> None:
    call = dialogue([(0.2, 1.0), (1.5, 3.0)], [(3.6, 9.5)])
    call.stereo.p_next[1] = np.arange(500)
    call.mono[0].p_next[1] = 1000 + np.arange(500)
    found = find_dialogue_pauses([call])
    assert [each.pause for each in found] == [Pause("hold", 0, 50, 75), Pause("end", 0, 150, 500)]
    read = read_pauses([call], found, "stereo")
    assert read.shape == (2, TIMES)
    # The last frame ends 0.1 s into the pause.
    assert read[0, :3].tolist() == [
        54,
        59,
        64,
    ]
    assert read[1, -1] == 150 + 175 - 1
    assert read_pauses([call], found, "mono")[0, 0] == 1054


def test_beyond_the_end_the_last_score_stays(dialogue: MakeDialogue) -> None:
    call = dialogue([(0.2, 1.0)], [(1.5, 2.5)], seconds=2.5)
    call.stereo.p_next[1] = np.arange(125)
    assert read_pauses([call], find_dialogue_pauses([call]), "stereo")[0, 13:17].tolist() == [
        119,
        124,
        124,
        124,
    ]


def test_a_known_backchannel_does_not_take_the_floor(dialogue: MakeDialogue) -> None:
    call = dialogue([(0.2, 1.0), (2.5, 9.0)], [(1.4, 1.7)])
    # Nothing marks the short answer as a backchannel: speaker 0's pause is neither hold nor end.
    assert [each.pause for each in find_dialogue_pauses([call])] == [Pause("end", 1, 85, 500)]
    call.backchannel[1] = call.activity[1]
    assert [each.pause for each in find_dialogue_pauses([call])] == [Pause("hold", 0, 50, 125)]


def test_short_answers_are_neither_holds_nor_ends(dialogue: MakeDialogue) -> None:
    answered = dialogue([(0.2, 1.0), (2.5, 4.0)], [(1.4, 1.7), (5.0, 9.0)])
    silent = dialogue([(0.2, 1.0), (2.5, 4.0)], [(5.0, 9.0)])
    found, others = (
        find_dialogue_pauses([answered, silent]),
        [Pause("hold", 0, 50, 125), Pause("end", 0, 200, 500)],
    )
    assert [each.pause for each in found if each.dialogue == 1] == others
    assert [each.pause for each in found if each.dialogue == 0] == [
        others[1],
        Pause("end", 1, 85, 250),
    ]
    scores = np.ones((len(found), TIMES))
    assert (score_pauses(found, scores).holds, score_pauses(found, scores).ends) == (1, 3)


def test_a_score_that_is_missing_passes_no_threshold() -> None:
    found = pauses([3.2, None])
    missing, never = (score_pauses(found, np.full((2, TIMES), score)) for score in (np.nan, 0.0))
    assert missing.points == never.points != score_pauses(found, np.ones((2, TIMES))).points


def test_the_best_settings_are_those_that_waiting_step_by_step_finds() -> None:
    rng = np.random.default_rng(0)
    found = pauses([0.26, 0.86, 1.7, 4.2, 0.4, None, None, None])
    scores = np.clip(rng.random((len(found), TIMES)) ** 3, 0, 1)
    every = {
        (t, d, o): rates(found, scores, (t, d, o))
        for t in THRESHOLDS[::10]
        for d in DELAYS_S
        for o in TIMEOUTS_S
    }
    measured = score_pauses(found, scores)
    assert (measured.holds, measured.ends) == (5, 3)
    for limit, best in measured.cut_off_at.items():
        assert best.point is not None
        settings = (best.point.threshold, best.point.delay_s, best.point.timeout_s)
        assert (best.point.cut_off, best.point.latency_s) == pytest.approx(
            rates(found, scores, settings)
        )
        assert best.point.latency_s <= limit + 1e-9
        assert best.estimate.value == best.point.cut_off
        assert best.point.cut_off <= min(
            cut_off for cut_off, latency_s in every.values() if latency_s <= limit + 1e-9
        )
    for limit, best in measured.latency_at.items():
        within = [latency_s for cut_off, latency_s in every.values() if cut_off <= limit]
        assert best.estimate.value <= min(within, default=math.inf) or (
            math.isnan(best.estimate.value) and not within
        )


def test_every_point_of_the_curve_is_what_waiting_step_by_step_gives() -> None:
    rng = np.random.default_rng(1)
    found = pauses(rng.choice([0.26, 0.5, 0.86, 1.7, 3.0], 12)) + pauses([None] * 9)
    # A score that equals the threshold does not pass it
    scores = rng.choice(THRESHOLDS[:80:10], (len(found), TIMES))
    points = score_pauses(found, scores).points
    assert len(points) > 3
    for point in points:
        settings = (point.threshold, point.delay_s, point.timeout_s)
        assert (point.cut_off, point.latency_s) == pytest.approx(rates(found, scores, settings))
    assert [p.latency_s for p in points] == sorted(p.latency_s for p in points)
    assert [p.cut_off for p in points] == sorted((p.cut_off for p in points), reverse=True)


def test_a_hold_as_long_as_the_wait_is_not_cut_off() -> None:
    measured = timer_frontier(pauses([0.3, 0.7, 0.72, 1.5, None]))
    assert {round(p.latency_s, 1): p.cut_off for p in measured.points} == pytest.approx(
        {0.1: 1.0, 0.3: 0.75, 0.7: 0.5, 0.8: 0.25, 1.5: 0.0}
    )


def test_a_perfect_score_cuts_nobody_off_at_the_smallest_delay() -> None:
    found = pauses([0.3, 3.2, None, None])
    scores = np.array([[each.pause.kind == "end"] * TIMES for each in found], np.float32)
    measured = score_pauses(found, scores)
    best = measured.latency_at[0.05].point
    assert best is not None
    assert (best.cut_off, best.latency_s, best.delay_s) == (0.0, pytest.approx(0.1), 0.1)
    assert measured.cut_off_at[0.3].estimate.value == 0.0
    timer = timer_frontier(found)  # a silence timer
    assert timer.cut_off_at[0.3].estimate.value == 0.5
    assert timer.latency_at[0.1].estimate.value == pytest.approx(3.2)
    best = timer.latency_at[0.1].point
    assert best is not None
    assert math.isnan(best.threshold)


def test_a_score_passes_only_thresholds_below_it() -> None:
    found = pauses([3.2, None])
    always, never = (score_pauses(found, np.full((2, TIMES), score)) for score in (1.0, 0.0))
    # At threshold 1, even a score of 1 waits for the time-out.
    assert always.latency_at[0.1].estimate.value == 3.5
    assert always.cut_off_at[0.3].estimate.value == 1.0
    assert never.cut_off_at[0.6].point is None  # at threshold 0, a score of 0 does not pass


def test_where_no_setting_keeps_the_limit_there_is_none() -> None:
    measured = timer_frontier(pauses([4.0, None]))
    assert measured.latency_at[0.1].point is None
    assert math.isnan(measured.latency_at[0.1].estimate.value)
    for found in (pauses([]), pauses([0.5]), pauses([None])):
        empty = score_pauses(found, np.zeros((len(found), TIMES)))
        assert empty.points == ()
        assert all(
            best.point is None and math.isnan(best.estimate.value)
            for best in (*empty.cut_off_at.values(), *empty.latency_at.values())
        )


def test_the_interval_is_that_of_dialogues_really_drawn_again() -> None:
    rng = np.random.default_rng(2)
    each = [
        pauses(list(rng.choice([0.3, 0.5, 0.9, 1.4, 2.2], 6)) + [None] * 4, number)
        for number in range(4)
    ]
    measured = timer_frontier([pause for found in each for pause in found])
    drawn: list[list[float]] = [[], []]
    for counts in np.random.default_rng(SEED).multinomial(4, [0.25] * 4, RESAMPLES):
        again = [
            pause for found, count in zip(each, counts, strict=True) for pause in found * count
        ]
        lengths = np.array(
            [
                (p.pause.end_frame - p.pause.start_frame) / 50
                for p in again
                if p.pause.kind == "hold"
            ]
        )
        cut_offs = [(lengths > wait).mean() for wait in TIMES_S]
        # A timer's latency is its wait, so the best timer within 0.6 s waits 0.6 s.
        drawn[0].append(cut_offs[5])
        drawn[1].append(
            next(
                (wait for wait, cut_off in zip(TIMES_S, cut_offs, strict=True) if cut_off <= 0.1),
                math.nan,
            )
        )
    for best, values in zip(
        (measured.cut_off_at[0.6], measured.latency_at[0.1]), drawn, strict=True
    ):
        assert [best.estimate.low, best.estimate.high] == pytest.approx(
            np.nanpercentile(values, [2.5, 97.5])
        )


def test_the_value_lies_within_its_interval(random_dialogues: list[EvaluatedDialogue]) -> None:
    measured = frontier(random_dialogues, "mono")
    assert measured.holds > 50
    assert measured.ends > 50
    for best in (*measured.cut_off_at.values(), *measured.latency_at.values()):
        assert best.estimate.low <= best.estimate.value <= best.estimate.high


POINTS = [
    OperatingPoint(0.5, 0.1, 1.0, cut_off, latency_s)
    for cut_off, latency_s in ((0.3, 0.2), (0.1, 0.6), (0.05, 1.0), (0.2, 0.5), (0.2, 0.55))
]


@pytest.mark.parametrize(
    ("latency_s", "expected"),
    [(0.2, POINTS[0]), (0.55, POINTS[3]), (0.6, POINTS[1]), (9.0, POINTS[2]), (0.1, None)],
)
def test_the_fewest_cut_offs_among_those_fast_enough(
    latency_s: float, expected: OperatingPoint | None
) -> None:
    assert best_cut_off(POINTS, latency_s) == expected


@pytest.mark.parametrize(
    ("cut_off", "expected"),
    [(1.0, POINTS[0]), (0.2, POINTS[3]), (0.1, POINTS[1]), (0.05, POINTS[2]), (0.01, None)],
)
def test_the_fastest_among_those_that_cut_off_seldom_enough(
    cut_off: float, expected: OperatingPoint | None
) -> None:
    assert best_latency(POINTS, cut_off) == expected


def test_what_another_point_beats_is_not_on_the_curve() -> None:
    assert pareto_front(POINTS) == (POINTS[0], POINTS[3], POINTS[1], POINTS[2])
