"""Every command and code block of the README runs as it stands, but for smaller numbers and a free port."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from turnstream.models.checkpoint import load_encoder
from turnstream.models.dialogues.manifest import read_manifest, write_manifest
from turnstream.stream import cli
from turnstream.stream.live import listen
from turnstream.stream.sources import bundled_sample

from .models.dialogues.corpora.making import write_switchboard
from .stream.fake_microphone import FakeMicrophone
from .web.chromium import find_chromium, open_tab

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
PYTHON = [code for language, code in BLOCKS if language == "python"]
JAVASCRIPT = [code for language, code in BLOCKS if language == "js"]
SHELL = [code for language, code in BLOCKS if language == "sh"]
SMALLER = {
    "--hours 60": "--hours 0.03 --lengths 30 40",
    "--steps 7000": "--steps 2",
    "manifest switchboard": "manifest switchboard --val-share 0",
    "--out swb$": "--out swb --steps 1 --lanes 1",
    "--out cpc$": "--out cpc --steps 2 --lanes 2",
    "--encoder cpc$": "--encoder cpc --steps 2 --lanes 2",
    "gallery --out gallery": "gallery --out gallery --only gate activations",
    "--picture space.png": "--picture space.png --points 400 --refits 1",
    "--out film.mp4": "--out film.mp4 --end 2 --height 360",
    " --robustness": "",  # their own tests run these
    " --baselines": "",
}


def commands(start: str) -> list[str]:
    """The lines of the shell block that begins with `start`."""
    (block,) = (code for code in SHELL if code.startswith(start))
    return block.strip().splitlines()


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    arguments = shlex.split(command)
    assert arguments[0] == "turnstream", command
    environment = {**os.environ, "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_every_block_is_known_to_a_test():
    assert {language for language, _ in BLOCKS} == {"sh", "python", "js"}
    assert (len(PYTHON), len(JAVASCRIPT), len(SHELL)) == (2, 1, 9)


def test_no_figure_is_left_out():
    card = (ROOT / "models" / "weights" / "MODEL_CARD.md").read_text()
    assert not re.search(r"@[A-Z]+@|MEASURED_|TODO|XXX", README + card)


def test_model_card_and_settings_speak_of_the_bundled_weights():
    from turnstream import Engine
    from turnstream.models.config import from_plain
    from turnstream.models.training.settings import TrainingSettings

    card = (ROOT / "models" / "weights" / "MODEL_CARD.md").read_text()
    assert Engine().metadata.weights_sha256[:12] in card
    used = json.loads((ROOT / "models" / "weights" / "training.json").read_text())
    assert from_plain(TrainingSettings, used) == TrainingSettings()


def test_both_set_up_commands_are_what_ci_runs():
    ci = (ROOT / ".ci" / "run").read_text()
    (develop,) = commands("pip install -c constraints.txt -e")
    assert develop in ci
    (demo,) = commands("python3 -m venv")
    assert demo.endswith("pip install . && turnstream demo")
    assert "turnstream demo" in ci


def test_python_block_predicts(tmp_path: Path):
    done = subprocess.run([sys.executable, "-W", "error", "-c", PYTHON[0]], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) >= 48  # 50 frames less what the resampler still holds


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """`turnstream serve` on a free port, which it gives."""
    server = subprocess.Popen([sys.executable, "-m", "turnstream", "serve", "--port", "0", "--quiet"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = re.search(r":(\d+)/", server.stdout.readline())
        assert port
        yield port[1]
    finally:
        server.terminate()
        server.communicate(timeout=30)


A_RECORDING_AS_MICROPHONE = """
import contextlib, turnstream
from turnstream.stream.sources import bundled_sample
class User:  # the caller of the bundled call
    def __init__(self):
        self.file = turnstream.FileSource(bundled_sample())
        self.sample_rate_hz, self.channels = self.file.sample_rate_hz, 1
    def __iter__(self):
        return (block[:, :1] for block in self.file)
    def close(self):
        self.file.close()
