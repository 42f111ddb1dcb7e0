"""The server over real sockets: sessions end to end, several at once, bad input, slow readers."""

from __future__ import annotations

import asyncio
import contextlib
import json

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from turnstream.stream.engine import Engine, Float32, StepOutput
from turnstream.stream.latent_message import LatentMessage
from turnstream.stream.pcm import to_float32
from turnstream.stream.policy_settings import PRESETS, Policies, PolicySettings
from turnstream.stream.protocol import message_to_json
from turnstream.stream.service.server import Server

from ..serving import (
    PATIENCE_S,
    RawClient,
    dialogue,
    frames_of,
    of_type,
    offline,
    quick_limits,
    raw_client,
    send_for_ever,
    slow_client,
    still_serves,
    talk,
)

# ---- sessions ----


@pytest.mark.parametrize("chunk", [77, 320, 16000])
async def test_one_session_equals_the_offline_prediction(
    server: Server, engine: Engine, chunk: int
) -> None:
    samples = dialogue(6.05, seed=1)
    frames, events = offline(engine, samples)
    async with raw_client(server) as client:
        messages = await talk(client, samples, chunk)
    assert frames_of(messages) == frames
    assert len(frames) == 303
    heard = [message for message in messages if "speaker" in message]
    assert heard == [json.loads(message_to_json(event)) for event in events]
    assert messages[-1] == {
        "type": "termination",
        "frames": 303,
        "seconds": 6.05,
        "reason": "close",
    }
    assert client.close_code == 1000


@pytest.mark.parametrize(
    ("encoding", "rate_hz", "channels"),
    [("pcm_f32le", 16000, 2), ("pcm_s16le", 48000, 1), ("pcm_s16le", 8000, 2)],
)
async def test_every_form_of_audio_gives_the_offline_prediction(
    server: Server, engine: Engine, encoding: str, rate_hz: int, channels: int
) -> None:
    samples = dialogue(1, seed=2, rate_hz=rate_hz)[:, :channels]
    wire = to_float32(samples)[:, :channels] if encoding == "pcm_f32le" else samples
    async with raw_client(
        server, f"sample_rate={rate_hz}&channels={channels}&encoding={encoding}"
    ) as client:
        messages = await talk(client, wire, 1000)
    assert frames_of(messages) == offline(engine, samples, rate_hz=rate_hz)[0]


async def test_sessions_share_steps_and_do_not_change_each_other(
    server: Server, engine: Engine
) -> None:
    async def one(seed: int) -> bool:
        samples = dialogue(3 + seed / 10, seed)
        async with raw_client(server) as client:
            return (
                frames_of(await talk(client, samples, 320 + 50 * seed))
                == offline(engine, samples)[0]
            )

    async with asyncio.timeout(PATIENCE_S):
        assert await asyncio.gather(*(one(seed) for seed in range(8))) == [True] * 8
    assert server.batcher.largest_batch > 1


async def test_every_nth_frame_and_latents_come_as_asked(server: Server, engine: Engine) -> None:
    samples = dialogue(1, seed=3)
    async with raw_client(server, "frames=10&latents=all") as client:
        messages = await talk(client, samples, 320)
    assert [frame.frame for frame in frames_of(messages)] == [0, 10, 20, 30, 40]
    latents = [message for message in messages if isinstance(message, LatentMessage)]
    assert [(message.frame, message.kind) for message in latents] == [
        (n, kind) for n in (0, 10, 20, 30, 40) for kind in ("latent", "latent_speaker")
    ]
    assert latents[0].values.shape == (2, engine.metadata.latent_size)
    assert latents[1].values.shape == (2, engine.metadata.latent_speaker_size)
    assert messages[-1]["frames"] == 50


async def test_controls_act_in_order_with_the_audio(server: Server, engine: Engine) -> None:
    samples = dialogue(1.01, seed=4)
    async with raw_client(server) as client:
        await client.send(samples.tobytes())
        await client.send({"type": "flush"})
        await client.send({"type": "reset"})
        await client.send({"type": "keep_alive"})
        await client.send({"type": "configure", "frames": 25, "policy": "fast"})
        await client.send(samples.tobytes())
        await client.send({"type": "close"})
        messages = await client.rest()
    once = offline(engine, samples)[0]
    assert frames_of(messages) == [*once, *once[::25]]
    assert messages[-1]["frames"] == 2 * len(once)


