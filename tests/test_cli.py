"""The command line as a whole.

It starts quickly, lists its commands, and turns every expected failure into one line.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from turnstream import __version__, cli
from turnstream.cli import COMMANDS, main
from turnstream.models.latents.command import VIEWS

HEAVY = (
    "numpy",
    "onnxruntime",
    "torch",
    "websockets",
    "soundfile",
    "sounddevice",
    "rich",
    "matplotlib",
    "asyncio",
    "shtab",
)


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def without(package: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run the command line in a Python that lacks one package."""
    return python(
        (
            f"import sys; sys.modules[{package!r}] = None; from turnstream.cli import main; "
            "sys.exit(main(sys.argv[1:]))"
        ),
        *arguments,
    )


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_waits_for_no_heavy_import(arguments: list[str]) -> None:
    code = (
        "import contextlib, sys; from turnstream.cli import main\n"
        "with contextlib.suppress(SystemExit): main(sys.argv[1:])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    finished = python(code, *arguments)
    assert (finished.returncode, finished.stderr) == (0, "[]\n")
    shown = " ".join(finished.stdout.split())
    assert [name for name, (_, what) in COMMANDS.items() if f"{name} {what}" not in shown] == []


def test_onnx_runtime_may_not_report_to_its_maker(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment = {
        name: word for name, word in environment.items() if name[:4] not in ("ORT_", "XDG_")
    }
    done = subprocess.run(
        [sys.executable, "-m", "turnstream", "info"],
        env=environment,
        capture_output=True,
        check=True,
    )
    assert b"turnstream" in done.stdout
    assert [*tmp_path.rglob("*onnxruntime*")] == []  # where it keeps what it has to report


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"turnstream {__version__}\n"


def test_an_unknown_command_is_refused_with_the_list_of_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["bogus"])
    assert caught.value.code == 2
    complaint = capsys.readouterr().err
    assert "bogus" in complaint
    assert all(name in complaint for name in COMMANDS)


@pytest.mark.parametrize(
    ("given", "hint"),
    [("evalute", "did you mean 'evaluate'?"), ("latent", "did you mean 'latents'?"), ("xyz", "")],
)
def test_a_command_that_is_nearly_right_is_suggested(
    given: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([given])
    assert caught.value.code == 2
    complaint = capsys.readouterr().err
    assert f"got {given!r}" in complaint
    assert ("did you mean" in complaint) == bool(hint)
    assert hint in complaint


@pytest.mark.parametrize("option", ["--bogus", "-x", "--model"])
def test_an_unknown_option_before_the_command_is_refused(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([option])
    assert caught.value.code == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("command", [*COMMANDS])
def test_every_command_describes_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: turnstream {command}")
    assert COMMANDS[command][1].split(",")[0][:40] in " ".join(shown.split())


@pytest.mark.parametrize("command", [*COMMANDS])
def test_every_command_refuses_an_unknown_option(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--no-such-option"])
    assert caught.value.code == 2
    assert f"turnstream {command}: error:" in capsys.readouterr().err


def options_of(module: str) -> Iterator[argparse.Action]:
    """Yield the options of a command and of its subcommands that take a value."""
    parsers = [argparse.ArgumentParser()]
    importlib.import_module(module).add_arguments(parsers[0])
    for parser in parsers:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
            elif action.option_strings and action.nargs != 0 and action.choices is None:
                yield action


@pytest.mark.parametrize(
    "module",
    [module for module, _ in COMMANDS.values() if ".stream." not in module]
    + [f"turnstream.models.latents.{module}" for module, _ in VIEWS.values()],
)
def test_every_option_of_models_and_export_says_what_it_takes(module: str) -> None:
    unclear = [one.dest for one in options_of(module) if not one.metavar or not one.help]
    assert unclear == []


def test_python_m_turnstream_is_the_command_line() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "turnstream", "--version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (0, f"turnstream {__version__}\n")
    finished = subprocess.run(
        [sys.executable, "-m", "turnstream", "info", "--model", "none.onnx"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr == (
        "turnstream info: error: expected an ONNX model file, got 'none.onnx', which is not a "
        "file\n"
    )


def test_training_without_torch_names_the_extra(tmp_path: Path) -> None:
    finished = without("torch", ["export", str(tmp_path), "--out", str(tmp_path / "out.onnx")])
    assert finished.returncode == 2
    assert finished.stderr == (
        "turnstream export: error: torch is not installed; to install it: "
        "pip install 'turnstream[train]'\n"
    )


def test_a_picture_without_matplotlib_names_the_extra(tmp_path: Path) -> None:
    finished = without("matplotlib", ["predict", "none.wav", "--plot", str(tmp_path / "p.png")])
    assert finished.returncode == 2
    assert finished.stderr == (
        "turnstream predict: error: matplotlib is not installed; to install it: "
        "pip install 'turnstream[plot]'\n"
    )


def test_help_needs_no_extra() -> None:
    code = (
        "import contextlib, sys\n"
        "from turnstream.cli import _EXTRA_OF, main\n"
        "sys.modules.update(dict.fromkeys(_EXTRA_OF))\n"
        "for command in sys.argv[1:]:\n"
        "    with contextlib.suppress(SystemExit): main([command, '--help'])"
    )
    finished = python(code, *COMMANDS)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert [
        line.split()[2] for line in finished.stdout.splitlines() if line.startswith("usage:")
    ] == [*COMMANDS]


def test_simulating_without_the_extra_names_it(tmp_path: Path) -> None:
    finished = without("tqdm", ["simulate", "--data", str(tmp_path), "--out", str(tmp_path)])
    assert finished.returncode == 2
    assert finished.stderr == (
        "turnstream simulate: error: tqdm is not installed; to install it: "
        "pip install 'turnstream[train]'\n"
    )


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(command: str, arguments: Sequence[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "_run", run)


def test_an_interrupt_is_exit_code_130_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    assert main(["demo"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        main(["info"])


def test_a_missing_module_of_ours_or_of_the_base_is_not_taken_for_an_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(cli.COMMANDS, "info", ("turnstream.stream.no_such_module", ""))
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        main(["info"])


def test_a_reader_that_has_gone_before_the_last_line_is_no_error(tiny_model_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "turnstream", "info", "--model", str(tiny_model_path)]
    finished = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (finished.returncode, finished.stderr) == (0, "")
