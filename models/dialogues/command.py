"""`turnstream simulate`: writes simulated dialogues and their manifest to disk.

Audio is .npy, int16 (2, N), which loads (or maps) faster than any codec. Beside each audio file lie
its labels (.npz) and the phrases of known text (.words.json).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...stream.errors import DialogueError
from ..runs.options import add_data_options, add_jobs_option, workers_from
from ..work import map_tasks
from .completeness import COMPLETENESS
from .manifest import Dialogue, write_manifest
from .utterances import SAMPLE_RATE_HZ, SETS_OF_WHOLE_SENTENCES

if TYPE_CHECKING:
    from .simulators import SimulationSource

DATA_LAYOUT = """files in the --data folder (only speech/ is required):
  speech/<set>/manifest.csv   recorded utterances. Columns: file (audio relative to the manifest,
                              one utterance each), speaker, transcript. Other columns are ignored.
  timing/<corpus>/*.rttm      who spoke when in real conversations
  timing/<corpus>/*.jsonl.gz  word times of real conversations, one conversation per line:
                              {"A": [[start_s, end_s, word], ...], "B": [...]}
  scripts/<corpus>/<conversation>_<party>.TextGrid
                              transcripts of real conversations, one file per party, long form
                              with one tier. They give timing, and text for the neural voice.
  rooms/manifest.csv          room impulse responses. Columns: file (relative to the manifest),
                              licence. Share-alike licences are left out.
  noise/                      .wav, .flac or .ogg at any depth. Licences are not checked.

names with a meaning:
  Timing comes from the corpora switchboard (chats), primock57 (consultations) and spjallromur
  (slow chats). The set hibari is the neural voice. If it is missing, it is made from scripts/ once
  and kept in the cache. In these sets a transcript without a final punctuation mark still counts
  as a whole sentence:
  SETS.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream simulate`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = DATA_LAYOUT.replace("SETS", ", ".join(SETS_OF_WHOLE_SENTENCES))
    add_data_options(parser, "folder with the data described below")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder for the dialogues and their manifest.jsonl",
    )
    parser.add_argument(
        "--hours",
        type=float,
        default=1.0,
        metavar="N",
        help="approximate hours of dialogue (default 1)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the simulation (default 0)"
    )
    parser.add_argument(
        "--lengths",
        type=float,
        nargs=2,
        metavar=("FROM", "TO"),
        help="shortest and longest dialogue in seconds (default 120 360)",
    )
    parser.add_argument(
        "--split",
        choices=("train", "val"),
        default="train",
        help="which speakers to use; about a tenth of them are val (default train)",
    )
    add_jobs_option(parser)
    parser.add_argument(
        "--judge",
        type=Path,
        metavar="FOLDER",
        help="folder of `turnstream pretrain judge`: turns end where they sound complete to it",
    )
    parser.add_argument(
        "--no-synthetic",
        action="store_true",
        help="use recorded voices only; then the extra `voices` is not needed",
    )


def main(args: argparse.Namespace) -> int:
    """Simulate dialogues, write them, and print a one-line summary."""
    from .simulation import LENGTHS_S, planned_length_s
    from .simulators import SimulationSource

    lengths_s = LENGTHS_S if args.lengths is None else (args.lengths[0], args.lengths[1])
    if not 0 < lengths_s[0] <= lengths_s[1]:
        raise DialogueError(
            f"expected --lengths FROM TO with 0 < FROM <= TO, got {lengths_s[0]:g} {lengths_s[1]:g}"
        )
    if not 0 < args.hours < math.inf:
        raise DialogueError(f"expected --hours > 0, got {args.hours:g}")
    args.out.mkdir(parents=True, exist_ok=True)
    source = SimulationSource(
        args.data,
        args.cache,
        args.split,
        not args.no_synthetic,
        args.judge and args.judge / COMPLETENESS,
    )
    workers = workers_from(args)
    source.open(workers)  # decodes and synthesises once, and finds what is missing
    count, planned_s = 0, 0.0
    while planned_s < args.hours * 3600:
        planned_s += planned_length_s(args.seed, count, lengths_s)
        count += 1
    dialogues: list[Dialogue] = []
    seconds, start_s = 0.0, time.perf_counter()

    def note(written: tuple[Dialogue, float]) -> str:
        written_s = seconds + written[1]
        return (
            f"{written_s / 3600:.2f} h, "
            f"{written_s / (time.perf_counter() - start_s):.0f} x real time"
        )

    for dialogue, length_s in map_tasks(
        partial(_write, source, args.out, args.seed, lengths_s),
        range(count),
        workers,
        desc="dialogues",
        unit="dialogue",
        note=note,
    ):
        dialogues.append(dialogue)
        seconds += length_s
    write_manifest(args.out / "manifest.jsonl", dialogues)
    print(f"{count} dialogues, {seconds / 3600:.2f} h, in {args.out / 'manifest.jsonl'}")
    return 0


def _write(
    source: SimulationSource, out: Path, seed: int, lengths_s: tuple[float, float], index: int
) -> tuple[Dialogue, float]:
    from .simulators import simulate_here

    simulated = simulate_here(source, seed, index, lengths_s)
    name = f"sim{seed}_{source.split}_{index:05d}"
    np.save(out / f"{name}.npy", simulated.audio)
    np.savez_compressed(
        out / f"{name}.npz",
        activity=simulated.activity,
        backchannel=simulated.backchannel,
        completeness=simulated.completeness,
    )
    (out / f"{name}.words.json").write_text(
        json.dumps(simulated.words, ensure_ascii=False), encoding="utf-8"
    )
    dialogue = Dialogue(
        id=name,
        audio=(out / f"{name}.npy",),
        speakers=simulated.speakers,
        corpus=f"simulated/{simulated.style}",
        split=source.split,
        sample_rate_hz=SAMPLE_RATE_HZ,
        activity=out / f"{name}.npz",
        words=out / f"{name}.words.json",
    )
    return dialogue, simulated.audio.shape[1] / SAMPLE_RATE_HZ
