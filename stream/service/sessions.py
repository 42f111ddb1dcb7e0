"""The sessions of one server: begins, resumes and counts conversations, within the limits.

A session whose client was lost stays here until the client resumes it. With a store, the client may
come back to another process, which then claims the session (`saving.py`).

When all places are taken, a newcomer gets that of the session that has been silent for longest: its
client has never sent audio. Sessions that have heard audio stay, also those of lost clients.

This is one file, because all of it changes one table of sessions.
"""

from __future__ import annotations

import asyncio
import http
import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import NamedTuple

from websockets.http11 import Request

from ..errors import ProtocolError, SnapshotError
from ..policy_settings import Policies
from ..settings import Resume, StreamSettings
from .answers import refuse
from .batcher import Batcher
from .connection import Connection, Dialect
from .conversation import Conversation, Shared
from .limits import Limits
from .load import Load
from .metrics import Metrics
from .packed_conversation import PackedConversation
from .places import Owner, Places, address_of
from .resampling import Resampling
from .saving import Saver
from .store import SessionStore

logger = logging.getLogger(__name__)

_UNAVAILABLE = http.HTTPStatus.SERVICE_UNAVAILABLE
SHUTTING_DOWN = "shutting down; try again later"
_MANY_ODD_RATES = "busy: many sessions with an unusual sample rate begin; try again soon"
_FIRST_SAVE_S = 5.0  # time for the first save of a session; until then its token is new


class Client(NamedTuple):
    """A client that asks for a session.

    Attributes:
        connection: has sent the request.
        request: asks for the session.
        owner: address and access token of the client.
        dialect: translates for a client of another protocol, which cannot resume; None if it
            speaks ours.
    """

    connection: Connection
    request: Request
    owner: Owner
    dialect: Dialect | None = None


