"""The dialect of Deepgram Flux: its query, its messages, and its own client against our server."""

from __future__ import annotations

import json
import warnings
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from websockets.asyncio.client import connect
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus

from turnstream.stream.engine import Engine
from turnstream.stream.errors import ProtocolError
from turnstream.stream.policy_settings import PRESETS, Policies, PolicySettings
from turnstream.stream.prediction import TurnEvent
from turnstream.stream.protocol import (
    ConfiguredMessage,
    ErrorMessage,
    WarningMessage,
    message_to_json,
    parse_control,
)
from turnstream.stream.service.flux import FluxDialect, Thresholds, bearer, parse_query
from turnstream.stream.service.server import Server
from turnstream.stream.settings import Configure, StreamSettings
from turnstream.stream.sources import bundled_sample

from ..serving import RawClient, offline, quick_limits

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of its use of websockets
    from deepgram import AsyncDeepgramClient
    from deepgram.environment import DeepgramClientEnvironment
    from deepgram.listen.v2.types import (
        ListenV2ConfigureFailure,
        ListenV2ConfigureSuccess,
        ListenV2Connected,
        ListenV2TurnInfo,
        ListenV2Warning,
    )

BASE = PRESETS["balanced"]
names = st.sampled_from(
    ["type", "thresholds", "eot_threshold", "eager_eot_threshold", "eot_timeout_ms", "keyterms"]
)
NAMES = {
    "start_of_turn": "StartOfTurn",
    "eager_end_of_turn": "EagerEndOfTurn",
    "end_of_turn": "EndOfTurn",
}
QUERY = "model=flux-general-en&encoding=linear16&sample_rate=8000"


@pytest.fixture(scope="module")
def engine() -> Engine:
    """Return the bundled model, which hears turns where the tests' random one does not."""
    return Engine()


@pytest.fixture(scope="module")
def caller() -> NDArray[np.int16]:
    """Return the caller's channel of 13 s of the bundled call, (N,) at 8 kHz: two turns."""
    audio, _ = soundfile.read(bundled_sample(), dtype="int16", frames=13 * 8000)
    return np.ascontiguousarray(audio[:, 0], np.int16)


# ---- the query ----


def test_the_query_of_flux_is_a_session_of_ours() -> None:
    settings, thresholds = parse_query(f"{QUERY}&keyterm=a&keyterm=b&tag=x", BASE, 50.0)
    assert thresholds == Thresholds()
    assert (settings.sample_rate_hz, settings.channels, settings.encoding, settings.frames) == (
        8000,
        1,
        "pcm_s16le",
        12,
    )
    values = settings.policy_values
    assert values["end_threshold"] == pytest.approx(BASE.end_threshold)
    assert values["timeout_secs"] == 5.0
    assert (values["eager_threshold"], values["eager_silence_secs"]) == (
        values["end_threshold"],
        values["end_silence_secs"],
    )


def test_thresholds_keep_their_order_and_one_is_never_reached() -> None:
    def values(**thresholds: float) -> dict[str, float]:
        return Thresholds().changed(dict(thresholds)).policy_values(BASE)

    ends = [values(eot_threshold=threshold)["end_threshold"] for threshold in (0.5, 0.7, 0.9)]
    assert ends == sorted(ends)
    assert values(eot_threshold=1.0)["end_threshold"] == 1.0
    eager = values(eager_eot_threshold=0.5)
    assert eager["eager_threshold"] < eager["end_threshold"]
    assert eager["eager_silence_secs"] == BASE.eager_silence_secs


