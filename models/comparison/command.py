"""`turnstream compare`: train every network of a grid with the same budget, and compare them.

    turnstream compare --manifest dialogues/manifest.jsonl --validation held_out.jsonl \\
        --test-calls calls.jsonl --out encoders

The default grid compares encoders, read-outs and ways to train; `--grid recurrent` compares RNN,
GRU and LSTM of the same size, in one and two layers. The command can be stopped and started again:
finished rows are not trained again. `turnstream latents past` and `turnstream latents connectivity`
show how much a trained network (OUT/ROW/seed0) uses of the past.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from ...stream.errors import ConfigError, DialogueError
from ..dialogues.manifest import read_manifest
from ..training.command import read_held_out, read_training_part
from .grid import BUNDLED, find_grid, read_grid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream compare`."""
    parser.add_argument(
        "--grid",
        default=BUNDLED[0],
        metavar="NAME|FILE",
        help=f"networks to compare: a bundled grid ({', '.join(BUNDLED)}) or a JSON file "
        f"(default {BUNDLED[0]})",
    )
    parser.add_argument(
        "--manifest",
        type=Path,
        required=True,
        metavar="FILE",
        help="manifest (JSON Lines) of dialogues to train on; those whose split is train or not "
        "given are used",
    )
    parser.add_argument(
        "--validation",
        type=Path,
        required=True,
        metavar="FILE",
        help="manifest of held-out dialogues, to measure the losses on",
    )
    parser.add_argument(
        "--test-calls",
        type=Path,
        required=True,
        metavar="FILE",
        help="manifest of real calls, to measure shift or hold on; they are never used for "
        "training",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder for the runs, index.html, comparison.csv, quality_and_cost.png",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="WORD",
        help="run only rows whose names contain one of these words, and the rows that they are "
        "compared with (default: all)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        metavar="N",
        help="run only these seeds of the grid (default: all)",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="train nothing; only write the report of what has been measured so far",
    )


def main(args: argparse.Namespace, export: Callable[[Path, Path], object]) -> int:
    """Train what is missing, measure, and write the report.

    Args:
        args: the parsed options.
        export: writes the network in a folder to an ONNX file.
    """
    from .report import write_report
    from .runs import check, measure_costs, read_measured, run_grid

    grid = read_grid(find_grid(args.grid))
    rows = [
        row
        for row in grid.rows
        if args.only is None or any(word.lower() in row.name.lower() for word in args.only)
    ]
    if not rows:
        names = "; ".join(row.name for row in grid.rows)
        raise ConfigError(
            f"expected words from the names of rows ({names}), got {', '.join(args.only or ())}"
        )
    rows = grid.with_references(rows)
    unknown = [seed for seed in args.seeds or () if seed not in grid.seeds]
    if unknown:
        raise ConfigError(
            f"expected seeds of the grid ({', '.join(map(str, grid.seeds))}), got {unknown[0]}"
        )
    training, validation, real = (
        read_training_part(args.manifest),
        read_held_out(args.validation),
        read_manifest(args.test_calls),
    )
    if not real:
        raise DialogueError(f"{args.test_calls}: expected real calls to measure on, got none")
    shared = {dialogue.id for dialogue in training} & {
        dialogue.id for dialogue in [*validation, *real]
    }
    if shared:
        raise DialogueError(
            f"expected to measure on dialogues that are not trained on, got {min(shared)!r} in both"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.report:
        check(grid, rows, training)
        run_grid(grid, rows, args.seeds or grid.seeds, training, validation, real, args.out)
    measured = read_measured(grid, validation, real, args.out)
    if not measured:
        raise ConfigError(f"{args.out}: expected runs that have been measured, got none")
    for path in write_report(grid, measured, measure_costs(grid, args.out, export), args.out):
        print(path)
    return 0
