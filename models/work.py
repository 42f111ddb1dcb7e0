"""Long work as many tasks: in this process, in processes of this machine, or on a cluster.

`map_tasks` is all that a command needs. Its results do not depend on where the tasks ran, nor on
how many ran at once. A task carries paths and numbers, not arrays. What all tasks need (a teacher,
a pool of utterances) is opened by each process that runs one: put `lru_cache(maxsize=1)` on the
function that opens it.
"""

from __future__ import annotations

import os
import socket
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from ..stream.errors import ConfigError, TurnstreamError

TRIES = 3  # times that a task may take its process down
MOST_HELD = 512  # tasks that run or whose results wait for the caller or for an earlier task

T = TypeVar("T")
R = TypeVar("R")


class LostTaskError(TurnstreamError):
    """The processes that ran a task ended each time, for example because memory ran out."""


@dataclass(frozen=True)
class Workers:
    """Where tasks run.

    Attributes:
        jobs: number of tasks that run at once; None is one, or on a cluster one per core.
        cluster: None is this machine. "ray" is the Ray cluster of this machine, which is started
            if there is none; "ray://HOST:PORT" is another one. "tcp://HOST:PORT" is the scheduler
            of a Dask cluster.
    """

    jobs: int | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise ConfigError(f"expected at least one job, got {self.jobs}")


HERE = Workers()


def map_tasks(
    run: Callable[[T], R],
    tasks: Iterable[T],
    workers: Workers = HERE,
    *,
    desc: str,
    unit: str = "",
    done: int = 0,
    ordered: bool = True,
    note: Callable[[R], str] | None = None,
    disable: bool | None = False,
) -> Iterator[R]:
    """Yield the result of every task, and show a progress bar.

    A task whose process dies is run again, at most TRIES times in all. To resume, leave out the
    tasks that are done. All paths may be relative; on a cluster, every machine must have the
    current folder.

    Args:
        run: a function of a module, which other processes can import.
        tasks: its arguments.
        workers: where it runs.
        desc: name of the work, for the bar and for errors.
        unit: what a task is, for the bar.
        done: number of tasks that were done before, for the bar.
        ordered: yield in the order of the tasks, not as they finish.
        note: text beside the bar, from the newest result.
        disable: leave out the bar; None leaves it out unless standard error is a terminal.
    Raises:
        LostTaskError: the processes that ran a task died; it is named.
        ConfigError: the cluster cannot be used.
        MissingExtraError: the cluster's package is not installed.
    """
    from tqdm import tqdm

    todo = list(tasks)
    if not todo:
        return
    if workers.cluster is None and workers.jobs in (None, 1):
        results = map(run, todo)
    else:
        results = _spread(run, todo, workers, desc, ordered)
    with tqdm(
        initial=done,
        total=done + len(todo),
        desc=desc,
        unit=unit,
        disable=disable,
        mininterval=0.1 if sys.stderr.isatty() else 5,
    ) as bar:
        for result in results:
            bar.update()
            if note is not None:
                bar.set_postfix_str(note(result), refresh=False)
            yield result


def _spread(
    run: Callable[[T], R], todo: list[T], workers: Workers, desc: str, ordered: bool
) -> Iterator[R]:
    """Run tasks by joblib, in rounds; one round is enough if no process dies.

    Only this machine's processes need more: when one dies, all of them end. Which task was at
    fault is not known, so tasks that were lost twice run alone, each in its own round.
    """
    from joblib import Parallel, delayed

    from .cluster import ProcessesLostError, open_cluster

    options: dict[str, Any]
    if workers.cluster is None:
        options = {"backend": "loky", "n_jobs": workers.jobs, "max_nbytes": None}
        # loky replaces a process that has grown; the tasks are not lost.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
    else:
        backend = open_cluster(workers.cluster, TRIES)
        options = {"backend": backend, "n_jobs": workers.jobs or -1, "batch_size": 1}
        options |= {"pre_dispatch": workers.jobs} if workers.jobs else {}
    left, lost, early = dict(enumerate(todo)), Counter[int](), dict[int, R]()
    begun: list[int] = []  # in this round
    folder, first, finished = os.getcwd(), 0, 0

    def calls(numbers: list[int]) -> Iterator[Any]:  # joblib's threads iterate over this
        for number in numbers:
            begun.append(number)
            yield delayed(_call)(run, number, todo[number], folder)
            if len(early) + len(begun) - finished >= MOST_HELD:
                return

    while left:
        risky = next((number for number in lost if number in left and lost[number] > 1), None)
        begun.clear()
        finished = 0
        parallel = Parallel(return_as="generator_unordered", **options)
        try:
            with _closed(parallel(calls([*left] if risky is None else [risky]))) as found:
                for number, outcome in found:
                    del left[number]
                    finished += 1
                    if isinstance(outcome, _Failure):
                        outcome.raise_again()
                    if not ordered:
                        yield outcome
                        continue
                    early[number] = outcome
                    while first in early:
                        yield early.pop(first)
                        first += 1
        except ProcessesLostError as error:
            raise _lost(desc, todo, error.args[0]) from None
        except BrokenProcessPool:
            lost.update(number for number in begun if number in left)
            if risky is not None and lost[risky] >= TRIES:
                raise _lost(desc, todo, risky) from None


def _lost(desc: str, todo: Sequence[object], number: int) -> LostTaskError:
    return LostTaskError(
        f"{desc}: expected task {number + 1} of {len(todo)} to finish, got a process that ended "
        f"each time (out of memory?): {todo[number]!s:.200}"
    )


@dataclass(frozen=True)
class _Failure:
    """An error of ours as a value: not every error of ours can be pickled."""

    kind: type[TurnstreamError]
    message: str

    def raise_again(self) -> NoReturn:
        error = self.kind.__new__(self.kind)
        error.args = (self.message,)
        raise error


def _call(run: Callable[[T], R], number: int, task: T, folder: str) -> tuple[int, R | _Failure]:
    """Run a task in the folder of the command, so that relative paths have their meaning."""
    try:
        os.chdir(folder)
    except OSError as error:
        message = f"{folder}: expected this folder on {socket.gethostname()}, got: {error.strerror}"
        return number, _Failure(ConfigError, message)
    try:
        return number, run(task)
    except TurnstreamError as error:
        return number, _Failure(type(error), str(error))


@contextmanager
def _closed(found: Any) -> Generator[Any]:
    """Close joblib's generator at the end: this stops tasks that still run, without a warning."""
    try:
        yield found
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            found.close()
