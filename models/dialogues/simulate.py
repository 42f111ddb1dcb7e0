"""`turnstream simulate`: simulated dialogues on disk, with a manifest.

    python -m turnstream.models.dialogues.simulate --data DATA --out DIR --hours 30 --seed 1 --jobs 2

Audio is .npy, int16 (2, N), which loads (or maps) faster than any codec; beside it lie labels (.npz) and the phrases whose text is known (.words.json).
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...stream.errors import DialogueError
from .manifest import Dialogue, write_manifest
from .simulation import LENGTHS_S, Material, open_material, planned_length_s, simulate
from .utterances import SAMPLE_RATE_HZ, SETS_OF_WHOLE_SENTENCES

DATA_LAYOUT = """what --data holds (only speech/ is needed):
  speech/<set>/manifest.csv       columns file (audio beside it, one utterance each), speaker, transcript; others are ignored
  timing/<corpus>/*.rttm          who spoke when in real conversations
  timing/<corpus>/*.jsonl.gz      the same by words: one conversation a line, {"A": [[start_s, end_s, word], ...], "B": ...}
  scripts/<corpus>/<conversation>_<party>.TextGrid
                                  long form, one tier: the same, for two parties, and turns for the neural voice
  rooms/manifest.csv              columns file (impulse response beside it) and licence; share-alike ones are left out
  noise/                          .wav, .flac or .ogg at any depth; no licence is looked at
Names that matter: timing is taken from the corpora switchboard (chats), primock57 (consultations) and spjallromur (slow
chats). The set hibari is the neural voice; where it is missing, it is spoken from scripts/ once and kept in the cache. In
these sets every clip without a final mark counts as a whole sentence: SETS.
"""

_material: Material | None = None  # one per worker process, read once


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream simulate`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = DATA_LAYOUT.replace("SETS", ", ".join(SETS_OF_WHOLE_SENTENCES))
    parser.add_argument("--data", type=Path, required=True, help="folder of material, see below")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--hours", type=float, default=1.0, help="about how much to simulate (default 1)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--lengths",
        type=float,
        nargs=2,
        metavar=("FROM", "TO"),
        default=LENGTHS_S,
        help="seconds per dialogue (default 120 360)",
    )
    parser.add_argument(
        "--split",
        choices=("train", "val"),
        default="train",
        help="which speakers; a tenth is kept for val",
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path.home() / ".cache" / "turnstream",
        help="where decoded utterances are kept",
    )
    parser.add_argument(
        "--finality",
        type=Path,
        metavar="FOLDER",
        help="let turns end where they sound complete to a judge (`turnstream pretrain judge`)",
    )
    parser.add_argument(
        "--no-synthetic",
        action="store_true",
        help="recorded voices only: no neural voice, no voices extra needed",
    )


def main(args: argparse.Namespace) -> int:
    """Simulate, write, and print a line of summary."""
    lengths_s = (args.lengths[0], args.lengths[1])
    if not 0 < lengths_s[0] <= lengths_s[1]:
        raise DialogueError(
            f"expected --lengths FROM TO with 0 < FROM <= TO, got {lengths_s[0]:g} {lengths_s[1]:g}"
        )
    if not 0 < args.hours < math.inf:
        raise DialogueError(f"expected --hours > 0, got {args.hours:g}")
    if args.jobs < 1:
        raise DialogueError(f"expected --jobs of at least 1, got {args.jobs}")
    args.out.mkdir(parents=True, exist_ok=True)
    arguments = (args.data, args.cache, args.split, args.jobs, not args.no_synthetic, args.finality)
    open_material(*arguments)  # decodes and speaks once, before the workers share the result
    count, planned_s = 0, 0.0
    while planned_s < args.hours * 3600:
        planned_s += planned_length_s(args.seed, count, lengths_s)
        count += 1
    dialogues: list[Dialogue] = []
    seconds = 0.0
    with (
        # Not multiprocessing.Pool: that one waits for ever when a worker cannot start.
        ProcessPoolExecutor(
            args.jobs, multiprocessing.get_context("spawn"), _open, arguments
        ) as workers,
        tqdm(total=count, desc="dialogues", unit="dialogue", smoothing=0) as progress,
    ):
        for dialogue, length_s in workers.map(
            partial(_write, args.out, args.seed, lengths_s, args.split), range(count)
        ):
            dialogues.append(dialogue)
            seconds += length_s
            progress.update()
            progress.set_postfix_str(
                f"{seconds / 3600:.2f} h, {seconds / progress.format_dict['elapsed']:.0f} x real time"
            )
    write_manifest(args.out / "manifest.jsonl", dialogues)
    print(f"{count} dialogues, {seconds / 3600:.2f} h, in {args.out / 'manifest.jsonl'}")
    return 0


def _open(
    data: Path, cache: Path, split: str, jobs: int, synthetic: bool, finality: Path | None
) -> None:
    global _material  # noqa: PLW0603  (a worker's own)
    _material = open_material(data, cache, split, jobs, synthetic, finality)


def _write(
    out: Path, seed: int, lengths_s: tuple[float, float], split: str, index: int
) -> tuple[Dialogue, float]:
    assert _material is not None
    simulated = simulate(_material, seed, index, lengths_s)
    name = f"sim{seed}_{split}_{index:05d}"
    np.save(out / f"{name}.npy", simulated.audio)
    np.savez_compressed(
        out / f"{name}.npz",
        activity=simulated.activity,
        backchannel=simulated.backchannel,
        finality=simulated.finality,
    )
    (out / f"{name}.words.json").write_text(
        json.dumps(simulated.words, ensure_ascii=False), encoding="utf-8"
    )
    dialogue = Dialogue(
        id=name,
        audio=(out / f"{name}.npy",),
        speakers=simulated.speakers,
        corpus=f"simulated/{simulated.style}",
        split=split,
        sample_rate_hz=SAMPLE_RATE_HZ,
        activity=out / f"{name}.npz",
        words=out / f"{name}.words.json",
    )
    return dialogue, simulated.audio.shape[1] / SAMPLE_RATE_HZ


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Simulate two-channel dialogues.")
    add_arguments(parser)
    raise SystemExit(main(parser.parse_args()))
