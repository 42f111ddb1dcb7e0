"""Work on a cluster: Ray and Dask, each with two processes of this machine."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from turnstream.models import cluster, work
from turnstream.models.dialogues import utterances
from turnstream.models.dialogues.utterances import AUDIO, INDEX, decode_set
from turnstream.models.work import LostTaskError, Workers, map_tasks
from turnstream.stream.errors import ConfigError, MissingExtraError


def installed(package: str) -> Any:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed (extra cluster)")
    return importlib.import_module(package)


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Workers]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("RAY_AUTH_MODE", "disabled")
        patched.setenv("RAY_worker_niceness", "0")  # Ray's 15 starves beside other tests
        ray = installed("ray")
        make_record = logging.getLogRecordFactory()  # Ray replaces it for the whole process
        folder = tempfile.mkdtemp(prefix="ray")  # a short path, because sockets lie in it
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            logging_level="error",
            log_to_driver=False,
            _temp_dir=folder,
        )
        yield Workers(2, "ray")
        ray.shutdown()
        logging.setLogRecordFactory(make_record)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def dask_cluster() -> Iterator[Workers]:
    distributed = installed("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=100
    ) as opened:
        yield Workers(2, opened.scheduler_address)
        cluster._dask_client(opened.scheduler_address).close()


@pytest.fixture(params=["ray", "dask"])
def workers(request: pytest.FixtureRequest) -> Workers:
    return request.getfixturevalue(f"{request.param}_cluster")


def test_results_are_those_of_one_process_though_a_process_is_killed_in_the_middle(
    workers: Workers, speech_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "killed"

    def mortal(run: Callable[..., Any], tasks: Iterable[Any], *given: Any, **named: Any) -> Any:
        tasks = list(tasks)
        return map_tasks(partial(once_deadly, run, tasks[4]), tasks, *given, **named)

    def once_deadly(run: Callable[..., Any], deadly: object, task: object) -> Any:
        if task == deadly and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return run(task)

    here = decode_set(speech_folder / "speech" / "chatter", tmp_path / "here")
    monkeypatch.setattr(utterances, "map_tasks", mortal)
    there = decode_set(speech_folder / "speech" / "chatter", tmp_path / "there", workers)
    assert killed.exists()
    for name in (AUDIO, INDEX):
        assert (there / name).read_bytes() == (here / name).read_bytes()


def test_a_task_that_kills_its_process_each_time_is_named_on_a_cluster(workers: Workers) -> None:
    def run(number: int) -> int:
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with pytest.raises(LostTaskError, match=r"^deadly: expected task 4 of 6 to finish, got .*: 3$"):
        list(map_tasks(run, range(6), workers, desc="deadly"))


def test_an_error_on_a_cluster_is_that_of_the_work(workers: Workers) -> None:
    def run(number: int) -> int:
        raise MissingExtraError("ear", "teacher")

    with pytest.raises(MissingExtraError, match="ear is not installed; to install it"):
        list(map_tasks(run, range(3), workers, desc="wrong"))


@pytest.mark.parametrize(
    ("address", "package"),
    [("ray", "ray"), ("ray://head:10001", "ray"), ("tcp://head:8786", "distributed")],
)
def test_a_cluster_that_is_not_installed_is_one_clear_line(
    address: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(
        MissingExtraError, match=rf"^{package} is not installed; .*'turnstream\[cluster\]'$"
    ):
        list(map_tasks(abs, [1], Workers(None, address), desc="nowhere"))


def test_a_scheduler_that_is_not_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    installed("distributed")
    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    with pytest.raises(
        ConfigError,
        match=r"^--cluster tcp://127\.0\.0\.1:1: expected a Dask scheduler with a process",
    ):
        list(map_tasks(abs, [1], Workers(None, "tcp://127.0.0.1:1"), desc="nowhere"))


def test_a_task_is_tried_as_often_on_ray_as_here(ray_cluster: Workers, tmp_path: Path) -> None:
    def run(_: int) -> None:
        (tmp_path / str(len(list(tmp_path.iterdir())))).touch()
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(LostTaskError):
        list(map_tasks(run, [0], ray_cluster, desc="deadly"))
    assert len(list(tmp_path.iterdir())) == work.TRIES
