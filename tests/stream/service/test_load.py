"""The measured load, and the admission that follows from it."""

from __future__ import annotations

from turnstream.stream.service.load import TICK_S, Load

FRAME_RATE_HZ = 50.0


def after(
    sessions: int, share: float, *, other: float = 0.0, lag_s: float = 0.001, ticks: int = 40
) -> Load:
    """Return the load after live sessions have used this share of a core for 10 s.

    Args:
        sessions: live sessions.
        share: what they used.
        other: what everything else used.
        lag_s: lag of every live frame.
        ticks: number of measurements.
    """
    load = Load(max_load=0.8, max_lag_s=0.04, per_session=0.005)
    load.tick(0, 0, 0, 0, FRAME_RATE_HZ)
    for n in range(1, ticks + 1):
        count(load, n, sessions, share, other=other, lag_s=lag_s)
    return load


def count(
    load: Load, tick: int, sessions: int, share: float, *, other: float = 0.0, lag_s: float = 0.001
) -> None:
    """Count one more tick of the same; half of the processor's time is spent in the loop."""
    now_s = tick * TICK_S
    load.count(share * TICK_S, round(sessions * FRAME_RATE_HZ * TICK_S), 0, lag_s)
    load.tick(now_s, now_s * (share + other), now_s * share / 2, now_s * other / 2, FRAME_RATE_HZ)


def test_a_session_is_refused_when_one_more_would_exceed_the_limit() -> None:
    assert abs(after(78, 0.78).share - 0.78) < 0.01
    assert after(78, 0.78).refusal() is None
    assert (
        after(80, 0.8).refusal()
        == "at capacity: with one more session, 81% of a core would be used, the limit is 80%"
    )


def test_a_newcomer_is_expected_to_cost_what_a_frame_costs_in_full_steps() -> None:
    load = after(1, 0.03)  # alone, a session costs six times as much
    assert load.per_session == 0.005
    admitted = 0
    while load.refusal(admitted) is None:
        admitted += 1
    assert admitted == 154


def test_once_steps_are_shared_the_measured_cost_counts() -> None:
    assert abs(after(60, 0.6).per_session - 0.01) < 1e-6
    assert after(20, 0.2).per_session == 0.005


def test_of_the_measured_cost_only_what_depends_on_the_rows_is_expected_of_one_more() -> None:
    load = Load(max_load=0.8, max_lag_s=0.04, per_session=0.005)
    load.tick(0, 0, 0, 0, FRAME_RATE_HZ)
    fixed_s, row_s, rows = 0.0005, 0.0001, (5, 15)  # in the mean, a third of a step is fixed
    steps = 30  # of each kind in a tick
    spent_s = steps * sum(fixed_s + row_s * count for count in rows)
    for n in range(1, 41):
        for _ in range(steps):
            for count in rows:
                load.count(fixed_s + row_s * count, count, 0, 0.001)
        # A quarter of the time is spent on receiving, all of which depends on the rows.
        live_s = n * spent_s * 4 / 3
        load.tick(n * TICK_S, live_s, live_s, 0, FRAME_RATE_HZ)
    assert abs(load.share - spent_s * 4 / 3 / TICK_S) < 1e-6
    sessions = steps * sum(rows) / TICK_S / FRAME_RATE_HZ
    assert abs(load.per_session - (1 - 1 / 3 * 3 / 4) * load.share / sessions) < 1e-6


def test_in_a_rush_each_newcomer_is_expected_once() -> None:
    load = Load(max_load=0.8, max_lag_s=0.04, per_session=0.005)
    load.tick(0, 0, 0, 0, FRAME_RATE_HZ)
    began_s, cpu_s = [n / 100 for n in range(100)], 0.0  # a hundred in a second, which send at once
    for tick in range(1, 13):
        now_s = tick * TICK_S
        newcomers = sum(
            load.newcomer_weight(now_s - 0.001, at_s, at_s) for at_s in began_s if at_s < now_s
        )
        begun = sum(at_s < now_s for at_s in began_s)
        expected = load.share + 0.005 * newcomers
        assert 0.97 * 0.005 * begun < expected < 1.06 * 0.005 * begun
        sent_s = sum(max(0.0, min(TICK_S, now_s - at_s)) for at_s in began_s)
        cpu_s += 0.005 * sent_s
        load.count(0.005 * sent_s, round(sent_s * FRAME_RATE_HZ), 0, 0.001)
        load.tick(now_s, cpu_s, cpu_s, 0, FRAME_RATE_HZ)


def test_a_silent_newcomer_counts_less_and_less_and_then_no_more() -> None:
    load = Load(max_load=0.8, max_lag_s=0.04, per_session=0.005)
    weights = [load.newcomer_weight(n * TICK_S, 0.0, None) for n in range(13)]
    assert weights[0] == 1
    assert weights == sorted(weights, reverse=True)
    assert 0 < weights[11] < 0.05
    assert weights[12] == load.newcomer_weight(3.0, 0.0, 2.9) == 0


def test_handshakes_and_junk_are_not_booked_on_live_sessions() -> None:
    load = after(30, 0.3, other=0.6)
    assert abs(load.share - 0.3) < 0.01
    assert load.per_session == 0.005
    assert load.refusal() is None


def test_a_cost_that_was_measured_in_a_bad_moment_is_forgotten() -> None:
    load = after(1, 2.0)
    for n in range(41, 80):
        load.tick(n * TICK_S, 20, 10, 0, FRAME_RATE_HZ)
    assert abs(load.per_session - 0.005) < 1e-6
    assert load.refusal() is None


def test_the_first_two_sessions_fit_however_slow_the_machine() -> None:
    slow = Load(max_load=0.8, max_lag_s=0.04, per_session=3.0)
    assert slow.refusal(0) is None
    assert slow.refusal(1) is None
    assert slow.refusal(2) is not None
    assert after(1, 1.5, lag_s=2.0).refusal() is None
    assert after(2, 1.5).refusal() is not None


def test_predictions_that_lag_make_the_server_busy_until_they_catch_up() -> None:
    load = after(10, 0.1, lag_s=0.09)
    assert load.refusal() == "busy: predictions lag by 90 ms, the limit is 40 ms; try again soon"
    for n in range(41, 46):
        count(load, n, 10, 0.1)
    assert load.refusal() is None


def test_a_single_hiccup_refuses_nobody() -> None:
    load = after(10, 0.1)
    count(load, 41, 10, 0.1, lag_s=0.5)
    assert load.refusal() is None
