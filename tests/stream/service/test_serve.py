"""`turnstream serve` prints its address and admits the right clients.

It ends cleanly on a signal, and explains why it cannot start.
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
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from turnstream import ConfigError, Engine, Limits, ServerError
from turnstream.cli import main
from turnstream.stream import pause_model
from turnstream.stream.clients.blocking import Client
from turnstream.stream.pause_model import PauseModel
from turnstream.stream.saved_embedding import bundled_plane
from turnstream.stream.service import launch, serve
from turnstream.stream.service.tokens import read_tokens

from ..certificates import make_certificate
from ..command_server import CommandServer, command_server
from ..embeddings import random_embedding, unusable_embeddings
from ..pauses import tiny_pause_model


def answer(url: str, tls: ssl.SSLContext | None = None, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=20, context=tls
        ) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


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
    with command_server(
        tiny_model_path, "--tls-cert", str(certificate), "--tls-key", str(key), tls=True
    ) as server:
        assert server.page.startswith("https://127.0.0.1:")
        assert answer(f"{server.page}healthz", trusting)[0] == 200
        with connect(
            f"{server.url}/v1/stream", ssl=trusting, compression=None, proxy=None
        ) as client:
            assert json.loads(client.recv(timeout=20))["type"] == "begin"
        with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
            answer(server.page)


def test_only_listed_pages_may_connect(tiny_model_path: Path) -> None:
    with command_server(
        tiny_model_path, "--origin", "https://my.page", "--origin", "null"
    ) as server:
        for origin in (None, "https://my.page", "null", server.page.rstrip("/")):
            with connect(
                f"{server.url}/v1/stream", origin=origin, compression=None, proxy=None
            ) as client:
                assert json.loads(client.recv(timeout=20))["type"] == "begin"
        with (
            pytest.raises(InvalidStatus, match="HTTP 403"),
            connect(
                f"{server.url}/v1/stream", origin="https://other.page", compression=None, proxy=None
            ),
        ):
            pass


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_log_tells_no_tokens_and_no_audio(tiny_model_path: Path, form: str) -> None:
    with command_server(
        tiny_model_path, "--log-format", form, tokens="LONG-ENOUGH-SECRET"
    ) as server:
        for token in ("LONG-ENOUGH-SECRET", "WRONG-SECRET"):
            for query in (
                f"token={token}",
                f"token={token}&frames=never",
                f"resume={token}&received=0&token=LONG-ENOUGH-SECRET",
            ):
                with (
                    contextlib.suppress(InvalidStatus),
                    connect(
                        f"{server.url}/v1/stream?{query}", compression=None, proxy=None
                    ) as client,
                ):
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


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    line = capsys.readouterr().err.splitlines()[-1]
    prefix = "turnstream serve: error: "
    assert line.startswith(prefix)
    return line.removeprefix(prefix)


def test_a_port_in_use_is_one_clear_line(
    tiny_model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--quiet", "--port", str(port), "--model", str(tiny_model_path)]) == 2
    assert error_line(capsys) == (
        f"cannot listen on 127.0.0.1, port {port}: Address already in use; try another --port"
    )


def test_an_address_that_is_not_ours_is_one_clear_line(
    tiny_model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                "serve",
                "--quiet",
                "--port",
                "0",
                "--host",
                "192.0.2.1",
                "--open",
                "--model",
                str(tiny_model_path),
            ]
        )
        == 2
    )
    assert error_line(capsys).startswith("cannot listen on 192.0.2.1, port 0: ")


@pytest.mark.parametrize("port", ["65536", "-1", "http", "80.5"])
def test_a_port_out_of_range_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", f"--port={port}"])
    assert caught.value.code == 2
    assert error_line(capsys) == f"argument --port: expected a port from 0 to 65535, got {port!r}"


@pytest.mark.parametrize("content", [None, "", " \n\n"])
def test_a_token_file_without_tokens_lets_nobody_in(
    tiny_model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content)
    assert (
        main(
            [
                "serve",
                "--quiet",
                "--port",
                "0",
                "--model",
                str(tiny_model_path),
                "--token-file",
                str(path),
            ]
        )
        == 2
    )
    line = error_line(capsys)
    assert "expected a file of tokens, one a line" in line
    assert str(path) in line


@pytest.mark.parametrize("tokens", ["", " ", ",", " , ,"])
def test_a_token_variable_without_tokens_lets_nobody_in(
    tiny_model_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tokens: str,
) -> None:
    monkeypatch.setenv("TURNSTREAM_TOKENS", tokens)
    assert main(["serve", "--quiet", "--port", "0", "--model", str(tiny_model_path)]) == 2
    assert error_line(capsys) == (
        "expected access tokens in TURNSTREAM_TOKENS, separated by commas, got none; unset it "
        "to admit everyone"
    )


@pytest.mark.parametrize(
    ("host", "options", "tokens", "warned"),
    [
        ("0.0.0.0", ["--open"], None, True),
        ("", ["--open"], None, True),
        ("0.0.0.0", [], "a-token-that-is-long", False),
        ("localhost", [], None, False),
        ("::1", [], None, False),
    ],
)
def test_an_open_server_that_others_can_reach_is_warned_of(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tiny_model_path: Path,
    host: str,
    options: list[str],
    tokens: str | None,
    warned: bool,
) -> None:
    async def at_once(*args: object) -> None:
        pass

    monkeypatch.setattr(serve, "_serve", at_once)
    monkeypatch.delenv("TURNSTREAM_TOKENS", raising=False)
    if tokens is not None:
        monkeypatch.setenv("TURNSTREAM_TOKENS", tokens)
    assert main(["serve", "--host", host, "--model", str(tiny_model_path), *options]) == 0
    assert [
        record.levelname for record in caplog.records if "no access tokens" in record.message
    ] == ["WARNING"] * warned


def test_a_misspelt_variable_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tiny_model_path: Path
) -> None:
    async def at_once(*args: object) -> None:
        pass

    monkeypatch.setattr(serve, "_serve", at_once)
    for name in ("MAX_SESSION", "MAX_SESSIONS", "PRESET", "TOKEN"):
        monkeypatch.setenv(f"TURNSTREAM_{name}", "7")
    assert main(["serve", "--model", str(tiny_model_path)]) == 0
    assert caplog.messages == [
        "no option has these variables, so they change nothing: "
        "TURNSTREAM_MAX_SESSION, TURNSTREAM_PRESET"
    ]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "some.name"])
def test_a_host_that_others_can_reach_needs_tokens_or_the_word_open(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    monkeypatch.delenv("TURNSTREAM_TOKENS", raising=False)
    assert main(["serve", "--quiet", "--host", host]) == 2
    assert error_line(capsys) == (
        f"expected access tokens for --host {host!r}, which other machines may reach, got none: "
        "give --token-file FILE (or TURNSTREAM_TOKENS), or --open to admit everyone"
    )


def test_tokens_and_the_word_open_contradict_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TURNSTREAM_TOKENS", "a-token-that-is-long")
    assert main(["serve", "--quiet", "--open"]) == 2
    assert error_line(capsys) == "expected access tokens or --open, got both"


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
    tmp_path: Path,
    options: list[str],
    asked: bool,
) -> None:
    tiny, given = PauseModel(tiny_pause_model(tmp_path)), list[PauseModel | None]()

    class Refusing(launch.Server):
        """Notes its pause model and does not start."""

        def __init__(self, *args: Any, pause_model: PauseModel | None, **settings: Any) -> None:
            given.append(pause_model)
            raise ServerError("test", "seen enough")

    monkeypatch.setattr(pause_model, "shared_pause_model", lambda: tiny)
    monkeypatch.setattr(launch, "Server", Refusing)
    assert main(["serve", "--quiet", "--port", "0", "--model", str(tiny_model_path), *options]) == 2
    assert [found is not None for found in given] == [asked]


def test_bad_settings_are_a_config_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="max_batch: expected more than 0, got 0"):
        Limits(max_batch=0)
    with pytest.raises(ConfigError, match="expected a file of tokens"):
        read_tokens(tmp_path / "none")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--tls-key", "server.key"], "expected --tls-cert with --tls-key, got the key alone"),
        (
            ["--tls-cert", "none.pem"],
            "expected a certificate and its key, got 'none.pem': No such file or directory",
        ),
        (
            ["--origin", "my.page"],
            (
                "expected an origin such as https://my.page or http://localhost:3000, '*' or "
                "'null', got 'my.page'"
            ),
        ),
        (
            ["--onnxruntime-web", "none"],
            (
                "expected the folder of the npm package onnxruntime-web (npm install "
                "onnxruntime-web), with dist/ort.wasm.bundle.min.mjs and "
                "dist/ort-wasm-simd-threaded.wasm, got 'none'"
            ),
        ),
    ],
)
def test_settings_of_no_possible_server_are_one_clear_line(
    tiny_model_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], line: str
) -> None:
    assert main(["serve", "--quiet", "--port", "0", "--model", str(tiny_model_path), *options]) == 2
    assert error_line(capsys) == line


@pytest.mark.parametrize("count", ["0", "-1", "2.5", "many", "1025"])
def test_a_number_of_workers_out_of_range_is_refused(
    capsys: pytest.CaptureFixture[str], count: str
) -> None:
    with pytest.raises(SystemExit):
        main(["serve", f"--workers={count}"])
    assert (
        error_line(capsys)
        == f"argument --workers: expected a whole number from 1 to 1024, got {count!r}"
    )


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
    with command_server(
        tiny_model_path, "--quiet", "--embedding", str(path), "--workers", str(workers)
    ) as server:
        assert answer(f"{server.page}plane.json") == (200, path.read_text())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_projection_that_does_not_fit_is_one_clear_line(
    tiny_model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    cases = unusable_embeddings(Engine(tiny_model_path), tmp_path) | {
        bundled_plane(): "got the bundled plane, of turnstream 4"
    }
    for path, words in list(cases.items())[:: 1 if workers == 1 else 3]:
        options = [
            "--quiet",
            "--port",
            "0",
            "--model",
            str(tiny_model_path),
            "--workers",
            str(workers),
            "--embedding",
            str(path),
        ]
        assert main(["serve", *options]) == 2
        assert re.search(words, error_line(capsys))


def test_no_room_for_anyone_is_refused(
    tiny_model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                "serve",
                "--quiet",
                "--port",
                "0",
                "--model",
                str(tiny_model_path),
                "--max-sessions",
                "0",
            ]
        )
        == 2
    )
    assert error_line(capsys) == "max_sessions: expected more than 0, got 0"


def test_a_batch_of_absurd_size_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--quiet", "--port", "0", "--max-batch", "1" + "0" * 30]) == 2
    assert error_line(capsys) == f"max_batch: expected at most 4096, got 1{'0' * 30}"


SERVE = [sys.executable, "-m", "turnstream", "serve", "--port", "0", "--model"]


@pytest.mark.parametrize("output", [">&-", ">/dev/full", "<&- >&-"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_whose_output_cannot_be_written_serves_all_the_same(
    tiny_model_path: Path, output: str, workers: str
) -> None:
    command = shlex.join([*SERVE, str(tiny_model_path), "--workers", workers])
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


@pytest.mark.parametrize("workers", ["1", "2"])
def test_too_few_file_descriptors_are_one_clear_line(tiny_model_path: Path, workers: str) -> None:
    command = shlex.join([*SERVE, str(tiny_model_path), "--workers", workers])
    done = subprocess.run(
        ["sh", "-c", f"ulimit -n 30; exec {command}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"turnstream serve: error: expected at least 64 free file descriptors, got \d+ "
        r"\(Too many open files\); `ulimit -n` tells and raises their number\n",
        done.stderr,
    )


def test_a_missing_model_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--quiet", "--port", "0", "--model", str(tmp_path / "none.onnx")]) == 2
    assert "none.onnx" in error_line(capsys)
