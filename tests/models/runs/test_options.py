import argparse
from pathlib import Path

import pytest

from turnstream.cli import main
from turnstream.models.runs.hardware import Hardware
from turnstream.models.runs.options import (
    add_hardware_options,
    add_jobs_option,
    add_run_options,
    given_settings,
    hardware_from,
    workers_from,
)
from turnstream.models.training.settings import TrainingSettings
from turnstream.models.work import Workers
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


def work(*words: str) -> Workers:
    parser = argparse.ArgumentParser()
    add_jobs_option(parser)
    return workers_from(parser.parse_args(words))


def test_work_is_done_where_the_options_say() -> None:
    assert work() == Workers()
    assert work("--jobs", "3") == Workers(3)
    assert work("--jobs", "3", "--cluster", "ray://head:10001") == Workers(3, "ray://head:10001")
    assert work("--cluster", "ray") == Workers(None, "ray")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--jobs", "0"], "argument --jobs: expected a whole number from 1, got '0'"),
        (["--jobs", "-2"], "argument --jobs: expected a whole number from 1, got '-2'"),
        (
            ["--cluster", "head:8786"],
            "argument --cluster: expected ray, ray://HOST:PORT or tcp://HOST:PORT, got 'head:8786'",
        ),
    ],
)
def test_work_that_cannot_be_done_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        work(*words)
    assert capsys.readouterr().err.splitlines()[-1].endswith(said)


SHARED = ["--settings", "--steps", "--batch-rows", "--seed", "--resume", "--accelerator"]
OF_PROCESSES = ["--devices", "--nodes", "--precision"]
OF_DATA = ["--data", "--cache"]
OF_WORK = ["--jobs", "--cluster"]


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (["simulate"], [*OF_DATA, *OF_WORK, "--judge"]),
        (["pretrain", "teacher"], [*OF_DATA, *OF_WORK]),
        (["pretrain", "judge"], [*OF_DATA, *OF_WORK, "--calls"]),
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
        (["cross-validate"], [*OF_DATA, *OF_WORK, "--calls", "--initial", "--judge"]),
        (["compare"], ["--test-calls"]),
        (["evaluate"], [*OF_WORK, "--judge"]),
    ],
)
def test_commands_have_the_same_name_for_the_same_option(
    command: list[str], options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    said = capsys.readouterr().out
    assert all(f"  {option} " in said or f" {option}]" in said for option in options)
