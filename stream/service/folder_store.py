"""Keeps the saved states of sessions in a folder, for the processes of one machine.

Each session has one file: its epoch in 8 bytes, then its state. A file is replaced as a whole, so
a process that is killed leaves no half of a state. The time of a file's last change tells when it
expires. A lock file orders the processes. The calls run in threads: a live prediction never waits
for the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import stat
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..errors import ConfigError
from .store import entry_name

_THREADS = 2
_EPOCH_BYTES = 8
_LOCK_TIMEOUT_S, _LOCK_PAUSE_S = 1.0, 0.0005  # another process may be stopped while it has the lock
_UNFINISHED = ".new"

T = TypeVar("T")


class FolderStore:
    """A `SessionStore` in a folder; see there for the calls.

    Args:
        folder: if missing, it is created for this user only.
        ttl_s: time after which a state is forgotten, in seconds.
    Raises:
        ConfigError: the folder cannot be created, or other users may enter it.
    """

    def __init__(self, folder: str | Path, ttl_s: float) -> None:
        self._folder = Path(folder)
        self._ttl_s = ttl_s
        self._swept_s = time.time()
        self._threads = ThreadPoolExecutor(_THREADS, "session-store")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = stat.S_IMODE(self._folder.stat().st_mode)
        except OSError as error:
            raise ConfigError(
                f"--store: expected a folder, got {str(folder)!r}: {error.strerror}"
            ) from None
        if mode & 0o077:
            raise ConfigError(
                f"--store: expected a folder that only this user may enter (mode 0700), "
                f"got {str(folder)!r} with mode {mode:04o}"
            )

    async def save(self, token: str, epoch: int, state: bytes) -> bool:
        """Replace a state; see `SessionStore.save`."""
        return await self._in_thread(lambda: self._save(self._path(token), epoch, state))

    async def claim(self, token: str) -> tuple[int, bytes] | None:
        """Take the next epoch of a session; see `SessionStore.claim`."""
        return await self._in_thread(lambda: self._claim(self._path(token)))

    async def delete(self, token: str, epoch: int) -> None:
        """Forget a session; see `SessionStore.delete`."""
        await self._in_thread(lambda: self._delete(self._path(token), epoch))

    async def close(self) -> None:
        """Stop the threads when they have done what they do now."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    # ---- in a thread ----

    def _save(self, path: Path, epoch: int, state: bytes) -> bool:
        unfinished = self._write(path, epoch, state)
        with self._locked():
            if self._epoch(path) > epoch:
                unfinished.unlink()
                return False
            unfinished.replace(path)
        if time.time() - self._swept_s > self._ttl_s:
            self._sweep()
        return True

    def _claim(self, path: Path) -> tuple[int, bytes] | None:
        with self._locked():
            if not self._epoch(path):
                return None
            entry = path.read_bytes()
            epoch, state = int.from_bytes(entry[:_EPOCH_BYTES]) + 1, entry[_EPOCH_BYTES:]
            self._write(path, epoch, state).replace(path)
            return epoch, state

    def _delete(self, path: Path, epoch: int) -> None:
        with self._locked():
            if self._epoch(path) <= epoch:
                path.unlink(missing_ok=True)

    def _path(self, token: str) -> Path:
        return self._folder / entry_name(token)

    def _epoch(self, path: Path) -> int:
        """Return the epoch of a session; 0 if there is no state, or an expired one."""
        try:
            with path.open("rb") as entry:
                if self._is_expired(os.fstat(entry.fileno())):
                    return 0
                return int.from_bytes(entry.read(_EPOCH_BYTES))
        except FileNotFoundError:
            return 0

    def _write(self, path: Path, epoch: int, state: bytes) -> Path:
        """Write a state to a file that no one else uses; return the file."""
        unfinished = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}{_UNFINISHED}")
        unfinished.write_bytes(epoch.to_bytes(_EPOCH_BYTES) + state)
        return unfinished

    def _is_expired(self, status: os.stat_result) -> bool:
        return time.time() - status.st_mtime > self._ttl_s

    def _sweep(self) -> None:
        """Remove what has expired. Other processes may remove it at the same time."""
        self._swept_s = time.time()
        for path in list(self._folder.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                if self._is_expired(path.stat()):
                    with self._locked():
                        if self._is_expired(path.stat()):
                            path.unlink()

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        """Let one process and thread after the other in.

        Raises:
            TimeoutError: another one has been in for too long.
        """
        # The lock ends with the descriptor, also when the process is killed.
        lock = os.open(self._folder, os.O_RDONLY)
        try:
            give_up_s = time.monotonic() + _LOCK_TIMEOUT_S
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > give_up_s:
                        raise TimeoutError(
                            f"expected the lock of {str(self._folder)!r} within "
                            f"{_LOCK_TIMEOUT_S:g} s, another process has it"
                        ) from None
                    time.sleep(_LOCK_PAUSE_S)
            yield
        finally:
            os.close(lock)
