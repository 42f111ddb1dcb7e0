"""Carries a session from one worker to another: a client that resumes may reach any worker, but its session waits in one.

A resume token tells its worker. Each worker listens on a Unix socket in a folder that only they share, and gives a session away to the
worker that asks for its token. A worker remembers where it gave a session to, and sends on whoever asks later, for the token stays the same.

A request is the asking worker's number and the token, an answer one byte that says what it is and, for a session, its bytes, for a session
that went on, the number of the worker that has it; both have their length before them.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import stat
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path

from ..errors import ConfigError

logger = logging.getLogger(__name__)

_UNKNOWN, _SESSION, _MOVED = b"0", b"1", b"2"  # an answer's first byte
_MAX_REQUEST_BYTES = 128
_MOST_MOVED = 10_000  # sessions that went on whose place is remembered; the oldest are forgotten


class Handover:
    """One worker's end; an async context manager that listens while it is open.

    Args:
        folder: shared by the workers; created for this user only, if it is not there.
        worker: number of this one.
        release: gives up the session of a token and returns it as bytes, or None if there is none.
        max_bytes: a larger session is not carried.
        timeout_s: for another worker's answer.
    Raises:
        ConfigError: others may use the folder (on entering).
        OSError: the socket cannot be made (on entering).
    """

    def __init__(
        self,
        folder: Path,
        worker: int,
        release: Callable[[str], Awaitable[bytes | None]],
        *,
        max_bytes: int = 64 << 20,
        timeout_s: float = 2.0,
    ) -> None:
        self._folder = folder
        self._worker = worker
        self._release = release
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._moved: OrderedDict[str, int] = OrderedDict()  # token: the worker that it was given to
        self._answering: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Handover:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        mode = stat.S_IMODE(self._folder.stat().st_mode)
        if mode & 0o077:
            raise ConfigError(
                f"expected a folder that only this user may enter (mode 0700), got {str(self._folder)!r} with mode {mode:04o}"
            )
        path = self._path(self._worker)
        path.unlink(missing_ok=True)  # of a worker of this number that was killed
        self._listener = await asyncio.start_unix_server(
            self._answer, path, limit=_MAX_REQUEST_BYTES
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._listener is not None:
            self._listener.close()
            self._path(self._worker).unlink(missing_ok=True)
        if self._answering:
            await asyncio.wait(self._answering, timeout=self._timeout_s)

    def new_token(self) -> str:
        """A token that nobody can guess and that tells this worker."""
        return f"{self._worker}-{secrets.token_urlsafe(24)}"

    async def fetch(self, token: str) -> bytes | None:
        """Take a session over from the worker that its token names.

        Returns:
            What `release` gave where the session is; None if it is no token or its session never left this worker, or if the worker that
            it leads to does not know it or is dead.
        Raises:
            TimeoutError: that worker does not answer; the session may be had later.
        """
        match = re.fullmatch(r"([0-9]{1,4})-[\w-]{1,100}", token, re.ASCII)
        if match is None:
            return None
        worker = int(match[1])
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    if worker == self._worker and (worker := self._moved.get(token)) is None:
                        return None
                    kind, content = await self._ask(worker, token)
                    if kind == _SESSION:
                        self._moved.pop(token, None)
                        return content
                    if kind != _MOVED:
                        return None
                    worker = int(content)
        except TimeoutError:
            logger.warning("worker %s did not answer within %g s", worker, self._timeout_s)
            raise
        except (OSError, asyncio.IncompleteReadError) as error:
            logger.debug("worker %s did not hand a session over: %s", worker, error)
            return None

    async def _ask(self, worker: int, token: str) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_unix_connection(self._path(worker))
        try:
            writer.write(_framed(f"{self._worker} {token}".encode()))
            answer = await _read_framed(reader, 1 + self._max_bytes)
            return answer[:1], answer[1:]
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        try:
            async with asyncio.timeout(self._timeout_s):
                asker, _, token = (
                    (await _read_framed(reader, _MAX_REQUEST_BYTES))
                    .decode(errors="replace")
                    .partition(" ")
                )
                await asyncio.sleep(0)  # in which the end of the stream is noticed
                if reader.at_eof():  # who asked has given up, and the session must not go to nobody
                    return
                writer.write(_framed(await self._give(token, asker)))
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            logger.warning(
                "a worker that asked for a session did not get it: %s",
                str(error) or type(error).__name__,
            )
        finally:
            self._answering.discard(task)
            writer.transport.abort()

    async def _give(self, token: str, asker: str) -> bytes:
        """The answer to a request."""
        session = await self._release(token)
        if session is None:
            return _MOVED + b"%d" % self._moved[token] if token in self._moved else _UNKNOWN
        if len(session) > self._max_bytes:
            logger.error(
                "a session of %d bytes is lost: expected at most %d to hand over",
                len(session),
                self._max_bytes,
            )
            return _UNKNOWN
        self._moved[token] = int(asker)
        if len(self._moved) > _MOST_MOVED:
            self._moved.popitem(last=False)
        return _SESSION + session

    def _path(self, worker: int) -> Path:
        return self._folder / f"{worker}.sock"


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(4) + content


async def _read_framed(reader: asyncio.StreamReader, most: int) -> bytes:
    length = int.from_bytes(await reader.readexactly(4))
    if length > most:
        raise OSError(f"expected at most {most} bytes, got {length}")
    return await reader.readexactly(length)
