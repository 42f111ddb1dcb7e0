"""The READMEs tell what is there, and every block of the top one runs."""

from __future__ import annotations

import argparse
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from turnstream import cli
from turnstream.models.latents.command import VIEWS

from .readme_blocks import (
    BLOCKS,
    PAGES,
    READMES,
    ROOT,
    TESTED,
    Block,
    run_python,
    running_server,
    runs,
)


def test_every_block_is_run_by_one_test():
    for file in Path(__file__).parent.glob("test_readme_*.py"):
        importlib.import_module(f".{file.stem}", __package__)  # its blocks come into TESTED
    assert sorted(TESTED, key=BLOCKS.index) == BLOCKS


def test_the_readme_is_short():
    assert len(READMES["README.md"].splitlines()) <= 120
    for readme, text in READMES.items():
        assert [
            line
            for line in text.splitlines()
            if len(line) > 100 and not line.startswith(("|", "!["))
        ] == [], readme


@pytest.mark.parametrize("readme", READMES)
def test_every_link_leads_to_a_file(readme: str):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", READMES[readme])
    assert [
        target for target in targets if not (ROOT / readme).parent.joinpath(target).exists()
    ] == []


@pytest.mark.parametrize("readme", READMES)
def test_every_command_in_the_text_has_these_options(readme: str):
    for command in re.findall(r"`(turnstream [^`]+|python [^`]+)`", READMES[readme]):
        program, name, *rest = command.split()
        options = {word for word in rest if word.startswith("--")} - {"--help"}
        if program == "python":
            if name == "-m":
                name = rest[0].removeprefix("turnstream.").replace(".", "/") + ".py"
            source = (ROOT / name).read_text()
            assert {option for option in options if f'"{option}"' not in source} == set(), command
        elif name.startswith("--"):
            assert f'"{name}"' in Path(cli.__file__).read_text(), command
        else:
            assert options <= options_of(name, rest), command


def options_of(name: str, rest: list[str]) -> set[str]:
    """Return the options of a command or of its subcommand."""
    parser = argparse.ArgumentParser()
    home = cli.COMMANDS[name][0]
    if name == "latents" and rest[:1] and rest[0] in VIEWS:  # read only when the view is called
        home = f"turnstream.models.latents.{VIEWS[rest[0]][0]}"
    module: Any = importlib.import_module(home)
    module.add_arguments(parser)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and rest and rest[0] in action.choices:
            parser = action.choices[rest[0]]
    return {option for action in parser._actions for option in action.option_strings}


def test_no_figure_is_left_out():
    for page, text in PAGES.items():
        assert not re.search(r"@[A-Z]+@|MEASURED_|TODO|XXX", text), page


def test_model_card_and_settings_speak_of_the_bundled_weights():
    from turnstream import Engine
    from turnstream.models.config import ModelConfig, from_plain
    from turnstream.models.training.settings import TrainingSettings

    assert Engine().metadata.weights_sha256[:12] in PAGES["models/weights/MODEL_CARD.md"]
    used = json.loads((ROOT / "models" / "weights" / "training.json").read_text())
    bundled = ModelConfig.from_json((ROOT / "models" / "weights" / "config.json").read_text())
    assert from_plain(TrainingSettings, used).model == bundled


@runs("README.md", "pip install -c constraints.txt -e")
def test_the_command_to_develop_is_what_ci_runs(block: Block):
    (develop,) = block.commands
    assert develop in (ROOT / ".ci" / "run").read_text()


@runs("README.md", "python3 -m venv")
def test_the_command_to_try_it_is_what_ci_runs(block: Block):
    (demo,) = block.commands
    assert demo.endswith("pip install . && turnstream demo")
    assert "turnstream demo" in (ROOT / ".ci" / "run").read_text()


@runs("README.md", "predictor = TurnPredictor")
def test_python_block_predicts(block: Block, tmp_path: Path):
    shown = run_python(tmp_path, "-W", "error", "-c", block.code)
    assert len(shown.splitlines()) >= 48  # 50 frames less what the resampler still holds


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


@runs("README.md", "from turnstream import Client")
def test_websocket_block_hears_turns_end_and_is_interrupted(block: Block, tmp_path: Path):
    with running_server() as port:
        code = A_RECORDING_AS_MICROPHONE + block.code.replace("8765", port).replace(
            "turn: client.agent.say", "turn: print(turn) or client.agent.say"
        )
        shown = run_python(tmp_path, "-W", "error", "-c", code)
    assert "TurnEvent(type='end_of_turn', speaker=0" in shown
    assert "Cut(played_s=" in shown
