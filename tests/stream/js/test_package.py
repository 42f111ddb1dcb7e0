"""The npm package: it gives what Python gives, its types are right, and it holds what it should."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from turnstream import __version__

from ...readme_blocks import ROOT
from ..talkative import talkative_model
from .packing import NO_RUNTIME, pack
from .vectors import PRESETS_FILE, presets_module, write_vectors

HERE = Path(__file__).parent
PACKAGE = ROOT / "stream" / "js"
TSC = ROOT / "node_modules" / ".bin" / "tsc"
needs_runtime = pytest.mark.skipif(bool(NO_RUNTIME), reason=NO_RUNTIME)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory, tiny_model_path: Path) -> Path:
    """The folder of vectors.py; the tiny model gets its metadata beside it."""
    from turnstream.stream.contract import METADATA_KEY
    from turnstream.stream.onnx_session import open_session

    folder = tmp_path_factory.mktemp("vectors")
    tiny = talkative_model(tiny_model_path, folder / "tiny.onnx")
    stored = open_session(tiny.read_bytes()).get_modelmeta().custom_metadata_map[METADATA_KEY]
    tiny.with_suffix(".json").write_text(stored)
    write_vectors(folder, tiny)
    return folder


@needs_runtime
@pytest.mark.parametrize(
    ("file", "least"), [("parity.test.mjs", 11), ("errors.test.mjs", 11), ("client.test.mjs", 3)]
)
def test_node_says_that_the_package_is_right(file: str, least: int, vectors: Path) -> None:
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", str(HERE / file)],
        env={**os.environ, "TURNSTREAM_VECTORS": str(vectors)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
    assert int(done.stdout.split("# pass ")[1].split()[0]) >= least


def test_the_presets_of_the_package_are_those_of_the_policy() -> None:
    assert PRESETS_FILE.read_text() == presets_module(), (
        "python tests/stream/js/vectors.py --presets"
    )


@pytest.mark.skipif(not TSC.exists(), reason="not installed: typescript (npm install --prefix .)")
def test_the_types_fit_the_uses_of_a_sample() -> None:
    done = subprocess.run(
        [str(TSC), "-p", str(HERE)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout


@needs_runtime
def test_the_types_name_what_the_package_exports() -> None:
    script = (
        f"const names = Object.keys(await import('{PACKAGE / 'index.js'}'));"
        "console.log(JSON.stringify(names))"
    )
    exported = json.loads(run_node(script))
    types = (PACKAGE / "index.d.ts").read_text()
    assert exported
    for name in exported:
        assert any(f"export {kind} {name}" in types for kind in ("class", "const", "function")), (
            name
        )


@needs_runtime
def test_the_packed_package_holds_the_model_and_leaves_nothing_behind(tmp_path: Path) -> None:
    package = pack(tmp_path)
    held = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert held >= {"index.js", "index.d.ts", "README.md", "LICENSE", "package.json"}
    assert held >= {path.name for path in PACKAGE.glob("*.js")}
    models = ("turnstream.onnx", "turnstream.json", "turnstream.int8.onnx", "turnstream.int8.json")
    for name in models:
        bundled = (ROOT / "models" / "weights" / name).read_bytes()
        assert (package / "model" / name).read_bytes() == bundled
    assert (package / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert not any(name.endswith(".mjs") for name in held)
    source = tmp_path / "source" / "stream" / "js"
    assert {path.name for path in source.iterdir()} == {path.name for path in tracked(PACKAGE)}


def test_the_package_has_the_version_and_the_licence_of_the_project() -> None:
    about: dict[str, Any] = json.loads((PACKAGE / "package.json").read_text())
    assert about["version"] == __version__
    assert about["license"] == "MIT"
    assert f"turnstream-{__version__}.tgz" in (PACKAGE / "README.md").read_text()


def tracked(folder: Path) -> list[Path]:
    """Return the files of a folder without those that `npm pack` adds and removes."""
    return [path for path in folder.iterdir() if path.name not in {"model", "LICENSE"}]


def run_node(script: str) -> str:
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
