"""How often noise starts a turn, and how many true starts are found. Asserts nothing.

    python tests/bench/bench_false_starts.py [--model FILE.onnx] [--calls MANIFEST] [--seconds 30]

Everything is measured without and with the policy's rules on levels.

Noise: for each kind and level, the table shows false starts a minute, "without the rules > with
them". The noise is heard alone, after a turn of the same speaker, and while the other speaks. The
level of an intermittent sound leaves out the silence between its parts.

Calls (needs the bench extra): the manifest says who speaks when, mostly from Silero VAD. A true
start is speech of 0.3 s or more after 0.5 s of the speaker's silence, while the other is silent.
It is found if the speaker's turn starts from 0.3 s before it to 1 s after it, or already lasts. A
false start has no speech of its speaker from 0.3 s before to 0.1 s after it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from noise_kinds import at_level, intermittent_kinds, steady_kinds

from turnstream import Engine, TurnPolicy
from turnstream.models.dialogues.activity import BoolFrames, Samples, runs
from turnstream.models.dialogues.annotation import load_annotated
from turnstream.models.dialogues.manifest import read_manifest
from turnstream.models.dialogues.utterances import SAMPLE_RATE_HZ
from turnstream.stream.bench import sample_audio
from turnstream.stream.floor import FloorTracker
from turnstream.stream.pcm import to_float32
from turnstream.stream.policy import PRESETS, PolicySettings
from turnstream.stream.prediction import SILENCE_DBFS, Pair, TurnEvent
from turnstream.stream.session import Session

FRAME_S = 0.02
STEADY_DBFS = (-75, -68, -60, -50, -40, -30)
INTERMITTENT_DBFS = (-70, -55, -45, -35, -25, -12)
GAINS_DB = (0, -20, -30)
OWN_TURN_S = 8.0  # length of the speech before the noise
SPEECH_DBFS = -20.0


@dataclass
class Heard:
    """One conversation: the voice activity of each frame, and the events under each rule set."""

    vad: list[Pair]
    events: list[list[TurnEvent]]


def hear(engine: Engine, audios: Sequence[Samples], rules: Sequence[PolicySettings]) -> list[Heard]:
    """Run conversations, (N, 2) each, in one batch."""
    sessions: list[Session] = []
    for audio in audios:
        session = Session(engine.metadata, policy=None, buffer_s=len(audio) / SAMPLE_RATE_HZ + 1)
        session.push_audio(to_float32(audio))
        session.flush()
        sessions.append(session)
    policies = [[TurnPolicy(settings) for settings in rules] for _ in sessions]
    heard = [Heard([], [[] for _ in rules]) for _ in sessions]
    while running := [n for n, session in enumerate(sessions) if session.frames_waiting]:
        frames = np.stack([sessions[n].take_frame() for n in running])
        output, states = engine.step(frames, np.stack([sessions[n].state for n in running]))
        for row, n in enumerate(running):
            sessions[n].state = states[row]
            prediction = sessions[n].accept(output, row)
            heard[n].vad.append(prediction.vad)
            for policy, events in zip(policies[n], heard[n].events, strict=True):
                events.extend(policy.update(prediction))
    return heard


# ---- noise ----


def measure_noise(engine: Engine, rules: Sequence[PolicySettings], seconds: float) -> None:
    """Print tables: false starts a minute for noise in the user's channel."""
    length = round(seconds * SAMPLE_RATE_HZ)
    sample = sample_audio(SAMPLE_RATE_HZ)
    own = at_level(sample[: round(OWN_TURN_S * SAMPLE_RATE_HZ), 0], SPEECH_DBFS)
    other = np.resize(sample[:, 1], length)
    families = ((steady_kinds(sample.T), STEADY_DBFS), (intermittent_kinds(), INTERMITTENT_DBFS))
    sounds = [
        (name, level, at_level(kind(length, np.random.default_rng(number)), level))
        for kinds, levels in families
        for number, (name, kind) in enumerate(kinds.items())
        for level in levels
    ]
    scenes = {
        "alone": ([np.stack([sound, np.zeros_like(sound)], axis=1) for *_, sound in sounds], 0.0),
        "after a turn of the same speaker": (
            [_pair(np.concatenate([own, sound]), np.zeros(0, np.float32)) for *_, sound in sounds],
            OWN_TURN_S,
        ),
        "while the other speaks": ([_pair(sound, other) for *_, sound in sounds], 0.0),
    }
    for scene, (audios, from_s) in scenes.items():
        heard = hear(engine, audios, rules)
        print(f"\nfalse starts a minute, {scene}", flush=True)
        for kinds, levels in families:
            print(f"{'':18}" + "".join(f"{level:>6} dBFS" for level in levels))
            for name in kinds:
                cells = [
                    _starts(found.events, from_s, seconds)
                    for (kind, *_), found in zip(sounds, heard, strict=True)
                    if kind == name
                ]
                print(
                    f"{name:18}"
                    + "".join(f"{before:5.0f} >{after:4.0f}" for before, after in cells)
                )


