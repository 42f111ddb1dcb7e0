"""Turns predictions into turn events, by rules that a dialogue system can tune.

Each speaker has a small state machine: idle, or in a turn. Within a turn, the model judges the
silences.

- `start_of_turn`: the speaker has spoken for `start_secs`, and the other is not in a turn. Or the
  speaker took the floor from the other (see below). If both begin in the same frame, the user is
  first.
- `eager_end_of_turn`: the silence has lasted `eager_silence_secs`, and the probability that the
  other holds the floor next is at least `eager_threshold`. `turn_resumed` follows if the speaker
  continues, else `end_of_turn`.
- `end_of_turn`: one of these is true. The event's `trigger` tells which:
  - "model": the silence has lasted `end_silence_secs`, and the probability is at least
    `end_threshold`.
  - "other_spoke": the silence has lasted `end_silence_secs`, and the other is in a turn and
    speaking. Or the other takes the floor in the silence.
  - "timeout": the silence has lasted `timeout_secs`.
  - "forced": the application has called `end_turn`. Later speech belongs to a new turn.
- Speech within the other's turn is judged after `overlap_secs` if it overlaps the other's speech,
  else after `start_secs`. It is a `backchannel` if the model's probability for one is at least
  `backchannel_threshold`. Overlapping speech is also a `backchannel` if it ends before it is judged
  and lasted `start_secs`. Otherwise the speaker takes the floor, which is an `interruption` if the
  other is speaking, and then a `start_of_turn`.
- A backchannel that continues beyond `overlap_secs` is judged again in each frame. It takes the
  floor in the same way as soon as the model's probability falls below the threshold, or when it
  lasts `backchannel_max_secs`. It becomes a `start_of_turn` at once if the other's turn has ended.
  A gap of less than 0.2 s does not end a backchannel. Pieces of speech with gaps of less than 0.5 s
  count together, so a caller who interrupts word by word is heard.

Only loud frames count towards `start_secs`, `overlap_secs` and `backchannel_max_secs`. A frame is
loud at `min_level_dbfs` or more, unless it is more than `speech_range_db` below the usual level of
this speaker's turns. So faint noise, breaths and distant sounds start nothing. Within a turn the
level does not matter. A prediction without a level counts as loud.

All times count audio, never the wall clock. The names follow Deepgram Flux and pipecat.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import PolicyError
from .floor import reached
from .policy_settings import PRESETS, PolicySettings, policy_settings
from .prediction import EventType, Pair, Prediction, Trigger, TurnEvent

__all__ = ["PRESETS", "PolicySettings", "TurnPolicy", "policy_settings"]

BRIDGE_S = 0.2  # the usual shortest gap between two inter-pausal units
# Pieces of speech within the other's turn count together across shorter gaps. Of first pieces of at
# most 0.3 s in Switchboard, half of those that begin a turn continue within 0.5 s, and 5 % of the
# backchannels.
PIECES_S = 0.5
LEVEL_S = 1.0  # time constant of a speaker's usual level
# The usual level falls by so much per second of speech that is too quiet to start a turn.
# So a speaker who moved away from the microphone is heard again after a while.
LEVEL_FALL_DB = 10.0


@dataclass(slots=True)
class _Turn:
    """One speaker's state; times in seconds of audio."""

    in_turn: bool = False
    speech_start_s: float | None = None  # start of the present speech; None without any
    last_speech_s: float = 0.0  # end of the last frame of speech
    eager: bool = False  # eager_end_of_turn was sent in this silence
    overlapping: bool = False  # this speech overlaps the other's turn and is not a turn yet
    backchannel: bool = False  # this speech was judged to be a backchannel
    loud_s: float = 0.0  # how much of this speech was loud enough to start a turn
    earlier_s: float = 0.0  # loud speech of the pieces just before this one, outside a turn
    power: float = 0.0  # usual power of this speaker's turns; 0 before the first turn
    ended: int = 0  # number of turns that have ended

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> _Turn:
        """Restore a state from the values of `asdict`; raises ValueError if they are wrong."""
        numbers = [plain[name] for name in ("last_speech_s", "loud_s", "earlier_s", "power")]
        if plain["speech_start_s"] is not None:
            numbers.append(plain["speech_start_s"])
        flags = [plain[name] for name in ("in_turn", "eager", "overlapping", "backchannel")]
        if not all(math.isfinite(number) and number >= 0 for number in numbers) or not all(
            isinstance(flag, bool) for flag in flags
        ):
            raise ValueError(
                f"expected finite numbers from 0 and truth values of a turn, got {plain!r}"
            )
        if type(plain["ended"]) is not int or plain["ended"] < 0:
            raise ValueError(f"expected a count of turns from 0, got {plain['ended']!r}")
        return cls(**plain)

    def is_loud(self, level_dbfs: float, frame_s: float, settings: PolicySettings) -> bool:
        """Whether a frame of speech is loud enough to start a turn. Updates the usual power."""
        if level_dbfs < settings.min_level_dbfs:
            return False
        if self.in_turn:
            power = 10 ** (level_dbfs / 10)
            self.power += (
                (power - self.power) * min(1.0, frame_s / LEVEL_S) if self.power else power
            )
            return True
        if self.power == 0 or level_dbfs >= 10 * math.log10(self.power) - settings.speech_range_db:
            return True
        self.power *= 10 ** (-LEVEL_FALL_DB * frame_s / 10)
        return False