@pytest.mark.parametrize("eot", [0.5, 0.77, 1.0])
@pytest.mark.parametrize("eager", [None, 0.3, 0.5])
@pytest.mark.parametrize("timeout_ms", [500, 5000, 60000])
def test_every_allowed_threshold_is_a_policy(
    eot: float, eager: float | None, timeout_ms: float
) -> None:
    for base in (*PRESETS.values(), PolicySettings(end_threshold=1.0)):
        PolicySettings(**Thresholds(eot, eager, timeout_ms).policy_values(base))


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("model=flux-general-en", "encoding: expected raw audio, one of linear16, linear32, mulaw"),
        ("encoding=opus&sample_rate=16000", "alaw; got 'opus'"),
        ("encoding=mulaw", "sample_rate: expected a whole number from 8000 to 192000, got ''"),
        (f"{QUERY}&eot_threshold=0.2", "eot_threshold: expected a number from 0.5 to 1, got 0.2"),
        (f"{QUERY}&eot_threshold=a", "eot_threshold: expected a number from 0.5 to 1, got 'a'"),
        (f"{QUERY}&eot_timeout_ms=100", "eot_timeout_ms: expected a number from 500 to 60000"),
        (
            f"{QUERY}&eot_threshold=0.5&eager_eot_threshold=0.6",
            "eager_eot_threshold: expected at most eot_threshold 0.5, got 0.6",
        ),
        (f"{QUERY}&interim_results=true", "unknown setting 'interim_results'"),
        (f"{QUERY}&encoding=mulaw", "encoding: expected once, got it twice"),
    ],
)
def test_a_bad_query_is_refused(query: str, complaint: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse_query(query, BASE, 50.0)
    assert refused.value.code == "bad_setting"
    assert complaint in str(refused.value)


def test_the_scheme_token_of_the_access_key_is_understood() -> None:
    headers = bearer(Headers([("authorization", "Token abc"), ("Origin", "Token x")]))
    assert [*headers.raw_items()] == [("authorization", "Bearer abc"), ("Origin", "Token x")]


# ---- the messages ----


def dialect(thresholds: Thresholds | None = None) -> FluxDialect:
    return FluxDialect(thresholds or Thresholds(), BASE)


def told(spoken: FluxDialect, message: Any) -> list[Any]:
    return [json.loads(wire) for wire in spoken.outgoing(message_to_json(message))]


def event(kind: Any, time_s: float, turn: int = 0, trigger: Any = None, speaker: int = 0) -> Any:
    return TurnEvent(kind, speaker, time_s, BASE.end_threshold, turn, trigger)


def test_events_are_turn_infos_with_window_turn_and_confidence() -> None:
    spoken = dialect()
    messages = [
        message
        for happened in (
            event("start_of_turn", 1.0),
            event("eager_end_of_turn", 2.0),
            event("turn_resumed", 2.2),
            event("end_of_turn", 3.0, trigger="timeout"),
            event("start_of_turn", 4.0, turn=1),
        )
        for message in told(spoken, happened)
    ]
    assert [message["event"] for message in messages] == [
        "StartOfTurn",
        "EagerEndOfTurn",
        "TurnResumed",
        "EndOfTurn",
        "StartOfTurn",
    ]
    assert [message["sequence_id"] for message in messages] == [0, 1, 2, 3, 4]
    assert [message["turn_index"] for message in messages] == [0, 0, 0, 0, 1]
    assert [(m["audio_window_start"], m["audio_window_end"]) for m in messages] == [
        (0.0, 1.0),
        (0.0, 2.0),
        (0.0, 2.2),
        (0.0, 3.0),
        (3.0, 4.0),
    ]
    assert messages[3]["end_of_turn_confidence"] == 0.7  # our threshold of balanced
    assert [message.get("trigger") for message in messages] == [None, None, None, "timeout", None]
    assert all((m["transcript"], m["words"]) == ("", []) for m in messages)


@pytest.mark.parametrize(
    ("trigger", "shown"), [("model", "model"), ("forced", "manual"), ("other_spoke", "model")]
)
def test_the_trigger_is_one_of_flux(trigger: str, shown: str) -> None:
    (message,) = told(dialect(), event("end_of_turn", 1.0, trigger=trigger))
    assert message["trigger"] == shown


def test_what_flux_does_not_know_is_left_out() -> None:
    spoken = dialect()
    assert told(spoken, event("backchannel", 1.0)) == []
    assert told(spoken, event("interruption", 1.0)) == []
    assert told(spoken, event("start_of_turn", 1.0, speaker=1)) == []
    (warning,) = told(spoken, WarningMessage("silent", "info", "no sound"))
    assert (warning["type"], warning["code"], warning["sequence_id"]) == ("Warning", "SILENT", 0)
    (error,) = told(spoken, ErrorMessage("bad_audio", "expected whole samples"))
    assert (error["type"], error["code"]) == ("Error", "BAD_AUDIO")
    assert error["description"] == "expected whole samples"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"type": "CloseStream"}, "close"),
        ({"type": "ForceEndTurn"}, "end_turn"),
        ({"type": "KeepAlive"}, "keep_alive"),
        ({"type": "Configure", "keyterms": ["a"]}, "configure"),
    ],
)
def test_controls_are_ours(sent: dict[str, Any], expected: str) -> None:
    (wire,) = dialect().incoming(json.dumps(sent))
    assert json.loads(wire)["type"] == expected
    assert parse_control(str(wire))[1] == ""


