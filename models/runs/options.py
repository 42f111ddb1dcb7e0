"""Options that the commands which train have in common, and what they mean. No torch."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ...stream.errors import ConfigError
from ..work import Workers
from .hardware import ACCELERATORS, PRECISIONS, Hardware

SETTINGS_AS_OPTIONS = ("steps", "batch_rows", "seed")


class RunSettings(Protocol):
    """The settings that every run has."""

    @property
    def steps(self) -> int: ...
    @property
    def batch_rows(self) -> int: ...
    @property
    def seed(self) -> int: ...


def add_run_options(
    parser: argparse.ArgumentParser, defaults: RunSettings, *, row: str, shape: str, resume: str
) -> None:
    """Add --settings, --steps, --batch-rows, --seed and --resume.

    Args:
        parser: of the command.
        defaults: settings of a run for which no option is given.
        row: what a batch row holds, in the plural.
        shape: what the settings configure besides the training.
        resume: how a run is resumed, for the help.
    """
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help=f"JSON file of settings, including the {shape}'s configuration; the options below "
        "replace them",
    )
    parser.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help=f"number of optimizer steps (default {defaults.steps})",
    )
    parser.add_argument(
        "--batch-rows",
        type=int,
        metavar="N",
        help=f"{row} per batch, summed over all processes (default {defaults.batch_rows})",
    )
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help=f"seed of all random draws (default {defaults.seed})",
    )
    parser.add_argument("--resume", action="store_true", help=resume)


def add_hardware_options(parser: argparse.ArgumentParser, *, one_process: bool = False) -> None:
    """Add --accelerator, --devices, --nodes and --precision; `hardware_from` reads them.

    A command that runs in one process and in full precision has only --accelerator.
    """
    defaults, group = Hardware(), parser.add_argument_group("hardware")
    group.add_argument(
        "--accelerator",
        choices=ACCELERATORS,
        default=defaults.accelerator,
        help="type of device (default auto: a GPU if there is one)",
    )
    if one_process:
        return
    group.add_argument(
        "--devices",
        type=int,
        default=defaults.devices,
        metavar="N",
        help="processes per machine, one per GPU (default 1)",
    )
    group.add_argument(
        "--nodes",
        type=int,
        default=defaults.nodes,
        metavar="N",
        help="number of machines; start the command on each (default 1)",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=defaults.precision,
        help=f"numeric precision (default {defaults.precision})",
    )


def add_data_options(parser: argparse.ArgumentParser, what: str, *, required: bool = True) -> None:
    """Add --data and --cache.

    Args:
        parser: of the command.
        what: what the command takes from the folder, for the help.
        required: whether the command always needs the folder.
    """
    parser.add_argument("--data", type=Path, required=required, metavar="FOLDER", help=what)
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="FOLDER",
        default=Path.home() / ".cache" / "turnstream",
        help="folder for decoded utterances (default ~/.cache/turnstream)",
    )


def add_jobs_option(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup,
    what: str = "number of processes that work at the same time",
    *,
    cluster: bool = True,
) -> None:
    """Add --jobs and --cluster; `workers_from` reads them.

    Args:
        parser: of the command.
        what: what --jobs counts, for the help.
        cluster: whether the command can use a cluster. If not, there is only --jobs.
    """
    parser.add_argument(
        "--jobs",
        type=_positive,
        default=None if cluster else 1,
        metavar="N",
        help=f"{what} (default 1{', on a cluster one per core' if cluster else ''})",
    )
    if cluster:
        parser.add_argument(
            "--cluster",
            type=_cluster,
            metavar="ADDRESS",
            help="let a cluster work, which must see the same folders (extra cluster): ray (the "
            "Ray cluster of this machine), ray://HOST:PORT, or tcp://HOST:PORT (Dask)",
        )


def workers_from(args: argparse.Namespace) -> Workers:
    """Return where tasks run, as --jobs and --cluster say."""
    return Workers(args.jobs, args.cluster)


def _positive(word: str) -> int:
    if not word.isdecimal() or not int(word):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {word!r}")
    return int(word)


def _cluster(word: str) -> str:
    if not re.fullmatch(r"ray|(ray|tcp)://[^/]+:[0-9]+", word):
        raise argparse.ArgumentTypeError(
            f"expected ray, ray://HOST:PORT or tcp://HOST:PORT, got {word!r}"
        )
    return word


def hardware_from(args: argparse.Namespace) -> Hardware:
    """Return the hardware that the options ask for.

    Raises:
        ConfigError: an option is out of range.
    """
    return Hardware(args.accelerator, args.devices, args.nodes, args.precision)


def given_settings(
    args: argparse.Namespace, names: Sequence[str] = SETTINGS_AS_OPTIONS
) -> dict[str, Any]:
    """Return the settings of --settings as a dict; options that are given replace them.

    Args:
        args: of the command.
        names: settings that are options too.
    Raises:
        ConfigError: there is no such file, or it does not hold a JSON object.
    """
    plain = read_settings(args.settings) if args.settings else {}
    return plain | {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings of a JSON file as a dict.

    Raises:
        ConfigError: there is no such file, or it does not hold a JSON object.
    """
    try:
        loaded = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: expected a JSON file of training settings: {error}") from None
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: expected a JSON object, got {type(loaded).__name__}")
    return loaded
