"""What the terminal view says of a pause: thinking or done, how sure, and what happened then.

The web page's `verdict.js` says the same. `PauseScore` decides what a pause is and who was right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..floor import reached
from ..prediction import FrameMessage, Pair, TurnEvent
from .pause_score import FEW_PAUSES, Counts, PauseScore, ScoredPause
from .terminal_shapes import percent

Names = tuple[str, str]  # of (user, other speaker); texts address the speaker "You" as "you"
Decision = Literal["thinking", "done"]


@dataclass(slots=True)
class ShownPause:
    """The newest pause.

    Attributes:
        speaker, start_s: who paused, and when, in seconds of audio.
        silence_s: how long the silence has lasted.
        decision: None until it is decided.
        sure: probability that the decision is right.
        after_s: silence before the decision, in seconds.
    """

    speaker: int
    start_s: float
    silence_s: float = 0.0
    decision: Decision | None = None
    sure: float = 0.0
    after_s: float = 0.0


class PauseVerdict:
    """Follows one conversation.

    Args:
        score: scores the same conversation. This class feeds it.
        end_threshold, end_silence_s: of the policy. A pause in which the policy could have ended
            the turn after `end_silence_s`, and did not, is called thinking.
    Attributes:
        shown: the pause that lasts now or was the last; None before the first.
        in_pause: whether it lasts now.
        outcome: the last pause that was scored.
    """

    def __init__(self, score: PauseScore, end_threshold: float, end_silence_s: float) -> None:
        self.score = score
        self.shown: ShownPause | None = None
        self.in_pause = False
        self.outcome: ScoredPause | None = None
        self._end_threshold = end_threshold
        self._end_silence_s = end_silence_s
        self._in_turn = [False, False]

    def on_prediction(self, p: FrameMessage, levels_dbfs: Pair | None = None) -> None:
        """Add the next frame, before its events, and the levels of its channels."""
        for pause in self.score.on_frame(p.time_s, p.vad, levels_dbfs):
            self.outcome = pause
        open_pauses = [
            (start_s, speaker)
            for speaker in (0, 1)
            if (start_s := self.score.pause_start_s(speaker)) is not None
        ]
        self.in_pause = bool(open_pauses) and not any(map(self.score.is_speaking, (0, 1)))
        if not self.in_pause:
            return
        start_s, speaker = max(open_pauses)
        if self.shown is None or (self.shown.start_s, self.shown.speaker) != (start_s, speaker):
            self.shown = ShownPause(speaker, start_s)
        shown, p_end = self.shown, p.p_next[1 - speaker]
        shown.silence_s = p.time_s - start_s
        if (
            shown.decision is None
            and self._in_turn[speaker]
            and reached(shown.silence_s, self._end_silence_s)
            and p_end < self._end_threshold
        ):
            shown.decision, shown.sure, shown.after_s = "thinking", 1 - p_end, shown.silence_s

    def on_event(self, event: TurnEvent) -> None:
        """Add an event."""
        self.score.on_event(event)
        if event.type == "start_of_turn":
            self._in_turn[event.speaker] = True
        if event.type != "end_of_turn":
            return
        self._in_turn[event.speaker] = False
        shown = self.shown
        # An end because the other took the floor is no call.
        if shown is not None and shown.speaker == event.speaker and self.in_pause:
            shown.decision, shown.sure = "done", event.probability
            shown.after_s = event.time_s - shown.start_s

    def words(self, names: Names) -> tuple[str, str, str] | None:
        """Return who paused, the decision, and how sure it is; None while somebody speaks."""
        shown = self.shown
        if shown is None or not self.in_pause:
            return None
        who = f"{names[shown.speaker]} paused:"
        if shown.decision is None:
            tenths = int(10 * shown.silence_s + 1e-6)
            return who, "PAUSE", f"{tenths / 10:.1f} s of silence"
        if shown.decision == "done" and shown.sure < self._end_threshold:
            return who, "DONE", f"only by the silence of {shown.after_s:.1f} s"
        sure = f"{percent(shown.sure)} sure, after {shown.after_s:.2f} s"
        return who, shown.decision.upper(), sure


def outcome_words(pause: ScoredPause, names: Names) -> str:
    """Say what happened in a pause, and whether turnstream was right; without a full stop."""
    name, other = names[pause.speaker], names[1 - pause.speaker]
    length = f"after {pause.end_s - pause.start_s:.2f} s"
    if pause.outcome == "hold":
        return f"{'Right' if pause.verdict == 'right' else 'Cut off'}: {name} went on {length}"
    if pause.verdict == "right":
        return f"Right: {other} took the floor {length}"
    if pause.called_s is None:
        return f"Too slow: {other} spoke first, {length}"
    return f"Too slow: later than the timer; {other} took the floor {length}"


def score_line(score: PauseScore) -> str:
    """Return the score so far in one line."""
    ours, timer = score.counts, score.timer
    return (
        f"turnstream: {ours.right} right, {ours.cut_off} cut off, {ours.too_slow} too slow; "
        f"timer of {score.timer_s:g} s: {timer.right}, {timer.cut_off}, {timer.too_slow}"
    )


def score_table(score: PauseScore) -> str:
    """Return the score at the end, as a table with a line about how many pauses it rests on."""

    def row(name: str, counts: Counts) -> str:
        return f"  {name:<24}{counts.right:>7}{counts.cut_off:>9}{counts.too_slow:>10}"

    few = "\nFew pauses: chance decides much." if score.pauses < FEW_PAUSES else ""
    return "\n".join(
        (
            f"{f'Pauses: {score.pauses}':<26}{'right':>7}{'cut off':>9}{'too slow':>10}",
            row("turnstream", score.counts),
            row(f"silence timer of {score.timer_s:g} s", score.timer),
            f"In {score.holds} the same speaker went on, in {score.shifts} the other took the "
            f"floor.{few}",
        )
    )
