"""Cut-ins and latency of pipecat with turnstream and with Smart Turn v3. Asserts nothing.

    python -m tests.bench.bench_pipecat --calls MANIFEST [--policy balanced] [--only NAME ...]
        [--folds FOLDER --judge FOLDER]

Each speaker of each call is the user of one real pipecat pipeline per system. The audio comes in
pieces of 20 ms. The pipeline's UserStoppedSpeakingFrames are compared with the pauses that
`find_pauses` finds in the annotation: a hold is cut off if a turn was ended inside it. The latency
of an end of turn counts from its first silent frame; an end that is not called before the user
speaks again, or within 4 s, counts as never called. Starts are false if the annotation has no
speech of the user from 0.3 s before to 0.1 s after them.

- turnstream: its strategies, with the user's channel alone, and with the other speaker's as the
  voice of the bot, both with the pause model; and the user alone without it. With --folds and
  --judge, network and pause model have not learned from the call.
- analyzer: turnstream's plain turn analyzer and VAD, in pipecat's own strategies.
- smart turn: pipecat's defaults, LocalSmartTurnAnalyzerV3 after SileroVADAnalyzer (0.2 s).

All pipelines run on a virtual clock, so the load of the machine does not matter: a latency counts
audio, not the time that a network takes. That time is the last column, as processor time of the
whole pipeline per minute of audio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from pipecat.audio.turn.base_turn_analyzer import BaseTurnAnalyzer
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADAnalyzer
from pipecat.frames.frames import (
    InputAudioRawFrame,
    OutputAudioRawFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import TurnAnalyzerUserTurnStopStrategy
from pipecat.turns.user_turn_processor import UserTurnProcessor
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from turnstream import PRESETS, Engine, PauseModel
from turnstream.models.dialogues.activity import FRAME_RATE_HZ, BoolFrames, Samples
from turnstream.models.dialogues.annotation import load_annotated
from turnstream.models.dialogues.events import Pause, find_pauses
from turnstream.models.dialogues.manifest import read_manifest
from turnstream.models.evaluation.policy_trial import EARLY_S, LATE_S
from turnstream.models.evaluation.systems import load_engines, load_pause_models
from turnstream.stream.adapters.pipecat import (
    TurnstreamProcessor,
)
from turnstream.stream.adapters.pipecat_analyzer import (
    TurnstreamTurnAnalyzer,
    TurnstreamVADAnalyzer,
)

from ..stream.adapters.pipecat_call import Timed, microphone, run_call

RATE_HZ = 16000

# Builds the pipeline of a call with its network and its pause model.
Build = Callable[[Engine, PauseModel | None], list[FrameProcessor]]


@dataclass
class Score:
    """What one system did in all calls."""

    holds: int = 0
    cut: int = 0
    waits_s: list[float] = field(default_factory=list)  # of ends of turns; infinite: never called
    starts: int = 0
    false_starts: int = 0
    cpu_s: float = 0.0
    audio_s: float = 0.0

    def add(
        self,
        starts_s: list[float],
        ends_s: list[float],
        pauses: Iterable[Pause],
        active: BoolFrames,
    ) -> None:
        """Add one speaker of a call; activity is (T,)."""
        for pause in pauses:
            start_s = pause.start_frame / FRAME_RATE_HZ
            length_s = (pause.end_frame - pause.start_frame) / FRAME_RATE_HZ
            wait_s = next((end - start_s for end in ends_s if end >= start_s - EARLY_S), np.inf)
            if pause.kind == "hold":
                self.holds, self.cut = self.holds + 1, self.cut + (wait_s < length_s)
            else:
                self.waits_s.append(wait_s if wait_s < min(LATE_S, length_s) else np.inf)
        frames = [round(start_s * FRAME_RATE_HZ) for start_s in starts_s]
        self.starts += len(frames)
        self.false_starts += sum(
            not active[max(0, frame - 15) : frame + 5].any() for frame in frames
        )
        self.audio_s += len(active) / FRAME_RATE_HZ

    def row(self, name: str) -> str:
        waits = np.array(self.waits_s)
        called = waits[np.isfinite(waits)]
        median, mean = (np.median(called), called.mean()) if len(called) else (np.nan, np.nan)
        minutes = self.audio_s / 60
        return (
            f"| {name:32} | {self.cut:3} of {self.holds} ({self.cut / max(1, self.holds):4.0%}) "
            f"| {median:.2f} / {mean:.2f} | {len(waits) - len(called):2} of {len(waits)} "
            f"| {self.starts / minutes:5.1f} | {self.false_starts / minutes:4.1f} "
            f"| {self.cpu_s / minutes:5.1f} |"
        )


def bot_voice(other: Samples) -> Iterable[Timed]:
    """Return the frames of the bot's voice, (N,), each when the transport begins to play it."""
    for time_s, frame in microphone(other, RATE_HZ, 0.04):
        assert isinstance(frame, InputAudioRawFrame)
        yield time_s - 0.04, OutputAudioRawFrame(frame.audio, RATE_HZ, 1)


