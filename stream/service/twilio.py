"""The paths for telephone calls of Twilio, so that a call is a session without any decoding.

`/v1/twilio` takes the messages of a Twilio stream from a bot's server, which forwards those that it
gets from Twilio and those that it sends, unchanged. It answers as `/v1/stream` does.

`/twilio` takes them from Twilio itself (`<Start><Stream>`). Twilio takes no messages but its own,
so nothing is answered. Whoever wants the events of such a call opens `/v1/calls/SID` with the SID
of the call or of its stream. Twilio can send neither a header nor a query, so a token is the rest
of the path (`/twilio/TOKEN`), which is checked before a session begins. Settings come as
`<Parameter>`s. PROTOCOL.md describes all of it.

Bounds: eight listeners for a call; for all calls, as many as sessions. One that reads too slowly is
closed. Listeners are pinged, because a proxy would cut a silent connection.
"""

from __future__ import annotations

import http
import json
from collections.abc import Callable
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode

from websockets.datastructures import Headers
from websockets.http11 import Request

from ..errors import ProtocolError
from ..policy_settings import Policies
from ..protocol import CLOSE_CODES, CLOSE_NORMAL
from ..settings import CHANGEABLE, StreamSettings, parse_query
from ..telephony.call import Call
from ..telephony.messages import RATE_HZ
from ..wire import show
from .access import Access
from .answers import refuse
from .connection import Connection
from .limits import Limits
from .metrics import Metrics
from .sessions import Sessions

TWILIO_PATH = "/twilio"
RELAY_PATH = "/v1/twilio"
CALLS_PATH = "/v1/calls"

_MAX_LISTENERS = 8
_FORMAT = {"sample_rate": str(RATE_HZ), "channels": "2", "encoding": "mulaw"}

Calls = dict[tuple[bytes | None, str], "TwilioDialect"]  # by token, and SID of call or stream


def parse_relay_query(query: str) -> StreamSettings:
    """Parse the query of a bot's server: the settings of `/v1/stream`, without those of the audio.

    Raises:
        ProtocolError: bad_setting.
    """
    given = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    for name in (*_FORMAT, "resume", "received"):
        if name in given:
            raise ProtocolError("bad_setting", f"{name}: expected no such setting on {RELAY_PATH}")
    fixed = _FORMAT if "frames" in given else {**_FORMAT, "frames": "none"}
    settings = parse_query("&".join([*([query] if query else []), urlencode(fixed)]))
    assert isinstance(settings, StreamSettings)
    return settings


class TwilioDialect:
    """Translates the messages of one stream.

    Args:
        calls: those that one can listen to; None if the client itself gets the events.
        token: access token of the call, if it needed one.
    """

    audio_in_text = True

    def __init__(self, calls: Calls | None = None, token: bytes | None = None) -> None:
        self._token = token
        self._calls = calls
        self._call = Call()
        self._listeners: list[Connection] = []
        self._held: dict[str, str | bytes] = {}  # what a new listener must know, by its type

    def incoming(self, message: str | bytes) -> list[str | bytes]:
        """Return our messages for one of a stream. A bot's server may send our controls, too.

        Raises:
            ProtocolError: the message is not one of Twilio's, or does not belong here.
        """
        if self._calls is None and isinstance(message, str) and '"event"' not in message:
            return [message]
        call, started, stopped = self._call, self._call.start, self._call.stopped
        audio = call.receive(message)
        told: list[str | bytes] = [audio] if audio else []
        if call.start is not None and started is None:
            told += _settings_of(call.start.custom_parameters)
            if self._calls is not None:
                for sid in (call.start.call_sid, call.start.stream_sid):
                    self._calls[self._token, sid] = self  # a later stream takes its place
        if call.stopped and not stopped:
            told.append(json.dumps({"type": "close"}))
        return told

    def outgoing(self, wire: str | bytes) -> list[str | bytes]:
        """Return the client's messages for one of ours: itself, or none for Twilio."""
        if self._calls is None:
            return [wire]
        for kind in ("begin", "configured"):
            if isinstance(wire, str) and wire.startswith(f'{{"type":"{kind}"'):
                self._held[kind] = wire
        for listener in self._listeners[:]:
            if listener.writable:
                listener.send([wire])
            else:
                self.forget(listener)
                code = "slow_reader"
                listener.close(CLOSE_CODES[code], f"{code}: messages of the call waited")
        return []

    @property
    def is_full(self) -> bool:
        """Whether no more connections may listen."""
        return len(self._listeners) >= _MAX_LISTENERS

    def listen(self, listener: Connection) -> None:
        """Send the events to one more connection, after what the session is and what holds."""
        listener.send(self._held.values())
        self._listeners.append(listener)

    def forget(self, listener: Connection) -> None:
        """Send nothing more to a connection."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def end(self) -> None:
        """Close all listeners and forget the call, because Twilio's connection has ended."""
        calls = self._calls or {}
        for key in [key for key, call in calls.items() if call is self]:
            del calls[key]
        for listener in self._listeners:
            listener.close(CLOSE_NORMAL, "the call has ended")


def _settings_of(parameters: dict[str, object]) -> list[str | bytes]:
    """Return the `configure` for the `<Parameter>`s that are settings of ours; the rest is ignored.

    Raises:
        ProtocolError: bad_setting.
    """
    asked = {name: str(value) for name, value in parameters.items() if name in CHANGEABLE}
    if not asked:
        return []
    frames = {} if "frames" in asked else {"frames": "none"}
    settings = parse_query(urlencode({**asked, **frames}))
    assert isinstance(settings, StreamSettings)
    held = settings.to_wire()
    return [json.dumps({"type": "configure", **{name: held[name] for name in asked}})]


