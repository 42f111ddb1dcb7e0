"""Turns predictions into turn events, by rules a dialogue system can tune.

Each speaker has a small state machine: idle, then in a turn; inside a turn, silences are judged by the model.

- `start_of_turn`: the speaker has spoken for `start_secs` while the other is not speaking in a turn, or an interruption. Of two
  who begin in the same frame, the user is taken to be first.
- `eager_end_of_turn`: the turn's silence has lasted `eager_silence_secs` and the model's probability that the other
  speaks next is at least `eager_threshold`; followed by `turn_resumed` if the speaker goes on, else by `end_of_turn`.
- `end_of_turn`: the silence has lasted `end_silence_secs` and the probability has reached `end_threshold`, or it has
  lasted `timeout_secs`, or the other speaker starts a turn in it, or, `end_silence_secs` into it, is speaking in one.
- Speech that starts while the other is speaking is judged after `overlap_secs`: a `backchannel` if the model says so, or if it
  ends before that (and after `start_secs`, for a click is nothing); else an `interruption` and a start of turn. A backchannel that grows longer than
  `backchannel_max_secs` becomes an interruption, or a start of turn if the other has fallen silent.

All times count audio, never the wall clock. Names follow Deepgram Flux and pipecat (field vocabulary).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .errors import PolicyError
from .floor import FloorTracker, reached
from .prediction import Prediction, TurnEvent


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """Thresholds and times of a `TurnPolicy`; probabilities in [0, 1], times in seconds of audio.

    Raises:
        PolicyError: a value out of range, or an eager threshold or silence above the final one.
    """

    end_threshold: float
    end_silence_secs: float
    timeout_secs: float
    eager_threshold: float
    eager_silence_secs: float
    start_secs: float = 0.1
    overlap_secs: float = 0.3
    backchannel_threshold: float = 0.5
    backchannel_max_secs: float = 1.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            high = 1.0 if item.name.endswith("threshold") else 60.0
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
                raise PolicyError(f"{item.name}: expected a number from 0 to {high:g}, got {value!r}")
        if self.eager_threshold > self.end_threshold or self.eager_silence_secs > self.end_silence_secs:
            eager = f"eager_threshold {self.eager_threshold} and eager_silence_secs {self.eager_silence_secs}"
            raise PolicyError(f"expected eager values of at most end_threshold {self.end_threshold} and end_silence_secs {self.end_silence_secs}, got {eager}")
        if self.timeout_secs < self.end_silence_secs:
            raise PolicyError(f"expected timeout_secs >= end_silence_secs ({self.end_silence_secs}), got {self.timeout_secs}")


# Chosen on the frontier that `turnstream evaluate` measures on the validation calls, each speaker heard alone.
PRESETS: dict[str, PolicySettings] = {
    "fast": PolicySettings(end_threshold=0.50, end_silence_secs=0.2, timeout_secs=1.0, eager_threshold=0.45, eager_silence_secs=0.1),
    "balanced": PolicySettings(end_threshold=0.57, end_silence_secs=0.4, timeout_secs=1.0, eager_threshold=0.50, eager_silence_secs=0.2),
    "patient": PolicySettings(end_threshold=0.60, end_silence_secs=0.8, timeout_secs=2.5, eager_threshold=0.55, eager_silence_secs=0.3),
}


def policy_settings(policy: str | PolicySettings) -> PolicySettings:
    """A preset by name, or the settings themselves.

    Raises:
        PolicyError: no preset of this name.
    """
    if isinstance(policy, PolicySettings):
        return policy
    if policy not in PRESETS:
        raise PolicyError(f"expected a policy of {', '.join(PRESETS)} or PolicySettings, got {policy!r}")
    return PRESETS[policy]


@dataclass(slots=True)
class _Turn:
    """One speaker's place in the state machine; times in seconds of audio."""

    in_turn: bool = False
    speech_start_s: float | None = None  # of the speech going on now: where its first frame begins
    last_speech_s: float = 0.0  # where its last frame ends
    eager: bool = False  # an eager end was announced in this silence
    overlapping: bool = False  # this speech began while the other was speaking and is not a turn yet
    backchannel: bool = False  # and has been called a backchannel

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> _Turn:
        """Go on from what `asdict` gave."""
        times_s = [plain[name] for name in ("speech_start_s", "last_speech_s") if name == "last_speech_s" or plain[name] is not None]
        flags = [plain[name] for name in ("in_turn", "eager", "overlapping", "backchannel")]
        if not all(math.isfinite(time_s) for time_s in times_s) or not all(isinstance(flag, bool) for flag in flags):
            raise ValueError(f"expected finite times and truth values of a turn, got {plain!r}")
        return cls(**plain)


