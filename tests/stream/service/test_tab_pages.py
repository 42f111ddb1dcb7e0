"""The files for the network in the tab: their addresses, types and headers, and bad folders."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from pathlib import Path

import pytest

from turnstream import ConfigError
from turnstream.stream.engine import bundled_model
from turnstream.stream.service.tab_pages import tab_pages
from turnstream.stream.service.web_pages import find_page

WASM = b"\0asm" + bytes(1000)


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder that looks like the npm package."""
    scripts = tmp_path / "onnxruntime-web" / "dist"
    scripts.mkdir(parents=True)
    (scripts / "ort.wasm.bundle.min.mjs").write_text("export {};")
    (scripts / "ort-wasm-simd-threaded.wasm").write_bytes(WASM)
    return scripts.parent


def test_every_file_has_its_type_and_may_be_kept(runtime: Path) -> None:
    pages = tab_pages(runtime, bundled_model())
    facts = json.loads(pages.pop("/v1/page").body)
    assert {path: page.content_type for path, page in pages.items()} == {
        "/tab/onnxruntime.js": "text/javascript; charset=utf-8",
        "/tab/onnxruntime.wasm": "application/wasm",
        "/tab/model.onnx": "application/octet-stream",
        "/tab/model.json": "application/json",
    }
    for page in pages.values():
        assert page.headers["Cache-Control"] == "public, max-age=31536000"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert pages["/tab/model.onnx"].body == bundled_model().read_bytes()
    assert pages["/tab/onnxruntime.wasm"].headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(pages["/tab/onnxruntime.wasm"].body) == WASM
    assert facts["server"] is True
    for address in facts["tab"].values():
        path, digest = address.split("?")
        assert f"/{path}" in pages
        assert re.fullmatch("[0-9a-f]{16}", digest)


def test_a_changed_file_has_another_address(runtime: Path) -> None:
    def addresses() -> dict[str, str]:
        return json.loads(tab_pages(runtime, bundled_model())["/v1/page"].body)["tab"]

    before = addresses()
    (runtime / "dist" / "ort.wasm.bundle.min.mjs").write_text("export { };")
    after = addresses()
    assert {name for name in before if before[name] != after[name]} == {"runtime"}


def test_only_a_page_that_can_run_the_network_may_run_webassembly(runtime: Path) -> None:
    plain, able = find_page("/"), find_page("/", tab=tab_pages(runtime, bundled_model()))
    assert plain is not None
    assert able is not None
    assert "wasm" not in plain.headers["Content-Security-Policy"]
    policy = able.headers["Content-Security-Policy"]
    assert "; script-src 'self' 'wasm-unsafe-eval'; " in policy
    assert policy.replace(" 'wasm-unsafe-eval'", "") == plain.headers["Content-Security-Policy"]
    told = find_page("/v1/page")
    assert told is not None
    assert json.loads(told.body) == {"server": True, "tab": None}


@pytest.mark.parametrize("missing", ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"])
def test_a_folder_that_is_not_the_package_is_a_config_error(runtime: Path, missing: str) -> None:
    (runtime / "dist" / missing).unlink()
    with pytest.raises(
        ConfigError,
        match=r"expected the folder of the npm package onnxruntime-web \(npm install onnxruntime-"
        r"web\), with dist/ort\.wasm\.bundle\.min\.mjs and .*, got '.*onnxruntime-web'$",
    ):
        tab_pages(runtime, bundled_model())


def test_a_model_without_metadata_beside_it_is_a_config_error(
    runtime: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copy(bundled_model(), tmp_path / "mine.onnx"))
    with pytest.raises(
        ConfigError, match=r"expected the model's metadata beside it, .*, got no '.*mine\.json'$"
    ):
        tab_pages(runtime, model)