@pytest.mark.parametrize("kind", ["Finalize", "configure", "close", None, 5, {}])
def test_an_unknown_control_is_no_control_of_ours(kind: object) -> None:
    (wire,) = dialect().incoming(json.dumps({"type": kind}))
    control, remark = parse_control(str(wire))
    assert control is None
    (warning,) = told(dialect(), WarningMessage("unknown_control", "warning", remark))
    assert warning["description"] == (
        f"type: expected one of Configure, CloseStream, ForceEndTurn, KeepAlive; got {kind!r}"
    )


@pytest.mark.parametrize("text", ["hello", "[1]", "[" * 100_000, "5"])
def test_text_that_is_no_object_is_left_to_the_conversation(text: str) -> None:
    assert dialect().incoming(text) == [text]


def test_configure_keeps_what_it_does_not_name() -> None:
    spoken = dialect()
    for thresholds in ({"eot_threshold": 0.8}, {"eot_timeout_ms": 1000}):
        (wire,) = spoken.incoming(json.dumps({"type": "Configure", "thresholds": thresholds}))
    change, _ = parse_control(str(wire))
    assert isinstance(change, Configure)
    assert change.policy_values == Thresholds(0.8, None, 1000).policy_values(BASE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"type": st.just("Configure") | json_values},
        optional={"thresholds": json_values | st.dictionaries(names, st.floats(0, 1))},
    ).map(json.dumps)
)
def test_whatever_a_client_sends_is_translated_and_answered_or_refused(text: str) -> None:
    spoken = dialect()
    (wire,) = spoken.incoming(text)
    try:
        control, _ = parse_control(str(wire))
    except ProtocolError:
        return
    if isinstance(control, Configure):
        held = StreamSettings().resolved(Policies()).configured(control).resolved(Policies())
        (answer,) = told(spoken, ConfiguredMessage(held))
        assert answer["type"] in ("ConfigureSuccess", "ConfigureFailure")


# ---- its own client ----


async def converse(
    server: Server, pcm: bytes, *controls: dict[str, Any], **asked: Any
) -> list[Any]:
    """Return what the client of Deepgram receives."""
    host = f"ws://127.0.0.1:{server.port}"
    client = AsyncDeepgramClient(
        api_key="secret",
        environment=DeepgramClientEnvironment(base="", production=host, agent="", agent_rest=""),
    )
    options = {"model": "flux-general-en", "encoding": "linear16", "sample_rate": 8000, **asked}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        async with client.listen.v2.connect(**options) as connection:
            for start in range(0, len(pcm), 5120):
                await connection.send_media(pcm[start : start + 5120])
            for control in controls:
                await connection.send_configure(control)
            await connection.send_close_stream()
            return [message async for message in connection]


