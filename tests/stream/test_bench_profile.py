"""`turnstream bench --profile` covers the whole runtime and the whole graph."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from turnstream import Engine
from turnstream.cli import main
from turnstream.stream.bench import sample_audio
from turnstream.stream.bench_profile import GRAPH, LINES, profile


@pytest.mark.parametrize("batch", [1, 3])
def test_the_nodes_add_up_to_the_time_of_the_graph(tiny_model_path: Path, batch: int) -> None:
    found = profile(Engine(tiny_model_path), sample_audio(16000), batch, 60)
    assert found.batch == batch
    assert found.stages.keys() == LINES.keys()
    assert all(taken > 0 for taken in found.stages.values())
    for groups in (found.parts, found.kinds):
        # Nodes that would take less than nothing count as nothing.
        assert sum(taken for taken, _ in groups.values()) >= 0.9 * found.stages[GRAPH]
        assert all(number > 0 for _, number in groups.values())
    assert sum(number for _, number in found.parts.values()) == sum(
        number for _, number in found.kinds.values()
    )


def test_the_parts_of_the_network_are_named(tiny_model_path: Path) -> None:
    found = profile(Engine(tiny_model_path), sample_audio(16000), 1, 20)
    assert {"features", "encoder", "speaker_rnn", "dialogue_rnn", "heads"} <= found.parts.keys()


def test_the_command_prints_a_column_per_batch(
    tiny_model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bench", "--profile", "--model", str(tiny_model_path), "--steps", "20"]
    assert main([*arguments, "--batches", "1", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("frame")[1].split() == ["batch", "1", "batch", "2"]
    assert [line.split("  ")[0].strip() for line in lines if line in lines[2 : 2 + len(LINES)]] == [
        *LINES
    ]
    assert main([*arguments, "--json"]) == 0
    assert [found["batch"] for found in json.loads(capsys.readouterr().out)] == [1, 64]