async def test_a_session_has_its_own_policy_and_is_told_which(server: Server) -> None:
    query = "policy=patient&end_threshold=0.8"
    async with connect(f"{server.url}?{query}", proxy=None) as connection:
        client = RawClient(connection)
        begin = await client.receive()
        assert begin["policies"] == ["fast", "balanced", "patient"]
        asked = {"policy": "patient", "end_threshold": 0.8, "timeout_secs": 2.5}
        assert begin["settings"] | asked == begin["settings"]
        await client.send({"type": "configure", "timeout_secs": 4})
        assert await client.receive() == {
            "type": "configured",
            "settings": begin["settings"] | {"timeout_secs": 4},
        }


async def test_a_server_has_presets_of_its_own_and_a_default(engine: Engine) -> None:
    own = Policies({**PRESETS, "german": PolicySettings(end_threshold=0.7)}, "german")
    async with Server(engine, port=0, limits=quick_limits(), policies=own) as server:
        for query, name, threshold in (("", "german", 0.7), ("policy=fast", "fast", 0.3)):
            async with connect(f"{server.url}?{query}", proxy=None) as connection:
                settings = (await RawClient(connection).receive())["settings"]
                assert (settings["policy"], settings["end_threshold"]) == (name, threshold)
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"{server.url}?policy=bold", proxy=None):
                pass
        assert refused.value.response.status_code == 400
        assert b"expected one of fast, balanced, patient, german; got 'bold'" in (
            refused.value.response.body or b""
        )


async def test_what_is_unknown_in_a_control_is_told_and_changes_nothing_else(
    server: Server, engine: Engine
) -> None:
    samples = dialogue(0.5, seed=4)
    async with raw_client(server) as client:
        await client.send({"type": "stop"})
        await client.send({"type": "flush", "now": True})
        messages = await talk(client, samples, 320)
    assert [message["code"] for message in of_type(messages, "warning")] == ["unknown_control"] * 2
    assert frames_of(messages) == offline(engine, samples)[0]
    assert messages[-1]["reason"] == "close"


async def test_a_warning_about_the_audio_arrives_once(server: Server) -> None:
    async with raw_client(server, "frames=none") as client:
        messages = await talk(client, np.zeros((7 * 16000, 2), np.int16), 16000)
    assert [message["code"] for message in of_type(messages, "warning")] == ["silent"]


