from types import SimpleNamespace

import pytest
import torch

from turnstream.models.runs.hardware import Hardware
from turnstream.models.runs.launch import launched


@pytest.mark.parametrize(
    ("devices", "workers", "omp_threads", "expected"),
    [
        (1, 0, None, []),  # torch's own choice
        (2, 0, None, [4]),
        (2, 1, None, [3]),
        (1, 2, None, [6]),
        (8, 4, None, [1]),
        (2, 1, "5", []),  # the user's choice
    ],
)
def test_processes_of_a_machine_share_its_cores(
    devices: int,
    workers: int,
    omp_threads: str | None,
    expected: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if omp_threads:
        monkeypatch.setenv("OMP_NUM_THREADS", omp_threads)
    chosen: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    fabric = SimpleNamespace(device=torch.device("cpu"), launch=lambda: None)
    with launched(fabric, Hardware(devices=devices), workers):  # pyright: ignore[reportArgumentType]
        assert chosen == expected
    assert chosen == [*expected, 8]
