"""A hung worker is found, and a pause of the machine is not taken for one."""

from __future__ import annotations

from turnstream.stream.service.heartbeat import Heartbeat


def test_a_worker_that_does_not_answer_in_time_is_hung() -> None:
    heartbeat = Heartbeat(timeout_s=2.0, period_s=0.5)
    heartbeat.asked(0)
    heartbeat.asked(1)
    found = []
    for tick in range(6):
        found.append(heartbeat.tick(0.5 * tick))
        heartbeat.forget(1)
        heartbeat.asked(1)
    assert found == [None, None, None, None, 0, None]


def test_time_in_which_the_supervisor_did_not_run_does_not_count() -> None:
    heartbeat = Heartbeat(timeout_s=2.0, period_s=0.5)
    heartbeat.tick(0.0)
    heartbeat.asked(0)
    assert [heartbeat.tick(3600.0 * hour) for hour in (1, 2, 3)] == [None] * 3
    assert heartbeat.tick(3600.0 * 3 + 0.5) == 0


def test_an_answered_ping_leaves_nothing_behind() -> None:
    heartbeat = Heartbeat(timeout_s=1.0, period_s=0.5)
    heartbeat.asked(0)
    heartbeat.tick(0.0)
    heartbeat.tick(0.5)
    heartbeat.forget(0)
    assert not heartbeat.awaits(0)
    assert heartbeat.tick(10.0) is None
    heartbeat.asked(0)
    assert heartbeat.awaits(0)
    assert heartbeat.tick(10.5) is None


def test_what_stops_all_workers_does_not_end_them_all_at_once() -> None:
    heartbeat = Heartbeat(timeout_s=1.0, period_s=0.5)
    for worker in (0, 1, 2):
        heartbeat.asked(worker)
    found = [heartbeat.tick(0.5 * tick) for tick in range(3)]
    assert found == [None, None, 0]
    heartbeat.forget(0)  # it was killed
    assert [heartbeat.tick(1.5), heartbeat.tick(2.0)] == [None, 1]
