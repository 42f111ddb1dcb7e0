"""Counts how often the end of a turn was called right, beside a plain silence timer.

The rules, which `score.js` of the web page shares (`tests/stream/live/pause_scores.json` holds both
to them):

- Speech of a speaker begins and ends with `vad` (with hysteresis, as in `floor.py`). Breaks
  shorter than 0.2 s belong to it. It needs 0.1 s of loud frames, so clicks and faint noise are no
  speech. A frame is loud at -60 dBFS or more, unless it is more than 25 dB below the speaker's
  usual level; without a level it counts as loud. `TurnPolicy` starts turns by the same levels.
- A pause is a silence of a speaker of at least 0.2 s that begins while the other is silent. It is a
  hold if the same speaker goes on, within 5 s and before the other says anything. It is a shift if
  the other takes the floor: speaks for 1 s in all. All other pauses are left out.
- Cut off: the end of the turn was called inside a hold.
- Too slow: in a shift, the end was called later than the timer calls it, or not before the other
  spoke.
- Right: neither.
- The timer calls the end once its speaker has been silent for a fixed time. It hears the same
  `vad`, and the same rules judge it.

The pauses are those of `find_pauses` in models/dialogues/events.py, found while the conversation
runs. There the activity is annotated; here it is the model's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from ..floor import MIN_LEVEL_DBFS, VAD_OFF, VAD_ON, reached
from ..policy import LEVEL_S
from ..prediction import Pair, TurnEvent

Outcome = Literal["hold", "shift"]
Verdict = Literal["right", "cut_off", "too_slow"]

TIMER_S = 0.7
SHORTEST_PAUSE_S, LONGEST_HOLD_S = 0.2, 5.0
SHORTEST_SPEECH_S = 0.1  # of loud frames
SPEECH_RANGE_DB = 25.0
FLOOR_S = 1.0  # speech that the other speaker needs to take the floor
FEW_PAUSES = 30  # with fewer, the texts say that chance decides much


@dataclass(slots=True)
class Counts:
    """Pauses of each verdict."""

    right: int = 0
    cut_off: int = 0
    too_slow: int = 0

    def add(self, verdict: Verdict) -> None:
        """Count one pause."""
        setattr(self, verdict, getattr(self, verdict) + 1)


@dataclass(frozen=True, slots=True)
class ScoredPause:
    """A pause that was counted.

    Attributes:
        speaker: who paused.
        start_s, end_s: from the end of the speech until someone speaks, in seconds of audio.
        outcome: what happened: the speaker went on (hold), or the other took the floor (shift).
        called_s: when the end of the turn was called, in seconds after `start_s`; None if it was
            not called before `end_s`.
        verdict: of turnstream.
        timer: verdict of the silence timer.
    """

    speaker: int
    start_s: float
    end_s: float
    outcome: Outcome
    called_s: float | None
    verdict: Verdict
    timer: Verdict


@dataclass(slots=True)
class _Stretch:
    """Speech without breaks of 0.2 s, in seconds of audio."""

    start_s: float
    end_s: float
    loud_s: float = 0.0

    @property
    def is_speech(self) -> bool:
        return reached(self.loud_s, SHORTEST_SPEECH_S)

    def is_over(self, now_s: float) -> bool:
        return reached(now_s - self.end_s, SHORTEST_PAUSE_S)


@dataclass(slots=True)
class _Pause:
    start_s: float
    called_at_s: float | None = None  # by the policy
    timer_at_s: float | None = None


@dataclass(slots=True)
class _Voice:
    """One speaker. Both lists stay short: what no open pause needs is dropped."""

    active: bool = False
    power: float = 0.0  # usual power of this speaker's loud frames; 0 before the first
    heard_s: float | None = None  # end of the last active frame, however short the speech
    stretches: list[_Stretch] = field(default_factory=list[_Stretch])
    pauses: list[_Pause] = field(default_factory=list[_Pause])

    def is_loud(self, level_dbfs: float, frame_s: float) -> bool:
        """Return whether an active frame is loud; update the usual power."""
        usual_dbfs = 10 * math.log10(self.power) if self.power else -math.inf
        if level_dbfs < max(MIN_LEVEL_DBFS, usual_dbfs - SPEECH_RANGE_DB):
            return False
        power = 10 ** (level_dbfs / 10)
        share = min(1.0, frame_s / LEVEL_S) if self.power else 1.0
        self.power += share * (power - self.power)
        return True


class PauseScore:
    """Scores the pauses of one conversation, in constant memory.

    Args:
        timer_s: silence after which the timer calls the end of a turn, in seconds.
    Attributes:
        counts: verdicts of turnstream.
        timer: verdicts of the silence timer.
        holds, shifts: pauses of each outcome; their sum is the number of pauses.
    """

    def __init__(self, timer_s: float = TIMER_S) -> None:
        self.timer_s = timer_s
        self.counts = Counts()
        self.timer = Counts()
        self.holds = 0
        self.shifts = 0
        self._now_s = 0.0
        self._voices = (_Voice(), _Voice())

    @property
    def pauses(self) -> int:
        """Number of pauses that were counted."""
        return self.holds + self.shifts

    def is_speaking(self, speaker: int) -> bool:
        """Return whether a speaker was speaking, loud enough, in the last frame."""
        voice = self._voices[speaker]
        return voice.active and voice.stretches[-1].is_speech

    def pause_start_s(self, speaker: int) -> float | None:
        """Return when the pause began that a speaker is in; None without one of 0.2 s or more."""
        voice = self._voices[speaker]
        if voice.active or not voice.pauses:
            return None
        start_s = voice.pauses[-1].start_s
        return start_s if reached(self._now_s - start_s, SHORTEST_PAUSE_S) else None

    def on_event(self, event: TurnEvent) -> None:
        """Add an event; only `end_of_turn` matters."""
        pauses = self._voices[event.speaker].pauses
        if event.type == "end_of_turn" and pauses and pauses[-1].called_at_s is None:
            pauses[-1].called_at_s = event.time_s

    def on_frame(
        self, time_s: float, vad: Pair, levels_dbfs: Pair | None = None
    ) -> list[ScoredPause]:
        """Add a frame, before its events; return the pauses whose outcome is now known.

        Args:
            time_s: end of the frame, in seconds of audio.
            vad: probability that each speaker is speaking.
            levels_dbfs: level of each channel in dB re full scale; None if it is not known.
        """
        start_s, self._now_s = self._now_s, time_s
        for speaker in (0, 1):
            level_dbfs = None if levels_dbfs is None else levels_dbfs[speaker]
            self._hear(self._voices[speaker], vad[speaker], level_dbfs, start_s)
        scored = [
            self._judge(speaker, *found) for speaker in (0, 1) for found in self._find(speaker)
        ]
        open_s = [pause.start_s for voice in self._voices for pause in voice.pauses]
        since_s = min(open_s, default=time_s)
        for voice in self._voices:
            voice.stretches = [
                stretch
                for stretch in voice.stretches
                if not stretch.is_over(time_s) or (stretch.is_speech and stretch.end_s > since_s)
            ]
        return scored

    def _hear(self, voice: _Voice, vad: float, level_dbfs: float | None, start_s: float) -> None:
        now_s = self._now_s
        voice.active = vad >= (VAD_OFF if voice.active else VAD_ON)
        last = voice.stretches[-1] if voice.stretches else None
        if voice.active:
            voice.heard_s = now_s
            if last is None or last.is_over(start_s):
                last = _Stretch(start_s, now_s)
                voice.stretches.append(last)
            elif voice.pauses and voice.pauses[-1].start_s > last.start_s:
                voice.pauses.pop()  # the break was too short for a pause
            last.end_s = now_s
            if level_dbfs is None or voice.is_loud(level_dbfs, now_s - start_s):
                last.loud_s += now_s - start_s
            return
        if voice.heard_s is None:
            return
        if last is not None and last.is_speech and last.end_s == start_s:
            voice.pauses.append(_Pause(start_s))
        if voice.pauses and reached(now_s - voice.heard_s, self.timer_s):
            pause = voice.pauses[-1]
            pause.timer_at_s = pause.timer_at_s or now_s

    def _find(self, speaker: int) -> list[tuple[_Pause, Outcome, float]]:
        """Take the pauses whose outcome is known: the pause, its outcome, and when it ended."""
        found: list[tuple[_Pause, Outcome, float]] = []
        own, other = self._voices[speaker], self._voices[1 - speaker]
        undecided: list[_Pause] = []
        for pause in own.pauses:
            resumed_s = next(
                (s.start_s for s in own.stretches if s.is_speech and s.start_s > pause.start_s),
                None,
            )
            before = [s for s in other.stretches if resumed_s is None or s.start_s < resumed_s]
            during = [s for s in before if s.is_speech and s.start_s > pause.start_s]
            if any(s.is_speech and s.start_s <= pause.start_s < s.end_s for s in before):
                continue  # the other was speaking when the pause began
            if reached(sum(s.end_s - s.start_s for s in during), FLOOR_S):
                found.append((pause, "shift", during[0].start_s))
            elif resumed_s is None or not all(s.is_over(self._now_s) for s in before):
                undecided.append(pause)
            elif not during and not _above(resumed_s - pause.start_s, LONGEST_HOLD_S):
                found.append((pause, "hold", resumed_s))
        own.pauses = undecided
        return found

    def _judge(self, speaker: int, pause: _Pause, outcome: Outcome, end_s: float) -> ScoredPause:
        called_s, timer_s = (
            None if at_s is None or _above(at_s, end_s) else at_s - pause.start_s
            for at_s in (pause.called_at_s, pause.timer_at_s)
        )
        scored = ScoredPause(
            speaker,
            pause.start_s,
            end_s,
            outcome,
            called_s,
            _verdict(outcome, called_s, timer_s),
            _verdict(outcome, timer_s, timer_s),
        )
        self.counts.add(scored.verdict)
        self.timer.add(scored.timer)
        if outcome == "hold":
            self.holds += 1
        else:
            self.shifts += 1
        return scored


def _verdict(outcome: Outcome, called_s: float | None, timer_s: float | None) -> Verdict:
    if outcome == "hold":
        return "right" if called_s is None else "cut_off"
    late = called_s is None or (timer_s is not None and _above(called_s, timer_s))
    return "too_slow" if late else "right"


def _above(value: float, limit: float) -> bool:
    return not reached(limit, value)
