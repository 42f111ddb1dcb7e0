"""Moves sessions between workers, because a resuming client may reach any worker.

A resume token names the worker that issued it. Each worker listens on a Unix socket in a folder
that only the workers share. A worker gives a session to the worker that asks for its token. The
session keeps its token, so the first worker remembers where the session went and redirects later
requests.

A request holds the number of the asking worker and the token. The first byte of an answer is its
kind. After it come the bytes of the session, or the number of the worker that now has the session,
or nothing. Requests and answers start with their length in 4 bytes.
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
_MOST_MOVED = 10_000  # moved sessions that are remembered; the oldest are forgotten


class Handover:
    """Exchanges sessions for one worker; an async context manager that listens while open.

    Args:
        folder: folder that the workers share. If missing, it is created for this user only.
        worker: number of this worker.
        release: gives up the session of a token and returns it as bytes, or None if this worker
            does not have it.
        max_bytes: size of the largest session that can be moved; a larger one is lost.
        timeout_s: time allowed for one exchange with another worker.
    Raises:
        ConfigError: other users may enter the folder (raised on entering).
        OSError: the socket cannot be created (raised on entering).
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
        self._moved: OrderedDict[str, int] = OrderedDict()  # token to worker
        self._answering: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Handover:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        mode = stat.S_IMODE(self._folder.stat().st_mode)
        if mode & 0o077:
            raise ConfigError(
                f"expected a folder that only this user may enter (mode 0700), "
                f"got {str(self._folder)!r} with mode {mode:04o}"
            )
        path = self._path(self._worker)
        path.unlink(missing_ok=True)  # left by a killed worker of this number
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
        """Return a token that nobody can guess and that names this worker."""
        return f"{self._worker}-{secrets.token_urlsafe(24)}"

    async def fetch(self, token: str) -> bytes | None:
        """Take a session over from the worker that has it.

        Args:
            token: resume token of the session.
        Returns:
            The session, as `release` of the other worker returned it. None if the token is
            malformed, if its session never left this worker, or if the other worker does not know
            the session or is dead.
        Raises:
            TimeoutError: the other worker did not answer in time. A later call may succeed.
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
                await asyncio.sleep(0)  # lets the loop notice the end of the stream
                if reader.at_eof():  # the asking worker has given up: keep the session
                    return
                writer.write(_framed(await self._reply_to(token, asker)))
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

    async def _reply_to(self, token: str, asker: str) -> bytes:
        """Return the answer to a request, without its length."""
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
