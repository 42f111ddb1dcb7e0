"""The demo page in a real browser: what it sends, what it shows, and its error messages."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import soundfile as sf

from turnstream.stream.engine import Engine
from turnstream.stream.policy import PRESETS
from turnstream.stream.prediction import TurnEvent
from turnstream.stream.service.limits import Limits
from turnstream.stream.service.server import Server

from ..stream.service.memory_store import MemoryStore
from ..stream.serving import offline
from .chromium import PATIENCE_S, Tab, open_tab
from .conftest import MakeRecording
from .relay import Relay, relay_to

SHOWN = (
    "[...document.querySelectorAll('#events li[data-type]')].reverse().map((e) => "
    "[e.dataset.type, Number(e.dataset.speaker), Number(e.dataset.time)])"
)


def page(server: Server, to: str = "") -> str:
    """Return the address of the page, which connects to its own server or to another one."""
    return f"http://127.0.0.1:{server.port}/" + (f"?server={quote(to)}" if to else "")


async def open_page(tab: Tab, address: str) -> None:
    await tab.go(address)
    await tab.until("document.querySelector('#preset-words').textContent")


async def status_is(tab: Tab, beginning: str) -> None:
    await tab.until(f"document.querySelector('#status').textContent.startsWith({beginning!r})")


async def choose(tab: Tab, file: Path) -> None:
    document = await tab.call("DOM.getDocument")
    field = await tab.call("DOM.querySelector", nodeId=document["root"]["nodeId"], selector="#file")
    await tab.call("DOM.setFileInputFiles", files=[str(file)], nodeId=field["nodeId"])


def as_shown(events: list[TurnEvent]) -> list[list[Any]]:
    return [[event.type, event.speaker, event.time_s] for event in events]


def said_offline(engine: Engine, relay: Relay) -> list[list[Any]]:
    """Return the events of the engine alone for the audio that the page has sent."""
    return as_shown(
        offline(engine, relay.samples, rate_hz=relay.begin["settings"]["sample_rate"])[1]
    )


# ---- what the page sends ----


async def test_a_microphone_is_heard_and_its_events_are_the_engines(
    server: Server, relay: Relay, engine: Engine, recording: MakeRecording
) -> None:
    wav = recording(9.9, 15.4, (0,), before_s=3.0, after_s=2.0)
    async with open_tab(microphone=Path(f"{wav}%noloop")) as tab:
        await open_page(tab, page(server, relay.url))
        await tab.click("#microphone")
        await tab.until(
            "document.querySelectorAll('#events li[data-type=end_of_turn]').length >= 1"
        )
        assert "Only one channel is heard" in await tab.text("#activity-caption")
        assert "1 channel at" in await tab.value(
            "document.querySelector('#connection').textContent"
        )
        await tab.click("#stop")
        await status_is(tab, "Stopped")
        await tab.until("!document.querySelector('#stop').checkVisibility()")
        shown = await tab.value(SHOWN)
        assert shown == said_offline(engine, relay)[: len(shown)]
        whole, rate_hz = sf.read(wav, dtype="int16", always_2d=True)
        expected = [
            event.type
            for event in offline(engine, whole, rate_hz=rate_hz)[1]
            if event.type in ("start_of_turn", "end_of_turn")
        ]
        assert [kind for kind, speaker, _ in shown if speaker == 0 and kind in expected][
            :2
        ] == expected[:2]
        assert {speaker for _, speaker, _ in shown} == {0}
        assert tab.complaints == []


async def test_a_dropped_recording_keeps_its_two_channels(
    tab: Tab, server: Server, relay: Relay, engine: Engine, recording: MakeRecording
) -> None:
    wav = recording(46.8, 52.8, (0, 1), after_s=1.5)
    await open_page(tab, page(server, relay.url))
    await tab.drop(wav)
    await status_is(tab, "The recording has ended")
    assert relay.begin["settings"]["channels"] == 2
    whole, rate_hz = sf.read(wav, dtype="float32", always_2d=True)
    sent_rate_hz = relay.begin["settings"]["sample_rate"]
    assert abs(len(relay.samples) / sent_rate_hz - len(whole) / rate_hz) < 0.03
    for channel in (0, 1):  # each channel has the loudness of the file's channel, every 0.1 s
        loudness = [
            np.std(x[: len(x) // 65 * 65].reshape(65, -1), axis=1)
            for x in (whole[:, channel], relay.samples[:, channel] / 32768)
        ]
        assert np.corrcoef(*loudness)[0, 1] > 0.95
    await tab.until("document.querySelectorAll('#events li[data-type]').length > 3")
    assert await tab.value(SHOWN) == said_offline(engine, relay)
    await tab.until(
        "document.querySelector('#activity-caption').textContent === 'Nothing is heard any more.'"
    )
    assert await tab.text("#shift-caption") == "The conversation is over."
    assert await tab.text("#plane-caption") == "Where each speaker was at the end."
    assert (
        await tab.value(
            "[...document.querySelectorAll('.state, .badge:not([hidden])')].map((e) => "
            "e.textContent).join('')"
        )
        == ""
    )
    assert tab.complaints == []


async def test_a_chosen_mono_file_is_the_first_speaker_alone(
    tab: Tab, server: Server, relay: Relay, recording: MakeRecording
) -> None:
    await open_page(tab, page(server, relay.url))
    await choose(tab, recording(13.0, 15.3, (0,)))
    await status_is(tab, "The recording has ended")
    assert relay.begin["settings"]["channels"] == 1
    assert await tab.text("#state-1") == "not heard"


async def test_a_lost_connection_is_taken_up_again_without_a_loss(
    tab: Tab, server: Server, relay: Relay, engine: Engine, recording: MakeRecording
) -> None:
    await open_page(tab, page(server, relay.url))
    await tab.drop(recording(46.8, 52.8, (0, 1)))
    await tab.until("document.querySelectorAll('#events li[data-type]').length >= 1")
    await relay.cut()
    await status_is(tab, "Connected again")
    await status_is(tab, "The recording has ended")
    assert relay.connections == 2
    assert await tab.value(SHOWN) == said_offline(engine, relay)


async def test_a_connection_that_died_without_a_word_is_replaced(
    tab: Tab, server: Server, relay: Relay, engine: Engine, recording: MakeRecording
) -> None:
    await open_page(tab, page(server, relay.url))
    await tab.drop(recording(46.8, 56.8, (0, 1)))
    await tab.until("document.querySelectorAll('#events li[data-type]').length >= 1")
    relay.swallow()
    await status_is(tab, "Connected again")
    await status_is(tab, "The recording has ended")
    latency_ms = await tab.value(
        "Number(/comes ([\\d.]+) ms/.exec(document.querySelector('#latency').textContent)[1])"
    )
    assert latency_ms < 1000  # the seconds without a connection are not counted
    assert relay.connections == 2
    assert await tab.value(SHOWN) == said_offline(engine, relay)


# ---- what the page shows ----


async def test_the_pictures_are_explained_by_what_they_show_now(tab: Tab, server: Server) -> None:
    await open_page(tab, page(server))
    await tab.click("#example")
    await tab.until(
        "/has the floor\\. Chance that it passes to the (caller|agent): \\d+\\s%/"
        ".test(document.querySelector('#shift-caption').innerText)"
    )
    await tab.until(
        "/^The (caller|agent) is near “.+”, the (caller|agent) is near/"
        ".test(document.querySelector('#plane-caption').innerText)"
    )
    await tab.until(
        "/^Each answer comes [\\d.]+ ms after/.test(document.querySelector('#latency').innerText)"
    )
    await tab.until("document.querySelector('#spoken').textContent === 'The agent started a turn.'")
    assert "speaking" in await tab.text("#activity-caption")
    for canvas in ("lane-1", "shift", "plane"):
        drawn = (
            f"document.querySelector('#{canvas}').getContext('2d')"
            ".getImageData(0, 0, 200, 100).data.some((value) => value > 0)"
        )
        assert await tab.value(drawn), canvas
    assert tab.complaints == []


async def test_the_preset_changes_while_it_runs(tab: Tab, server: Server, relay: Relay) -> None:
    await open_page(tab, page(server, relay.url))
    await tab.click("#example")
    await tab.until("document.querySelector('#events li[data-type]')")
    await tab.click("input[value=patient]")
    assert f"{PRESETS['patient'].end_silence_secs:g} s" in await tab.text("#preset-words")
    # The server continues with the new preset
    await tab.until("document.querySelectorAll('#events li[data-type]').length > 1")
    assert {"type": "configure", "policy": "patient"} in relay.controls
    await tab.click("#stop")
    await tab.click("#example")
    await tab.until("document.querySelector('#events li[data-type]')")
    assert relay.begin["settings"]["policy"] == "patient"
    assert tab.complaints == []


async def test_everything_can_be_done_by_keyboard(tab: Tab, server: Server) -> None:
    await open_page(tab, page(server))
    await tab.press("Tab")
    assert await tab.value("document.activeElement.id") == "example"
    await tab.press("Enter")
    await status_is(tab, "Listening to the example")
    await tab.until("document.querySelector('#play').checkVisibility()")
    visited = []
    for _ in range(14):
        await tab.press("Tab")
        visited.append(
            await tab.value(
                "document.activeElement.id || document.activeElement.value || "
                "document.activeElement.tagName"
            )
        )
    assert visited == [
        *("microphone", "talk", "choose", "stop", "SUMMARY", "balanced", "0.7"),
        *("play", "seek", "volume", "save-sound", "save-lines", "events", "SUMMARY"),
    ]
    await tab.value("document.querySelector('#stop').focus()")
    await tab.press("Space")
    await status_is(tab, "Stopped")
    assert await tab.value("document.activeElement.id") == "example"


async def test_nothing_is_wider_than_a_small_phone(tab: Tab, server: Server) -> None:
    await tab.size(360, 740, phone=True)
    await open_page(tab, page(server))
    await tab.click("#example")
    await tab.until("document.querySelector('#events li[data-type]')")
    assert await tab.value("document.documentElement.scrollWidth") == 360
    small = (
        "[...document.querySelectorAll('button, .choices label')].filter((e) => "
        "e.checkVisibility() && e.getBoundingClientRect().height < 36).length"
    )
    assert await tab.value(small) == 0
    broken = (
        "[...document.querySelectorAll('.who span')].filter((e) => e.checkVisibility() && "
        "e.getBoundingClientRect().height > 30)"
    )
    assert await tab.value(f"{broken}.map((e) => e.textContent)") == []
    tops = (
        "['example', 'microphone', 'talk', 'choose', 'stop'].map((id) => "
        "document.getElementById(id).getBoundingClientRect().top)"
    )
    first, second, third, fourth, fifth = await tab.value(tops)
    assert first == second < third == fourth < fifth


async def test_less_motion_means_few_pictures(tab: Tab, server: Server) -> None:
    await tab.prefer(reduced_motion="reduce")
    await open_page(tab, page(server))
    await tab.value(
        "window.pictures = 0; const clear = CanvasRenderingContext2D.prototype.clearRect; 0;"
        "CanvasRenderingContext2D.prototype.clearRect = function (...box) "
        "{ if (this.canvas.id === 'shift') pictures += 1; clear.apply(this, box); }; 0"
    )
    await tab.click("#example")
    await tab.until("pictures >= 3")
    first = await tab.value("performance.now()")
    await tab.until("pictures >= 7")
    assert await tab.value("performance.now()") - first > 1500


async def test_a_plane_of_another_model_is_not_shown(tab: Tab, tiny_model_path: Path) -> None:
    async with Server(Engine(tiny_model_path), port=0) as other:
        await open_page(tab, page(other))
        await tab.click("#example")
        await tab.until("document.querySelector('#plane-missing').checkVisibility()")
        assert not await tab.value("document.querySelector('#plane').checkVisibility()")


# ---- where the sound goes ----


async def test_the_page_names_the_host_before_it_listens(
    tab: Tab, server: Server, relay: Relay
) -> None:
    for to, host in (("", f"127.0.0.1:{server.port}"), (relay.url, relay.url[5:])):
        await open_page(tab, page(server, to))
        assert await tab.text("#destination") == f"Your sound goes to {host}."
    assert relay.connections == 0


async def test_a_link_cannot_send_the_sound_to_a_server_that_the_operator_has_not_named(
    tab: Tab, server: Server, relay: Relay, unused_tcp_port_factory: Callable[[], int]
) -> None:
    port = unused_tcp_port_factory()
    async with relay_to(server, port) as stranger:
        await open_page(tab, page(server, stranger.url))
        told = f"This page may not send sound to {stranger.url}."
        assert await tab.text("#problem-title") == told
        assert await tab.text("#destination") == ""
        await tab.value(
            "navigator.mediaDevices.getUserMedia = async () => { window.opened = true; }; 0"
        )
        await tab.value("document.querySelector('#problem').hidden = true")
        await tab.click("#microphone")
        await tab.until("document.querySelector('#problem').checkVisibility()")
        assert await tab.text("#problem-title") == told
        assert not await tab.value("window.opened ?? false")
        blocked = f"""new Promise((resolve) => {{
          const tell = ({{ effectiveDirective }}) => resolve(effectiveDirective);
          document.addEventListener('securitypolicyviolation', tell);
          new WebSocket('{stranger.url}');
        }})"""
        assert await tab.value(blocked) == "connect-src"  # the browser forbids it, too
        assert stranger.connections == 0


async def test_a_token_never_goes_to_another_origin(tab: Tab, server: Server, relay: Relay) -> None:
    await open_page(tab, page(server, f"{relay.url}/v1/stream?token=of-the-link#here"))
    await tab.click("#example")
    await status_is(tab, "Listening to the example")
    await tab.value("document.querySelector('#token').value = 'mine'; 0")
    await tab.value("document.querySelector('#token-form').requestSubmit(); 0")
    async with asyncio.timeout(PATIENCE_S):
        while relay.connections < 2:
            await relay.connected()
    assert "token" not in relay.path
    assert relay.path.startswith("/v1/stream?sample_rate=")


# ---- errors ----


async def test_a_server_that_wants_a_token_gets_one(tab: Tab, engine: Engine) -> None:
    async with Server(engine, port=0, tokens=["let-me-in"]) as guarded:
        await open_page(tab, page(guarded))
        await tab.click("#example")
        await tab.until("document.activeElement.id === 'token'")
        assert "wants an access token" in await tab.text("#problem")
        await tab.call("Input.insertText", text="let-me-out")
        await tab.press("Enter")
        await tab.until(
            "document.querySelector('#problem').innerText"
            ".includes('This token is not valid. Check it, and enter it again.')"
        )
        await tab.call("Input.insertText", text="let-me-in")
        await tab.press("Enter")
        await status_is(tab, "Listening to the example")
        assert await tab.value("document.querySelector('#problem').hidden")


async def test_no_server_and_a_full_one_are_told_apart(tab: Tab, engine: Engine) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but nobody listens
        nobody = f"ws://127.0.0.1:{unused.getsockname()[1]}"
        async with Server(
            engine, port=0, limits=Limits(max_sessions=1), page_servers=[nobody]
        ) as small:
            await open_page(tab, page(small, "my-server"))
            await tab.click("#example")
            await tab.until(
                "document.querySelector('#problem').innerText"
                ".includes('“my-server” is no address of a server')"
            )
            await open_page(tab, page(small, nobody))
            await tab.click("#example")
            await tab.until(
                "document.querySelector('#problem').innerText"
                ".includes('No server answers at 127.0.0.1')"
            )
            await open_page(tab, page(small))
            await tab.click("#example")
            await status_is(tab, "Listening")
            await tab.value(
                f"import('/turnstream.js').then(({{TurnstreamClient}}) => "
                f"{{ window.two = new TurnstreamClient('ws://127.0.0.1:{small.port}'); }})"
            )
            assert await tab.value("two.connect().catch(({code}) => code)") == "http_503"


async def test_a_page_that_browsers_do_not_trust_says_so_at_once(server: Server) -> None:
    async with open_tab("--host-resolver-rules=MAP page.test 127.0.0.1") as tab:
        await tab.go(page(server).replace("127.0.0.1", "page.test"))
        told = (
            "document.querySelector('#problem').innerText"
            ".includes('works only over https, or when the server runs on this computer')"
        )
        await tab.until(told)
        assert "--tls-cert and --tls-key" in await tab.text("#problem")
        await tab.value("document.querySelector('#problem').hidden = true")
        await tab.click("#example")
        await tab.until(f"document.querySelector('#problem').checkVisibility() && {told}")


async def test_a_server_that_is_gone_is_told_in_words(
    tab: Tab, engine: Engine, recording: MakeRecording
) -> None:
    async with Server(engine, port=0) as gone:
        await open_page(tab, page(gone))
        told = (
            "document.querySelector('#problem-title').textContent === "
            f"'No server answers at 127.0.0.1:{gone.port}.'"
        )
    await tab.click("#example")
    await tab.until(told)
    await tab.value("document.querySelector('#problem-title').textContent = ''")
    await tab.drop(recording(13.0, 15.3, (0,)))
    await tab.until(told)


async def test_a_server_that_stops_is_told_in_words(tab: Tab, engine: Engine) -> None:
    async with Server(engine, port=0) as stopping:
        await open_page(tab, page(stopping))
        await tab.click("#example")
        await status_is(tab, "Listening")
    await tab.until(
        "document.querySelector('#problem').innerText.includes('The server is being stopped')"
    )


async def test_a_forbidden_microphone_and_a_broken_file_are_told_in_words(
    server: Server, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound at all")
    async with open_tab(allow=False) as tab:
        await open_page(tab, page(server))
        await tab.click("#microphone")
        await tab.until(
            "document.querySelector('#problem').innerText"
            ".includes('The microphone was not allowed')"
        )
        await choose(tab, broken)
        await tab.until(
            "document.querySelector('#problem').innerText.includes('could not be read as sound')"
        )


# ---- the client module ----

STREAM = """(async (url, sampleRate) => {
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
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { frames: count } = await client.close();
  return { frames, latents, events, count, kept: client._kept.length };
})"""


async def test_the_client_module_loses_and_doubles_nothing_when_the_wire_is_cut(
    tab: Tab, server: Server, relay: Relay, engine: Engine, recording: MakeRecording
) -> None:
    samples, rate_hz = sf.read(recording(0.0, 12.0, (0, 1)), dtype="int16", always_2d=True)
    frames, events = offline(engine, samples, rate_hz=rate_hz)
    await tab.go(page(server))
    await tab.value(f"window.samples = Int16Array.from({samples.reshape(-1).tolist()}); 0")
    streaming = asyncio.create_task(tab.value(f"{STREAM}('{relay.url}', {rate_hz})"))
    for count in range(3):
        async with asyncio.timeout(20):
            await relay.has_sent(12 * (count + 1))
        await relay.cut()
    said = await streaming
    assert relay.connections == 4
    assert said["count"] == len(frames) == 600
    assert [frame["frame"] for frame in said["frames"]] == list(range(600))
    assert [(frame["time_s"], frame["p_shift"], frame["vad"]) for frame in said["frames"]] == [
        (f.time_s, f.p_shift, list(f.vad)) for f in frames
    ]
    assert said["latents"] == [[frame, 2, engine.metadata.latent_size] for frame in range(600)]
    assert said["events"] == as_shown(events)


async def test_the_client_module_loses_and_doubles_nothing_when_servers_die(
    tab: Tab, engine: Engine, recording: MakeRecording, unused_tcp_port: int
) -> None:
    page_servers = [f"ws://127.0.0.1:{unused_tcp_port}"]
    samples, rate_hz = sf.read(recording(0.0, 12.0, (0, 1)), dtype="int16", always_2d=True)
    frames, events = offline(engine, samples, rate_hz=rate_hz)
    limits, store = Limits(save_interval_s=0.05, max_load=1000, max_lag_s=1000), MemoryStore()
    async with (
        Server(engine, port=0, limits=limits, store=store, page_servers=page_servers) as first,
        Server(engine, port=0, limits=limits, store=store) as second,
        relay_to(first, unused_tcp_port) as relay,
    ):
        await tab.go(page(first))
        await tab.value(f"window.samples = Int16Array.from({samples.reshape(-1).tolist()}); 0")
        stream = STREAM.replace("resolve, 5", "resolve, 40")
        streaming = asyncio.create_task(tab.value(f"{stream}('{relay.url}', {rate_hz})"))
        async with asyncio.timeout(20):
            await relay.has_sent(10)
            store.save_error = ConnectionError("made to fail")  # what follows is not saved
            await relay.has_sent(30)
            await relay.move(second)
            store.save_error = None
            await relay.has_sent(50)
            await relay.move(first)
        said = await streaming
    assert relay.connections == 3
    assert said["count"] == len(frames) == 600
    assert [(frame["time_s"], frame["p_shift"], frame["vad"]) for frame in said["frames"]] == [
        (f.time_s, f.p_shift, list(f.vad)) for f in frames
    ]
    assert said["latents"] == [[frame, 2, engine.metadata.latent_size] for frame in range(600)]
    assert said["events"] == as_shown(events)


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
        while not store.entries:
            await asyncio.sleep(0)
        store.save_error = ConnectionError("made to fail")
        while server.store_ready:
            await asyncio.sleep(0)
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
    assert await tab.until("window.ended") == "shutdown"
