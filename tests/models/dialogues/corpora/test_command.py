from collections.abc import Callable
from pathlib import Path

import pytest

from turnstream.cli import main
from turnstream.models.dialogues.manifest import read_manifest

from .making import write, write_audio

TIMES = [[(0.5, 1.5)], [(2.0, 3.0)]]


def call(folder: Path, name: str) -> None:
    write_audio(folder / f"{name}.wav", TIMES, 4.0)
    lines = [
        f"SPEAKER {name} 1 {start} {end - start} <NA> <NA> {speaker} <NA> <NA>\n"
        for speaker, ((start, end),) in zip("AB", TIMES, strict=True)
    ]
    write(folder / f"{name}.rttm", "".join(lines))


def test_what_was_found_is_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(9):
        call(tmp_path / "calls", f"call{i}")
    out = tmp_path / "made" / "calls.jsonl"
    assert (
        main(["manifest", "rttm", str(tmp_path / "calls"), "--out", str(out), "--val-share", "0.4"])
        == 0
    )
    splits = [dialogue.split for dialogue in read_manifest(out)]
    summary = (
        f"9 dialogues ({splits.count('train')} train, {splits.count('val')} val), 0.01 h, in "
        f"{out}\n"
    )
    assert capsys.readouterr().out == summary


def test_broken_recordings_can_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(tmp_path / "calls", "good")
    call(tmp_path / "calls", "lost")
    (tmp_path / "calls" / "lost.wav").unlink()
    out = tmp_path / "calls.jsonl"
    assert main(["manifest", "rttm", str(tmp_path / "calls"), "--out", str(out)]) == 2
    assert not out.exists()
    assert (
        main(["manifest", "rttm", str(tmp_path / "calls"), "--out", str(out), "--skip-broken"]) == 0
    )
    captured = capsys.readouterr()
    assert "left out lost: " in captured.err
    assert "; left out 1 of 2 recordings" in captured.out
    assert [dialogue.id for dialogue in read_manifest(out)] == ["good"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["swichboard", "calls"],
            (
                "expected CORPUS to be one of switchboard, fisher, maptask, candor, ami, icsi, "
                "harpervalley, primock57, rttm, t"
            ),
        ),
        (["rttm", "nowhere"], "nowhere: expected the folder of a corpus, got no folder"),
        (["rttm", "empty"], "empty: expected the files of a corpus, got an empty folder"),
        (
            ["switchboard", "calls"],
            (
                "calls: expected files such as sw2001A-ms98-a-word.text, got none of this form "
                "among 2 files"
            ),
        ),
        (["rttm", "calls", "--val-share", "1"], "expected 0 <= --val-share < 1, got 1"),
        (
            ["rttm", "calls", "--activity-from", "words"],
            "one: expected words to say who spoke when, got none from corpus 'rttm'",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    complaint: Callable[..., str],
) -> None:
    monkeypatch.chdir(tmp_path)
    call(tmp_path / "calls", "one")
    (tmp_path / "empty").mkdir()
    assert message in complaint("manifest", *arguments, "--out", "m.jsonl")