turnstream.MicrophoneSource = lambda: contextlib.closing(User())
"""


def test_websocket_block_hears_turns_end_and_is_interrupted(tmp_path: Path):
    with running_server() as port:
        code = A_RECORDING_AS_MICROPHONE + PYTHON[1].replace("8765", port).replace("    client.agent.say", "    print(turn)\n    client.agent.say")
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "TurnEvent(type='end_of_turn', speaker=0" in done.stdout
    assert "Cut(played_s=" in done.stdout


@pytest.mark.skipif(find_chromium() is None, reason="no chromium on the path: the page's block cannot be tried")
async def test_javascript_block_hears_turns_end(tmp_path: Path):
    samples, rate_hz = sf.read(bundled_sample(), dtype="int16", always_2d=True)
    sf.write(tmp_path / "user.wav", np.pad(samples[round(12.9 * rate_hz) : round(15.3 * rate_hz), 0], (3 * rate_hz, 2 * rate_hz)), rate_hz)
    code = re.sub(r'^import (\{.*\}) from ("\S+");$', r"const \1 = await import(\2);", JAVASCRIPT[0], flags=re.MULTILINE)
    with running_server() as port:
        async with open_tab(microphone=Path(f"{tmp_path / 'user.wav'}%noloop")) as tab:
            await tab.go(f"http://127.0.0.1:{port}/")
            started = f"(async () => {{ window.said = []; {code.replace('8765', port).replace('console.log(', 'said.push([')} return true; }})()"
            assert await tab.value(started.replace("time_s, probability));", "time_s, probability]));"))
            what, time_s, probability = await tab.until("said[0]")
            assert what == "the user has finished: speak"
            assert time_s > 3
            assert 0 <= probability <= 1
            assert tab.complaints == []


def test_listen_commands_record_what_can_be_predicted_on_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    listening, predict = commands("turnstream listen")
    write_call(tmp_path)
    (tmp_path / "call.wav").rename(tmp_path / "prompt.wav")
    spoken = np.random.default_rng(1).normal(0, 0.1, (96000, 1)).astype(np.float32)
    monkeypatch.setattr(listen, "MicrophoneSource", lambda *args, **options: FakeMicrophone(np.split(spoken, 200)))
    monkeypatch.chdir(tmp_path)
    assert cli.main([*shlex.split(listening)[1:], "--plain"]) == 0
    run_all([predict], tmp_path)
    assert len((tmp_path / "again.csv").read_text().splitlines()) > 100
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "session1" / "predictions.csv").read_bytes()


def test_file_command_writes_what_it_promises(tmp_path: Path):
    write_call(tmp_path)
    (command,) = commands("turnstream predict")
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "call.csv").read_text().splitlines()) == 101
    assert (tmp_path / "events.csv").is_file()
    assert (tmp_path / "call.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("default")
def test_training_commands_lead_from_utterances_to_predictions(tmp_path: Path, material_folder: Path):
    shutil.copytree(material_folder, tmp_path / "data")
    steps = [smaller(command) for command in commands("turnstream simulate")]
    simulate, train, export, evaluate = steps
    run_all([simulate if importlib.util.find_spec("hibari") else f"{simulate} --no-synthetic", train, export], tmp_path)
    dialogues = read_manifest(tmp_path / "dialogues" / "manifest.jsonl")
    write_manifest(tmp_path / "calls.jsonl", dialogues[:2])
    run_all([evaluate], tmp_path)
    assert "shift" in (tmp_path / "report" / "index.html").read_text()
    assert json.loads((tmp_path / "report" / "report.json").read_text())["systems"]
    install, *steps = commands("pip install -c constraints.txt '.[pretrain")
    assert install == "pip install -c constraints.txt '.[pretrain]'"
    run_all([smaller(command) for command in steps], tmp_path)
    given, gone_on = (load_encoder(tmp_path / name) for name in ("cpc", "from_cpc"))
    assert given.config == gone_on.config


@pytest.mark.filterwarnings("default")
def test_two_commands_train_on_a_corpus(tmp_path: Path):
    write_switchboard(tmp_path / "LDC97S62")
    install, *steps = commands("pip install -c constraints.txt '.[export")
    assert install.startswith("pip install -c constraints.txt")
    run_all([smaller(command) for command in steps], tmp_path)
    assert (tmp_path / "swb" / "model.safetensors").is_file()


@pytest.mark.filterwarnings("default")
def test_latents_commands_lead_from_calls_to_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install, gallery = commands("pip install -c constraints.txt '.[latents")
    assert install == "pip install -c constraints.txt '.[latents,bench]'"
    shutil.copy(bundled_sample(), tmp_path)
    (tmp_path / "calls.jsonl").write_text('{"audio": "call.flac"}')
    *steps, listening = commands("turnstream latents collect")
    run_all([smaller(command) for command in (gallery, *steps)], tmp_path)
    assert (tmp_path / "gallery" / "index.html").read_text().count("<img") == 2
    for made in ("space.png", "explore.html", "film.mp4"):
        assert (tmp_path / made).stat().st_size > 10_000
    spoken = np.random.default_rng(1).normal(0, 0.1, (16000, 1)).astype(np.float32)
    monkeypatch.setattr(listen, "SteadyMicrophone", lambda *args, **options: FakeMicrophone(np.split(spoken, 50)))
    monkeypatch.chdir(tmp_path)
    assert cli.main(shlex.split(listening)[1:]) == 0


def smaller(command: str) -> str:
    """The command with less to do."""
    for full, less in SMALLER.items():
        command = re.sub(full, less, command)
    return command


def run_all(steps: list[str], folder: Path) -> None:
    for command in steps:
        done = run(command, folder)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def write_call(folder: Path) -> None:
    """Two seconds of noise at 8 kHz, stereo."""
    sf.write(folder / "call.wav", 0.05 * np.random.default_rng(0).standard_normal((16000, 2)), 8000)
