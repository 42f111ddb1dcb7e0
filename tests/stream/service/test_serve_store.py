"""`turnstream serve --store`: the option, its errors, and a session that survives the server."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from turnstream.stream.environment import parse_arguments
from turnstream.stream.service import workers
from turnstream.stream.service.serve import add_arguments, settings_from

from ..command_server import command_server
from .test_workers import FRAME, PATIENCE_S, receive


def store(*words: str) -> str | None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return settings_from(parse_arguments(parser, words)).store


def test_the_store_is_an_option_or_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TURNSTREAM_STORE", raising=False)
    assert store() is None
    assert store("--store", "folder") == "folder"
    monkeypatch.setenv("TURNSTREAM_STORE", "redis://:password@host/0")
    assert store() == "redis://:password@host/0"
    assert store("--store", "folder") == "folder"


@pytest.mark.parametrize("count", ["1", "2"])
def test_a_store_that_cannot_be_is_one_clear_line(
    tiny_model_path: Path, complaint: Callable[..., str], count: str
) -> None:
    options = ["--quiet", "--port", "0", "--model", tiny_model_path, "--workers", count]
    assert complaint("serve", *options, "--store", "http://me:secret@host/") == (
        "--store: expected a folder, or a URL like redis://host:6379/0, "
        "got one that starts with 'http://'"
    )


def test_a_session_survives_the_death_of_the_whole_server(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    options = ("--store", str(tmp_path / "sessions"), "--save-interval-s", "0.1")
    with (
        command_server(tiny_model_path, *options) as server,
        server.stream() as client,
    ):
        begin = receive(client)
        client.send(FRAME)
        assert receive(client)["frame"] == 0
        while json.loads(client.recv(timeout=PATIENCE_S)) != {"type": "saved", "received": 1}:
            pass
        server.process.kill()
        server.process.wait()
    with command_server(tiny_model_path, *options) as server:
        resume = f"resume={begin['resume_token']}&received=2"
        with server.stream(resume) as client:
            resumed = receive(client)
            assert (resumed["session"], resumed["received"]) == (begin["session"], 1)
            client.send(FRAME)
            assert receive(client)["frame"] == 1


def test_the_workers_sessions_are_kept_in_memory_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_IN_MEMORY", tmp_path)
    monkeypatch.setattr(workers, "_LEAST_ROOM_BYTES", 1)
    assert workers._memory_folder() == tmp_path
    monkeypatch.setattr(workers, "_LEAST_ROOM_BYTES", 1 << 62)
    assert workers._memory_folder() is None
    monkeypatch.setattr(workers, "_IN_MEMORY", tmp_path / "none")
    assert workers._memory_folder() is None
