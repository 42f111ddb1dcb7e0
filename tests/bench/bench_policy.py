"""The end-of-turn frontier on real dialogues, each speaker's channel alone (as a dialogue system hears a user).

    python tests/bench/bench_policy.py MANIFEST [--model CHECKPOINT_FOLDER]

Prints, beside a plain silence timer, the fewest cut-offs at a mean latency and the shortest latency at a share of
cut-offs, with the settings that reach them. The policy's presets are chosen from this table.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from turnstream.models.checkpoint import bundled_checkpoint, load_checkpoint
from turnstream.models.dialogues.activity import FRAME_RATE_HZ
from turnstream.models.dialogues.annotation import speech_activity
from turnstream.models.dialogues.manifest import load_audio, read_manifest
from turnstream.models.training.evaluation import next_holder_probabilities
from turnstream.models.training.frontier import best_cut_off, best_latency, find_pauses, operating_points, read_scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", type=Path, default=bundled_checkpoint())
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_checkpoint(args.model)
    pauses, scores = [], []
    for dialogue in read_manifest(args.manifest):
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
            print(f"{name:14} cut-offs at mean latency <= {latency_s} s: {best_cut_off(points, latency_s)}")
        for cut_off in (0.05, 0.1, 0.2):
            print(f"{name:14} latency at cut-offs <= {cut_off:.0%}: {best_latency(points, cut_off)}")


if __name__ == "__main__":
    main()
