"""Metrics: every call shows in the output, instances do not clash.

One worker answers for all workers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead
from prometheus_client.parser import text_string_to_metric_families

from turnstream.stream.service.metrics import FOLDER_VARIABLE, Metrics


def samples(body: bytes) -> dict[str, float]:
    """Return every sample by name, with its label's value in brackets."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            found[sample.name + "".join(f"[{value}]" for value in sample.labels.values())] = (
                sample.value
            )
    return found


def test_a_call_counts_what_it_is_named_after() -> None:
    metrics = Metrics()
    metrics.session_opened()
    metrics.session_opened()
    metrics.session_parked()
    metrics.session_parked()
    metrics.session_unparked()
    metrics.session_resumed()
    metrics.session_closed("shutdown")
    metrics.refused(503)
    metrics.refused(503)
    metrics.refused(401)
    metrics.error("idle")
    metrics.step(0.0015, 12)
    metrics.step(0.004, 30)
    metrics.lag(0.015)
    metrics.load(0.25)
    metrics.store_ready(True)
    content_type, body = metrics.exposition()
    assert content_type.startswith("text/plain; version=")
    assert b"_created" not in body
    found = samples(body)
    expected = {
        "turnstream_sessions": 1,
        "turnstream_sessions_parked": 1,
        "turnstream_load_ratio": 0.25,
        "turnstream_store_ready": 1,
        "turnstream_sessions_opened_total": 2,
        "turnstream_sessions_closed_total[shutdown]": 1,
        "turnstream_sessions_resumed_total": 1,
        "turnstream_refusals_total[503]": 2,
        "turnstream_refusals_total[401]": 1,
        "turnstream_errors_total[idle]": 1,
        "turnstream_frames_total": 42,
        "turnstream_step_seconds_count": 2,
        "turnstream_step_seconds_bucket[0.001]": 0,
        "turnstream_step_seconds_bucket[0.002]": 1,
        "turnstream_batch_frames_sum": 42,
        "turnstream_batch_frames_bucket[16.0]": 1,
        "turnstream_lag_seconds_bucket[0.01]": 0,
        "turnstream_lag_seconds_bucket[0.02]": 1,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_every_name_is_ours() -> None:
    assert all(name.startswith("turnstream_") for name in samples(Metrics().exposition()[1]))


def test_instances_do_not_share_counts() -> None:
    first, second = Metrics(), Metrics()
    first.session_opened()
    assert samples(first.exposition()[1])["turnstream_sessions_opened_total"] == 1
    assert samples(second.exposition()[1])["turnstream_sessions_opened_total"] == 0


_WORKER = """
import os
from turnstream.stream.service.metrics import Metrics
metrics = Metrics()
for _ in range(3):
    metrics.session_opened()
metrics.session_closed("closed")
metrics.step(0.001, 5)
metrics.load(os.getpid() / 1e9)
print(os.getpid())
print(metrics.exposition()[1].decode())
"""


def test_one_worker_answers_for_all(tmp_path: Path) -> None:
    environment = {**os.environ, FOLDER_VARIABLE: str(tmp_path)}
    pids: list[int] = []
    body = ""
    for _ in range(2):
        pid, _, body = subprocess.run(
            [sys.executable, "-c", _WORKER],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.partition("\n")
        pids.append(int(pid))
    found = samples(body.encode())
    assert found["turnstream_sessions"] == 4
    assert found["turnstream_sessions_opened_total"] == 6
    assert found["turnstream_sessions_closed_total[closed]"] == 2
    assert found["turnstream_frames_total"] == 10
    assert found["turnstream_batch_frames_bucket[8.0]"] == 2
    assert found["turnstream_load_ratio"] == max(pids) / 1e9
    for pid in pids:
        mark_process_dead(pid, str(tmp_path))
    third = subprocess.run(
        [sys.executable, "-c", _WORKER], env=environment, check=True, capture_output=True, text=True
    ).stdout.partition("\n")[2]
    assert samples(third.encode())["turnstream_sessions"] == 2, "the dead hold no sessions"
    assert samples(third.encode())["turnstream_sessions_opened_total"] == 9, (
        "but what they counted stays"
    )