async def when_admitted(server: Server, engine: Engine) -> None:
    """Try until the server has noticed that a place is free."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(InvalidStatus):
                await still_serves(server, engine)
                return


async def test_a_client_that_leaves_without_a_word_frees_its_place_for_another(
    engine: Engine,
) -> None:
    async with Server(engine, port=0, limits=quick_limits(max_sessions=1, resume_s=0)) as server:
        for _ in range(3):
            async with raw_client(server) as client:
                await client.send(dialogue(0.5, seed=1).tobytes())
                client.connection.transport.abort()
            await when_admitted(server, engine)


# ---- bad input ----


@pytest.mark.parametrize(
    ("message", "code", "close_code", "complaint"),
    [
        (
            b"\x00" * 321,
            "bad_audio",
            1007,
            "expected whole samples of 4 bytes (pcm_s16le, 2 channels), got 321 bytes",
        ),
        ("hello", "bad_control", 1007, "expected a JSON object, got 'hello'"),
        (
            '{"type":"configure","policy":"bold"}',
            "bad_setting",
            1007,
            "policy: expected one of fast, balanced, patient; got 'bold'",
        ),
        (
            '{"type":"configure","frames":"none","latents":"all"}',
            "bad_setting",
            1007,
            "latents=all: expected frames=all or a number",
        ),
        (
            b"\x00" * 20_000,
            "message_too_big",
            1009,
            "expected a message of at most 10000 bytes, got 20000",
        ),
    ],
)
async def test_bad_input_gives_one_clear_error_and_disturbs_nobody(
    engine: Engine, message: str | bytes, code: str, close_code: int, complaint: str
) -> None:
    samples = dialogue(1, seed=6)
    async with (
        Server(engine, port=0, limits=quick_limits(max_message_bytes=10_000)) as server,
        raw_client(server) as healthy,
    ):
        await healthy.send(samples[:1600].tobytes())
        async with raw_client(server) as client:
            await client.send(message)
            for _ in range(50):  # and keeps sending, like a client that has not noticed yet
                await client.send(b"\x00" * 1280)
            messages = await client.rest()
        assert of_type(messages, "error") == [messages[-1]]
        assert messages[-1]["code"] == code
        assert complaint in messages[-1]["message"]
        assert client.close_code == close_code
        assert client.connection.close_reason == f"{code}: {messages[-1]['message']}"[:123]
        assert frames_of(await talk(healthy, samples[1600:], 1600)) == offline(engine, samples)[0]


async def test_samples_that_are_not_numbers_are_refused(server: Server) -> None:
    async with raw_client(server, "encoding=pcm_f32le") as client:
        await client.send(np.full((320, 2), np.nan, np.float32).tobytes())
        messages = await client.rest()
    assert (messages[-1]["code"], client.close_code) == ("bad_audio", 1007)


async def test_a_message_far_too_big_is_refused_before_it_has_come(engine: Engine) -> None:
    async with Server(engine, port=0, limits=quick_limits(max_message_bytes=1000)) as server:
        async with raw_client(server) as client:
            await client.send(b"\x00" * 5000)
            messages = await client.rest()
            assert messages[-1]["message"] == ("expected a message of at most 1000 bytes, got 5000")
        assert client.close_code == 1009
        await still_serves_small(server)


async def still_serves_small(server: Server) -> None:
    async with raw_client(server) as client:
        assert (await talk(client, np.zeros((320, 2), np.int16), 200))[-1]["frames"] == 1


class FailsOnLoud:
    """An engine that raises when a sample is at full scale."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.metadata = engine.metadata

    def step(self, audio: Float32, state: Float32) -> tuple[StepOutput, Float32]:
        if np.abs(audio).max() >= 0.999:
            raise RuntimeError("secret detail")
        return self._engine.step(audio, state)


async def test_an_engine_that_fails_ends_only_the_session_that_it_failed_on(engine: Engine) -> None:
    samples = dialogue(1, seed=7)
    async with (
        Server(FailsOnLoud(engine), port=0, limits=quick_limits()) as server,
        raw_client(server) as healthy,
    ):
        await healthy.send(samples[:1600].tobytes())
        async with raw_client(server) as client:
            await client.send(np.full((640, 2), -32768, np.int16).tobytes())
            messages = await client.rest()
        assert messages == [
            {"type": "error", "code": "internal_error", "message": "the prediction failed"}
        ]
        assert client.close_code == 1011
        assert frames_of(await talk(healthy, samples[1600:], 1600)) == offline(engine, samples)[0]


# ---- slow readers ----


async def test_a_client_that_does_not_read_is_dropped(engine: Engine) -> None:
    limits = quick_limits(max_outgoing_messages=20, slow_reader_timeout_s=0.3, close_timeout_s=0.2)
    async with (
        Server(engine, port=0, limits=limits) as server,
        slow_client(server, "latents=all") as client,
    ):
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(ConnectionClosed):
                await send_for_ever(client, dialogue(1, seed=8).tobytes())
        await still_serves(server, engine)


async def test_a_file_sent_at_once_and_read_late_loses_nothing(engine: Engine) -> None:
    samples = dialogue(20, seed=9)
    async with (
        Server(engine, port=0, limits=quick_limits(max_outgoing_messages=20)) as server,
        slow_client(server, "latents=all") as client,
    ):
        sender = asyncio.create_task(client.send(samples.tobytes()[: 1 << 20]))
        await still_serves(server, engine)
        await sender
        await client.send({"type": "close"})
        messages = await client.rest()
    assert [frame.frame for frame in frames_of(messages)] == list(range(820))
    assert messages[-1]["frames"] == 820
