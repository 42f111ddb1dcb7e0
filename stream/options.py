"""Options that several commands share, so that they have one name and one meaning."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from .policy_settings import POLICY_VALUES, PRESETS, Policies, read_presets

_FILE = ".json"
_VALUES = {  # value of a policy: (unit of its option, help)
    "end_threshold": ("P", "probability that the other speaks next, from which a turn ends"),
    "end_silence_secs": ("SECONDS", "shortest silence that ends a turn"),
    "timeout_secs": ("SECONDS", "silence that ends a turn at any probability"),
    "eager_threshold": ("P", "probability from which a turn ends eagerly"),
    "eager_silence_secs": ("SECONDS", "shortest silence that ends a turn eagerly"),
    "start_secs": ("SECONDS", "speech that starts a turn"),
    "overlap_secs": ("SECONDS", "speech over the other's after which the model judges it"),
    "backchannel_threshold": ("P", "probability from which such speech is a backchannel"),
    "backchannel_max_secs": ("SECONDS", "length from which it is an interruption in any case"),
    "min_level_dbfs": ("DBFS", "level below which speech starts no turn"),
    "speech_range_db": ("DB", "speech so far below the speaker's usual level starts no turn"),
}


class _Options(Protocol):
    """A parser, or a group of its options."""

    def add_argument(self, name: str, /, **settings: Any) -> object: ...


def add_model_option(options: _Options) -> None:
    """Add `--model`, which names the network."""
    options.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="ONNX model file, or int8 for the bundled model in int8 (default: the bundled model)",
    )


def add_policy_options(parser: argparse.ArgumentParser, of: str = "") -> None:
    """Add `--policy`, and an option for each value of a policy.

    Args:
        parser: parser of the command.
        of: whose policy it is, for the help, if that is not clear.
    """
    group = parser.add_argument_group(
        "the policy, which decides the events" + of, "Values that are not given are the preset's."
    )
    policy = group.add_argument(
        "--policy",
        metavar="NAME|FILE.json",
        help=f"preset: {', '.join(PRESETS)} (default balanced). Or a JSON file of presets, "
        "{name: {value: number}}: its first one, or with FILE.json:NAME another",
    )
    policy.suggestions = [*PRESETS]  # pyright: ignore[reportAttributeAccessIssue] for completion
    for name in POLICY_VALUES:
        unit, text = _VALUES[name]
        group.add_argument(
            f"--{name.replace('_', '-')}",
            type=_number,
            metavar=unit,
            help=text,
        )


def policies_from(args: argparse.Namespace) -> Policies:
    """Return the presets, and as their default the policy that the options choose.

    Raises:
        PolicyError: there is no such preset, its file holds none, or a value is out of range.
    """
    values = _values(args)
    path, name = _split(args.policy)
    if path is None:
        return Policies(default=name or "balanced", values=values)
    own = read_presets(path)
    return Policies({**PRESETS, **own}, name or next(iter(own)), values)


def asked_policy(args: argparse.Namespace) -> tuple[str | None, dict[str, float]]:
    """Return what to ask a server for: the name of its preset, and values that replace others.

    Raises:
        PolicyError: as `policies_from`, for a file. The server checks the rest.
    """
    path, name = _split(args.policy)
    if path is None:
        return name, _values(args)
    return None, asdict(policies_from(args).settings(None, {}))


def _values(args: argparse.Namespace) -> dict[str, float]:
    values = {name: getattr(args, name) for name in POLICY_VALUES}
    return {name: value for name, value in values.items() if value is not None}


def _split(policy: str | None) -> tuple[Path | None, str | None]:
    """Return the file and the name that `--policy` gives."""
    path, found, name = (policy or "").rpartition(f"{_FILE}:")
    if found:
        return Path(path + _FILE), name
    return (Path(policy), None) if policy and policy.endswith(_FILE) else (None, policy)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {word!r}") from None


def add_pause_model_option(parser: argparse.ArgumentParser, more: str = "") -> None:
    """Add `--pause-model` and `--no-pause-model`; None if neither is given.

    Args:
        parser: of the command.
        more: what else the help says.
    """
    parser.add_argument(
        "--pause-model",
        action=argparse.BooleanOptionalAction,
        help="let large speech models hear each pause, which tells a thinking pause from the end "
        "of a turn more reliably, for some 0.3 s of processor time (default: on with the "
        f"bundled model{more})",
    )