class _Listener:
    """Receives what a listener sends: nothing that matters."""

    is_live = False

    def __init__(self, connection: Connection, call: TwilioDialect) -> None:
        self._connection, self._call = connection, call
        self._unanswered = 0  # pings

    def ping(self, most: float) -> None:
        """Ping, or end the connection if so many pings have had no answer."""
        if self._unanswered >= most:
            self._connection.abort()
            return
        self._unanswered += 1
        self._connection.ping(b"")

    def on_misuse(self, code: str, message: str) -> None:
        self._connection.close(CLOSE_CODES[code], f"{code}: {message}")

    def on_message(self, message: str | bytes) -> None:
        pass

    def on_pong(self, payload: bytes) -> None:
        self._unanswered = 0

    def on_writable(self) -> None:
        pass

    def on_disconnect(self, lost: bool) -> None:
        self._call.forget(self._connection)


class TelephonePaths:
    """Answers the requests for calls.

    Args:
        sessions: begins the sessions.
        access: knows the tokens.
        policies: the presets that a session can ask for.
        metrics: counts the refusals.
        may_open: tells whether a client may open a stream; if not, it has been refused.
        limits: bounds of the server.
    Attributes:
        listeners: connections that listen to a call.
    """

    def __init__(
        self,
        sessions: Sessions,
        access: Access,
        policies: Policies,
        metrics: Metrics,
        may_open: Callable[[Connection, Request, Headers, str], bool],
        limits: Limits,
    ) -> None:
        self._sessions = sessions
        self._access = access
        self._policies = policies
        self._metrics = metrics
        self._may_open = may_open
        self._limits = limits
        self.listeners: dict[Connection, _Listener] = {}
        self._pinged_s = 0.0
        self._calls: Calls = {}
        self._by_connection: dict[Connection, TwilioDialect] = {}

    def answer(self, connection: Connection, request: Request, url: SplitResult) -> bool:
        """Answer a request if its path is one of a call; return whether it is."""
        path, _, rest = url.path.rpartition("/")
        if url.path == TWILIO_PATH or (path == TWILIO_PATH and rest):
            token = "" if url.path == TWILIO_PATH else unquote(rest)
            self._open_twilio(connection, request, url.query, token)
        elif url.path == RELAY_PATH:
            self._open_relay(connection, request, url.query)
        elif path == CALLS_PATH and rest:
            self._open_listener(connection, request, url.query, unquote(rest))
        else:
            return False
        return True

    def tick(self, now_s: float) -> None:
        """Ping the listeners when it is time; called a few times per second."""
        if now_s - self._pinged_s >= self._limits.ping_interval_s:
            self._pinged_s = now_s
            most = self._limits.ping_timeout_s / self._limits.ping_interval_s
            for listener in list(self.listeners.values()):
                listener.ping(most)

    def on_close(self, connection: Connection) -> None:
        """Forget a closed connection; if it was Twilio's, end its call."""
        self.listeners.pop(connection, None)
        call = self._by_connection.pop(connection, None)
        if call is not None:
            call.end()

    def _open_twilio(self, connection: Connection, request: Request, query: str, word: str) -> None:
        if query:
            self._refuse(
                connection,
                http.HTTPStatus.BAD_REQUEST,
                f"expected <Parameter>s, because Twilio sends no query; got {show(query)}",
            )
            return
        shown = urlencode({"token": word})
        if self._may_open(connection, request, request.headers, shown):
            token = self._access.token(request.headers, shown)
            self._by_connection[connection] = call = TwilioDialect(self._calls, token)
            settings = parse_relay_query("").resolved(self._policies)
            self._sessions.begin(connection, request, settings, token, call)

    def _open_relay(self, connection: Connection, request: Request, query: str) -> None:
        if not self._may_open(connection, request, request.headers, query):
            return
        try:
            settings = parse_relay_query(query).resolved(self._policies)
        except ProtocolError as error:
            self._refuse(connection, http.HTTPStatus.BAD_REQUEST, str(error))
            return
        token = self._access.token(request.headers, query)
        self._sessions.begin(connection, request, settings, token, TwilioDialect())

    def _open_listener(
        self, connection: Connection, request: Request, query: str, sid: str
    ) -> None:
        if not self._may_open(connection, request, request.headers, query):
            return
        call = self._calls.get((self._access.token(request.headers, query), sid))
        if call is None:
            status, text = (
                http.HTTPStatus.NOT_FOUND,
                f"expected the SID of a call that is connected to {TWILIO_PATH}, got {show(sid)}; "
                "try again if it may begin soon, or is with another worker",
            )
        elif len(self.listeners) >= self._limits.max_sessions:
            status, text = (
                http.HTTPStatus.SERVICE_UNAVAILABLE,
                f"at capacity: {self._limits.max_sessions} listeners of calls; try again later",
            )
        elif call.is_full:
            status, text = (
                http.HTTPStatus.TOO_MANY_REQUESTS,
                f"expected at most {_MAX_LISTENERS} listeners of a call",
            )
        else:
            if connection.accept(request):
                self.listeners[connection] = _Listener(connection, call)
                connection.listen(self.listeners[connection])
                call.listen(connection)
            return
        self._refuse(connection, status, text)

    def _refuse(self, connection: Connection, status: http.HTTPStatus, text: str) -> None:
        refuse(connection, self._metrics, status, text)
