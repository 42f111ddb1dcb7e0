"""The page with the network in the tab: on a plain web host, and beside a server."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf

from turnstream.stream.engine import Engine, bundled_model
from turnstream.stream.service.server import Server
from turnstream.stream.service.static_page import write_page
from turnstream.stream.service.tab_pages import tab_pages

from ..stream.js.packing import NO_RUNTIME, RUNTIME
from ..stream.js.vectors import policy_vectors, predictor_vectors
from ..stream.serving import offline
from .chromium import Tab, open_tab
from .conftest import MakeRecording
from .demo_page import SHOWN, as_shown, events_shown, open_page, page, status_is
from .static_host import StaticHost, static_host
from .test_timeline import SAVED
from .test_verdict import AXE, AXE_FINDS, needs_axe

pytestmark = pytest.mark.skipif(bool(NO_RUNTIME), reason=NO_RUNTIME)
TURN_ENDS = "document.querySelectorAll('#events li[data-type=end_of_turn]').length >= 1"
HOLD_FACTS = """
  const wait = new Promise((resolve) => { window.release = resolve; });
  const ask = window.fetch;
  window.fetch = async (path, ...rest) => {
    if (path === 'v1/page') await wait;
    return ask(path, ...rest);
  };
"""
PLACES = "document.querySelector('#place').checkVisibility()"


@pytest.fixture(scope="module")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_page(folder, RUNTIME, bundled_model())
    return folder


@pytest.fixture
def host(page_folder: Path) -> Iterator[StaticHost]:
    with static_host(page_folder) as running:
        yield running


def chosen(place: str) -> str:
    return f"document.querySelector('input[name=place][value={place}]').checked"


def opened(server: Server) -> float:
    """Return how many sessions a server has opened."""
    (line,) = re.findall(
        rb"^turnstream_sessions_opened_total (\S+)$", server.metrics.exposition()[1], re.MULTILINE
    )
    return float(line)


async def test_chromium_gives_what_python_gives(
    tab: Tab, page_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(page_folder, tmp_path / "page"))
    shutil.copy(Path(__file__).parents[1] / "stream" / "js" / "parity.mjs", folder / "parity.js")
    (folder / "predictor.json").write_text(json.dumps(predictor_vectors()))
    (folder / "policy.json").write_text(json.dumps(policy_vectors(10)))
    with static_host(folder) as host:
        await tab.go(host.url)
        found = await tab.value("""(async () => {
          const read = async (file) => (await fetch(file)).json();
          const [parity, lib, { TurnPolicy }, { FloorTracker }] = await Promise.all(
            ['parity', 'index', 'policy', 'floor'].map((name) => import(`/${name}.js`)),
          );
          const ort = await import('/tab/onnxruntime.js');
          ort.env.wasm.numThreads = 1;
          ort.env.wasm.wasmPaths = { wasm: '/tab/onnxruntime.wasm' };
          const engine = await lib.Engine.load({ ort, model: '/tab/model.onnx' });
          const found = [];
          for (const vector of await read('predictor.json')) {
            if (vector.model.includes('int8')) continue;
            const settings = pick(vector);
            const predictor = await lib.TurnPredictor.create({ ...settings, model: engine });
            const blocks = parity.cut(parity.samplesOf(vector), vector.channels, [700, 1, 9000]);
            const predictions = await parity.predictAll(predictor, blocks);
            found.push(parity.comparePredictions(vector, predictions));
          }
          for (const vector of await read('policy.json')) {
            const tools = { FloorTracker, TurnPolicy, policySettings: lib.policySettings };
            found.push({ difference: 0, mismatches: parity.comparePolicy(vector, tools) });
          }
          return found;
          function pick({ sampleRate, channels, policy, policyValues }) {
            return { sampleRate, channels, policy, policyValues };
          }
        })()""")
    assert [one["mismatches"] for one in found] == [[]] * 14
    assert max(one["difference"] for one in found) < 1e-4
    assert tab.complaints == []


async def test_a_microphone_is_heard_in_the_tab_and_nothing_leaves_it(
    host: StaticHost, engine: Engine, recording: MakeRecording
) -> None:
    wav = recording(9.9, 15.4, (0,), before_s=3.0, after_s=2.0)
    async with open_tab(microphone=Path(f"{wav}%noloop")) as tab:
        await open_page(tab, host.url)
        assert await tab.text("#destination") == (
            "Your sound stays in this tab, where the network runs."
        )
        assert not await tab.value(PLACES)  # there is nothing to choose
        loaded = len(host.asked)
        await tab.click("#microphone")
        await tab.until(TURN_ENDS)
        told = await tab.value("document.querySelector('#connection').textContent")
        assert told.startswith(
            f"In this tab, model turnstream {engine.metadata.version}; 1 channel"
        )
        assert "ms after its sound (median)" in await tab.text("#latency")
        assert await tab.value("document.querySelector('#plane').checkVisibility()")
        await tab.click("#stop")
        await status_is(tab, "Stopped")
        shown = await tab.value(SHOWN)
        whole, rate_hz = sf.read(wav, dtype="int16", always_2d=True)
        expected = as_shown(offline(engine, whole, rate_hz=rate_hz)[1])
        ends = [
            [kind for kind, *_ in events if kind in ("start_of_turn", "end_of_turn")][:2]
            for events in (shown, expected)
        ]
        assert ends[0] == ends[1] == ["start_of_turn", "end_of_turn"]
        assert tab.complaints == []
    # Chromium blocks what the page's policy forbids, and the tab complains then.
    files = {"onnxruntime.js", "onnxruntime.wasm", "model.onnx", "model.json"}
    assert {path.partition("?")[0] for path in host.asked[loaded:]} == {
        "/capture.worklet.js",
        *(f"/tab/{file}" for file in files),
    }


@pytest.fixture
def inner_address(page_folder: Path) -> Iterator[str]:
    """The page in a folder of its host, not at the top."""
    with static_host(page_folder.parent) as running:
        yield f"{running.url}{page_folder.name}/"


async def test_what_the_tab_predicts_on_a_recording_is_what_python_predicts(
    tab: Tab, inner_address: str, engine: Engine, recording: MakeRecording
) -> None:
    await open_page(tab, inner_address)
    await tab.click("input[name=preset][value=fast] + span")
    assert await tab.value("document.querySelector('input[name=preset]:checked').value") == "fast"
    await tab.drop(recording(46.8, 52.8, (0, 1), after_s=1.5))
    await status_is(tab, "The recording has ended")
    wav = base64.b64decode(await tab.value(f"{SAVED}('#save-sound')"))
    sound, rate_hz = sf.read(io.BytesIO(wav), dtype="int16", always_2d=True)
    lines = base64.b64decode(await tab.value(f"{SAVED}('#save-lines')")).decode().splitlines()
    messages: list[dict[str, Any]] = [json.loads(line) for line in lines[1:]]
    frames, events = offline(engine, sound, rate_hz=rate_hz, policy="fast")
    said = [m for m in messages if m["type"] == "frame"]
    assert [m["frame"] for m in said] == [f.frame for f in frames]
    # The tab hears floats, of which 16 bits are saved.
    for message, frame in zip(said, frames, strict=True):
        assert message["p_next"] == pytest.approx(frame.p_next, abs=0.02)
        assert message["vad"] == pytest.approx(frame.vad, abs=0.02)
    assert [
        [m["type"], m["speaker"], m["turn_index"], m.get("trigger")]
        for m in messages
        if m["type"] != "frame"
    ] == [[e.type, e.speaker, e.turn_index, e.trigger] for e in events]
    assert [m["time_s"] for m in messages if m["type"] != "frame"] == pytest.approx(
        [e.time_s for e in events], abs=0.021
    )
    assert len(events) > 3
    assert tab.complaints == []


async def test_with_a_server_one_chooses_and_the_choice_is_remembered(
    tab: Tab, engine: Engine
) -> None:
    files = tab_pages(RUNTIME, bundled_model())
    async with Server(engine, port=0, tab=files) as server:
        await open_page(tab, page(server))
        assert await tab.value(PLACES)
        assert await tab.value(chosen("server"))
        assert "Your sound goes to 127.0.0.1" in await tab.text("#destination")
        await tab.click("#example")
        await status_is(tab, "Listening to the example")
        await tab.until("document.querySelector('#connection').textContent.includes('session')")
        await tab.click("input[name=place][value=tab] + span")
        await status_is(tab, "Stopped. Start again: the network now runs in this tab.")
        assert "stays in this tab" in await tab.text("#destination")
        await open_page(tab, page(server))
        assert await tab.value(chosen("tab"))
        assert opened(server) == 1
        await tab.click("#example")
        await events_shown(tab, 2)
        assert opened(server) == 1
        await tab.click("input[name=place][value=server] + span")
        await status_is(tab, "Stopped. Start again: the network now runs on the server.")
        await open_page(tab, page(server))
        assert await tab.value(chosen("server"))
        assert tab.complaints == []


async def test_a_click_before_the_page_knows_its_place_sends_no_sound_away(
    tab: Tab, engine: Engine
) -> None:
    files = tab_pages(RUNTIME, bundled_model())
    async with Server(engine, port=0, tab=files) as server:
        await open_page(tab, page(server))
        await tab.value("localStorage.setItem('turnstream.place', 'tab')")
        await tab.call("Page.addScriptToEvaluateOnNewDocument", source=HOLD_FACTS)
        await tab.go(page(server))
        await tab.until("window.release && document.querySelector('#example').onclick")
        await tab.click("#example")
        await status_is(tab, "New here?")  # it waits
        await tab.value("release()")
        await events_shown(tab)
        told = await tab.value("document.querySelector('#connection').textContent")
        assert told.startswith("In this tab")
        assert opened(server) == 0
        assert tab.complaints == []


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("phone", [False, True])
async def test_axe_finds_nothing_wrong_with_the_choice(
    tab: Tab, engine: Engine, scheme: str, phone: bool
) -> None:
    files = tab_pages(RUNTIME, bundled_model())
    async with Server(engine, port=0, tab=files) as server:
        await tab.size(390 if phone else 1200, 844, phone=phone)
        await tab.prefer(color_scheme=scheme)
        await open_page(tab, page(server))
        await tab.value(AXE.read_text(encoding="utf-8") + "; 0")
        await tab.click("input[name=place][value=tab] + span")
        assert await tab.value(AXE_FINDS) == []
        within = "document.documentElement.scrollWidth <= innerWidth"
        assert await tab.value(within)


async def test_without_the_runtime_there_is_no_choice(tab: Tab, server: Server) -> None:
    await open_page(tab, page(server))
    await tab.value("localStorage.setItem('turnstream.place', 'tab')")
    await open_page(tab, page(server))
    assert not await tab.value(PLACES)
    assert "Your sound goes to" in await tab.text("#destination")


async def test_a_model_that_cannot_be_loaded_is_told_and_tried_again(
    tab: Tab, page_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(page_folder, tmp_path / "page"))
    model = folder / "tab" / "model.onnx"
    model.rename(folder / "elsewhere")
    with static_host(folder) as host:
        await open_page(tab, host.url)
        await tab.click("#example")
        await tab.until("!document.querySelector('#problem').hidden")
        told = await tab.text("#problem")
        assert "The network could not be loaded into this tab." in told
        assert "HTTP status 404" in told
        assert await tab.text("#status") == "Not listening."
        (folder / "elsewhere").rename(model)
        await tab.click("#example")
        await status_is(tab, "Listening to the example")
        assert await tab.value("document.querySelector('#problem').hidden")


async def test_sound_that_piles_up_in_the_tab_ends_the_conversation(
    tab: Tab, host: StaticHost
) -> None:
    await open_page(tab, host.url)
    told = await tab.value("""(async () => {
      const { TabClient } = await import('/tab_client.js');
      const { tab: files } = await (await fetch('v1/page')).json();
      const settings = { sampleRate: 48000, channels: 1, policy: 'balanced', presets: null };
      const client = new TabClient(files, settings);
      const ended = new Promise((resolve) => client.on('end', resolve));
      await client.connect();
      for (let second = 0; second < 62; second++) client.pushAudio(new Float32Array(48000));
      const { code } = await ended;
      return code;
    })()""")
    assert told == "tab_slow"


async def test_who_aborts_does_not_wait_for_what_piled_up(tab: Tab, host: StaticHost) -> None:
    await open_page(tab, host.url)
    left = await tab.value("""(async () => {
      const { TabClient } = await import('/tab_client.js');
      const { tab: files } = await (await fetch('v1/page')).json();
      const settings = { sampleRate: 16000, channels: 1, policy: 'balanced', presets: null };
      const client = new TabClient(files, settings);
      await client.connect();
      for (let second = 0; second < 59; second++) client.pushAudio(new Float32Array(16000));
      const closed = client.close();
      client.abort();
      await closed;
      return client._predictor._waiting / 16000;
    })()""")
    assert left > 50
