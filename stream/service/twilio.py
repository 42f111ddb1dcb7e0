"""The paths for telephone calls of Twilio, so that a call is a session without any decoding.

`/v1/twilio` takes the messages of a Twilio stream from a bot's server, which forwards those that it
gets from Twilio and those that it sends, unchanged. It answers as `/v1/stream` does.

`/twilio` takes them from Twilio itself (`<Start><Stream>`). Twilio takes no messages but its own,
so nothing is answered. Whoever wants the events of such a call opens `/v1/calls/SID` with the SID
of the call or of its stream. Twilio can send neither a header nor a query, so a token is the rest
of the path (`/twilio/TOKEN`), which is checked before a session begins. Settings come as
`<Parameter>`s. PROTOCOL.md describes all of it.

Bound: eight listeners for a call. One that reads too slowly is closed.
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
from .metrics import Metrics
from .sessions import Sessions

TWILIO_PATH = "/twilio"
RELAY_PATH = "/v1/twilio"
CALLS_PATH = "/v1/calls"

_MAX_LISTENERS = 8
_FORMAT = {"sample_rate": str(RATE_HZ), "channels": "2", "encoding": "mulaw"}


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
        calls: where the events go; None if the client itself gets them.
        token: access token of the call, if it needed one.
    """

    audio_in_text = True

    def __init__(self, calls: Calls | None = None, token: bytes | None = None) -> None:
        self.token = token
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
                self._calls.add(self, (call.start.call_sid, call.start.stream_sid))
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

    def listen(self, listener: Connection) -> bool:
        """Send the events to one more connection; return False if too many listen."""
        if len(self._listeners) >= _MAX_LISTENERS:
            return False
        self._listeners.append(listener)
        return True

    def greet(self, listener: Connection) -> None:
        """Tell a new listener which session this is, and which settings hold."""
        listener.send(self._held.values())

    def forget(self, listener: Connection) -> None:
        """Send nothing more to a connection."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def end(self) -> None:
        """Close all listeners, because Twilio's connection has ended."""
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


class Calls:
    """The calls to which one can listen, by the SIDs of the calls and of their streams."""

    def __init__(self) -> None:
        self._calls: dict[str, TwilioDialect] = {}

    def add(self, call: TwilioDialect, sids: tuple[str, ...]) -> None:
        """Add a call. A later stream of the same call takes its place."""
        self._calls.update(dict.fromkeys(sids, call))

    def remove(self, call: TwilioDialect) -> None:
        """Remove a call."""
        for sid in [sid for sid, found in self._calls.items() if found is call]:
            del self._calls[sid]

    def find(self, sid: str, token: bytes | None) -> TwilioDialect | None:
        """Return the call of this SID that came with the same token, or None."""
        call = self._calls.get(sid)
        return call if call is not None and call.token == token else None


class _Listener:
    """Receives what a listener sends: nothing that matters."""

    is_live = False

    def __init__(self, connection: Connection, call: TwilioDialect) -> None:
        self._connection, self._call = connection, call

    def on_misuse(self, code: str, message: str) -> None:
        self._connection.close(CLOSE_CODES[code], f"{code}: {message}")

    def on_message(self, message: str | bytes) -> None:
        pass

    def on_pong(self, payload: bytes) -> None:
        pass

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
    """

    def __init__(
        self,
        sessions: Sessions,
        access: Access,
        policies: Policies,
        metrics: Metrics,
        may_open: Callable[[Connection, Request, Headers, str], bool],
    ) -> None:
        self._sessions = sessions
        self._access = access
        self._policies = policies
        self._metrics = metrics
        self._may_open = may_open
        self._calls = Calls()
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

    def on_close(self, connection: Connection) -> None:
        """End the call of a closed connection of Twilio."""
        call = self._by_connection.pop(connection, None)
        if call is not None:
            self._calls.remove(call)
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
            self._sessions.begin(connection, request, parse_relay_query(""), token, call)

    def _open_relay(self, connection: Connection, request: Request, query: str) -> None:
        if not self._may_open(connection, request, request.headers, query):
            return
        try:
            settings = parse_relay_query(query)
            settings = settings.resolved(self._policies)
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
        call = self._calls.find(sid, self._access.token(request.headers, query))
        if call is None:
            self._refuse(
                connection,
                http.HTTPStatus.NOT_FOUND,
                f"expected the SID of a call that is connected to {TWILIO_PATH}, got {show(sid)}; "
                "try again if it may begin soon, or is with another worker",
            )
        elif not call.listen(connection):
            self._refuse(
                connection,
                http.HTTPStatus.TOO_MANY_REQUESTS,
                f"expected at most {_MAX_LISTENERS} listeners of a call",
            )
        elif connection.accept(request):
            connection.listen(_Listener(connection, call))
            call.greet(connection)
        else:
            call.forget(connection)

    def _refuse(self, connection: Connection, status: http.HTTPStatus, text: str) -> None:
        refuse(connection, self._metrics, status, text)
