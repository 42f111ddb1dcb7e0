"""Turns predictions into turn events, by rules that a dialogue system can tune.

Each speaker has a small state machine: idle, or in a turn. Within a turn, the model judges the
silences.

- `start_of_turn`: the speaker has spoken for `start_secs`, and the other is not in a turn. Or the
  speaker took the floor from the other (see below). If both begin in the same frame, the user is
  first.
- `eager_end_of_turn`: the silence has lasted `eager_silence_secs`, and the probability that the
  other holds the floor next is at least `eager_threshold`. `turn_resumed` follows if the speaker
  continues, else `end_of_turn`.
- `end_of_turn`: one of these is true:
  - The silence has lasted `end_silence_secs`, and the probability is at least `end_threshold`.
  - The silence has lasted `end_silence_secs`, and the other is in a turn and speaking.
  - The silence has lasted `timeout_secs`.
  - The other takes the floor in the silence.
- Speech within the other's turn is judged after `overlap_secs` if it overlaps the other's speech,
  else after `start_secs`. It is a `backchannel` if the model's probability for one is at least
  `backchannel_threshold`. Overlapping speech is also a `backchannel` if it ends before it is judged
  and lasted `start_secs`. Otherwise the speaker takes the floor, which is an `interruption` if the
  other is speaking, and then a `start_of_turn`.
- A backchannel that lasts `backchannel_max_secs` takes the floor in the same way. It becomes a
  `start_of_turn` at once if the other's turn has ended. A gap of less than 0.2 s does not end a
  backchannel.

Only loud frames count towards `start_secs`. A frame is loud at `min_level_dbfs` or more, unless it
is more than `speech_range_db` below the usual level of this speaker's turns. So faint noise,
breaths and distant sounds start nothing. Within a turn the level does not matter. A prediction
without a level counts as loud.

All times count audio, never the wall clock. The names follow Deepgram Flux and pipecat.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .errors import PolicyError
from .floor import MIN_LEVEL_DBFS, reached
from .prediction import SILENCE_DBFS, Prediction, TurnEvent

BRIDGE_S = 0.2  # the usual shortest gap between two inter-pausal units
LEVEL_S = 1.0  # time constant of a speaker's usual level
# The usual level falls by so much per second of speech that is too quiet to start a turn.
# So a speaker who moved away from the microphone is heard again after a while.
LEVEL_FALL_DB = 10.0

_RANGES = {  # last word of a setting's name: its smallest and largest value
    "threshold": (0.0, 1.0),
    "secs": (0.0, 60.0),
    "dbfs": (SILENCE_DBFS, 0.0),
    "db": (0.0, -SILENCE_DBFS),
}


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """The settings of a `TurnPolicy`. The module's docstring says how they are used.

    Thresholds are probabilities in [0, 1]. Times are in seconds of audio, in [0, 60].

    Attributes:
        end_threshold: least probability for `end_of_turn`.
        end_silence_secs: least silence for `end_of_turn`.
        timeout_secs: silence that ends a turn at any probability; at least `end_silence_secs`.
        eager_threshold: least probability for `eager_end_of_turn`; at most `end_threshold`.
        eager_silence_secs: least silence for `eager_end_of_turn`; at most `end_silence_secs`.
        start_secs: loud speech that starts a turn.
        overlap_secs: overlapping speech after which the model judges it.
        backchannel_threshold: least probability for `backchannel`.
        backchannel_max_secs: a backchannel of this length takes the floor.
        min_level_dbfs: a frame below this level does not count towards `start_secs`; -120 turns
            this off.
        speech_range_db: neither does a frame more than this below the usual level of the speaker's
            turns; 120 turns this off.

    Raises:
        PolicyError: a value is out of range, an eager value is above the final one, or
            `timeout_secs` is below `end_silence_secs`.
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
    min_level_dbfs: float = MIN_LEVEL_DBFS
    speech_range_db: float = 25.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            low, high = _RANGES[item.name.rsplit("_", 1)[1]]
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not low <= value <= high
            ):
                raise PolicyError(
                    f"{item.name}: expected a number from {low:g} to {high:g}, got {value!r}"
                )
        if (
            self.eager_threshold > self.end_threshold
            or self.eager_silence_secs > self.end_silence_secs
        ):
            eager = (
                f"eager_threshold {self.eager_threshold} "
                f"and eager_silence_secs {self.eager_silence_secs}"
            )
            raise PolicyError(
                f"expected eager values of at most end_threshold {self.end_threshold} "
                f"and end_silence_secs {self.end_silence_secs}, got {eager}"
            )
        if self.timeout_secs < self.end_silence_secs:
            raise PolicyError(
                f"expected timeout_secs >= end_silence_secs ({self.end_silence_secs}), "
                f"got {self.timeout_secs}"
            )


# Chosen from the Pareto front of latency and cut-offs that `turnstream evaluate` measures on the
# validation calls. The model hears one speaker's channel at a time there.
PRESETS: dict[str, PolicySettings] = {
    "fast": PolicySettings(
        end_threshold=0.38,
        end_silence_secs=0.4,
        timeout_secs=1.5,
        eager_threshold=0.30,
        eager_silence_secs=0.1,
    ),
    "balanced": PolicySettings(
        end_threshold=0.40,
        end_silence_secs=0.6,
        timeout_secs=2.0,
        eager_threshold=0.34,
        eager_silence_secs=0.2,
    ),
    "patient": PolicySettings(
        end_threshold=0.46,
        end_silence_secs=0.9,
        timeout_secs=2.5,
        eager_threshold=0.40,
        eager_silence_secs=0.3,
    ),
}