def _pair(user: Samples, other: Samples) -> Samples:
    return np.stack([user, np.pad(other, (0, len(user) - len(other)))], axis=1)


def _starts(events: Sequence[Sequence[TurnEvent]], from_s: float, seconds: float) -> list[float]:
    """Return the user's turn starts a minute, under each set of rules."""
    return [
        60
        / seconds
        * sum(e.type == "start_of_turn" and e.speaker == 0 and e.time_s > from_s for e in found)
        for found in events
    ]


# ---- calls ----


@dataclass
class Starts:
    """Counts of found, missed and false turn starts in some calls."""

    true: int = 0
    found: int = 0
    false: int = 0
    minutes: float = 0.0
    delays_s: tuple[float, ...] = ()
    backchannels: int = 0
    interruptions: int = 0

    def __str__(self) -> str:
        middle, late = np.percentile(self.delays_s, [50, 90])
        return (
            f"{self.found:4} of {self.true} found, delay {middle:.2f} s (90 %: {late:.2f} s), "
            f"{self.false / self.minutes:5.2f} false a minute, "
            f"{self.backchannels} backchannels, {self.interruptions} interruptions"
        )

    def count(self, events: Sequence[TurnEvent], activity: BoolFrames) -> None:
        """Add one call, activity (2, T)."""
        self.minutes += activity.shape[1] * FRAME_S / 60
        self.backchannels += sum(event.type == "backchannel" for event in events)
        self.interruptions += sum(event.type == "interruption" for event in events)
        for speaker, (active, others) in enumerate(zip(activity, activity[::-1], strict=True)):
            starts_s = [
                event.time_s
                for event in events
                if event.type == "start_of_turn" and event.speaker == speaker
            ]
            ends_s = [
                event.time_s
                for event in events
                if event.type == "end_of_turn" and event.speaker == speaker
            ]
            for first, last in runs(active):
                if (
                    last - first < 15
                    or first < 25
                    or active[first - 25 : first].any()
                    or others[first - 10 : first + 10].any()
                ):
                    continue
                self.true += 1
                delays_s = [
                    start_s - first * FRAME_S
                    for start_s in starts_s
                    if -0.3 <= start_s - first * FRAME_S <= 1
                ]
                before_s = first * FRAME_S - 0.3
                lasts = sum(time_s < before_s for time_s in starts_s) > sum(
                    time_s < before_s for time_s in ends_s
                )
                self.found += bool(delays_s) or lasts
                self.delays_s += tuple(delays_s[:1])
            frames = [round(start_s / FRAME_S) for start_s in starts_s]
            self.false += sum(not active[max(0, frame - 15) : frame + 5].any() for frame in frames)


def measure_calls(engine: Engine, rules: Sequence[PolicySettings], manifest: Path) -> None:
    """Print voice activity against the annotation, and how starts are found, at several gains."""
    calls = [load_annotated(dialogue, SAMPLE_RATE_HZ)[:2] for dialogue in read_manifest(manifest)]
    for gain_db in GAINS_DB:
        heard = hear(
            engine,
            [(audio.T * 10 ** (gain_db / 20)).astype(np.float32) for audio, _ in calls],
            rules,
        )
        missed = extra = speech = silence = 0
        starts = [Starts() for _ in rules]
        for call, (_, annotated) in zip(heard, calls, strict=True):
            tracker, frames = FloorTracker(), min(len(call.vad), annotated.shape[1])
            activity, active = annotated[:, :frames], np.zeros((2, frames), bool)
            for frame, vad in enumerate(call.vad[:frames]):
                tracker.update(vad, FRAME_S)
                active[:, frame] = tracker.active
            speech, silence = speech + int(activity.sum()), silence + int((~activity).sum())
            missed, extra = (
                missed + int((activity & ~active).sum()),
                extra + int((active & ~activity).sum()),
            )
            for found, events in zip(starts, call.events, strict=True):
                found.count(events, activity)
        print(
            f"\ncalls at {gain_db} dB: voice activity misses {missed / speech:.1%} of speech, "
            f"hears speech in {extra / silence:.1%} of silence"
        )
        for name, found in zip(("without the rules", "with them"), starts, strict=True):
            print(f"  {name:18}{found}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="ONNX model (default: the bundled one)")
    parser.add_argument("--policy", choices=PRESETS, default="balanced")
    parser.add_argument("--calls", type=Path, metavar="MANIFEST", help="manifest of recorded calls")
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="length of each noise in s (default: 30)"
    )
    args = parser.parse_args()
    engine, preset = Engine(args.model), PRESETS[args.policy]
    rules = (replace(preset, min_level_dbfs=SILENCE_DBFS, speech_range_db=-SILENCE_DBFS), preset)
    print(
        f"{engine.metadata.name} {engine.metadata.version} "
        f"({engine.metadata.weights_sha256[:12]}), policy {args.policy}"
    )
    if args.calls:
        measure_calls(engine, rules, args.calls)
    measure_noise(engine, rules, args.seconds)


if __name__ == "__main__":
    main()
