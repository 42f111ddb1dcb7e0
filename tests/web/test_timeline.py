"""The timeline: going back, replay with sound, pause, keys, and what is saved."""

from __future__ import annotations

import base64
import io
import json
import math
from typing import Any

import numpy as np
import soundfile as sf

from turnstream.stream.engine import Engine
from turnstream.stream.service.server import Server

from ..stream.serving import offline
from .chromium import Tab
from .conftest import MakeRecording
from .demo_page import SHOWN, as_shown, events_shown, open_page, page, status_is
from .relay import Relay

SAVED = """(async (button) => {
  const make = URL.createObjectURL;
  const blob = new Promise((resolve) => {
    URL.createObjectURL = (made) => { resolve(made); return make.call(URL, made); };
  });
  document.querySelector(button).click();
  const bytes = new Uint8Array(await (await blob).arrayBuffer());
  URL.createObjectURL = make;
  let text = '';
  for (let at = 0; at < bytes.length; at += 32768) {
    text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  }
  return btoa(text);
})"""
SEEK = "((at) => { const s = document.querySelector('#seek'); s.value = at; s.oninput(); })"
POSITION = "Number(document.querySelector('#seek').value)"


async def played(tab: Tab, server: Server, relay: Relay, recording: MakeRecording) -> None:
    await open_page(tab, page(server, relay.url))
    assert not await tab.value("document.querySelector('#player').checkVisibility()")
    await tab.drop(recording(46.8, 52.8, (0, 1), after_s=1.5))
    await status_is(tab, "The recording has ended")


async def test_what_was_heard_is_saved_as_it_was_sent_and_answered(
    tab: Tab, server: Server, relay: Relay, engine: Engine, recording: MakeRecording
) -> None:
    await played(tab, server, relay, recording)
    rate_hz = relay.begin["settings"]["sample_rate"]
    wav = base64.b64decode(await tab.value(f"{SAVED}('#save-sound')"))
    sound, saved_rate_hz = sf.read(io.BytesIO(wav), dtype="int16", always_2d=True)
    assert saved_rate_hz == rate_hz
    np.testing.assert_array_equal(sound, relay.samples)
    lines = base64.b64decode(await tab.value(f"{SAVED}('#save-lines')")).decode().splitlines()
    about, *messages = [json.loads(line) for line in lines]
    assert about["type"] == "recording"
    assert (about["from_s"], about["to_s"]) == (0, len(sound) / rate_hz)
    assert (about["sample_rate"], about["channels"]) == (rate_hz, 2)
    frames, events = offline(engine, relay.samples, rate_hz=rate_hz)
    said: list[dict[str, Any]] = [m for m in messages if m["type"] == "frame"]
    assert [(m["frame"], m["p_shift"], m["vad"]) for m in said] == [
        (f.frame, f.p_shift, list(f.vad)) for f in frames
    ]
    assert [[m["type"], m["speaker"], m["time_s"]] for m in messages if m["type"] != "frame"] == (
        as_shown(events)
    )
    assert not any("latency_ms" in message for message in messages)
    assert tab.complaints == []


async def test_one_can_go_back_and_replay_with_sound(
    tab: Tab, server: Server, relay: Relay, recording: MakeRecording
) -> None:
    await played(tab, server, relay, recording)
    end = await tab.value(POSITION)
    await tab.value(
        "window.starts = []; const start = AudioBufferSourceNode.prototype.start; 0;"
        "AudioBufferSourceNode.prototype.start = function (...at) "
        "{ starts.push(this.buffer.duration); start.apply(this, at); }; 0"
    )
    await tab.value(f"{SEEK}(1)")
    await tab.until("document.querySelector('#activity-caption').innerText.includes('Speaker 1')")
    assert await tab.text("#activity-caption") == "Speaker 1 is speaking. Speaker 2 is silent."
    await tab.click("#play")
    await tab.until(f"{POSITION} > 1.3")
    assert await tab.text("#play") == "Pause"
    await tab.click("#play")
    await tab.until("document.querySelector('#play').textContent === 'Play'")
    held = await tab.value(POSITION)
    assert 1.3 < held < end
    assert (await tab.text("#seek-words")).endswith(f"of 0:0{math.floor(10 * end + 0.5) / 10:g}")
    await tab.value(f"{SEEK}(6.5)")
    await tab.click("#play")
    await tab.until("!document.querySelector('#to-now').checkVisibility()")  # played to the end
    assert await tab.text("#play") == "Play"
    assert abs(sum(await tab.value("starts")) - ((end - 1) + (end - 6.5))) < 0.1
    await tab.until("document.querySelector('#activity-caption').innerText.startsWith('Nothing')")
    assert tab.complaints == []


