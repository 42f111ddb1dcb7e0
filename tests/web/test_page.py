"""The demo page in a real browser: what it sends, what it shows, and where the sound goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf

from turnstream.stream.engine import Engine
from turnstream.stream.policy import PRESETS
from turnstream.stream.service.server import Server

from ..stream.serving import offline
from .chromium import PATIENCE_S, Tab, open_tab
from .conftest import MakeRecording
from .demo_page import SHOWN, choose, events_shown, open_page, page, said_offline, status_is
from .relay import Relay, relay_to

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
    await events_shown(tab, 4)
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
    await events_shown(tab)
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
    await events_shown(tab)
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
    await events_shown(tab)
    await tab.click("input[value=patient]")
    assert f"{PRESETS['patient'].end_silence_secs:g} s" in await tab.text("#preset-words")
    # The server continues with the new preset
    await events_shown(tab, 2)
    assert {"type": "configure", "policy": "patient"} in relay.controls
    await tab.click("#stop")
    await tab.click("#example")
    await events_shown(tab)
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
    await events_shown(tab)
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
