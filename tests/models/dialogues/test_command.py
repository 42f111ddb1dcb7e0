"""`turnstream simulate`."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.dialogues import command
from turnstream.models.dialogues.loading import load_activity, load_audio, load_texts
from turnstream.models.dialogues.manifest import read_manifest
from turnstream.models.dialogues.simulation import SimulationData, simulate
from turnstream.models.dialogues.styles import STYLES
from turnstream.models.dialogues.utterances import SETS_OF_WHOLE_SENTENCES
from turnstream.stream.errors import DialogueError

LENGTHS_S = (20.0, 40.0)


def test_the_command_writes_the_dialogues_of_the_seed_whoever_makes_them(
    data_folder: Path,
    cache_folder: Path,
    data: SimulationData,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    folders = ["--data", str(data_folder), "--cache", str(cache_folder), "--out", str(tmp_path)]
    options = [
        "--hours",
        "0.02",
        "--seed",
        "4",
        "--lengths",
        "20",
        "40",
        "--jobs",
        "2",
        "--no-synthetic",
    ]
    assert command.main(parser.parse_args([*folders, *options])) == 0
    assert "dialogues" in capsys.readouterr().out
    written = read_manifest(tmp_path / "manifest.jsonl")
    assert [(d.id, d.split) for d in written] == [
        (f"sim4_train_{i:05d}", "train") for i in range(len(written))
    ]
    assert len(written) > 1
    for i, dialogue in enumerate(written):
        expected = simulate(data, 4, i, LENGTHS_S)
        assert np.array_equal(load_audio(dialogue), expected.audio / np.float32(32768))
        assert all(
            map(np.array_equal, load_activity(dialogue), (expected.activity, expected.backchannel))
        )
        spoken = [
            (channel, text)
            for channel, texts in enumerate(load_texts(dialogue))
            for _, text in texts
        ]
        assert sorted(spoken) == sorted((word["ch"], word["text"]) for word in expected.words)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lengths", "40", "20"], "expected --lengths FROM TO with 0 < FROM <= TO, got 40 20"),
        (["--hours", "0"], "expected --hours > 0, got 0"),
        (["--hours", "-1.5"], "expected --hours > 0, got -1.5"),
        (["--hours", "inf"], "expected --hours > 0, got inf"),
    ],
)
def test_impossible_numbers_are_refused(
    data_folder: Path, tmp_path: Path, options: list[str], message: str
):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with pytest.raises(DialogueError, match=message):
        command.main(
            parser.parse_args(
                ["--data", str(data_folder), "--out", str(tmp_path / "out"), *options]
            )
        )
    assert not (tmp_path / "out").exists()


def test_the_help_names_the_folders_and_every_name_that_matters():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    said = parser.format_help()
    corpora = [corpus for style in STYLES.values() for corpus in style.templates]
    for name in (
        "speech/<set>/manifest.csv",
        "timing/<corpus>/",
        "scripts/<corpus>/",
        "rooms/manifest.csv",
        "noise/",
        *corpora,
        *SETS_OF_WHOLE_SENTENCES,
    ):
        assert name in said
