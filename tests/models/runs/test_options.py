import argparse
from pathlib import Path

import pytest

from turnstream.cli import main
from turnstream.models.runs.hardware import Hardware
from turnstream.models.runs.options import (
    add_hardware_options,
    add_run_options,
    given_settings,
    hardware_from,
)
from turnstream.models.training.settings import TrainingSettings
from turnstream.stream.errors import ConfigError


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_run_options(parser, TrainingSettings(), row="rows", shape="network", resume="resume")
    add_hardware_options(parser)
    return parser.parse_args(words)


def test_options_replace_the_settings_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"steps": 9, "seed": 4, "chunk_s": 2.0}')
    file = ["--settings", str(tmp_path / "settings.json")]
    assert given_settings(parse(*file, "--steps", "0")) == {"steps": 0, "seed": 4, "chunk_s": 2.0}
    assert given_settings(parse("--batch-rows", "3")) == {"batch_rows": 3}
    assert given_settings(parse()) == {}


def test_the_hardware_is_that_of_the_options() -> None:
    assert hardware_from(parse()) == Hardware()
    words = ["--accelerator", "cpu", "--devices", "2", "--nodes", "3", "--precision", "bf16-mixed"]
    assert hardware_from(parse(*words)) == Hardware("cpu", 2, 3, "bf16-mixed")
    with pytest.raises(ConfigError, match="expected nodes >= 1, got 0"):
        hardware_from(parse("--nodes", "0"))


SHARED = ["--settings", "--steps", "--batch-rows", "--seed", "--resume", "--accelerator"]
OF_PROCESSES = ["--devices", "--nodes", "--precision"]
OF_DATA = ["--data", "--cache"]


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (["simulate"], [*OF_DATA, "--judge", "--jobs"]),
        (["pretrain", "teacher"], [*OF_DATA, "--jobs"]),
        (["pretrain", "judge"], [*OF_DATA, "--calls", "--jobs"]),
        (["pretrain", "distill"], [*SHARED, *OF_PROCESSES, *OF_DATA, "--initial"]),
        (["pretrain", "cpc"], SHARED),
        (
            ["train"],
            [
                *SHARED,
                *OF_PROCESSES,
                *OF_DATA,
                "--calls",
                "--test-calls",
                "--initial",
                "--judge",
                "--jobs",
            ],
        ),
        (["cross-validate"], ["--data", "--calls", "--initial", "--judge", "--jobs"]),
        (["compare"], ["--test-calls"]),
        (["evaluate"], ["--judge", "--jobs"]),
    ],
)
def test_commands_have_the_same_name_for_the_same_option(
    command: list[str], options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    said = capsys.readouterr().out
    assert all(f"  {option} " in said or f" {option}]" in said for option in options)
