"""An event loop whose clock jumps to the next timer, so that minutes of waiting take no time.

`time.time` and `time.monotonic` show the loop's clock while it runs. Work takes no time on it, in
threads neither: the clock stands until they have finished.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

Result = TypeVar("Result")


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for real only for threads; else the clock jumps over the time to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(None if self.threads and timeout != 0 else 0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("every task waits for something that never comes")
        self.now_s += timeout
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        self._jumping.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        self._jumping.threads += 1  # a thread of its own waits for the others to end
        await super().shutdown_default_executor()
        self._jumping.threads -= 1

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self._jumping.threads -= 1


def run_virtually(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run a coroutine to its end on a virtual clock, which begins at the present time of day."""
    began_s = time.time()
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner, pytest.MonkeyPatch.context() as patch:
        loop = runner.get_loop()
        patch.setattr(time, "time", lambda: began_s + loop.time())
        patch.setattr(time, "monotonic", loop.time)
        return runner.run(main())
