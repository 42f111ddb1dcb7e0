"""Text from outside is printed without control codes; closed standard streams do no harm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from turnstream.stream.printable import printable

INFO = [sys.executable, "-m", "turnstream", "info"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a call.wav", "a call.wav"),
        ("Gespräch ☎ 会話", "Gespräch ☎ 会話"),
        ("\x1b[2Jred\x07", r"\x1b[2Jred\x07"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egnp.exe\u200b", r"\u202egnp.exe\u200b"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_only_what_cannot_be_printed_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def shell(line: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell, unmeasured; "$@" stands for the arguments."""
    # A measurement of coverage would need descriptors of its own.
    environment = {name: word for name, word in os.environ.items() if "COV" not in name}
    return subprocess.run(
        ["sh", "-c", line, "sh", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


@pytest.mark.parametrize("command", [["info"], ["--help"], ["info", "--help"], ["--version"]])
@pytest.mark.parametrize(
    ("redirection", "reason"),
    [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_output_that_cannot_be_written_is_one_line(
    command: list[str], redirection: str, reason: str, tiny_model_path: Path
) -> None:
    model = ["--model", str(tiny_model_path)] if command == ["info"] else []
    finished = shell(f'"$@" {redirection}', *INFO[:-1], *command, *model)
    assert finished.returncode == 1
    assert finished.stderr.startswith("turnstream")
    assert finished.stderr.endswith(f"{reason}\n")
    assert finished.stderr.count("\n") == 1


def test_a_message_does_not_go_into_the_table_when_standard_error_is_closed(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    raw = tmp_path / "silence.raw"
    raw.write_bytes(bytes(6400))
    line = '"$@" 2>&- <' + str(raw)
    predict = [*INFO[:-1], "predict", "-", "--model", str(tiny_model_path)]
    finished = shell(line, *predict)
    assert finished.returncode == 0
    assert len(finished.stdout.splitlines()) == 1 + 5
    assert "frames" not in finished.stdout


def test_a_closed_standard_input_is_empty(tiny_model_path: Path) -> None:
    predict = [*INFO[:-1], "predict", "-", "--model", str(tiny_model_path)]
    finished = shell('"$@" <&- >/dev/null', *predict)
    assert finished.returncode == 2
    assert finished.stderr == (
        "turnstream predict: error: expected audio on standard input, got none\n"
    )


def test_a_full_standard_error_changes_no_exit_code_of_an_error() -> None:
    finished = shell('"$@" 2>/dev/full', *INFO, "--model", "none.onnx")
    assert (finished.returncode, finished.stdout, finished.stderr) == (2, "", "")


def test_too_few_file_descriptors_are_one_line(tiny_model_path: Path, tmp_path: Path) -> None:
    silence = tmp_path / "silence.wav"
    soundfile.write(silence, np.zeros(3200), 16000)
    program = """
import os, resource, sys
from turnstream.cli import main
assert main(sys.argv[1:-2]) == 0  # imports all that the command needs
free = os.open(os.devnull, os.O_RDONLY)
os.close(free)
resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, free + 1))  # one; the command needs two
sys.exit(main(sys.argv[1:]))
"""
    predict = ["predict", silence, "--model", tiny_model_path, "--out", tmp_path / "out.csv"]
    finished = shell('"$@"', sys.executable, "-c", program, *predict)
    assert finished.returncode == 1
    *_, last = finished.stderr.splitlines()
    assert "Traceback" not in finished.stderr
    assert last.startswith("turnstream predict: error: ")
    assert last.endswith("Too many open files")


def test_names_that_the_locale_cannot_encode_are_escaped(tiny_model_path: Path) -> None:
    plain = "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"
    model = tiny_model_path.parent / "modèle.onnx"
    model.write_bytes(tiny_model_path.read_bytes())
    finished = shell(f'{plain} "$@"', *INFO, "--model", model)
    assert finished.returncode == 0
    assert r"mod\udcc3\udca8le.onnx" in finished.stdout
    missing = shell(f'{plain} "$@"', *INFO, "--model", "é.onnx")
    assert missing.returncode == 2
    assert "Traceback" not in missing.stderr


def test_control_codes_in_arguments_are_escaped() -> None:
    for arguments in (["\x1b[31m"], ["--model", "\x1b[31m"], ["--\x1b[31m"]):
        finished = shell('"$@"', *INFO, *arguments)
        assert finished.returncode == 2
        assert "\x1b" not in finished.stderr
        assert r"\x1b[31m" in finished.stderr
