"""`turnstream serve` tells in one clear line why it cannot start, and warns of an open server."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from turnstream import Engine
from turnstream.cli import main
from turnstream.stream.saved_embedding import bundled_plane
from turnstream.stream.service import serve

from ..command_server import TURNSTREAM
from ..embeddings import unusable_embeddings

Refused = Callable[..., str]


@pytest.fixture
def refused(complaint: Callable[..., str], tiny_model_path: Path) -> Refused:
    """Run `turnstream serve` with a small model; return why it refused."""
    return partial(complaint, "serve", "--quiet", "--port", "0", "--model", tiny_model_path)


def test_a_port_in_use_is_one_clear_line(refused: Refused) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refused("--port", port) == (
            f"cannot listen on 127.0.0.1, port {port}: Address already in use; try another --port"
        )


def test_an_address_that_is_not_ours_is_one_clear_line(refused: Refused) -> None:
    line = refused("--host", "192.0.2.1", "--open")
    assert line.startswith("cannot listen on 192.0.2.1, port 0: ")


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        *((f"--port={port}", "a port from 0 to 65535") for port in ("65536", "-1", "http", "80.5")),
        *(
            (f"--workers={count}", "a whole number from 1 to 1024")
            for count in ("0", "-1", "2.5", "many", "1025")
        ),
    ],
)
def test_a_number_out_of_range_is_refused(
    option: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", option])
    assert caught.value.code == 2
    name, value = option.split("=")
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"turnstream serve: error: argument {name}: expected {expected}, got {value!r}"
    )


@pytest.mark.parametrize("content", [None, "", " \n\n"])
def test_a_token_file_without_tokens_lets_nobody_in(
    refused: Refused, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content)
    line = refused("--token-file", path)
    assert "expected a file of tokens, one a line" in line
    assert str(path) in line


@pytest.mark.parametrize("tokens", ["", " ", ",", " , ,"])
def test_a_token_variable_without_tokens_lets_nobody_in(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, tokens: str
) -> None:
    monkeypatch.setenv("TURNSTREAM_TOKENS", tokens)
    assert refused() == (
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
    refused: Refused, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.delenv("TURNSTREAM_TOKENS", raising=False)
    assert refused("--host", host) == (
        f"expected access tokens for --host {host!r}, which other machines may reach, got none: "
        "give --token-file FILE (or TURNSTREAM_TOKENS), or --open to admit everyone"
    )


def test_tokens_and_the_word_open_contradict_each_other(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURNSTREAM_TOKENS", "a-token-that-is-long")
    assert refused("--open") == "expected access tokens or --open, got both"


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
        (["--max-sessions", "0"], "max_sessions: expected more than 0, got 0"),
        (["--max-batch", "1" + "0" * 30], f"max_batch: expected at most 4096, got 1{'0' * 30}"),
    ],
)
def test_settings_of_no_possible_server_are_one_clear_line(
    refused: Refused, options: list[str], line: str
) -> None:
    assert refused(*options) == line


@pytest.mark.parametrize("workers", [1, 2])
def test_a_projection_that_does_not_fit_is_one_clear_line(
    refused: Refused, tiny_model_path: Path, tmp_path: Path, workers: int
) -> None:
    cases = unusable_embeddings(Engine(tiny_model_path), tmp_path) | {
        bundled_plane(): "got the bundled plane, of turnstream 4"
    }
    for path, words in list(cases.items())[:: 1 if workers == 1 else 3]:
        assert re.search(words, refused("--workers", workers, "--embedding", path))


def test_a_missing_model_is_one_clear_line(refused: Refused, tmp_path: Path) -> None:
    assert "none.onnx" in refused("--model", tmp_path / "none.onnx")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_too_few_file_descriptors_are_one_clear_line(tiny_model_path: Path, workers: str) -> None:
    words = ["serve", "--port", "0", "--model", str(tiny_model_path), "--workers", workers]
    command = shlex.join([*TURNSTREAM, *words])
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
