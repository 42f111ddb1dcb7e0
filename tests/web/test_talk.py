"""“Talk to it”: when the page answers, and when it falls silent."""

from __future__ import annotations

import json

import pytest

from turnstream.stream.service.server import Server

from .chromium import Tab, open_tab
from .conftest import MakeRecording
from .demo_page import open_page, page, status_is


async def test_the_page_answers_when_you_are_done_and_falls_silent_when_you_cut_in(
    server: Server, recording: MakeRecording
) -> None:
    # The microphone repeats this: after an end of turn, speech begins again within the answer.
    wav = recording(13.0, 15.2, (0,), before_s=0.4, after_s=1.0)
    async with open_tab(microphone=wav) as tab:
        await open_page(tab, page(server))
        assert not await tab.value("document.querySelector('#decider').checkVisibility()")
        await tab.click("#talk")
        await status_is(tab, "Listening to")
        assert "Speak, and the page answers" in await tab.text("#status")
        assert await tab.value("document.querySelector('#decider').checkVisibility()")
        await tab.until(
            "document.querySelector('#activity-caption').innerText.includes('The page is speaking')"
        )
        await tab.until(
            "document.querySelector('#events').innerText"
            ".includes('You cut in, and the page fell silent.')"
        )
        await tab.until("document.querySelector('#ours-cut_off').textContent !== '0'")
        await tab.click("#stop")
        await status_is(tab, "Stopped")
        await tab.until("document.querySelector('#state-1').textContent === ''")
        assert tab.complaints == []


JUDGED = """(async (decider, frames, ends) => {
  const { Judge } = await import('/judge.js');
  const judge = new Judge();
  const [said, notes] = [[], []];
  let since = null;
  judge.reply = {
    start() { if (since === null) { since = now; said.push(now); } },
    stop() { since = null; },
    get isSpeaking() { return since !== null; },
    get spoken_s() { return since === null ? 0 : now - since; },
  };
  judge.onnote = (text) => notes.push([now, text]);
  judge.begin(['You', 'The page'], 0.9, true);
  const settings = { end_threshold: 0.4, end_silence_secs: 0.6 };
  let now = 0;
  frames.forEach((vad, number) => {
    now = (number + 1) / 50;
    const frame = { time_s: now, vad: [vad, 0.02], p_next: [0.5, 0.5] };
    judge.onFrame(frame, null, settings, decider, null);
    if (ends.includes(number + 1)) {
      const event = { type: 'end_of_turn', speaker: 0, time_s: now, probability: 0.5 };
      judge.onEvent(event, settings, decider, null);
    }
  });
  const { counts } = judge.at(null).score;
  return { said, notes, counts };
})"""


async def judged(
    tab: Tab, timer_decides: bool, runs: list[tuple[int, float]], ends: list[int]
) -> dict[str, object]:
    frames = [vad for count, vad in runs for _ in range(count)]
    result: dict[str, object] = await tab.value(
        f"{JUDGED}({json.dumps(timer_decides)}, {json.dumps(frames)}, {json.dumps(ends)})"
    )
    return result


@pytest.mark.parametrize(("timer_decides", "answered_s"), [(False, 1.6), (True, 1.9)])
async def test_turnstream_or_the_timer_decides_when_to_answer(
    tab: Tab, server: Server, timer_decides: bool, answered_s: float
) -> None:
    await tab.go(page(server))
    got = await judged(tab, timer_decides, [(50, 0.9), (200, 0.1)], [80])
    assert got["said"] == [answered_s]
    assert got["notes"] == []
    assert got["counts"] == {"right": 1, "cut_off": 0, "too_slow": 0}


async def test_who_goes_on_within_the_first_second_of_the_answer_was_cut_off(
    tab: Tab, server: Server
) -> None:
    await tab.go(page(server))
    got = await judged(tab, False, [(50, 0.9), (60, 0.1), (60, 0.9)], [80])
    assert got["notes"] == [[2.3, "You cut in, and the page fell silent."]]
    assert got["counts"] == {"right": 0, "cut_off": 1, "too_slow": 0}


async def test_a_click_does_not_silence_the_answer(tab: Tab, server: Server) -> None:
    await tab.go(page(server))
    got = await judged(tab, False, [(50, 0.9), (60, 0.1), (4, 0.9), (150, 0.1)], [80])
    assert got["notes"] == []


SPOKEN = """(async () => {
  const { Reply } = await import('/reply.js');
  const said = [];
  const speech = { getVoices: () => [{}], speak: (u) => said.push(u), cancel: () => said.push(0) };
  Object.defineProperty(window, 'speechSynthesis', { value: speech });
  const [reply, states] = [new Reply(), []];
  reply.onchange = () => states.push(reply.isSpeaking);
  reply.start(null);
  reply.start(null);
  const [first] = said;
  reply.stop();
  reply.start(null);
  first.onend();
  const still = reply.isSpeaking;
  said.at(-1).onend();
  const kinds = said.map((u) => (u === 0 ? 'cancelled' : u.lang));
  return { kinds, states, still, differ: first.text !== said.at(-1).text };
})()"""


async def test_a_voice_of_the_browser_speaks_where_there_is_one(tab: Tab, server: Server) -> None:
    await tab.go(page(server))
    assert await tab.value(SPOKEN) == {
        "kinds": ["en", "cancelled", "en"],
        "states": [True, False, True, False],
        "still": True,
        "differ": True,
    }
