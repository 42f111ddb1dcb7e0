"""`turnstream serve`: says where it is, admits whom it should, ends well on a signal, and explains why it cannot start."""

from __future__ import annotations

import asyncio
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from turnstream import ConfigError, Limits, ServerError
from turnstream.stream import serve
from turnstream.stream.blocking_client import Client
from turnstream.stream.cli import main

from .command_server import command_server


def answer(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url.replace("ws://", "http://"), timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_session_well(tiny_model_path: Path, number: signal.Signals) -> None:
    with command_server(tiny_model_path, "--quiet") as server:
        assert answer(f"{server.url}/healthz")[0] == 200
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
    assert "INFO turnstream.stream.server: listening on ws://" in first
    assert last.endswith("INFO turnstream.stream.server: stopped")


def test_tokens_come_from_the_file_and_the_environment(tiny_model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("first\n\n  second \n")
    with command_server(tiny_model_path, "--token-file", str(tmp_path / "tokens"), tokens="third, fourth") as server:
        for token in ("first", "second", "third", "fourth"):
            with Client(server.url, token=token) as client:
                assert client.begin.model_name == "tiny"
        for token in (None, "", "fifth", "third, fourth"):
            with pytest.raises(ServerError, match="HTTP 401"), Client(server.url, token=token):
                pass


def test_sessions_are_limited(tiny_model_path: Path) -> None:
    with command_server(tiny_model_path, "--max-sessions", "1") as server, Client(server.url):
        with pytest.raises(ServerError, match="at capacity: 1 sessions") as caught, Client(server.url):
            pass
        assert caught.value.code == "http_503"


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    line = capsys.readouterr().err.splitlines()[-1]
    prefix = "turnstream serve: error: "
    assert line.startswith(prefix)
    return line.removeprefix(prefix)


def test_a_port_in_use_is_one_clear_line(tiny_model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--quiet", "--port", str(port), "--model", str(tiny_model_path)]) == 2
    line = error_line(capsys)
    assert "cannot listen" in line
    assert str(port) in line
    assert "address already in use" in line


def test_an_address_that_is_not_ours_is_one_clear_line(tiny_model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--quiet", "--port", "0", "--host", "192.0.2.1", "--model", str(tiny_model_path)]) == 2
    assert "cannot listen" in error_line(capsys)


@pytest.mark.parametrize("port", ["65536", "-1", "http", "80.5"])
def test_a_port_out_of_range_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", f"--port={port}"])
    assert caught.value.code == 2
    assert error_line(capsys) == f"argument --port: expected a port from 0 to 65535, got {port!r}"


@pytest.mark.parametrize("content", [None, "", " \n\n"])
def test_a_token_file_without_tokens_lets_nobody_in(tiny_model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None) -> None:
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content)
    assert main(["serve", "--quiet", "--port", "0", "--model", str(tiny_model_path), "--token-file", str(path)]) == 2
    line = error_line(capsys)
    assert "expected a file of tokens, one a line" in line
    assert str(path) in line


@pytest.mark.parametrize("tokens", ["", " ", ",", " , ,"])
def test_a_token_variable_without_tokens_lets_nobody_in(
    tiny_model_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tokens: str
) -> None:
    monkeypatch.setenv("TURNSTREAM_TOKENS", tokens)
    assert main(["serve", "--quiet", "--port", "0", "--model", str(tiny_model_path)]) == 2
    assert error_line(capsys) == "expected access tokens in TURNSTREAM_TOKENS, separated by commas, got none; unset it to admit everyone"


@pytest.mark.parametrize(
    ("host", "tokens", "warned"),
    [("0.0.0.0", None, True), ("", None, True), ("some.name", None, True), ("0.0.0.0", "a", False), ("localhost", None, False), ("::1", None, False)],
)
def test_an_open_server_that_others_can_reach_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tiny_model_path: Path, host: str, tokens: str | None, warned: bool
) -> None:
    async def at_once(server: object) -> None:
        pass

    monkeypatch.setattr(serve, "_serve", at_once)
    monkeypatch.delenv("TURNSTREAM_TOKENS", raising=False)
    if tokens is not None:
        monkeypatch.setenv("TURNSTREAM_TOKENS", tokens)
    assert main(["serve", "--host", host, "--model", str(tiny_model_path)]) == 0
    assert [record.levelname for record in caplog.records if "no access tokens" in record.message] == ["WARNING"] * warned


def test_without_signal_handlers_an_interrupt_ends_the_server_well(
    tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(*args: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_signal_handler", missing)
    monkeypatch.setattr(serve, "print", lambda *args, **options: signal.raise_signal(signal.SIGINT), raising=False)
    with caplog.at_level("INFO", logger="turnstream"):
        assert main(["serve", "--port", "0", "--model", str(tiny_model_path)]) == 0
    assert caplog.messages[-1] == "stopped"


def test_bad_settings_are_a_config_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="max_batch: expected more than 0, got 0"):
        Limits(max_batch=0)
    with pytest.raises(ConfigError, match="expected a file of tokens"):
        serve._tokens(tmp_path / "none")


def test_no_room_for_anyone_is_refused(tiny_model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--quiet", "--port", "0", "--model", str(tiny_model_path), "--max-sessions", "0"]) == 2
    assert error_line(capsys) == "max_sessions: expected more than 0, got 0"


def test_a_missing_model_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--quiet", "--port", "0", "--model", str(tmp_path / "none.onnx")]) == 2
    assert "none.onnx" in error_line(capsys)
