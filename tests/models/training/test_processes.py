"""Training on two real processes. A hang would be a bug, so every test has a time limit."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from turnstream.models.dialogues.manifest import read_manifest
from turnstream.models.training.loop import train
from turnstream.models.training.settings import TrainingSettings

from ...networks import TINY

LIMIT_S = 120
SETTINGS = TrainingSettings(
    steps=3,
    batch_rows=2,
    chunk_s=2.0,
    warmup_steps=2,
    validate_every=2,
    average_decay=0.0,
    model=replace(TINY, dropout=0.0),
    mute_share=0.5,
)
SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from turnstream.models.config import from_plain
from turnstream.models.dialogues.manifest import read_manifest
from turnstream.models.runs.hardware import Hardware
from turnstream.models.training.loop import train
from turnstream.models.training.settings import TrainingSettings

manifest, out = Path(sys.argv[1]), Path(sys.argv[2])
dialogues = read_manifest(manifest)
settings = from_plain(TrainingSettings, json.loads((out / "settings.json").read_text()))
hardware = Hardware(accelerator="cpu", devices=2)
model = train(settings, dialogues, out / "two", validation=dialogues, hardware=hardware)
rank = os.environ["LOCAL_RANK"]
torch.save(model.state_dict(), out / f"rank{rank}.pt")
"""


def run(command: list[str]) -> str:
    """Run a command that starts other processes; end all of them before it returns."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_PORT")
    }
    process = subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def settings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("two") / "settings.json"
    path.write_text(json.dumps(asdict(SETTINGS)))
    return path


def test_two_processes_end_with_the_same_weights_as_one_with_all_lanes(
    manifest: Path, settings_file: Path, tmp_path: Path
) -> None:
    out = settings_file.parent
    (out / "script.py").write_text(SCRIPT)
    run([str(out / "script.py"), str(manifest), str(out)])
    dialogues = read_manifest(manifest)
    train(SETTINGS, dialogues, tmp_path / "one", validation=dialogues)
    first, second = (torch.load(out / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    two, one = (
        torch.load(folder / "checkpoint.pt", weights_only=True)
        for folder in (out / "two", tmp_path / "one")
    )
    for mine, expected in zip(
        two["optimizer"]["state"].values(), one["optimizer"]["state"].values(), strict=True
    ):
        # Gradients are averaged.
        assert torch.allclose(mine["exp_avg"], expected["exp_avg"], atol=1e-5)
    for name, expected in one["model"].items():
        # One speaker's logit of the floor is minus the other's, so its bias has no gradient.
        # What is left is rounding, and Adam makes large steps of it.
        compared = torch.arange(len(expected)) != 1 if name == "heads.bias" else slice(None)
        assert torch.allclose(two["model"][name][compared], expected[compared], atol=1e-5), name
    assert two["stream"] == one["stream"]
    assert torch.allclose(two["state"], one["state"], atol=1e-4)
    assert len(two["cpu_generator"]) == 2


def test_the_gradients_compared_above_are_large_and_differ_between_lanes(
    manifest: Path, tmp_path: Path
) -> None:
    dialogues = read_manifest(manifest)
    both, half = replace(SETTINGS, steps=1), replace(SETTINGS, steps=1, batch_rows=1)
    for name, settings in (("both", both), ("half", half)):
        train(settings, dialogues, tmp_path / name)
    gradients = [
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["optimizer"]["state"]
        for name in ("both", "half")
    ]
    differences = [
        float((a["exp_avg"] - b["exp_avg"]).abs().max())
        for a, b in zip(*(state.values() for state in gradients), strict=True)
    ]
    assert max(differences) > 1e-3


def test_the_command_trains_on_two_processes_speaks_once_and_resumes(
    manifest: Path, settings_file: Path, tmp_path: Path
) -> None:
    command = [
        "-m",
        "turnstream",
        "train",
        "--manifest",
        str(manifest),
        "--settings",
        str(settings_file),
        "--out",
        str(tmp_path / "run"),
    ]
    command += ["--accelerator", "cpu", "--devices", "2", "--validation", str(manifest)]
    output = run(command)
    assert output.count("trained network in") == 1
    assert output.count("step 3: vad") == 1
    assert [
        json.loads(line)["step"]
        for line in (tmp_path / "run" / "training.jsonl").read_text().splitlines()
    ] == [2, 3]
    assert len(list((tmp_path / "run").glob("events.out.tfevents.*"))) == 1
    run([*command, "--resume"])  # every process restores its own random generator
