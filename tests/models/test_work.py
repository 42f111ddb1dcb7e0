"""Tasks in other processes. What they run are inner functions, which are sent by value."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir, closing, suppress
from pathlib import Path

import psutil
import pytest

from turnstream.models import work
from turnstream.models.work import LostTaskError, Workers, map_tasks
from turnstream.stream.errors import ConfigError, DialogueError, MissingExtraError

TWO = Workers(2)

# loky's thread may still hand out a task that has just been dropped: a KeyError that harms nothing.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture
def square() -> Callable[[int], int]:
    def run(number: int) -> int:
        return number * number

    return run


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A pipe: who reads waits until somebody writes."""
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


@pytest.mark.parametrize("workers", [Workers(), Workers(1), TWO])
def test_results_come_in_order_wherever_the_tasks_ran(
    workers: Workers, square: Callable[[int], int]
) -> None:
    found = list(map_tasks(square, range(40), workers, desc="squares"))
    assert found == [number * number for number in range(40)]
    assert list(map_tasks(square, [], workers, desc="nothing")) == []


def test_several_processes_work_and_this_one_does_not() -> None:
    def run(_: int) -> int:
        return os.getpid()

    assert os.getpid() not in map_tasks(run, range(8), TWO, desc="here?")
    assert {os.getpid()} == set(map_tasks(run, range(3), desc="here"))


def test_a_result_need_not_wait_for_an_earlier_task(gate: Path) -> None:
    def run(number: int) -> int:
        if number == 0:
            gate.read_text()
        return number

    found = map_tasks(run, range(3), TWO, desc="as they finish", ordered=False)
    first = [next(found), next(found)]
    assert sorted(first) == [1, 2]
    gate.write_text("go on")
    assert list(found) == [0]


def test_few_results_wait_for_an_earlier_task(
    gate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "MOST_HELD", 4)
    finished = tmp_path / "finished"

    def run(number: int) -> bool:
        if number == 0:
            gate.read_text()
            finished.touch()
        if number == 3:
            gate.write_text("go on")
        return finished.exists()

    found = list(map_tasks(run, range(12), TWO, desc="the first is slow"))
    assert found[0]
    assert all(found[4:])


def test_a_process_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    killed = tmp_path / "killed"

    def run(number: int) -> int:
        if number == 7 and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    assert list(map_tasks(run, range(20), TWO, desc="killed")) == list(range(20))
    assert killed.exists()


def test_a_task_that_kills_its_process_each_time_is_named(tmp_path: Path) -> None:
    def run(number: int) -> int:
        if number == 11:
            (tmp_path / str(len(list(tmp_path.iterdir())))).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    found: list[int] = []
    with pytest.raises(LostTaskError) as caught:
        found.extend(map_tasks(run, range(10, 20), TWO, desc="deadly"))
    assert str(caught.value) == (
        "deadly: expected task 2 of 10 to finish, got a process that ended each time (out of "
        "memory?): 11"
    )
    assert len(list(tmp_path.iterdir())) == work.TRIES


@pytest.mark.parametrize(
    "error", [DialogueError("expected a call, got none"), MissingExtraError("ear", "teacher")]
)
def test_an_error_of_a_task_is_that_of_the_work(error: Exception) -> None:
    kind, given = type(error), ("ear", "teacher")

    def run(number: int) -> int:
        if number == 3:
            raise kind(*(given if kind is MissingExtraError else ("expected a call, got none",)))
        return number

    with pytest.raises(kind) as caught:
        list(map_tasks(run, range(5), TWO, desc="wrong"))
    assert type(caught.value) is kind
    assert str(caught.value) == str(error)


def test_relative_paths_mean_the_same_to_all(tmp_path: Path, square: Callable[[int], int]) -> None:
    list(map_tasks(square, range(4), TWO, desc="start the processes elsewhere"))
    (tmp_path / "here.txt").write_text("found")
    with chdir(tmp_path):
        found = list(map_tasks(Path.read_text, [Path("here.txt")] * 3, TWO, desc="relative"))
    assert found == ["found"] * 3


def test_a_machine_without_the_folder_is_one_clear_error(tmp_path: Path) -> None:
    number, outcome = work._call(abs, 4, -1, str(tmp_path / "none"))
    assert number == 4
    assert isinstance(outcome, work._Failure)
    with pytest.raises(ConfigError, match=r"none: expected this folder on .+, got: No such file"):
        outcome.raise_again()


def test_no_jobs_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected at least one job, got 0"):
        Workers(0)


def test_the_bar_counts_what_was_done_before(
    capsys: pytest.CaptureFixture[str], square: Callable[[int], int]
) -> None:
    list(map_tasks(square, range(3), desc="squares", done=2, note=lambda last: f"last {last}"))
    said = capsys.readouterr().err
    assert "squares: 100%" in said
    assert "5/5" in said
    assert "last 4" in said
    list(map_tasks(square, range(3), desc="squares", disable=None))
    assert capsys.readouterr().err == ""


def test_who_stops_early_stops_the_tasks(gate: Path) -> None:
    def run(number: int) -> int:
        return os.getpid() if number < 2 else len(gate.read_text())

    with closing(map_tasks(run, range(4), TWO, desc="stopped")) as found:
        pids = {next(found), next(found)}
    left = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    assert psutil.wait_procs(left, timeout=30)[1] == []


INTERRUPTED = """
import os, signal, sys
from turnstream.models.work import Workers, map_tasks
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
def run(number):
    if number < 2:
        return os.getpid()
    signal.pause()
for pid in map_tasks(run, range(9), Workers(2), desc="interrupted"):
    print(pid, flush=True)
"""


def test_ctrl_c_leaves_no_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as main:
        assert main.stdout is not None
        try:
            children = [psutil.Process(int(main.stdout.readline())) for _ in range(2)]
            os.killpg(main.pid, signal.SIGINT)  # as a terminal does
            _, said = main.communicate(timeout=60)
        finally:  # its own processes, too: they hold the pipes open
            with suppress(ProcessLookupError):
                os.killpg(main.pid, signal.SIGKILL)
    assert said.rstrip().endswith("KeyboardInterrupt")
    for child in children:
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
