"""The texts of the live commands: events in plain words, and the summary at the end."""

from __future__ import annotations

import statistics
from collections import Counter, deque
from dataclasses import dataclass, field

from ..prediction import EventType, TurnEvent
from .pause_score import PauseScore
from .terminal_shapes import percent
from .terminal_verdict import Names, score_table

EXPLANATION = (
    "One speaker has the floor. In a pause it is held, or it shifts to the other. "
    "turnstream hears both and foresees which of the two, 50 times a second."
)

SPEAK = (
    "Speak, pause in mid-sentence, go on, then finish: you hold the floor in the first pause, "
    "it shifts in the last. Can turnstream tell them apart?"
)

# For each event: its sign on the time axis, and a short label for the legend.
MARKS: dict[EventType, tuple[str, str]] = {
    "start_of_turn": ("►", "begins"),
    "eager_end_of_turn": ("?", "done?"),
    "turn_resumed": ("…", "resumes"),
    "end_of_turn": ("■", "ends"),
    "backchannel": ("○", "“mhm”"),
    "interruption": ("!", "cuts in"),
}

# Commands to try after `demo` and after `listen`, with what each gives.
_SERVE = ("serve", "a server for your own program")
_PREDICT = ("predict FILE --out out.csv", "a recording, frame by frame")
_NEXT = {
    "demo": (("listen", "your microphone, without a server"), _SERVE, _PREDICT),
    "listen": (("demo --sample", "a conversation, over a websocket"), _SERVE, _PREDICT),
}

_MUTED = "; is the microphone muted or the wrong channel connected?"
_RECENT_LATENCIES = 3000  # a minute of frames; older latencies are dropped


def event_words(event: TurnEvent, names: Names, end_threshold: float) -> str:
    """Describe one event in a sentence, with its probability.

    Args:
        event: the event.
        names: names of the user and the other speaker.
        end_threshold: the policy's threshold for the end of a turn. If the probability of an end is
            lower, silence or the other speaker's start decided it.
    """
    name, other = names[event.speaker], names[1 - event.speaker]
    reader = name == "You"
    their = "your" if reader else "their"
    chance = percent(event.probability)
    match event.type:
        case "start_of_turn":
            return f"{name} started {'your' if reader else 'a'} turn"
        case "eager_end_of_turn":
            return f"{name} paused, perhaps finished ({chance})"
        case "turn_resumed":
            return f"{name} only paused, still {their} turn"
        case "end_of_turn" if event.probability >= end_threshold:
            return f"{name} finished {their} turn ({chance})"
        case "end_of_turn":
            return f"{name} fell silent, {their} turn is over"
        case "backchannel":
            return f"Backchannel from {_in_sentence(name)}: a short “mhm”, not a turn"
        case "interruption":
            return f"{name} interrupted {_in_sentence(other)} ({chance})"


def warning_words(message: str, names: Names, *, live: bool = True) -> str:
    """Return a warning about the audio, with the speaker's name in place of the channel number.

    Args:
        message: of the warning.
        names: names of the user and the other speaker.
        live: whether a microphone gives the audio. A recording is not asked about one.
    """
    for channel, name in enumerate(names):
        message = message.replace(f"channel {channel}:", f"{name}:")
    return message if live else message.replace(_MUTED, "")


@dataclass
class Tally:
    """Counts of one session.

    Attributes:
        frames: number of predictions.
        seconds: seconds of audio that the predictions cover.
        events: number of events of each type.
        latencies_s: latencies of the newest predictions, in seconds.
        score: how often the ends of turns were called right.
    """

    frames: int = 0
    seconds: float = 0.0
    events: Counter[EventType] = field(default_factory=Counter[EventType])
    latencies_s: deque[float] = field(
        default_factory=lambda: deque[float](maxlen=_RECENT_LATENCIES)
    )
    score: PauseScore = field(default_factory=PauseScore)

    def add_frame(self, time_s: float, latency_s: float | None) -> None:
        """Count one prediction.

        Args:
            time_s: seconds of audio until the prediction.
            latency_s: latency of the prediction in seconds; None if not measured.
        """
        self.frames += 1
        self.seconds = time_s
        if latency_s is not None:
            self.latencies_s.append(latency_s)

    @property
    def latency_words(self) -> str | None:
        """The median latency as text; None before the first measurement."""
        return f"{1000 * statistics.median(self.latencies_s):.1f} ms" if self.latencies_s else None

    def summary(self) -> str:
        """Return lines: seconds and predictions, the counts of events, and the score of pauses."""
        counts = [
            f"{_count(self.events['end_of_turn'], 'turn')} ended",
            _count(self.events["backchannel"], "backchannel"),
        ]
        counts.append(_count(self.events["interruption"], "interruption"))
        return (
            f"{self.seconds:.1f} s of conversation, {_count(self.frames, 'prediction')}\n"
            f"{', '.join(counts)}" + (f"\n\n{score_table(self.score)}" if self.score.pauses else "")
        )


def closing_text(command: str, tally: Tally) -> str:
    """Return the text that a live command prints at its end: a summary and other commands to try.

    Args:
        command: "demo" or "listen".
        tally: counts of what was shown.
    """
    lines = [tally.summary()]
    if tally.score.pauses:
        lines.append("")
    if tally.latency_words:
        lines.append(
            f"Delay from a frame's last sample to its prediction: {tally.latency_words} (median)"
        )
    lines += [
        "",
        "Next:",
        *(f"  turnstream {suggestion:<30}{what}" for suggestion, what in _NEXT[command]),
    ]
    return "\n".join(lines)


def _in_sentence(name: str) -> str:
    return "you" if name == "You" else name


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