async def test_the_client_of_deepgram_gets_the_turns_of_the_caller(
    engine: Engine, caller: NDArray[np.int16]
) -> None:
    async with Server(engine, port=0, limits=quick_limits(), tokens=["secret"]) as server:
        first, *messages = await converse(server, caller.tobytes(), eager_eot_threshold=0.5)
    assert isinstance(first, ListenV2Connected)
    assert all(isinstance(message, ListenV2TurnInfo) for message in messages)
    assert [message.sequence_id for message in messages] == [*range(1, len(messages) + 1)]
    updates = [message for message in messages if message.event == "Update"]
    assert [round(update.audio_window_end, 2) for update in updates] == [
        round(0.02 + 0.24 * number, 2) for number in range(len(updates))
    ]
    settings, _ = parse_query(f"{QUERY}&eager_eot_threshold=0.5", BASE, 50.0)
    policy = settings.resolved(Policies()).policy_settings
    _, events = offline(engine, caller[:, None], rate_hz=8000, policy=policy)
    turns = [
        (message.event, message.audio_window_end, message.turn_index)
        for message in messages
        if message not in updates
    ]
    assert turns == [(NAMES[event.type], event.time_s, event.turn_index) for event in events]
    assert [name for name, _, _ in turns] == ["StartOfTurn", "EagerEndOfTurn", "EndOfTurn"] * 2


async def test_the_client_of_deepgram_configures_and_forces_the_end(engine: Engine) -> None:
    samples = np.zeros(16000, np.int16)
    async with Server(engine, port=0, limits=quick_limits(), tokens=["secret"]) as server:
        messages = await converse(
            server,
            samples.tobytes(),
            {"type": "Configure", "thresholds": {"eot_threshold": 0.8}},
            {"type": "Configure", "thresholds": {"eot_threshold": 3}},
            {"type": "Finalize"},
            eager_eot_threshold=0.5,
        )
    answers = [message for message in messages if not isinstance(message, ListenV2TurnInfo)][1:]
    success, failure, warning = answers
    assert isinstance(success, ListenV2ConfigureSuccess)
    assert (success.thresholds.eot_threshold, success.thresholds.eager_eot_threshold) == (0.8, 0.5)
    assert isinstance(failure, ListenV2ConfigureFailure)
    assert failure.description == "eot_threshold: expected a number from 0.5 to 1, got 3"
    assert isinstance(warning, ListenV2Warning)
    assert warning.description.endswith("got 'Finalize'")


async def test_a_turn_ends_when_a_flux_client_says_so(
    engine: Engine, caller: NDArray[np.int16]
) -> None:
    start = offline(engine, caller[:, None], rate_hz=8000)[1][0]
    samples = caller[: round(start.time_s * 8000) + 800]
    async with (
        Server(engine, port=0, limits=quick_limits()) as server,
        connect(f"ws://127.0.0.1:{server.port}/v2/listen?{QUERY}", proxy=None) as connection,
    ):
        client = RawClient(connection)
        await client.send(samples.tobytes())
        await client.send({"type": "ForceEndTurn"})
        await client.send({"type": "CloseStream"})
        messages = [m for m in await client.rest() if m["type"] == "TurnInfo"]
    ends = [message for message in messages if message["event"] == "EndOfTurn"]
    assert [(end["trigger"], end["turn_index"]) for end in ends] == [("manual", 0)]
    assert client.close_code == 1000


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"sample_rate": "5"}, 400, b"sample_rate: expected a whole number from 8000"),
        ({"token": "wrong"}, 401, b"expected a valid token"),
    ],
)
async def test_a_flux_client_is_refused_with_the_reason(
    engine: Engine, change: dict[str, str], status: int, reason: bytes
) -> None:
    asked = {"encoding": "linear16", "sample_rate": "16000", "token": "secret", **change}
    async with Server(engine, port=0, limits=quick_limits(), tokens=["secret"]) as server:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(
                f"ws://127.0.0.1:{server.port}/v2/listen?{urlencode(asked)}", proxy=None
            ):
                pass
    assert refused.value.response.status_code == status
    assert reason in (refused.value.response.body or b"")