@dataclass
class TurnPolicy:
    """The state machine of one conversation.

    Args:
        settings: a preset's name ("fast", "balanced", "patient") or PolicySettings. The attribute
            may be changed at any time.
    Raises:
        PolicyError: there is no such preset.
    """

    settings: str | PolicySettings = "balanced"
    _turns: tuple[_Turn, _Turn] = field(default_factory=lambda: (_Turn(), _Turn()), init=False)
    # Of the last prediction: its time, and its p_next.
    _time_s: float = field(default=0.0, init=False)
    _p_next: Pair = field(default=(0.5, 0.5), init=False)

    def __post_init__(self) -> None:
        policy_settings(self.settings)

    def update(self, prediction: Prediction) -> list[TurnEvent]:
        """Process the next prediction and return the events that it causes, in order."""
        settings = policy_settings(self.settings)
        events: list[TurnEvent] = []
        self._time_s, self._p_next = prediction.time_s, prediction.p_next
        for speaker in (0, 1):
            if prediction.active[speaker]:
                self._speaking(speaker, prediction, settings, events)
            else:
                self._silent(speaker, prediction, settings, events)
        return events

    def end_turn(self, speaker: int = 0) -> list[TurnEvent]:
        """End a speaker's turn now, because the application knows that it is over.

        Args:
            speaker: whose turn ends (0 user, 1 other).
        Returns:
            The `end_of_turn`, with the time of the last prediction; nothing if the speaker is not
            in a turn.
        Raises:
            PolicyError: there is no such speaker.
        """
        if speaker not in (0, 1):
            raise PolicyError(f"speaker: expected 0 or 1, got {speaker!r}")
        events: list[TurnEvent] = []
        turn = self._turns[speaker]
        if turn.in_turn:
            self._end(speaker, self._time_s, self._p_next[1 - speaker], "forced", events)
            turn.speech_start_s = None  # speech so far belongs to the turn that has ended
        return events

    def to_plain(self) -> dict[str, Any]:
        """Return the state without the settings, as JSON values."""
        return {
            "turns": [asdict(turn) for turn in self._turns],
            "time_s": self._time_s,
            "p_next": list(self._p_next),
        }

    def restore(self, plain: dict[str, Any]) -> None:
        """Restore the state from the values of `to_plain`.

        Raises:
            ValueError, KeyError, TypeError: the values are not from `to_plain`.
        """
        first, second = plain["turns"]
        time_s, (p_user, p_other) = plain["time_s"], plain["p_next"]
        if not all(math.isfinite(number) and number >= 0 for number in (time_s, p_user, p_other)):
            raise ValueError(
                f"expected a time and two probabilities, got {time_s!r}, {plain['p_next']!r}"
            )
        self._turns = (_Turn.from_plain(first), _Turn.from_plain(second))
        self._time_s, self._p_next = time_s, (p_user, p_other)

    def _speaking(
        self,
        speaker: int,
        prediction: Prediction,
        settings: PolicySettings,
        events: list[TurnEvent],
    ) -> None:
        turn, other = self._turns[speaker], self._turns[1 - speaker]
        now, frame_s = prediction.time_s, prediction.frame_s
        if turn.speech_start_s is None:
            if reached(now - frame_s - turn.last_speech_s, PIECES_S):
                turn.earlier_s = 0.0
            turn.speech_start_s, turn.loud_s = now - frame_s, 0.0
            turn.overlapping = not turn.in_turn and other.in_turn and prediction.active[1 - speaker]
        turn.last_speech_s = now
        if prediction.level_dbfs is None or turn.is_loud(
            prediction.level_dbfs[speaker], frame_s, settings
        ):
            turn.loud_s += frame_s
        if turn.in_turn:
            if turn.eager:
                turn.eager = False
                self._add("turn_resumed", speaker, now, prediction.vad[speaker], events)
            return
        if not reached(turn.loud_s, settings.start_secs):
            return
        spoken_s = turn.earlier_s + turn.loud_s
        if not other.in_turn or (
            turn.backchannel and reached(spoken_s, settings.backchannel_max_secs)
        ):
            self._take_floor(speaker, prediction, events)
        elif turn.backchannel or turn.overlapping:
            if reached(spoken_s, settings.overlap_secs):
                self._judge(speaker, prediction, settings, events)
        elif prediction.active[1 - speaker]:
            turn.overlapping = True  # the other began or continued to speak within start_secs
        else:
            self._judge(speaker, prediction, settings, events)

    def _silent(
        self,
        speaker: int,
        prediction: Prediction,
        settings: PolicySettings,
        events: list[TurnEvent],
    ) -> None:
        turn, other = self._turns[speaker], self._turns[1 - speaker]
        now = prediction.time_s
        silence = now - turn.last_speech_s
        if turn.speech_start_s is not None:
            if (
                turn.overlapping
                and not turn.backchannel
                and reached(turn.loud_s, settings.start_secs)
            ):  # it ended before it was judged
                self._call_backchannel(speaker, prediction, events)
            if not turn.backchannel or reached(silence, BRIDGE_S):
                if not turn.in_turn and reached(turn.loud_s, settings.start_secs):
                    turn.earlier_s += turn.loud_s
                turn.speech_start_s, turn.overlapping, turn.backchannel = None, False, False
        if not turn.in_turn:
            return
        p_end = prediction.p_next[1 - speaker]
        other_goes_on = other.in_turn and prediction.active[1 - speaker]
        long_enough = reached(silence, settings.end_silence_secs)
        if long_enough and p_end >= settings.end_threshold:
            self._end(speaker, now, p_end, "model", events)
        elif long_enough and other_goes_on:
            self._end(speaker, now, p_end, "other_spoke", events)
        elif reached(silence, settings.timeout_secs):
            self._end(speaker, now, p_end, "timeout", events)
        elif (
            not turn.eager
            and reached(silence, settings.eager_silence_secs)
            and p_end >= settings.eager_threshold
        ):
            turn.eager = True
            self._add("eager_end_of_turn", speaker, now, p_end, events)

    def _judge(
        self,
        speaker: int,
        prediction: Prediction,
        settings: PolicySettings,
        events: list[TurnEvent],
    ) -> None:
        """Decide whether speech within the other's turn is a backchannel or takes the floor."""
        if prediction.p_backchannel[speaker] < settings.backchannel_threshold:
            self._take_floor(speaker, prediction, events)
        elif not self._turns[speaker].backchannel:
            self._call_backchannel(speaker, prediction, events)

    def _call_backchannel(
        self, speaker: int, prediction: Prediction, events: list[TurnEvent]
    ) -> None:
        self._turns[speaker].backchannel = True
        p_backchannel = prediction.p_backchannel[speaker]
        self._add("backchannel", speaker, prediction.time_s, p_backchannel, events)

    def _take_floor(self, speaker: int, prediction: Prediction, events: list[TurnEvent]) -> None:
        """Start a turn. The other's turn ends if it is silent, else it is interrupted."""
        turn, other = self._turns[speaker], self._turns[1 - speaker]
        now = prediction.time_s
        if other.in_turn:
            if prediction.active[1 - speaker]:
                p_turn = 1 - prediction.p_backchannel[speaker]
                self._add("interruption", speaker, now, p_turn, events)
            else:
                self._end(1 - speaker, now, prediction.p_next[speaker], "other_spoke", events)
        turn.in_turn, turn.eager, turn.overlapping, turn.backchannel = True, False, False, False
        turn.earlier_s = 0.0
        self._add("start_of_turn", speaker, now, prediction.vad[speaker], events)

    def _end(
        self,
        speaker: int,
        now: float,
        probability: float,
        trigger: Trigger,
        events: list[TurnEvent],
    ) -> None:
        turn = self._turns[speaker]
        turn.in_turn, turn.eager = False, False
        self._add("end_of_turn", speaker, now, probability, events, trigger)
        turn.ended += 1

    def _add(
        self,
        kind: EventType,
        speaker: int,
        now: float,
        probability: float,
        events: list[TurnEvent],
        trigger: Trigger | None = None,
    ) -> None:
        index = self._turns[speaker].ended
        events.append(TurnEvent(kind, speaker, now, probability, index, trigger))