def turnstream_pipeline(
    policy: str, engine: Engine, pause_model: PauseModel | None
) -> list[FrameProcessor]:
    turns = TurnstreamProcessor(policy, model=engine, pause_model=pause_model or False)
    strategies = turns.strategies(wait_for_transcript=False, enable_interruptions=False)
    return [turns, UserTurnProcessor(user_turn_strategies=strategies), turns.bot_voice()]


def analyzer_pipeline(analyzer: BaseTurnAnalyzer, vad: VADAnalyzer) -> list[FrameProcessor]:
    strategies = UserTurnStrategies(
        start=[VADUserTurnStartStrategy(enable_interruptions=False)],
        stop=[TurnAnalyzerUserTurnStopStrategy(turn_analyzer=analyzer, wait_for_transcript=False)],
    )
    return [VADProcessor(vad_analyzer=vad), UserTurnProcessor(user_turn_strategies=strategies)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=Path, required=True, metavar="MANIFEST")
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--model", type=Path, help="ONNX model (default: the bundled one)")
    model.add_argument("--folds", type=Path, help="folder of `turnstream cross-validate`")
    parser.add_argument("--judge", type=Path, help="folder of `turnstream pretrain judge`")
    parser.add_argument("--policy", choices=PRESETS, nargs="+", default=["balanced"])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="calls whose id contains NAME")
    parser.add_argument("--analyzer", action="store_true", help="measure the plain analyzer, too")
    parser.add_argument("--seconds", type=float, help="of each call, from its start (default: all)")
    args = parser.parse_args()
    dialogues = [
        dialogue
        for dialogue in read_manifest(args.calls)
        if not args.only or any(name in dialogue.id for name in args.only)
    ]
    engines = load_engines(args.model, args.folds, dialogues)
    pause_models = load_pause_models(True, args.judge, engines)
    assert pause_models is not None
    # Per system: how to build its pipeline, and whether the bot is heard.
    systems: dict[str, tuple[Build, bool]] = {
        "smart turn v3, pipecat's defaults": (
            lambda *_: analyzer_pipeline(LocalSmartTurnAnalyzerV3(), SileroVADAnalyzer()),
            False,
        )
    }
    for policy in args.policy:
        systems[f"turnstream {policy}, user alone"] = partial(turnstream_pipeline, policy), False
        systems[f"turnstream {policy}, bot's voice"] = partial(turnstream_pipeline, policy), True
        systems[f"turnstream {policy}, network alone"] = (
            lambda engine, _, policy=policy: turnstream_pipeline(policy, engine, None),
            False,
        )
        if args.analyzer:
            systems[f"turnstream {policy}, analyzer"] = (
                lambda engine, _, policy=policy: analyzer_pipeline(
                    TurnstreamTurnAnalyzer(policy, model=engine),
                    TurnstreamVADAnalyzer(policy, model=engine),
                ),
                False,
            )
    scores = {name: Score() for name in systems}
    for dialogue in dialogues:
        audio, activity, backchannel = load_annotated(dialogue, RATE_HZ)
        if args.seconds:
            audio = audio[:, : round(args.seconds * RATE_HZ)]
            activity, backchannel = (
                frames[:, : round(args.seconds * FRAME_RATE_HZ)]
                for frames in (activity, backchannel)
            )
        pauses = find_pauses(activity & ~backchannel)
        for name, (build, with_bot) in systems.items():
            began_s = time.process_time()
            for user in (0, 1):
                bot = bot_voice(audio[1 - user]) if with_bot else ()
                pipeline = build(engines[dialogue.id], pause_models[dialogue.id])
                call = run_call(pipeline, microphone(audio[user], RATE_HZ), bot, rate_hz=RATE_HZ)
                scores[name].add(
                    call.times(UserStartedSpeakingFrame),
                    call.times(UserStoppedSpeakingFrame),
                    [pause for pause in pauses if pause.speaker == user],
                    activity[user],
                )
            scores[name].cpu_s += time.process_time() - began_s
            print(f"{dialogue.id}: {name}", flush=True)
    print(
        "\n| system | holds cut off | latency, median / mean s | never called | starts/min "
        "| false | CPU s/min |\n|---|---|---|---|---|---|---|"
    )
    for name, score in scores.items():
        print(score.row(name))


if __name__ == "__main__":
    main()