@dataclass
class TurnPolicy:
    """The state machine of one conversation.

    Args:
        settings: a preset's name ("fast", "balanced", "patient") or PolicySettings; may be changed at any time.
    Raises:
        PolicyError: no such preset.
    """

    settings: str | PolicySettings = "balanced"
    _floor: FloorTracker = field(default_factory=FloorTracker, init=False)
    _turns: tuple[_Turn, _Turn] = field(default_factory=lambda: (_Turn(), _Turn()), init=False)

    def __post_init__(self) -> None:
        policy_settings(self.settings)

    def update(self, prediction: Prediction) -> list[TurnEvent]:
        """Take in the next prediction; return the events that it causes, in order."""
        settings = policy_settings(self.settings)
        self._floor.update(prediction.vad, prediction.frame_s)
        events: list[TurnEvent] = []
        for speaker in (0, 1):
            if self._floor.active[speaker]:
                self._speaking(speaker, prediction, settings, events)
            else:
                self._silent(speaker, prediction, settings, events)
        return events

    def to_plain(self) -> dict[str, Any]:
        """The state without the settings, as JSON values."""
        return {"floor": self._floor.to_plain(), "turns": [asdict(turn) for turn in self._turns]}

    def restore(self, plain: dict[str, Any]) -> None:
        """Go on from what `to_plain` gave.

        Raises:
            ValueError, KeyError, TypeError: the values are not such.
        """
        self._floor = FloorTracker.from_plain(plain["floor"])
        first, second = plain["turns"]
        self._turns = (_Turn.from_plain(first), _Turn.from_plain(second))

    def _speaking(self, speaker: int, prediction: Prediction, settings: PolicySettings, events: list[TurnEvent]) -> None:
        turn, other = self._turns[speaker], self._turns[1 - speaker]
        now = prediction.time_s
        turn.last_speech_s = now
        if turn.speech_start_s is None:
            turn.speech_start_s = now - prediction.frame_s
            turn.overlapping = not turn.in_turn and other.in_turn and self._floor.active[1 - speaker]
            turn.backchannel = False
        if turn.in_turn:
            if turn.eager:
                turn.eager = False
                events.append(TurnEvent("turn_resumed", speaker, now, prediction.vad[speaker]))
            return
        spoken = now - turn.speech_start_s
        if turn.backchannel:
            if reached(spoken, settings.backchannel_max_secs):
                self._take_floor(speaker, prediction, events)
        elif turn.overlapping:
            if reached(spoken, settings.overlap_secs):
                self._judge_overlap(speaker, prediction, settings, events)
        elif reached(spoken, settings.start_secs):
            if other.in_turn and self._floor.active[1 - speaker]:
                turn.overlapping = True  # both began, or the other went on, within these start_secs
            elif other.in_turn and prediction.p_backchannel[speaker] >= settings.backchannel_threshold:
                turn.backchannel = True
                events.append(TurnEvent("backchannel", speaker, now, prediction.p_backchannel[speaker]))
            else:
                self._take_floor(speaker, prediction, events)

    def _silent(self, speaker: int, prediction: Prediction, settings: PolicySettings, events: list[TurnEvent]) -> None:
        turn, other = self._turns[speaker], self._turns[1 - speaker]
        now = prediction.time_s
        if turn.speech_start_s is not None:
            spoken = turn.last_speech_s - turn.speech_start_s
            if turn.overlapping and not turn.backchannel and reached(spoken, settings.start_secs):  # too short to have been judged
                events.append(TurnEvent("backchannel", speaker, now, prediction.p_backchannel[speaker]))
            turn.speech_start_s, turn.overlapping, turn.backchannel = None, False, False
        if not turn.in_turn:
            return
        silence = now - turn.last_speech_s
        p_end = prediction.p_next[1 - speaker]
        other_goes_on = other.in_turn and self._floor.active[1 - speaker]
        due = reached(silence, settings.end_silence_secs) and (other_goes_on or p_end >= settings.end_threshold)
        if due or reached(silence, settings.timeout_secs):
            self._end(speaker, now, p_end, events)
        elif not turn.eager and reached(silence, settings.eager_silence_secs) and p_end >= settings.eager_threshold:
            turn.eager = True
            events.append(TurnEvent("eager_end_of_turn", speaker, now, p_end))

    def _judge_overlap(self, speaker: int, prediction: Prediction, settings: PolicySettings, events: list[TurnEvent]) -> None:
        turn = self._turns[speaker]
        probability = prediction.p_backchannel[speaker]
        if probability >= settings.backchannel_threshold:
            turn.backchannel = True
            events.append(TurnEvent("backchannel", speaker, prediction.time_s, probability))
        else:
            self._take_floor(speaker, prediction, events)

    def _take_floor(self, speaker: int, prediction: Prediction, events: list[TurnEvent]) -> None:
        """Start a turn; the other's turn ends if it is silent, or is interrupted if it is not."""
        turn, other = self._turns[speaker], self._turns[1 - speaker]
        now = prediction.time_s
        if other.in_turn:
            if self._floor.active[1 - speaker]:
                events.append(TurnEvent("interruption", speaker, now, 1 - prediction.p_backchannel[speaker]))
            else:
                self._end(1 - speaker, now, prediction.p_next[speaker], events)
        turn.in_turn, turn.eager, turn.overlapping, turn.backchannel = True, False, False, False
        events.append(TurnEvent("start_of_turn", speaker, now, prediction.vad[speaker]))

    def _end(self, speaker: int, now: float, probability: float, events: list[TurnEvent]) -> None:
        turn = self._turns[speaker]
        turn.in_turn, turn.eager = False, False
        events.append(TurnEvent("end_of_turn", speaker, now, probability))
