"""The files of stream/deploy, and what the server knows about the names in them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from turnstream.stream import asyncapi
from turnstream.stream.environment import parse_arguments, variables
from turnstream.stream.service.limits import Limits
from turnstream.stream.service.serve import add_arguments

FOLDER = Path(asyncapi.__file__).parent / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())


def unknown_settings(names: Iterable[str]) -> set[str]:
    """Return the names that `turnstream serve` does not read."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return {name for name in names if name.startswith("TURNSTREAM_")} - {*variables(parser)}


def assert_a_node_behind_a_balancer(settings: Mapping[str, str]) -> None:
    """Check the values of variables, read as a server reads them."""
    assert unknown_settings(settings) == set()
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parse_arguments(parser, [], settings)
    assert args.hand_over
    assert args.store.startswith("redis://")
    # All calls have one address, and may have one token
    assert args.max_sessions_per_address == args.max_sessions_per_token == args.max_sessions


def shutdown_s() -> float:
    """Return how long the sessions of a node may take to end after SIGTERM."""
    return Limits().shutdown_timeout_s