def policy_settings(policy: str | PolicySettings) -> PolicySettings:
    """Return the settings of a preset, or the given settings.

    Raises:
        PolicyError: there is no preset of this name.
    """
    if isinstance(policy, PolicySettings):
        return policy
    if policy not in PRESETS:
        raise PolicyError(
            f"expected a policy of {', '.join(PRESETS)} or PolicySettings, got {policy!r}"
        )
    return PRESETS[policy]


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
    power: float = 0.0  # usual power of this speaker's turns; 0 before the first turn

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> _Turn:
        """Restore a state from the values of `asdict`; raises ValueError if they are wrong."""
        numbers = [plain[name] for name in ("last_speech_s", "loud_s", "power")]
        if plain["speech_start_s"] is not None:
            numbers.append(plain["speech_start_s"])
        flags = [plain[name] for name in ("in_turn", "eager", "overlapping", "backchannel")]
        if not all(math.isfinite(number) and number >= 0 for number in numbers) or not all(
            isinstance(flag, bool) for flag in flags
        ):
            raise ValueError(
                f"expected finite numbers from 0 and truth values of a turn, got {plain!r}"
            )
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

    def __post_init__(self) -> None:
        policy_settings(self.settings)

    def update(self, prediction: Prediction) -> list[TurnEvent]:
        """Process the next prediction and return the events that it causes, in order."""
        settings = policy_settings(self.settings)
        events: list[TurnEvent] = []
        for speaker in (0, 1):
            if prediction.active[speaker]:
                self._speaking(speaker, prediction, settings, events)
            else:
                self._silent(speaker, prediction, settings, events)
        return events

    def to_plain(self) -> dict[str, Any]:
        """Return the state without the settings, as JSON values."""
        return {"turns": [asdict(turn) for turn in self._turns]}

    def restore(self, plain: dict[str, Any]) -> None:
        """Restore the state from the values of `to_plain`.

        Raises:
            ValueError, KeyError, TypeError: the values are not from `to_plain`.
        """
        first, second = plain["turns"]
        self._turns = (_Turn.from_plain(first), _Turn.from_plain(second))

    def _speaking(
        self,
        speaker: int,
        prediction: Prediction,
        settings: PolicySettings,
        events: list[TurnEvent],
    ) -> None:
        turn, other = self._turns[speaker], self._turns[1 - speaker]
        now, frame_s = prediction.time_s, prediction.frame_s
        turn.last_speech_s = now
        if turn.speech_start_s is None:
            turn.speech_start_s, turn.loud_s = now - frame_s, 0.0
            turn.overlapping = not turn.in_turn and other.in_turn and prediction.active[1 - speaker]
        if prediction.level_dbfs is None or turn.is_loud(
            prediction.level_dbfs[speaker], frame_s, settings
        ):
            turn.loud_s += frame_s
        if turn.in_turn:
            if turn.eager:
                turn.eager = False
                events.append(TurnEvent("turn_resumed", speaker, now, prediction.vad[speaker]))
            return
        if not reached(turn.loud_s, settings.start_secs):
            return
        spoken = now - turn.speech_start_s
        if turn.backchannel:
            if reached(spoken, settings.backchannel_max_secs) or not other.in_turn:
                self._take_floor(speaker, prediction, events)
        elif not other.in_turn:
            self._take_floor(speaker, prediction, events)
        elif turn.overlapping:
            if reached(spoken, settings.overlap_secs):
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
                turn.speech_start_s, turn.overlapping, turn.backchannel = None, False, False
        if not turn.in_turn:
            return
        p_end = prediction.p_next[1 - speaker]
        other_goes_on = other.in_turn and prediction.active[1 - speaker]
        due = reached(silence, settings.end_silence_secs) and (
            other_goes_on or p_end >= settings.end_threshold
        )
        if due or reached(silence, settings.timeout_secs):
            self._end(speaker, now, p_end, events)
        elif (
            not turn.eager
            and reached(silence, settings.eager_silence_secs)
            and p_end >= settings.eager_threshold
        ):
            turn.eager = True
            events.append(TurnEvent("eager_end_of_turn", speaker, now, p_end))

    def _judge(
        self,
        speaker: int,
        prediction: Prediction,
        settings: PolicySettings,
        events: list[TurnEvent],
    ) -> None:
        """Decide whether speech within the other's turn is a backchannel or takes the floor."""
        if prediction.p_backchannel[speaker] >= settings.backchannel_threshold:
            self._call_backchannel(speaker, prediction, events)
        else:
            self._take_floor(speaker, prediction, events)

    def _call_backchannel(
        self, speaker: int, prediction: Prediction, events: list[TurnEvent]
    ) -> None:
        self._turns[speaker].backchannel = True
        events.append(
            TurnEvent("backchannel", speaker, prediction.time_s, prediction.p_backchannel[speaker])
        )

    def _take_floor(self, speaker: int, prediction: Prediction, events: list[TurnEvent]) -> None:
        """Start a turn. The other's turn ends if it is silent, else it is interrupted."""
        turn, other = self._turns[speaker], self._turns[1 - speaker]
        now = prediction.time_s
        if other.in_turn:
            if prediction.active[1 - speaker]:
                events.append(
                    TurnEvent("interruption", speaker, now, 1 - prediction.p_backchannel[speaker])
                )
            else:
                self._end(1 - speaker, now, prediction.p_next[speaker], events)
        turn.in_turn, turn.eager, turn.overlapping, turn.backchannel = True, False, False, False
        events.append(TurnEvent("start_of_turn", speaker, now, prediction.vad[speaker]))

    def _end(self, speaker: int, now: float, probability: float, events: list[TurnEvent]) -> None:
        turn = self._turns[speaker]
        turn.in_turn, turn.eager = False, False
        events.append(TurnEvent("end_of_turn", speaker, now, probability))