async def test_the_verdict_and_the_score_are_those_of_the_time_that_is_shown(
    tab: Tab, server: Server, relay: Relay, recording: MakeRecording
) -> None:
    await open_page(tab, page(server, relay.url))
    await tab.drop(recording(33.0, 38.5, (0, 1)))
    await status_is(tab, "The recording has ended")
    assert await tab.text("#score-words") != "No pause has been counted yet."
    await tab.press("Home")
    await tab.until(
        "document.querySelector('#score-words').innerText === 'No pause has been counted yet.'"
    )
    await tab.press("End")
    await tab.until("document.querySelector('#score-words').innerText.startsWith('Only ')")


async def test_a_recording_can_be_paused_while_it_is_listened_to(
    tab: Tab, server: Server, relay: Relay, engine: Engine, recording: MakeRecording
) -> None:
    await open_page(tab, page(server, relay.url))
    await tab.drop(recording(46.8, 52.8, (0, 1)))
    await events_shown(tab)
    await tab.click("#play")
    await tab.until("document.querySelector('#play').textContent === 'Play'")
    await tab.until(  # no block is under way any more
        "(() => { const now = document.querySelector('#seek').max;"
        " const same = window.before === now ? (window.same ?? 0) + 1 : 0;"
        " Object.assign(window, {before: now, same}); return same > 10; })()"
    )
    sent = len(relay.samples)
    assert sent < 6.0 * relay.begin["settings"]["sample_rate"]
    await tab.click("#play")
    await status_is(tab, "The recording has ended")
    assert len(relay.samples) > sent
    assert await tab.value(SHOWN) == as_shown(
        offline(engine, relay.samples, rate_hz=relay.begin["settings"]["sample_rate"])[1]
    )
    assert tab.complaints == []


async def test_keys_move_in_time_play_and_stop(tab: Tab, server: Server) -> None:
    await open_page(tab, page(server))
    await tab.click("#example")
    await tab.until(f"{POSITION} > 6")
    await tab.press("Escape")
    await status_is(tab, "Stopped")
    await tab.value("document.activeElement.blur(); 0")
    end = await tab.value(POSITION)
    await tab.press("ArrowLeft")
    await tab.until(f"Math.abs({POSITION} - {end - 5}) < 0.11")
    await tab.press("ArrowRight")
    await tab.until("!document.querySelector('#to-now').checkVisibility()")
    await tab.press("Home")
    await tab.until(f"{POSITION} === 0")
    await tab.press("Space")
    await tab.until(f"{POSITION} > 0.2")
    await tab.press("Escape")
    await tab.until("document.querySelector('#play').textContent === 'Play'")
    assert await tab.value(POSITION) < end
    assert await tab.text("#status") == "Stopped."


BOUNDED = """(async () => {
  const { Recording, KEPT_S } = await import('/recording.js');
  const recording = new Recording(100, 2, 'made');
  for (let second = 0; second < KEPT_S + 50; second++) {
    for (let part = 0; part < 4; part++) {
      const block = new Float32Array(50);
      block.fill(second / 1000);
      recording.addSound(block);
    }
    for (let frame = 0; frame < 50; frame++) {
      recording.addMessage({ type: 'frame', time_s: second + (frame + 1) / 50, latency_ms: 1 });
    }
  }
  recording.addSound(new Float32Array(60).fill(1));
  for (let i = 0; i < 30000; i++) recording.addMessage({ type: 'frame', time_s: 350 });
  const wav = new DataView(await recording.toWav().arrayBuffer());
  const lines = (await recording.toLines().text()).trim().split('\\n');
  const values = recording._seconds.reduce((sum, second) => sum + second.length, 0);
  return {
    kept: KEPT_S, from: recording.from_s, to: recording.to_s, values, bytes: wav.byteLength,
    first: wav.getInt16(44, true), last: wav.getInt16(wav.byteLength - 2, true),
    read: Array.from(recording.read(60, 1)[1].subarray(0, 2)),
    short: recording.read(350, 9)[0].length,
    messages: recording._messages.length, about: JSON.parse(lines[0]),
  };
})()"""


async def test_only_the_newest_minutes_are_kept(tab: Tab, server: Server) -> None:
    await tab.go(page(server))
    got = await tab.value(BOUNDED)
    kept = got["kept"]
    assert kept == 300
    assert "newest 5 minutes" in await tab.value("document.querySelector('.about').textContent")
    assert (got["from"], got["to"]) == (50, 350.3)
    assert got["values"] == (kept + 1) * 200
    assert got["bytes"] == 44 + 4 * round(100 * 300.3)
    assert got["first"] == round(32768 * 0.05)
    assert got["last"] == 32767
    assert np.allclose(got["read"], 0.06, atol=1e-4)
    assert got["short"] == 30
    assert got["messages"] <= 20_000
    assert got["about"]["from_s"] == 50