class Sessions:
    """Holds all conversations of a server.

    Args:
        batcher: predicts for all conversations.
        limits: bounds of the server.
        load: tells whether one more session fits.
        metrics: counts sessions and refusals.
        resampling: prepares what a session of another sample rate needs.
        store: keeps the sessions, so that they survive this process; None if they do not.
        on_end: called after the end of every conversation.
        policies: what a session can ask for.
        pause_sessions: most sessions at a time that use the pause model, if there is one, and only
            those that begin while the server has time; None for all sessions.
    """

    def __init__(
        self,
        batcher: Batcher,
        limits: Limits,
        load: Load,
        metrics: Metrics,
        resampling: Resampling,
        store: SessionStore | None,
        on_end: Callable[[], None],
        policies: Policies,
        pause_sessions: int | None = None,
    ) -> None:
        self._batcher = batcher
        self._limits = limits
        self._load = load
        self._metrics = metrics
        self._resampling = resampling
        self._saver = None if store is None else Saver(store, limits, batcher.clock)
        self._on_end = on_end
        self._shared = Shared(batcher, limits, metrics, policies, self._forget)
        self._pause_sessions = pause_sessions
        self._conversations: dict[Conversation, Owner] = {}  # in order of their start
        self._places = Places(limits)
        self._by_token: dict[str, Conversation] = {}
        # Clients whose session is claimed, or whose filter table is made, by the task that does it.
        self._preparing: dict[asyncio.Task[None], Connection] = {}
        self._shutting_down = False

    def __len__(self) -> int:
        return len(self._conversations)

    @property
    def store_ready(self) -> bool:
        """Whether new sessions are saved, or do not have to be because there is no store."""
        return self._saver is None or self._saver.ready

    def begin(
        self,
        connection: Connection,
        request: Request,
        settings: StreamSettings,
        token: bytes | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        """Start a conversation with a client, or refuse it because there is no room.

        Args:
            connection: has sent the request.
            request: asks for the session.
            settings: what the client asked for.
            token: access token of the client, if it needed one.
            dialect: translates for a client of another protocol, which cannot resume.
        """
        client = Client(connection, request, Owner(address_of(connection.host), token), dialect)
        if not self._has_room(client):
            return
        if self._resampling.is_ready(
            settings.sample_rate_hz, self._batcher.metadata.sample_rate_hz
        ):
            self._begin(client, settings)
        else:
            self._start(connection, self._begin_later(client, settings))

    async def _begin_later(self, client: Client, settings: StreamSettings) -> None:
        """Begin when the filter table of an odd sample rate has been made."""
        if not await self._resampling.prepare(*self._rates_hz(settings)):
            self._refuse(client.connection, _UNAVAILABLE, _MANY_ODD_RATES)
        elif self._has_room(client):
            self._begin(client, settings)

    def _rates_hz(self, settings: StreamSettings) -> tuple[int, int]:
        return settings.sample_rate_hz, self._batcher.metadata.sample_rate_hz

    def _start(self, connection: Connection, work: Coroutine[None, None, None]) -> None:
        """Run a task that answers this client. If it fails, the client is dropped."""

        def ended(task: asyncio.Task[None]) -> None:
            connection = self._preparing.pop(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("a request failed", exc_info=error)
                connection.abort()

        task = asyncio.create_task(work)
        self._preparing[task] = connection
        task.add_done_callback(ended)

    def _begin(self, client: Client, settings: StreamSettings) -> None:
        connection, request, owner, dialect = client
        if not connection.accept(request):
            return
        self._make_room()
        can_resume = self._limits.resume_s > 0 and dialect is None
        pause_model = self._batcher.pause_model if self._has_pause_model_free() else None
        conversation = Conversation(
            settings,
            self._shared.new_session(settings, pause_model),
            self._shared,
            token=_new_token() if can_resume else None,
            saves=self._saver is not None and can_resume,
        )
        self._add(conversation, owner)
        logger.info(
            "session began",
            extra={
                "session": conversation.id,
                "remote": connection.remote,
                "settings": settings.to_query(),
            },
        )
        connection.listen(conversation, dialect)
        conversation.attach(connection)

    def resume(
        self,
        connection: Connection,
        request: Request,
        resume: Resume,
        token: bytes | None = None,
    ) -> None:
        """Continue the conversation of a client that has come back, or refuse it.

        Args:
            connection: has sent the request.
            request: asks for the session.
            resume: the session, and what the client has received of it.
            token: access token of the client, if it needed one.
        """
        if self._saver is None:
            self._resume_here(connection, request, resume)
            return
        client = Client(connection, request, Owner(address_of(connection.host), token))
        self._start(connection, self._claim(client, resume, self._saver))

    def tick(self, now_s: float) -> None:
        """Check the time limits of all conversations; called a few times per second."""
        for conversation in list(self._conversations):
            conversation.tick(now_s)
        # Once the server stops, the messages of the clients count as received but have no effect.
        if self._saver is not None and not self._shutting_down:
            self._saver.tick(now_s)

    def shut_down(self) -> None:
        """Refuse new clients, and let every conversation process its audio and end."""
        self._refuse_new()
        for conversation in list(self._conversations):
            conversation.shut_down()

    def hand_over(self) -> list[Conversation]:
        """Drop the clients whose conversations another process can claim; return those.

        Without a store, or while it fails, there are none.
        """
        if self._saver is None or not self._saver.ready:
            return []
        self._refuse_new()
        saved = [one for one in self._conversations if one.token is not None]
        for conversation in saved:
            conversation.drop_client()
        return saved

    def _refuse_new(self) -> None:
        self._shutting_down = True
        for task, connection in self._preparing.items():
            task.cancel()
            self._refuse(connection, _UNAVAILABLE, SHUTTING_DOWN)

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

    def _has_room(self, client: Client) -> bool:
        """Return whether one more session of this client fits; if not, refuse it."""
        connection = client.connection
        refusal = self._places.refusal(client.owner)
        if refusal is not None:
            self._refuse(connection, http.HTTPStatus.TOO_MANY_REQUESTS, refusal)
            return False
        refusal = self.refusal()
        if refusal is not None:
            self._refuse(connection, _UNAVAILABLE, refusal)
            return False
        return True

    def refusal(self) -> str | None:
        """Return why no further session fits, or None if one fits."""
        if self._shutting_down:
            return SHUTTING_DOWN
        if len(self) >= self._limits.max_sessions and self._silent() is None:
            return f"at capacity: {self._limits.max_sessions} sessions; try again later"
        return self._load.refusal(self._newcomers())

    def _has_pause_model_free(self) -> bool:
        """Return whether a new session may use the pause model."""
        if self._pause_sessions is None:
            return True
        users = sum(conversation.has_pause_model for conversation in self._conversations)
        return users < self._pause_sessions and self._load.share < self._limits.max_load / 2

    def _newcomers(self) -> float:
        """Return the number of sessions whose cost cannot be measured yet; old ones count less."""
        now_s, newcomers = self._batcher.clock(), 0.0
        for conversation in reversed(self._conversations):
            weight = self._load.newcomer_weight(
                now_s, conversation.began_s, conversation.first_audio_s
            )
            if not weight:
                break
            if conversation.parked_s is None:
                newcomers += weight
        return newcomers

    def _silent(self) -> Conversation | None:
        """Return the session that has lasted longest without any audio, or None.

        A session that has just begun does not count.
        """
        latest_s = self._batcher.clock() - self._limits.stall_s
        for conversation in self._conversations:
            if conversation.first_audio_s is None and conversation.began_s <= latest_s:
                return conversation
        return None

    def _make_room(self) -> None:
        """End the longest silent session if the number of sessions is at its limit."""
        silent = self._silent() if len(self) >= self._limits.max_sessions else None
        if silent is not None:
            silent.yield_place()

    def _add(self, conversation: Conversation, owner: Owner) -> None:
        self._conversations[conversation] = owner
        self._places.take(owner)
        if conversation.token is not None:
            self._by_token[conversation.token] = conversation
            if self._saver is not None:
                self._saver.add(conversation)

    def _forget(self, conversation: Conversation) -> None:
        owner = self._conversations.pop(conversation, None)
        if owner is not None:
            self._places.give_back(owner)
        if conversation.token is not None:
            self._by_token.pop(conversation.token, None)
            if self._saver is not None:
                lost = conversation.parked_s is not None
                self._saver.remove(conversation, keep=lost and self._shutting_down)
        self._on_end()

    # ---- resuming ----

    async def _claim(self, client: Client, resume: Resume, saver: Saver) -> None:
        """Become the owner of a session, then resume it."""
        connection, request, owner, _ = client
        try:
            claimed = await saver.claim(resume.token)
        except OSError:
            claimed, reason = None, "the store of sessions fails"
        else:
            reason = "it was not saved yet" if _is_new(resume.token) else ""
        if claimed is not None:
            if not await self._own(*claimed, resume, owner):
                self._refuse(connection, _UNAVAILABLE, _MANY_ODD_RATES)
                return
        elif resume.token not in self._by_token and reason:
            text = f"the session is not here, and {reason}; try again"
            self._refuse(connection, _UNAVAILABLE, text)
            return
        self._resume_here(connection, request, resume)

    async def _own(self, epoch: int, state: bytes, resume: Resume, owner: Owner) -> bool:
        """Take over a claimed session; return False if this cannot be done at the moment."""
        if self._has_newer(epoch, resume.token):
            return True
        try:
            packed = PackedConversation.from_bytes(state)
            if not await self._resampling.prepare(*self._rates_hz(packed.settings)):
                return False
            if self._has_newer(epoch, resume.token):  # the client asked twice
                return True
            conversation = Conversation.unpack(
                packed, self._shared, token=resume.token, received=resume.received
            )
        except SnapshotError as error:
            logger.error("a saved session is lost: %s", error)
            return True
        conversation.epoch = epoch
        self._add(conversation, owner)
        return True

    def _has_newer(self, epoch: int, token: str) -> bool:
        """Return whether a session is here in a newer state than the one just claimed.

        It is if it was here all the time. If another process has claimed it meanwhile, what is here
        is an older copy, which ends.
        """
        conversation = self._by_token.get(token)
        if conversation is None:
            return False
        if conversation.epoch >= epoch - 1:
            conversation.epoch = max(epoch, conversation.epoch)
            return True
        conversation.leave()
        return False

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
