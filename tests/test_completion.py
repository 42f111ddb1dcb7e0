"""The shells complete our command line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from turnstream.cli import COMMANDS, main
from turnstream.completion import SHELLS

COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_shtab_turnstream 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["--print-completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["eval"], ["evaluate"]),
        (["serve", "--max-l"], ["--max-lag-s", "--max-load"]),
        (["predict", "--policy", "b"], ["balanced"]),
        (["pretrain", "dist"], ["distill"]),
        (["pretrain", "cpc", "--man"], ["--manifest"]),
        (["latents", "proj"], ["project"]),
        (["predict", "--model", "mo"], ["model.onnx"]),
        (["predict", "ca"], ["call.wav"]),
    ],
)
def test_bash_completes_commands_options_choices_and_files(
    words: list[str], expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("turnstream.bash", "model.onnx", "call.wav"):
        (tmp_path / name).touch()
    (tmp_path / "turnstream.bash").write_text(script("bash", capsys))
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", "turnstream.bash", "turnstream", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(done.stdout.split()) == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_names_every_command_and_the_shell_can_read_it(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = script(shell, capsys)
    assert [name for name in COMMANDS if name not in written] == []
    (tmp_path / "script").write_text(written)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--print-completion", "cmd"])
    assert caught.value.code == 2
    assert "invalid choice: 'cmd' (choose from 'bash', 'zsh', 'fish')" in capsys.readouterr().err
