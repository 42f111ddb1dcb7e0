"""Shift/hold and the end-of-turn frontier on real dialogues.

    python tests/bench/bench_dialogues.py MANIFEST [--model CHECKPOINT_FOLDER] [--onnx FILE]

Prints shift/hold AUC and balanced accuracy, stereo and with only the speaker's channel (mono). Then, each speaker's channel
alone, as a dialogue system hears a user, and beside a plain silence timer: the fewest cut-offs at a mean latency, and the
shortest latency at a share of cut-offs, with the settings that reach them. Last, what the runtime's policy does with each
preset: a hold is cut off if its speaker's turn ends inside the pause; latency is from a pause's start to the end of turn.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from turnstream import PRESETS, Engine, TurnPolicy, TurnPredictor
from turnstream.models.checkpoint import bundled_checkpoint, load_checkpoint
from turnstream.models.dialogues.activity import FRAME_RATE_HZ
from turnstream.models.dialogues.annotation import speech_activity
from turnstream.models.dialogues.manifest import Dialogue, load_audio, read_manifest
from turnstream.models.training.evaluation import next_holder_probabilities, shift_hold_report
from turnstream.models.training.frontier import OperatingPoint, best_cut_off, best_latency, find_pauses, operating_points, read_scores

EARLY_S, LATE_S = 0.05, 4.0  # the detector's idea of a pause's start may lag the policy's; beyond 4 s a turn counts as never ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", type=Path, default=bundled_checkpoint())
    parser.add_argument("--onnx", type=Path, help="the exported model, for the policy (default: the bundled one)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_checkpoint(args.model)
    dialogues = read_manifest(args.manifest)
    for name in ("stereo", "mono"):
        for row in shift_hold_report(model, dialogues, mono=name == "mono").rows:
            low, high = row.auc_interval
            interval = f"[{low:.2f}, {high:.2f}]"
            counts = f"({row.shifts} shifts, {row.holds} holds)"
            print(f"{name:6} {row.silence_ms:3} ms: AUC {row.auc:.3f} {interval}, balanced accuracy {row.balanced_accuracy:.3f} {counts}")
    pauses, scores = [], []
    for dialogue in dialogues:
        audio = load_audio(dialogue, model.config.features.sample_rate_hz)
        found = find_pauses(speech_activity(dialogue)[0], FRAME_RATE_HZ)
        for speaker in (0, 1):
            alone = np.zeros_like(audio)
            alone[speaker] = audio[speaker]
            p_next = next_holder_probabilities(model, alone)[1 - speaker]
            own = [pause for pause in found if pause.speaker == speaker]
            pauses += own
            scores += [read_scores(p_next, pause, model.config.frame_rate_hz) for pause in own]
    table = np.array(scores)
    ends = sum(pause.length_s is None for pause in pauses)
    print(f"{len(pauses) - ends} holds, {ends} ends of turn")
    timer = [*operating_points(pauses, np.ones_like(table)), *operating_points(pauses, np.zeros_like(table))]  # fires at the delay, or the time-out
    for name, points in (("model", list(operating_points(pauses, table))), ("silence timer", timer)):
        for latency_s in (0.3, 0.6, 1.0):
            print(f"{name:14} at mean latency <= {latency_s} s: {shown(best_cut_off(points, latency_s))}")
        for cut_off in (0.05, 0.1, 0.2):
            print(f"{name:14} at cut-offs <= {cut_off:.0%}: {shown(best_latency(points, cut_off))}")

    show_presets(args.onnx, dialogues)


def show_presets(onnx: Path | None, dialogues: list[Dialogue]) -> None:
    engine = Engine(onnx)
    for name in PRESETS:
        cut, latencies, late = [], [], 0
        for dialogue in dialogues:
            audio = load_audio(dialogue, engine.metadata.sample_rate_hz)
            found = find_pauses(speech_activity(dialogue)[0], FRAME_RATE_HZ)
            for speaker in (0, 1):
                alone = np.zeros_like(audio)
                alone[speaker] = audio[speaker]
                policy = TurnPolicy(name)
                events = [event for p in TurnPredictor(engine).push_audio(alone.T.copy()) for event in policy.update(p)]
                ends = np.array([event.time_s for event in events if event.type == "end_of_turn" and event.speaker == speaker])
                for pause in found:
                    if pause.speaker == speaker:
                        wait_s = next((end - pause.start_s for end in ends if end >= pause.start_s - EARLY_S), np.inf)
                        if pause.length_s is not None:
                            cut.append(wait_s < pause.length_s)
                        elif wait_s < LATE_S:
                            latencies.append(wait_s)
                        else:
                            late += 1
        print(f"{name:9} cuts off {np.mean(cut):.1%} of holds; ends after {np.mean(latencies):.2f} s (median {np.median(latencies):.2f} s), {late} never")


def shown(point: OperatingPoint | None) -> str:
    if point is None:
        return "not reached"
    return (
        f"cut-offs {point.cut_off:.1%}, latency {point.latency_s:.2f} s "
        f"(threshold {point.threshold:.2f}, delay {point.delay_s:.1f} s, time-out {point.timeout_s:.1f} s)"
    )


if __name__ == "__main__":
    main()
