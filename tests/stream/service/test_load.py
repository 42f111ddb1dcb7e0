"""The measured load, and the admission that follows from it."""

from __future__ import annotations

from turnstream.stream.service.load import Load

FRAME_RATE_HZ = 50.0
TICK_S = 0.25


def after(
    sessions: int, share: float, *, early_frames: int = 0, lag_s: float = 0.001, ticks: int = 40
) -> Load:
    """Return the load after live sessions have used this share of a core for 10 s."""
    load = Load(max_load=0.8, max_lag_s=0.04, per_session=0.005)
    load.tick(0, 0, FRAME_RATE_HZ)
    for n in range(1, ticks + 1):
        load.count(round(sessions * FRAME_RATE_HZ * TICK_S), early_frames, lag_s)
        load.tick(n * TICK_S, n * TICK_S * share, FRAME_RATE_HZ)
    return load


def test_a_session_is_refused_when_one_more_would_exceed_the_limit() -> None:
    assert abs(after(78, 0.78).share - 0.78) < 0.01
    assert after(78, 0.78).refusal() is None
    assert (
        after(80, 0.8).refusal()
        == "at capacity: with one more session, 81% of a core would be used, the limit is 80%"
    )


def test_newcomers_count_before_they_can_be_measured_and_no_longer() -> None:
    load = after(20, 0.2)
    admitted = 0
    while load.refusal() is None:
        load.opened()
        admitted += 1
    assert admitted == 60
    for n in range(41, 60):  # these sessions have ended
        load.count(round(20 * FRAME_RATE_HZ * TICK_S), 0, 0.001)
        load.tick(n * TICK_S, n * TICK_S * 0.2, FRAME_RATE_HZ)
    assert load.refusal() is None


def test_before_anything_is_measured_the_guess_decides() -> None:
    load = after(0, 0.0)
    admitted = 0
    while load.refusal() is None:
        load.opened()
        admitted += 1
    assert admitted == 160


def test_a_cost_that_was_measured_in_a_bad_moment_is_forgotten() -> None:
    load = after(1, 2.0)
    for n in range(41, 80):
        load.tick(n * TICK_S, 20, FRAME_RATE_HZ)
    assert abs(load.per_session - 0.005) < 1e-6
    assert load.refusal() is None


def test_files_ahead_of_time_do_not_count_as_load() -> None:
    load = after(20, 0.95, early_frames=2000)
    assert load.share < 0.15
    assert load.refusal() is None


def test_an_idle_server_takes_the_first_however_slow_the_machine() -> None:
    assert Load(max_load=0.8, max_lag_s=0.04, per_session=3.0).refusal() is None


def test_predictions_that_lag_refuse_newcomers_until_they_catch_up() -> None:
    load = after(10, 0.1, lag_s=0.09)
    assert load.refusal() == "at capacity: predictions lag by 90 ms, the limit is 40 ms"
    for n in range(41, 46):
        load.count(125, 0, 0.002)
        load.tick(n * TICK_S, n * TICK_S * 0.1, FRAME_RATE_HZ)
    assert load.refusal() is None


def test_a_single_hiccup_refuses_nobody() -> None:
    load = after(10, 0.1)
    load.count(125, 0, 0.5)
    load.tick(10.25, 1.025, FRAME_RATE_HZ)
    assert load.refusal() is None
