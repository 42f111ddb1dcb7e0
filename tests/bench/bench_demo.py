"""How often is the demo right about the silences of its call? Not a test: it asserts nothing.

    python tests/bench/bench_demo.py [--audio FILE] [--model FILE.onnx] [--policy balanced]
        [--no-pause-model]

Silero VAD says who spoke when. Its edges are trimmed by energy (`pip install '.[bench]'`).
Every mutual silence of 0.25 s or more between two stretches of speech is listed. It is a hold if
the same speaker continues, and a shift if the other begins.

- p_shift is read 0.25 s into the silence. It is right if it is above 0.5 in a shift, and below 0.5
  in a hold. It is p_next of the speaker who did not speak last. It depends on neither the policy
  nor the holder.
- The policy is right in a hold if it does not end the speaker's turn. Otherwise it has cut the
  speaker off. It is right in a shift if it ends the turn before the other begins. Otherwise it is
  late. "timeout" marks an end that came from the length of the silence, with the probability
  below the policy's threshold.
- Two kinds are not counted for the policy. "short": the shift came sooner than the policy may end
  a turn. "no turn": the policy had not started a turn of this speaker.

`turnstream evaluate` scores only the silences marked "*". It requires that one speaker alone
speaks in the second before and in the second after, and 3 s of context. One call is an example,
not a measurement. Use the table to see what the demo shows, not to choose a model or a policy.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from turnstream import FileSource, TurnPolicy, TurnPredictor
from turnstream.models.dialogues.activity import FRAME_RATE_HZ, BoolFrames
from turnstream.models.dialogues.annotation import speech_activity
from turnstream.models.dialogues.events import Transition, find_transitions
from turnstream.models.dialogues.manifest import Dialogue
from turnstream.stream.options import add_pause_model_option
from turnstream.stream.policy import PRESETS, PolicySettings
from turnstream.stream.prediction import Prediction, TurnEvent
from turnstream.stream.sources import bundled_sample

READ_S = 0.25  # into the silence
FRAME_S = 1 / FRAME_RATE_HZ
NAMES = ("user", "other")


@dataclass(frozen=True)
class Judged:
    """A silence, and what the model and the policy predicted in it.

    Attributes:
        silence: the silence, with what happened after it.
        strict: `evaluate` scores it, too.
        p_shift: the probability of a shift 0.25 s into the silence.
        ended: when the policy ended the turn, before anyone spoke again; None if it did not.
        verdict: the policy was right, cut off, late, short or no turn.
        timeout: the length of the silence alone caused the end.
    """

    silence: Transition
    strict: bool
    p_shift: float
    ended: TurnEvent | None
    verdict: str
    timeout: bool

    @property
    def start_s(self) -> float:
        """Start of the silence."""
        return self.silence.silence_start_frame * FRAME_S

    @property
    def length_s(self) -> float:
        """Length of the mutual silence."""
        return (self.silence.silence_end_frame - self.silence.silence_start_frame) * FRAME_S

    @property
    def p_shift_is_right(self) -> bool:
        """Whether p_shift lies on the side of 0.5 that fits what happened."""
        return (self.p_shift > 0.5) == (self.silence.kind == "shift")


def predict(
    path: Path, model: Path | None, settings: PolicySettings, *, pause_model: bool | None
) -> tuple[list[Prediction], list[TurnEvent]]:
    """Return the predictions and events of a recording, as the demo computes them."""
    source = FileSource(path)
    predictor = TurnPredictor(model, sample_rate_hz=source.sample_rate_hz, pause_model=pause_model)
    policy = TurnPolicy(settings)
    predictions = [p for block in source for p in predictor.push_audio(block)] + predictor.flush()
    source.close()
    return predictions, [event for p in predictions for event in policy.update(p)]


def judge(
    activity: BoolFrames,
    predictions: Sequence[Prediction],
    events: Sequence[TurnEvent],
    settings: PolicySettings,
) -> list[Judged]:
    """Judge every silence of at least 0.25 s between stretches of speech, in order of time."""
    strict = {silence.silence_start_frame for silence in find_transitions(activity)}
    read_frames = math.ceil(READ_S * FRAME_RATE_HZ) - 1
    judged: list[Judged] = []
    for silence in find_transitions(
        activity, least_silence_s=READ_S, context_s=FRAME_S, not_before_s=0.0
    ):
        frame = silence.silence_start_frame
        read = predictions[min(len(predictions) - 1, frame + read_frames)]
        ended = _end_in(silence, events)
        in_turn = ended is not None or _in_turn(silence.previous, frame * FRAME_S, events)
        judged.append(
            Judged(
                silence=silence,
                strict=frame in strict,
                p_shift=read.p_next[1 - silence.previous],
                ended=ended,
                verdict=_verdict(silence, in_turn, ended, settings),
                timeout=ended is not None and ended.probability < settings.end_threshold,
            )
        )
    return judged


def _end_in(silence: Transition, events: Sequence[TurnEvent]) -> TurnEvent | None:
    """Return the first end of the speaker's turn in a silence.

    An end that the other's speech caused does not count.
    """
    start_s, next_s = (
        f * FRAME_S for f in (silence.silence_start_frame, silence.silence_end_frame)
    )
    inside = [event for event in events if start_s < event.time_s <= next_s]
    others = {
        e.time_s for e in inside if e.type == "start_of_turn" and e.speaker != silence.previous
    }
    own = [e for e in inside if e.type == "end_of_turn" and e.speaker == silence.previous]
    return next((event for event in own if event.time_s not in others), None)


def _in_turn(speaker: int, time_s: float, events: Sequence[TurnEvent]) -> bool:
    """Return whether the policy had a speaker in a turn at a time."""
    before = [event for event in events if event.speaker == speaker and event.time_s <= time_s]
    turns = [event.type for event in before if event.type in ("start_of_turn", "end_of_turn")]
    return bool(turns) and turns[-1] == "start_of_turn"


def _verdict(
    silence: Transition, in_turn: bool, ended: TurnEvent | None, settings: PolicySettings
) -> str:
    length_s = (silence.silence_end_frame - silence.silence_start_frame) * FRAME_S
    if not in_turn:
        return "no turn"
    if silence.kind == "hold":
        return "right" if ended is None else "cut off"
    if ended is not None:
        return "right"
    return "short" if length_s < settings.end_silence_secs else "late"


def table(judged: Sequence[Judged], settings: PolicySettings) -> str:
    """Return a line for each silence, and the counts."""
    titles = f"{'speaker':<8}{'what happened':<15}{'p_shift at 0.25 s':<20}policy"
    lines = [f"{'from':>7} {'length':>7}  {titles}"]
    for one in judged:
        mark = "*" if one.strict else ""
        said = f"{100 * one.p_shift:3.0f} %  {'right' if one.p_shift_is_right else 'wrong'}"
        policy = one.verdict
        if one.ended is not None:
            after_s, timeout = one.ended.time_s - one.start_s, ", timeout" if one.timeout else ""
            policy += (
                f" (ended after {after_s:.2f} s, {100 * one.ended.probability:.0f} %{timeout})"
            )
        happened = f"{NAMES[one.silence.previous]:<8}{one.silence.kind + mark:<15}"
        lines.append(f"{one.start_s:6.2f}s {one.length_s:6.2f}s  {happened}{said:<20}{policy}")
    lines.append("")
    lines.append(f"all: {_counts(judged)}")
    lines.append(f"*:   {_counts([one for one in judged if one.strict])}")
    right = [one for one in judged if one.verdict == "right"]
    delays = [one.ended.time_s - one.start_s for one in right if one.ended is not None]
    if delays:
        came = f"came {np.median(delays):.2f} s after the last speech (median)"
        by_timeout = f"{sum(one.timeout for one in right)} of {len(delays)} by timeout"
        lines.append(f"ends of turn that were right {came}; {by_timeout}")
    least = f"{settings.end_silence_secs:g} s at least, {settings.timeout_secs:g} s at most"
    lines.append(f"the policy waits {least}, and ends from {100 * settings.end_threshold:.0f} % on")
    return "\n".join(lines)


def _counts(group: Sequence[Judged]) -> str:
    parts: list[str] = []
    for kind in ("shift", "hold"):
        of_kind = [one for one in group if one.silence.kind == kind]
        counted = [one for one in of_kind if one.verdict in ("right", "cut off", "late")]
        said = f"p_shift right in {sum(one.p_shift_is_right for one in of_kind)} of {len(of_kind)}"
        decided = sum(one.verdict == "right" for one in counted)
        parts.append(f"{kind}s: {said}, policy in {decided} of {len(counted)}")
    return "; ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--audio",
        type=Path,
        default=bundled_sample(),
        help="stereo file (default: the bundled call)",
    )
    parser.add_argument("--model", type=Path, help="ONNX model (default: the bundled one)")
    parser.add_argument("--policy", choices=sorted(PRESETS), default="balanced")
    add_pause_model_option(parser)
    args = parser.parse_args()
    settings = PRESETS[args.policy]
    activity, _ = speech_activity(
        Dialogue("call", (args.audio,), ("0", "1"), activity_from="audio")
    )
    print(f"{args.audio.name}, policy {args.policy}; user is channel 0, other channel 1")
    print(
        table(
            judge(
                activity,
                *predict(args.audio, args.model, settings, pause_model=args.pause_model),
                settings,
            ),
            settings,
        )
    )


if __name__ == "__main__":
    main()
