"""A parser refuses any bad input with a ProtocolError.

A live server ends that connection and disturbs no other. `tests/bench/bench_faults.py` tries more
of the same input.
"""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings

from turnstream.stream.engine import Engine
from turnstream.stream.service.server import Server

from ...bench.bad_input import KINDS, MESSAGES, misbehave, parse_everything
from ..serving import dialogue, frames_of, offline, quick_limits, raw_client, still_serves, talk


@settings(max_examples=1000)
@given(MESSAGES)
def test_a_parser_raises_nothing_but_protocol_errors(wire: str | bytes) -> None:
    parse_everything(wire)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_connection_that_misbehaves_is_ended_and_nobody_else_notices(
    engine: Engine, kind: str
) -> None:
    samples = dialogue(1, seed=11)
    async with (
        Server(engine, port=0, limits=quick_limits()) as server,
        raw_client(server) as healthy,
    ):
        await healthy.send(samples[:1600].tobytes())
        for seed in range(8):
            ending = await asyncio.to_thread(misbehave, server.port, kind, random.Random(seed))
            assert ending not in ("close 1000", "close 1011", "http 500")
        assert frames_of(await talk(healthy, samples[1600:], 1600)) == offline(engine, samples)[0]
        await still_serves(server, engine)
