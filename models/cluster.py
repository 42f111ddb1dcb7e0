"""Ray and Dask as backends of joblib (extra `cluster`).

joblib's own backend for Dask cannot stop tasks that run. Ray's backend puts tasks on actors at
random, and returns no result before all are done. So both are driven here through their futures.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import Any

from joblib.parallel import ParallelBackendBase

from ..stream.errors import ConfigError, MissingExtraError

CONNECT_S = 30  # time that a scheduler has to answer, and to get its first process


class ProcessesLostError(Exception):
    """A task's process or machine died each time; the argument is the number of the task."""


class ClusterBackend(ParallelBackendBase):
    """Runs batches of one call on a cluster. The second argument of a call is its number.

    Args:
        submit: starts a batch on the cluster and returns its future.
        cancel: stops the batch of a future.
        cores: returns the number of cores of the cluster.
        lost: errors of a batch whose process or machine died.
        tries: number of times that a batch is started.
    """

    supports_retrieve_callback = True

    def __init__(
        self,
        submit: Callable[[Any], Any],
        cancel: Callable[[Any], None],
        cores: Callable[[], int],
        lost: tuple[type[Exception], ...],
        tries: int,
    ) -> None:
        super().__init__()
        self._submit, self._cancel, self._cores = submit, cancel, cores
        self._lost, self._tries = lost, tries
        self._running: set[Any] = set()
        self._lock = Lock()
        self._aborted = False

    def start_call(self) -> None:
        self._aborted = False
        # What starts the next task may not block a thread of the cluster, so it has its own.
        self._thread = ThreadPoolExecutor(1)

    def stop_call(self) -> None:
        self._thread.shutdown(wait=False)

    def effective_n_jobs(self, n_jobs: int | None) -> int:  # pyright: ignore
        """Return the number of tasks at once; with one, joblib would not use the cluster."""
        return max(2, self._cores() if n_jobs is None or n_jobs < 1 else n_jobs)

    def submit(self, func: Any, callback: Any = None) -> Future[Any]:
        result: Future[Any] = Future()
        if callback is not None:
            result.add_done_callback(callback)
        self._start(func, result, self._tries)
        return result

    def _start(self, batch: Any, result: Future[Any], tries: int) -> None:
        running = self._submit(batch)
        with self._lock:
            self._running.add(running)

        def settle(done: Any) -> None:
            with self._lock:
                self._running.discard(running)
            try:
                found = done.result()
            except self._lost:
                if tries > 1 and not self._aborted:
                    self._start(batch, result, tries - 1)
                else:
                    result.set_exception(ProcessesLostError(batch.items[0][1][1]))
            except BaseException as error:  # reported to the caller of joblib
                result.set_exception(error)
            else:
                result.set_result(found)

        running.add_done_callback(lambda done: self._aborted or self._thread.submit(settle, done))

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        self._aborted = True
        with self._lock:
            running = list(self._running)
        for future in running:
            self._cancel(future)


def open_cluster(address: str, tries: int) -> ClusterBackend:
    """Return the backend of a cluster; it is connected once per process.

    Args:
        address: as `Workers.cluster`.
        tries: number of times that a task is run whose process dies. A Dask scheduler counts on
            its own; its `allowed-failures` is 3.
    Raises:
        ConfigError: there is no such cluster, or it has no process.
        MissingExtraError: Ray or Dask is not installed.
    """
    if address == "ray" or address.startswith("ray://"):
        return _open_ray(address, tries)
    return _open_dask(address)


def _open_ray(address: str, tries: int) -> ClusterBackend:
    ray = _import("ray")
    exceptions = _import("ray.exceptions")
    try:
        if not ray.is_initialized():
            ray.init(address=None if address == "ray" else address, logging_level="warning")
        cores = int(ray.cluster_resources()["CPU"])
    except (OSError, KeyError, RuntimeError) as error:
        raise _unusable(address, "Ray cluster", error) from None
    remote = ray.remote(max_retries=0)(_run)
    references: dict[Any, Any] = {}

    def submit(batch: Any) -> Any:
        reference = remote.remote(batch)
        future = reference.future()
        references[future] = reference
        future.add_done_callback(references.pop)
        return future

    def cancel(future: Any) -> None:
        if future in references:
            ray.cancel(references[future], force=True)

    lost = (
        exceptions.WorkerCrashedError,
        exceptions.NodeDiedError,
        exceptions.OutOfMemoryError,
        exceptions.ObjectLostError,
    )
    return ClusterBackend(submit, cancel, lambda: cores, lost, tries)


def _open_dask(address: str) -> ClusterBackend:
    distributed = _import("distributed")
    client = _dask_client(address)
    return ClusterBackend(
        lambda batch: client.submit(_run, batch, pure=False),
        lambda future: future.cancel(force=True),
        lambda: sum(client.ncores().values()),
        (distributed.KilledWorker,),
        1,
    )


@cache
def _dask_client(address: str) -> Any:
    distributed = _import("distributed")
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
        client.wait_for_workers(1, timeout=CONNECT_S)
    except (OSError, TimeoutError) as error:
        raise _unusable(address, "Dask scheduler with a process", error) from None
    return client


def _unusable(address: str, expected: str, error: Exception) -> ConfigError:
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return ConfigError(f"--cluster {address}: expected a {expected}, got: {said:.200}")


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise MissingExtraError(module.partition(".")[0], "cluster") from None


def _run(batch: Callable[[], Any]) -> Any:
    return batch()
