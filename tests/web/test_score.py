"""The page's score of pauses is the terminal's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from turnstream.stream.live.pause_score import (
    FLOOR_S,
    LONGEST_HOLD_S,
    SHORTEST_PAUSE_S,
    SHORTEST_SPEECH_S,
    SPEECH_RANGE_DB,
    PauseScore,
)
from turnstream.stream.service.server import Server

from .chromium import Tab
from .demo_page import open_page, page

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "stream" / "live" / "pause_scores.json").read_text("utf-8")
)["cases"]

PLAY = """(async (cases) => {
  const { PauseScore } = await import('/score.js');
  const six = (value) => (value === null ? null : Number(value.toFixed(6)));
  return cases.map(({ timer_s, runs, ends }) => {
    const [score, found] = [new PauseScore(timer_s), []];
    let frame = 0;
    for (const [frames, user, other, ...levels] of runs) {
      for (let i = 0; i < frames; i++) {
        frame += 1;
        found.push(...score.onFrame(frame / 50, [user, other], levels.length ? levels : null));
        for (const [speaker, time_s] of ends) {
          if (Math.round(50 * time_s) === frame) {
            score.onEvent({ type: 'end_of_turn', speaker, time_s: frame / 50 });
          }
        }
      }
    }
    const pauses = found.map((p) => [
      p.speaker, six(p.start_s), six(p.end_s), p.outcome, six(p.called_s), p.verdict, p.timer,
    ]);
    return { pauses, counts: score.counts, timer: score.timer, sum: score.pauses };
  });
})"""


async def test_the_page_scores_the_vectors_as_the_terminal_does(tab: Tab, server: Server) -> None:
    await tab.go(page(server))
    scored = await tab.value(f"{PLAY}({json.dumps(CASES)})")
    for case, got in zip(CASES, scored, strict=True):
        assert got["pauses"] == case["pauses"], case["name"]
        for counts, column in (("counts", 5), ("timer", 6)):
            verdicts = [pause[column] for pause in case["pauses"]]
            assert got[counts] == {
                verdict: verdicts.count(verdict) for verdict in ("right", "cut_off", "too_slow")
            }
        assert got["sum"] == len(case["pauses"])


async def test_the_page_says_how_it_counts_with_the_numbers_of_the_code(
    tab: Tab, server: Server
) -> None:
    await open_page(tab, page(server))
    told = await tab.value("document.querySelector('.score details').textContent")
    for words in (
        f"at least {SHORTEST_PAUSE_S:g} s",
        f"within {LONGEST_HOLD_S:g} s",
        f"needs {FLOOR_S:g} s of speech",
        f"for at least {SHORTEST_SPEECH_S:g} s; sounds {SPEECH_RANGE_DB:g} dB below",
    ):
        assert words in told
    name = f"Silence timer, {PauseScore().timer_s:g} s"
    await tab.until(f"document.querySelector('#timer-name').textContent === '{name}'")
