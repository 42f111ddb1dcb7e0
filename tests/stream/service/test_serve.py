"""`turnstream serve` prints its address and admits the right clients.

It ends cleanly on a signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shlex
import signal
import socket
import ssl
import subprocess
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus

from turnstream import Engine, ServerError
from turnstream.cli import main
from turnstream.stream.clients.blocking import Client
from turnstream.stream.pause_model import PauseModel
from turnstream.stream.service import launch, serve

from ..certificates import make_certificate
from ..command_server import TURNSTREAM, CommandServer, answer, command_server
from ..embeddings import random_embedding
from ..pauses import RecordingPauseModel


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_session_well(tiny_model_path: Path, number: signal.Signals) -> None:
    with command_server(tiny_model_path, "--quiet") as server:
        assert server.page == server.url.replace("ws://", "http://") + "/"
        assert answer(f"{server.page}healthz")[0] == 200
        client = Client(server.url)
        with client:
            code, out, err = server.end(number)
            (last,) = list(client)
    assert (code, out, err) == (0, "", "")
    assert getattr(last, "reason", None) == "shutdown"


def test_the_log_goes_to_standard_error(tiny_model_path: Path) -> None:
    with command_server(tiny_model_path) as server:
        code, out, err = server.end(signal.SIGTERM)
    assert (code, out) == (0, "")
    first, last = err.splitlines()
    assert "INFO turnstream.stream.service.server: listening url=ws://" in first
    assert last.endswith("INFO turnstream.stream.service.server: stopped")


def test_tokens_come_from_the_file_and_the_environment(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    first, second, third, fourth = (f"the-token-of-number-{n}" for n in range(1, 5))
    (tmp_path / "tokens").write_text(f"{first}\n\n  {second} \n")
    with command_server(
        tiny_model_path, "--token-file", str(tmp_path / "tokens"), tokens=f"{third}, {fourth}"
    ) as server:
        for token in (first, second, third, fourth):
            with Client(server.url, token=token) as client:
                assert client.begin.model_name == "tiny"
        for token in (None, "", "fifth-token-of-none", f"{third}, {fourth}"):
            with pytest.raises(ServerError, match="HTTP 401"), Client(server.url, token=token):
                pass


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hang_up_reads_the_tokens_again_and_ends_no_session(
    tiny_model_path: Path, tmp_path: Path, workers: int
) -> None:
    old, new, path = "the-token-of-before", "the-token-of-after-it", tmp_path / "tokens"
    path.touch(mode=0o600)
    path.write_text(old)
    options = ("--token-file", str(path), "--workers", str(workers), "--log-format", "json")
    with (
        command_server(tiny_model_path, *options) as server,
        Client(server.url, token=old) as client,
    ):
        path.write_text("short")
        server.process.send_signal(signal.SIGHUP)
        assert "the access tokens stay as they are: expected" in log_entry(server, "ERROR")
        path.write_text(f"# now\n{new}\n")
        server.process.send_signal(signal.SIGHUP)
        while "the access tokens were read again" not in server.log_line():
            pass
        until_status(server, old, 401)  # any worker may answer, and each hears of it in its turn
        until_status(server, new, 200)
        client.push_audio(np.zeros((640, 2), np.float32))
        client.close()
        assert getattr(list(client)[-1], "frames", None) == 2
        code, _, err = server.end(signal.SIGTERM)
    assert code == 0
    assert old not in err
    assert new not in err


def log_entry(server: CommandServer, level: str) -> str:
    """Wait for the next entry of a level in a JSON log; return its message."""
    while (entry := json.loads(server.log_line()))["level"] != level:
        pass
    return str(entry["message"])


def until_status(server: CommandServer, token: str, status: int) -> None:
    """Ask with a token until ten answers in a row have this status."""
    in_a_row = 0
    while in_a_row < 10:
        found, _ = answer(f"{server.page}metrics", Authorization=f"Bearer {token}")
        in_a_row = in_a_row + 1 if found == status else 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hang_up_without_a_token_file_ends_the_server_well(
    tiny_model_path: Path, workers: int
) -> None:
    with command_server(tiny_model_path, "--quiet", "--workers", str(workers)) as server:
        assert server.end(signal.SIGHUP) == (0, "", "")


def test_sessions_are_limited(tiny_model_path: Path) -> None:
    with command_server(tiny_model_path, "--max-sessions", "1") as server, Client(server.url):
        with (
            pytest.raises(ServerError, match="at capacity: 1 sessions") as caught,
            Client(server.url),
        ):
            pass
        assert caught.value.code == "http_503"


def test_tls_serves_the_stream_and_the_page(tiny_model_path: Path, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(certificate))
    options = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with command_server(tiny_model_path, *options, tls=True) as server:
        assert server.page.startswith("https://127.0.0.1:")
        assert answer(f"{server.page}healthz", trusting)[0] == 200
        with server.stream(ssl=trusting) as client:
            assert json.loads(client.recv(timeout=20))["type"] == "begin"
        with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
            answer(server.page)


def test_only_listed_pages_may_connect(tiny_model_path: Path) -> None:
    options = ("--origin", "https://my.page", "--origin", "null")
    with command_server(tiny_model_path, *options) as server:
        for origin in (None, "https://my.page", "null", server.page.rstrip("/")):
            with server.stream(origin=origin) as client:
                assert json.loads(client.recv(timeout=20))["type"] == "begin"
        with pytest.raises(InvalidStatus, match="HTTP 403"):
            server.stream(origin="https://other.page")


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_log_tells_no_tokens_and_no_audio(tiny_model_path: Path, form: str) -> None:
    right = "LONG-ENOUGH-SECRET"
    with command_server(tiny_model_path, "--log-format", form, tokens=right) as server:
        for token in (right, "WRONG-SECRET"):
            for query in (
                f"token={token}",
                f"token={token}&frames=never",
                f"resume={token}&received=0&token={right}",
            ):
                with contextlib.suppress(InvalidStatus), server.stream(query) as client:
                    client.send("AUDIO-LIKE" * 100)
                answer(f"{server.page}v1/stream?{query}", Authorization=f"Bearer {token}")
            with socket.create_connection(("127.0.0.1", server.port)) as nonsense:
                nonsense.sendall(f"GET /v1/stream?token={token} HTTP/0.1\r\n\r\n".encode())
                nonsense.recv(100)
        code, _, err = server.end(signal.SIGTERM)
    assert code == 0
    assert "listening" in err
    assert "SECRET" not in err
    assert "AUDIO" not in err
    if form == "json":
        assert all(
            {"time", "level", "logger", "message"} <= json.loads(line).keys()
            for line in err.splitlines()
        )


def test_without_signal_handlers_an_interrupt_ends_the_server_well(
    tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(*args: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(serve, "new_event_loop", asyncio.new_event_loop)
    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_signal_handler", missing)
    monkeypatch.setattr(
        serve, "print", lambda *args, **options: signal.raise_signal(signal.SIGINT), raising=False
    )
    with caplog.at_level("INFO", logger="turnstream"):
        assert main(["serve", "--port", "0", "--model", str(tiny_model_path)]) == 0
    assert caplog.messages[-1] == "stopped"


@pytest.mark.parametrize(
    ("options", "asked"),
    [([], False), (["--no-pause-model"], False), (["--pause-model"], True)],
)
def test_the_pause_model_is_asked_only_if_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
    tiny_model_path: Path,
    loaded_pause_models: list[RecordingPauseModel],
    options: list[str],
    asked: bool,
) -> None:
    given: list[PauseModel | None] = []

    class Refusing(launch.Server):
        """Notes its pause model and does not start."""

        def __init__(self, *args: Any, pause_model: PauseModel | None, **settings: Any) -> None:
            given.append(pause_model)
            raise ServerError("test", "seen enough")

    monkeypatch.setattr(launch, "Server", Refusing)
    assert main(["serve", "--quiet", "--port", "0", "--model", str(tiny_model_path), *options]) == 2
    assert given == [loaded_pause_models[0] if asked else None]


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("ws://127.0.0.1:8765/v1/stream", "http://127.0.0.1:8765/"),
        ("wss://my.host:443/v1/stream", "https://my.host:443/"),
        ("ws://[::1]:1/v1/stream", "http://[::1]:1/"),
        ("ws://0.0.0.0:8765/v1/stream", "http://localhost:8765/"),
        ("ws://:8765/v1/stream", "http://localhost:8765/"),
        ("wss://[::]:8765/v1/stream", "https://localhost:8765/"),
    ],
)
def test_the_page_is_where_a_browser_on_this_machine_finds_it(url: str, page: str) -> None:
    assert serve._page_url(url) == page


@pytest.mark.parametrize("workers", [1, 2])
def test_another_projection_is_what_the_page_gets(
    tiny_model_path: Path, tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "mine.json"
    random_embedding(Engine(tiny_model_path), "latent_speaker", ((5, "tanh"),)).save(path)
    options = ("--quiet", "--embedding", str(path), "--workers", str(workers))
    with command_server(tiny_model_path, *options) as server:
        assert answer(f"{server.page}plane.json") == (200, path.read_text())


@pytest.mark.parametrize("output", [">&-", ">/dev/full", "<&- >&-"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_whose_output_cannot_be_written_serves_all_the_same(
    tiny_model_path: Path, output: str, workers: str
) -> None:
    words = ["serve", "--port", "0", "--model", str(tiny_model_path), "--workers", workers]
    command = shlex.join([*TURNSTREAM, *words])
    with subprocess.Popen(
        ["sh", "-c", f"exec {command} {output}"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        found = None
        while found is None:
            line = process.stderr.readline()
            assert line
            found = re.search(r"listening url=ws://(\S+)/v1", line)
        assert answer(f"http://{found[1]}/healthz")[0] == 200
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in err
