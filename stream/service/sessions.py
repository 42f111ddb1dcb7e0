"""The sessions of one server: begins, resumes and counts conversations, within the limits.

A session whose client was lost stays here until the client resumes it. With a store, the client may
come back to another process, which then claims the session (`saving.py`).
"""

from __future__ import annotations

import asyncio
import http
import logging
import secrets
import time
from collections.abc import Callable

from websockets.http11 import Request

from ..engine import ModelMetadata
from ..errors import ProtocolError, SnapshotError
from ..settings import Resume, StreamSettings
from .answers import refuse
from .batcher import Batcher
from .connection import Connection
from .conversation import Conversation
from .limits import Limits
from .load import Load
from .metrics import Metrics
from .saving import Saver
from .store import SessionStore

logger = logging.getLogger(__name__)

_FIRST_SAVE_S = 5.0  # time for the first save of a session; until then its token is new


class Sessions:
    """Holds all conversations of a server.

    Args:
        metadata: metadata of the model behind the batcher.
        batcher: predicts for all conversations.
        limits: bounds of the server.
        load: tells whether one more session fits.
        metrics: counts sessions and refusals.
        store: keeps the sessions, so that they survive this process; None if they do not.
        on_end: called after the end of every conversation.
    """

    def __init__(
        self,
        metadata: ModelMetadata,
        batcher: Batcher,
        limits: Limits,
        load: Load,
        metrics: Metrics,
        store: SessionStore | None,
        on_end: Callable[[], None],
    ) -> None:
        self._metadata = metadata
        self._batcher = batcher
        self._limits = limits
        self._load = load
        self._metrics = metrics
        self._saver = None if store is None else Saver(store, limits, batcher.clock)
        self._on_end = on_end
        self._conversations: dict[Conversation, None] = {}  # in order of their start
        self._by_token: dict[str, Conversation] = {}
        self._claiming: set[asyncio.Task[None]] = set()
        self._shutting_down = False

    def __len__(self) -> int:
        return len(self._conversations)

    @property
    def store_ready(self) -> bool:
        """Whether new sessions are saved, or do not have to be because there is no store."""
        return self._saver is None or self._saver.ready

    def begin(self, connection: Connection, request: Request, settings: StreamSettings) -> None:
        """Start a conversation with a client, or refuse it because there is no room."""
        refusal = self._no_room()
        if refusal is not None:
            self._refuse(connection, http.HTTPStatus.SERVICE_UNAVAILABLE, refusal)
            return
        if not connection.accept(request):
            return
        self._make_room()
        conversation = Conversation(
            settings,
            self._metadata,
            self._batcher,
            self._limits,
            self._metrics,
            self._forget,
            token=_new_token() if self._limits.resume_s else None,
            saves=self._saver is not None and self._limits.resume_s > 0,
        )
        self._add(conversation)
        self._load.opened()
        logger.info(
            "session began",
            extra={
                "session": conversation.id,
                "remote": connection.remote,
                "settings": settings.to_query(),
            },
        )
        connection.listen(conversation)
        conversation.attach(connection)

    def resume(self, connection: Connection, request: Request, resume: Resume) -> None:
        """Continue the conversation of a client that has come back, or refuse it."""
        if self._saver is None:
            self._resume_here(connection, request, resume)
            return
        task = asyncio.create_task(self._claim(connection, request, resume, self._saver))
        self._claiming.add(task)
        task.add_done_callback(self._claiming.discard)

    def tick(self, now_s: float) -> None:
        """Check the time limits of all conversations; called a few times per second."""
        for conversation in list(self._conversations):
            conversation.tick(now_s)
        # Once the server stops, the messages of the clients count as received but have no effect.
        if self._saver is not None and not self._shutting_down:
            self._saver.tick(now_s)

    def shut_down(self) -> None:
        """Refuse new clients, and let every conversation process its audio and end."""
        self._shutting_down = True
        for task in self._claiming:
            task.cancel()
        for conversation in list(self._conversations):
            conversation.shut_down()

    def give_up(self) -> None:
        """End all conversations that still wait for their clients."""
        for conversation in list(self._conversations):
            conversation.give_up()

    async def close(self) -> None:
        """Wait, for a time, until the store has what is to be kept."""
        if self._saver is not None:
            await self._saver.close()

    def _refuse(self, connection: Connection, status: http.HTTPStatus, text: str) -> None:
        refuse(connection, self._metrics, status, text)

    # ---- room ----

    def _no_room(self) -> str | None:
        """Return why no further session fits, or None if one fits."""
        if self._shutting_down:
            return "shutting down; try again later"
        if len(self) >= self._limits.max_sessions and not self._parked():
            return f"at capacity: {self._limits.max_sessions} sessions; try again later"
        return self._load.refusal()

    def _parked(self) -> list[Conversation]:
        return [
            conversation
            for conversation in self._conversations
            if conversation.parked_s is not None
        ]

    def _make_room(self) -> None:
        """End a session that waits for its lost client, if the number of sessions is at its limit.

        The shortest one ends, because its loss matters least.
        """
        if len(self) >= self._limits.max_sessions:
            min(self._parked(), key=lambda conversation: conversation.frames).give_up()

    def _add(self, conversation: Conversation) -> None:
        self._conversations[conversation] = None
        if conversation.token is not None:
            self._by_token[conversation.token] = conversation
            if self._saver is not None:
                self._saver.add(conversation)

    def _forget(self, conversation: Conversation) -> None:
        self._conversations.pop(conversation, None)
        if conversation.token is not None:
            self._by_token.pop(conversation.token, None)
            if self._saver is not None:
                lost = conversation.parked_s is not None
                self._saver.remove(conversation, keep=lost and self._shutting_down)
        self._on_end()

    # ---- resuming ----

    async def _claim(
        self, connection: Connection, request: Request, resume: Resume, saver: Saver
    ) -> None:
        """Become the owner of a session, then resume it."""
        try:
            claimed = await saver.claim(resume.token)
        except OSError:
            claimed, reason = None, "the store of sessions fails"
        else:
            reason = "it was not saved yet" if _is_new(resume.token) else ""
        if claimed is not None:
            self._own(*claimed, resume)
        elif resume.token not in self._by_token and reason:
            text = f"the session is not here, and {reason}; try again"
            self._refuse(connection, http.HTTPStatus.SERVICE_UNAVAILABLE, text)
            return
        self._resume_here(connection, request, resume)

    def _own(self, epoch: int, state: bytes, resume: Resume) -> None:
        """Take over a claimed session.

        A session that was here all the time is newer than its saved state. One that another process
        has claimed meanwhile is older.
        """
        conversation = self._by_token.get(resume.token)
        if conversation is not None:
            if conversation.epoch >= epoch - 1:
                conversation.epoch = max(epoch, conversation.epoch)
                return
            conversation.leave()
        try:
            conversation = Conversation.unpack(
                state,
                self._metadata,
                self._batcher,
                self._limits,
                self._metrics,
                self._forget,
                token=resume.token,
                received=resume.received,
            )
        except SnapshotError as error:
            logger.error("a saved session is lost: %s", error)
            return
        conversation.epoch = epoch
        self._add(conversation)

    def _resume_here(self, connection: Connection, request: Request, resume: Resume) -> None:
        conversation = self._by_token.get(resume.token)
        if conversation is None:
            self._refuse(
                connection,
                http.HTTPStatus.GONE,
                "no such session: it has ended, or its client came back too late",
            )
            return
        try:
            conversation.check_resume(resume.received)
        except ProtocolError as error:
            self._refuse(connection, http.HTTPStatus.BAD_REQUEST, str(error))
            return
        if connection.accept(request):
            connection.listen(conversation)
            logger.info(
                "session resumed", extra={"session": conversation.id, "remote": connection.remote}
            )
            conversation.resume(connection, resume.received)


def _new_token() -> str:
    """Return a token that nobody can guess, with the time at its end."""
    return f"{secrets.token_urlsafe(24)}.{int(time.time())}"


def _is_new(token: str) -> bool:
    """Whether the session of a token may be so young that another process has not saved it yet."""
    began = token.rpartition(".")[2]
    return began.isdecimal() and len(began) < 16 and abs(time.time() - int(began)) < _FIRST_SAVE_S
