"""The files of stream/deploy, and what the server knows about the names in them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from turnstream.stream import asyncapi
from turnstream.stream.environment import variables
from turnstream.stream.service.limits import Limits
from turnstream.stream.service.serve import add_arguments

FOLDER = Path(asyncapi.__file__).parent / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())


def unknown_settings(names: Iterable[str]) -> set[str]:
    """Return the names that `turnstream serve` does not read."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return {name for name in names if name.startswith("TURNSTREAM_")} - {*variables(parser)}


def shutdown_s() -> float:
    """Return how long the sessions of a node may take to end after SIGTERM."""
    return Limits().shutdown_timeout_s
