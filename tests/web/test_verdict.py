"""What the page says in a pause, and what happened then."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from turnstream.stream.engine import Engine
from turnstream.stream.live.pause_score import PauseScore
from turnstream.stream.live.sound_level import FrameLevels
from turnstream.stream.policy import PRESETS
from turnstream.stream.service.server import Server

from ..stream.serving import offline
from .chromium import Tab
from .conftest import MakeRecording
from .demo_page import choose, open_page, page, status_is
from .relay import Relay

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
# Seconds of the bundled call: from 1.6 s on, a pause is counted as right every 2 s. In the example
# the first one comes after 10 s.
SOON = (45.5, 60.0)
WATCH = """(() => {
  window.verdicts = [];
  const panel = document.querySelector('#verdict');
  const look = () => {
    const text = (part) => document.querySelector(`#verdict-${part}`).textContent;
    const { state, verdict } = panel.dataset;
    const now = [state, text('who'), text('word'), text('facts'), text('outcome'), verdict ?? ''];
    if (JSON.stringify(now) !== JSON.stringify(verdicts.at(-1))) verdicts.push(now);
  };
  new MutationObserver(look).observe(panel, {
    subtree: true, childList: true, characterData: true, attributes: true,
  });
})()"""


async def test_every_pause_gets_a_verdict_and_then_what_happened(
    tab: Tab, server: Server, relay: Relay, engine: Engine, recording: MakeRecording
) -> None:
    await open_page(tab, page(server, relay.url))
    assert await tab.text("#score-words") == "No pause has been counted yet."
    await tab.value(WATCH)
    await tab.drop(recording(28.0, 46.5, (0, 1)))
    await status_is(tab, "The recording has ended")
    verdicts: list[list[str]] = await tab.value("verdicts")
    frames, events = offline(engine, relay.samples, rate_hz=relay.begin["settings"]["sample_rate"])
    score = PauseScore()
    levels = FrameLevels(relay.begin["settings"]["sample_rate"] / 50)
    levels.push((relay.samples / 32768).astype(np.float32))
    scored = []
    for frame in frames:
        scored += score.on_frame(frame.time_s, frame.vad, levels.take(frame.frame))
        for event in events:
            if event.time_s == frame.time_s:
                score.on_event(event)
    assert score.pauses >= 4
    for row, counts in (("ours", score.counts), ("timer", score.timer)):
        for verdict in ("right", "cut_off", "too_slow"):
            assert await tab.text(f"#{row}-{verdict}") == str(getattr(counts, verdict)), row
    assert f"Only {score.pauses} pauses: in {score.holds} the same speaker went on" in (
        await tab.text("#score-words")
    )
    called = {
        (round(100 * event.probability), f"{event.time_s - pause.start_s:.2f}")
        for pause in scored
        if pause.called_s is not None
        for event in events
        if event.type == "end_of_turn" and event.time_s == pause.start_s + pause.called_s
    }
    assert called
    shown = {
        (int(found.group(1)), found.group(2))
        for state, _, word, facts, _, _ in verdicts
        if state == "done"
        and word == "Done"
        and (found := re.fullmatch(r"(\d+)\s% sure, after (\d\.\d\d) s\.", facts))
    }
    assert called <= shown
    assert {verdict for *_, verdict in verdicts} >= {"right", "cut_off"}
    assert any(outcome.startswith("Right: ") for *_, outcome, _ in verdicts)
    assert any(
        re.fullmatch(r"Wrong, cut off: speaker 1 went on after \d\.\d\d s\.", outcome, re.I)
        for *_, outcome, _ in verdicts
    )
    greyed = [who for state, who, *_ in verdicts if state == "speech"]
    assert "Speaker 1 is speaking." in greyed
    assert tab.complaints == []


MADE = """(async (frames, events, settings) => {
  const { PauseScore } = await import('/score.js');
  const { Verdict, verdictWords } = await import('/verdict.js');
  const [score, verdict, said] = [new PauseScore(0.7), new Verdict(), []];
  frames.forEach((frame, number) => {
    const time_s = (number + 1) / 50;
    const message = { time_s, vad: frame.slice(0, 2), p_next: [1 - frame[2], frame[2]] };
    const scored = score.onFrame(time_s, message.vad);
    verdict.onFrame(message, score, scored, settings, [true, true]);
    for (const event of events.filter(({ at }) => at === number)) {
      score.onEvent({ ...event, time_s });
      verdict.onEvent({ ...event, time_s });
    }
    const words = verdictWords(verdict, ['You', 'The other'], settings.end_threshold);
    const now = `${words.state}: ${words.word} ${words.facts} ${words.outcome}`;
    if (!/Pause/.test(now) && now !== said.at(-1)) said.push(now);
  });
  return said;
})"""


async def made(tab: Tab, runs: list[tuple[int, list[float]]], ends: dict[int, float]) -> list[str]:
    """Return what the panel says of made frames [vad of user, of other, p_next of other]."""
    settings = {"end_threshold": 0.4, "end_silence_secs": 0.6}
    frames = [frame for count, frame in runs for _ in range(count)]
    events = [
        {"type": "end_of_turn", "speaker": 0, "at": at, "probability": p} for at, p in ends.items()
    ]
    said: list[str] = await tab.value(
        f"{MADE}({json.dumps(frames)}, {json.dumps(events)}, {json.dumps(settings)})"
    )
    return [re.sub(r"\s", " ", words) for words in said]


async def test_thinking_is_said_when_the_policy_could_have_ended_the_turn_and_did_not(
    tab: Tab, server: Server
) -> None:
    await tab.go(page(server))
    speech, pause = [0.9, 0.1, 0.3], [0.1, 0.1, 0.3]
    said = await made(tab, [(50, speech), (60, pause), (50, speech)], {})
    assert said == [
        "rest: … The verdict comes in the first pause. ",
        "speech: … The verdict comes in the first pause. ",
        "thinking: Thinking 70 % sure, after 0.60 s. ",
        "speech: Thinking 70 % sure, after 0.60 s. Right: you went on after 1.20 s.",
    ]


async def test_an_end_by_silence_alone_is_not_sold_as_a_judgement(tab: Tab, server: Server) -> None:
    await tab.go(page(server))
    speech, pause, other = [0.9, 0.1, 0.3], [0.1, 0.1, 0.3], [0.1, 0.9, 0.3]
    said = await made(tab, [(50, speech), (120, pause), (60, other)], {149: 0.3})
    assert said[-1] == (
        "speech: Done Only by the silence of 2.0 s (30 % sure). "
        "Too slow: later than the timer. The other took the floor after 2.40 s."
    )


async def test_an_end_that_is_called_because_the_other_speaks_is_no_verdict(
    tab: Tab, server: Server
) -> None:
    await tab.go(page(server))
    speech, pause, other = [0.9, 0.1, 0.5], [0.1, 0.1, 0.5], [0.1, 0.9, 0.5]
    said = await made(tab, [(50, speech), (20, pause), (60, other)], {75: 0.5})
    assert not any("Done" in words for words in said)


async def test_another_preset_or_timer_starts_the_count_anew(
    tab: Tab, server: Server, recording: MakeRecording
) -> None:
    await open_page(tab, page(server))
    await tab.drop(recording(*SOON, (0, 1)))
    await tab.until("document.querySelector('#ours-right').textContent !== '0'")
    await tab.click("input[name=timer][value='1.5']")
    await tab.until("document.querySelector('#timer-name').textContent.endsWith('1.5 s')")
    assert await tab.text("#score-words") == "No pause has been counted yet."
    await tab.until("document.querySelector('#ours-right').textContent !== '0'")
    await tab.click("input[value=patient]")
    assert f"{PRESETS['patient'].end_silence_secs:g} s" in await tab.text("#preset-words")
    await tab.until("document.querySelector('#ours-right').textContent === '0'")


async def test_silence_and_a_narrow_band_in_a_file_are_not_blamed_on_a_microphone(
    tab: Tab, server: Server, recording: MakeRecording
) -> None:
    await open_page(tab, page(server))
    await choose(tab, recording(32.0, 39.0, (0,), before_s=5.5))
    await status_is(tab, "The recording has ended")
    notes = await tab.value(
        "[...document.querySelectorAll('#events .note')].map((e) => e.innerText).join()"
    )
    assert "Speaker 1: complete silence for 5 s in this recording." in notes
    assert "microphone" not in notes
    assert "Hz" not in notes


WARNED = """(async (warning, isFile) => {
  const { warningWords } = await import('/words.js');
  return warningWords(warning, ['You', 'The other'], isFile);
})"""


async def test_no_warning_names_a_sample_rate_that_the_browser_chose(
    tab: Tab, server: Server
) -> None:
    await tab.go(page(server))
    for code in ("narrow_band", "wrong_rate", "silent", "dc_offset"):
        told = "declared as 44100 Hz" if code != "dc_offset" else "the mean"
        warning = json.dumps({"code": code, "message": f"channel 1: {told}"})
        for is_file in (False, True):
            words = await tab.value(f"{WARNED}({warning}, {json.dumps(is_file)})")
            assert words is None or (words.startswith("The other: ") and "44100" not in words)
            assert (words is None) == (code == "narrow_band" and is_file)
            assert ("microphone" in (words or "")) == (code == "silent" and not is_file)


async def test_on_a_phone_the_verdict_is_above_the_fold(
    tab: Tab, server: Server, recording: MakeRecording
) -> None:
    await tab.size(390, 844, phone=True)
    await open_page(tab, page(server))
    await tab.drop(recording(*SOON, (0, 1)))
    await tab.until("document.querySelector('#verdict-outcome').textContent")
    bottom = "document.querySelector('#verdict').getBoundingClientRect().bottom"
    for width, height in ((390, 844), (360, 740)):
        await tab.size(width, height, phone=True)
        await tab.value("scrollTo(0, 0)")
        assert await tab.value(bottom) <= height


AXE_FINDS = (
    "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa',"
    " 'best-practice']}).then(({violations}) => violations.map(({id, nodes}) =>"
    " [id, ...nodes.map(({target}) => target.join(' '))]))"
)
needs_axe = pytest.mark.skipif(
    not AXE.is_file(),
    reason="not installed: axe-core (npm install --prefix . --no-save --ignore-scripts axe-core)",
)


@needs_axe
async def test_axe_finds_nothing(tab: Tab, server: Server, recording: MakeRecording) -> None:
    await open_page(tab, page(server))
    await tab.value(AXE.read_text(encoding="utf-8") + "; 0")
    await tab.value("document.querySelectorAll('details').forEach((e) => { e.open = true; })")

    async def broken() -> list[object]:
        """Return what is wrong on a wide page and on a phone, in both schemes."""
        found: list[object] = []
        for phone, scheme in itertools.product((False, True), ("light", "dark")):
            await tab.size(390 if phone else 1200, 844, phone=phone)
            await tab.prefer(color_scheme=scheme)
            found += await tab.value(AXE_FINDS)
        return found

    assert await broken() == []
    await tab.drop(recording(*SOON, (0, 1)))
    await tab.until("document.querySelector('#verdict-outcome').textContent")
    assert await broken() == []
