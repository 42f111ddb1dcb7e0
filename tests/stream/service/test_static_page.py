"""`turnstream page` writes files that a plain web host can serve."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from turnstream.cli import main
from turnstream.stream.engine import bundled_model
from turnstream.stream.service.web_pages import find_page, page_paths

from .test_tab_pages import WASM, runtime

__all__ = ["runtime"]  # a fixture


def write(folder: Path, runtime: Path, *options: str) -> int:
    return main(["page", str(folder), "--onnxruntime-web", str(runtime), *options])


def test_every_file_of_the_page_is_written_as_it_is_served(
    runtime: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "page"
    assert write(folder, runtime) == 0
    for path in page_paths():
        served = find_page(path)
        assert served is not None
        if path not in ("/index.html", "/v1/page"):
            assert (folder / path[1:]).read_bytes() == served.body, path
    assert (folder / "tab" / "onnxruntime.wasm").read_bytes() == WASM  # the host compresses
    assert (folder / "tab" / "model.onnx").read_bytes() == bundled_model().read_bytes()
    files = [path for path in folder.rglob("*") if path.is_file()]
    size_mb = sum(path.stat().st_size for path in files) / 1e6
    assert capsys.readouterr().out == (
        f"{folder}: {len(files)} files, {size_mb:.1f} MB, for any web host with https\n"
    )


def test_the_page_knows_that_there_is_no_server_and_what_it_may_load(
    runtime: Path, tmp_path: Path
) -> None:
    assert write(tmp_path / "page", runtime, "--page-server", "wss://My.host/") == 0
    facts = json.loads((tmp_path / "page" / "v1" / "page").read_text())
    assert facts["server"] is False
    assert facts["tab"]["model"].startswith("tab/model.onnx?")
    assert json.loads((tmp_path / "page" / "v1" / "servers").read_text()) == ["wss://my.host"]
    html = (tmp_path / "page" / "index.html").read_text()
    _, rule = html.split('<meta http-equiv="Content-Security-Policy" content="')
    policy = rule.partition('"')[0]
    assert "script-src 'self' 'wasm-unsafe-eval'; " in policy
    assert "connect-src 'self' wss://my.host; " in policy
    assert "frame-ancestors" not in policy  # only a header may say that
    assert html.index("Content-Security-Policy") < html.index("<script")


def test_a_page_may_be_written_again_with_another_model(runtime: Path, tmp_path: Path) -> None:
    assert write(tmp_path / "page", runtime) == 0
    assert write(tmp_path / "page", runtime, "--model", "int8") == 0
    written = tmp_path / "page" / "tab" / "model.onnx"
    assert written.read_bytes() == bundled_model("int8").read_bytes()


def test_bad_input_is_one_clear_line(
    runtime: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(tmp_path / "page", tmp_path / "none") == 2
    assert "expected the folder of the npm package onnxruntime-web" in capsys.readouterr().err
    assert write(tmp_path / "page", runtime, "--page-server", "my.host") == 2
    assert "expected a server for the page such as wss://my.host" in capsys.readouterr().err
    (tmp_path / "page").write_text("a file")
    assert write(tmp_path / "page", runtime) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
