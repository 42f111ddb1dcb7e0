"""The JavaScript client in a real browser: lost connections, dying servers, and how it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import soundfile as sf

from turnstream.stream.engine import Engine
from turnstream.stream.service.limits import Limits
from turnstream.stream.service.server import Server

from ..stream.service.memory_store import MemoryStore
from ..stream.serving import offline, until
from .chromium import PATIENCE_S, Tab
from .conftest import MakeRecording
from .demo_page import as_shown, page
from .relay import Relay, relay_to

STREAM = """(async (url, sampleRate, pauseMs) => {
  const { TurnstreamClient } = await import('/turnstream.js');
  const client = new TurnstreamClient(url, { sampleRate, channels: 2, latents: 'final' });
  const frames = [], latents = [], events = [];
  client.on('frame', ({ type, latency_ms, ...frame }) => frames.push(frame));
  client.on('latent', ({ frame, rows, columns }) => latents.push([frame, rows, columns]));
  client.on('event', ({ type, speaker, time_s }) => events.push([type, speaker, time_s]));
  await client.connect();
  const samples = window.samples;
  const size = 0.4 * sampleRate; // 0.2 s of two channels
  for (let at = 0; at < samples.length; at += size) {
    client.pushAudio(samples.subarray(at, at + size));
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  const { frames: count } = await client.close();
  return { frames, latents, events, count };
})"""


async def stream(tab: Tab, server: Server, url: str, call: Path, pause_ms: int = 5) -> Any:
    """Stream a recording from a page of the server to a URL; return what the client heard."""
    samples, rate_hz = sf.read(call, dtype="int16", always_2d=True)
    await tab.go(page(server))
    await tab.value(f"window.samples = Int16Array.from({samples.reshape(-1).tolist()}); 0")
    return await tab.value(f"{STREAM}('{url}', {rate_hz}, {pause_ms})")


def assert_exact(said: Any, engine: Engine, call: Path) -> None:
    """Check that of 12 s nothing is lost, doubled or changed."""
    samples, rate_hz = sf.read(call, dtype="int16", always_2d=True)
    frames, events = offline(engine, samples, rate_hz=rate_hz)
    assert said["count"] == len(frames) == 600
    assert [(f["frame"], f["time_s"], f["p_shift"], f["vad"]) for f in said["frames"]] == [
        (f.frame, f.time_s, f.p_shift, list(f.vad)) for f in frames
    ]
    assert said["latents"] == [[frame, 2, engine.metadata.latent_size] for frame in range(600)]
    assert said["events"] == as_shown(events)


async def test_the_client_module_loses_and_doubles_nothing_when_the_wire_is_cut(
    tab: Tab, server: Server, relay: Relay, engine: Engine, recording: MakeRecording
) -> None:
    call = recording(0.0, 12.0, (0, 1))
    streaming = asyncio.create_task(stream(tab, server, relay.url, call))
    for count in range(3):
        async with asyncio.timeout(PATIENCE_S):
            await relay.has_sent(12 * (count + 1))
        await relay.cut()
    said = await streaming
    assert relay.connections == 4
    assert_exact(said, engine, call)


async def test_the_client_module_loses_and_doubles_nothing_when_servers_die(
    tab: Tab, engine: Engine, recording: MakeRecording, unused_tcp_port: int
) -> None:
    page_servers = [f"ws://127.0.0.1:{unused_tcp_port}"]
    call = recording(0.0, 12.0, (0, 1))
    limits, store = Limits(save_interval_s=0.05, max_load=1000, max_lag_s=1000), MemoryStore()
    async with (
        Server(engine, port=0, limits=limits, store=store, page_servers=page_servers) as first,
        Server(engine, port=0, limits=limits, store=store) as second,
        relay_to(first, unused_tcp_port) as relay,
    ):
        streaming = asyncio.create_task(stream(tab, first, relay.url, call, pause_ms=40))
        async with asyncio.timeout(PATIENCE_S):
            await relay.has_sent(10)
            store.save_error = ConnectionError("made to fail")  # what follows is not saved
            await relay.has_sent(30)
            await relay.move(second)
            store.save_error = None
            await relay.has_sent(50)
            await relay.move(first)
        said = await streaming
    assert relay.connections == 3
    assert_exact(said, engine, call)


async def test_the_client_module_forgets_only_what_is_saved(
    tab: Tab, engine: Engine, recording: MakeRecording
) -> None:
    store = MemoryStore()
    async with Server(engine, port=0, limits=Limits(save_interval_s=0.05), store=store) as server:
        await tab.go(page(server))
        await tab.value(f"""(async () => {{
          const {{ TurnstreamClient }} = await import('/turnstream.js');
          window.client = new TurnstreamClient('ws://127.0.0.1:{server.port}');
          await client.connect();
          client.on('frame', ({{ frame }}) => {{ window.last = frame; }});
        }})()""")
        await until(lambda: store.entries)
        store.save_error = ConnectionError("made to fail")
        await until(lambda: not server.store_ready)
        for _ in range(2):
            await tab.value("client.pushAudio(new Int16Array(6400)); 0")
        await tab.until("window.last === 19")
        assert await tab.value("client._kept.length") == 2
        store.save_error = None
        await tab.until("client._kept.length === 0")
        await tab.value("client.abort(); 0")


async def test_the_client_module_tells_that_the_session_is_gone(tab: Tab, server: Server) -> None:
    await tab.go(page(server))
    ended = await tab.value(f"""(async () => {{
      const {{ TurnstreamClient }} = await import('/turnstream.js');
      const client = new TurnstreamClient('ws://127.0.0.1:{server.port}');
      await client.connect();
      client.begin.resume_token = 'of-another-server';
      const ended = new Promise((resolve) => client.on('end', resolve));
      client.resume();
      return (await ended).code;
    }})()""")
    assert ended == "gone"


async def test_the_client_module_tells_listeners_that_the_server_stops(
    tab: Tab, engine: Engine
) -> None:
    async with Server(engine, port=0) as stopping:
        await tab.go(page(stopping))
        await tab.value(f"""(async () => {{
          const {{ TurnstreamClient }} = await import('/turnstream.js');
          const client = new TurnstreamClient('ws://127.0.0.1:{stopping.port}');
          client.on('end', (error) => {{ window.ended = error.code; }});
          await client.connect();
          return true;
        }})()""")
