"""Public names, what a runtime path may import, and a source folder imported by its own name."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import soundfile

import turnstream

ROOT = Path(__file__).parents[1]
TRAINING = (
    "torch",
    "torchaudio",
    "safetensors",
    "scipy",
    "onnx",
    "onnxscript",
    "matplotlib",
    "tqdm",
    "joblib",
    "soxr",
    "faster_whisper",
    "ctranslate2",
)
PUBLIC = ast.parse((ROOT / "stream" / "_toplevel" / "__init__.py").read_text())

PREDICTOR = """
import numpy
from turnstream import TurnPolicy, TurnPredictor
predictor, policy = TurnPredictor(sys.argv[1]), TurnPolicy("fast")
predictions = predictor.push_audio(numpy.zeros((16000, 2), numpy.int16)) + predictor.flush()
predictor = TurnPredictor.restore(predictor.snapshot(), sys.argv[1])
assert len(predictions) == 50, len(predictions)
for prediction in predictions:
    policy.update(prediction)
"""
SERVER = """
import asyncio, numpy
from turnstream import AsyncClient, Engine, Server
async def talk():
    async with Server(Engine(sys.argv[1]), port=0) as server, AsyncClient(server.url) as client:
        await client.push_audio(numpy.zeros((3200, 2), numpy.int16))
        await client.close()
        assert len([message async for message in client]) == 11
asyncio.run(talk())
"""
COMMAND = """
from turnstream.cli import main
try:
    code = main([
        sys.argv[1] if word == "MODEL" else sys.argv[2] if word == "FILE" else word
        for word in {words!r}
    ])
except SystemExit as end:
    code = end.code
assert code == 0, code
"""
PATHS = {
    "TurnPredictor": PREDICTOR,
    "Server and AsyncClient": SERVER,
    "every public name": (
        "import turnstream\nassert all(getattr(turnstream, name) for name in turnstream.__all__)"
    ),
    "predict": COMMAND.format(words=["predict", "FILE", "--model", "MODEL"]),
    "listen": COMMAND.format(
        words=["listen", "--encoding", "pcm_s16le", "--plain", "--model", "MODEL"]
    ),
    "info": COMMAND.format(words=["info", "--model", "MODEL"]),
    "bench": COMMAND.format(words=["bench", "--batches", "1", "--steps", "1", "--model", "MODEL"]),
    "demo --help": COMMAND.format(words=["demo", "--help"]),
    "serve --help": COMMAND.format(words=["serve", "--help"]),
    "client --help": COMMAND.format(words=["client", "--help"]),
}


@pytest.mark.parametrize("name", [*PATHS])
def test_no_runtime_path_imports_what_only_training_needs(
    name: str, tiny_model_path: Path, tmp_path: Path
) -> None:
    audio = tmp_path / "call.wav"
    soundfile.write(audio, np.zeros((3200, 2), np.int16), 16000)
    code = (
        f"import sys\n{PATHS[name]}\n"
        f"print('imported:', *(m for m in {TRAINING!r} if m in sys.modules), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, str(tiny_model_path), str(audio)]
    finished = subprocess.run(
        command, input=bytes(12800), capture_output=True, check=False, cwd=tmp_path
    )
    assert (finished.returncode, finished.stderr.decode().splitlines()[-1]) == (0, "imported:")


def test_importing_turnstream_imports_next_to_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import turnstream; "
        "print(*sorted(m for m in set(sys.modules) - before if m.startswith('turnstream')))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert finished.stdout == "turnstream\n"


@pytest.mark.parametrize(
    "words",
    [
        "from turnstream import AsyncClient, Client, Limits, StreamSettings",
        "import turnstream.stream.clients.command",
    ],
)
def test_a_client_needs_no_engine(words: str) -> None:
    code = f"import sys; {words}; print('onnxruntime' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "False\n"
    )


def test_dir_lists_the_public_names() -> None:
    assert dir(turnstream) == sorted(turnstream.__all__)


@pytest.mark.parametrize("name", turnstream.__all__)
def test_every_public_name_is_importable(name: str) -> None:
    assert getattr(turnstream, name) is not None


def imported_for_type_checkers() -> dict[str, str]:
    """Return name: module for the block that only type checkers read."""
    (block,) = [node for node in PUBLIC.body if isinstance(node, ast.If)]
    return {
        alias.name: node.module or ""
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_see_exactly_the_public_names() -> None:
    assert {*imported_for_type_checkers(), "__version__"} == set(turnstream.__all__)


def test_public_names_are_what_type_checkers_believe() -> None:
    for name, module in imported_for_type_checkers().items():
        assert getattr(turnstream, name) is getattr(import_module(module), name), name


def test_all_is_sorted_and_without_doubles() -> None:
    assert (
        sorted(
            set(turnstream.__all__),
            key=lambda name: (not name.isupper(), name.startswith("__"), name),
        )
        == turnstream.__all__
    )


def test_a_star_import_gives_the_public_names_and_no_other() -> None:
    names: dict[str, object] = {}
    exec("from turnstream import *", names)
    assert set(names) - {"__builtins__"} == set(turnstream.__all__)


@pytest.mark.parametrize("name", ["numpy", "Session", "PcmRing", "bundled_model", "no_such_name"])
def test_other_names_are_not_reexported(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'turnstream' has no attribute '{name}'"):
        getattr(turnstream, name)


def test_every_error_has_the_one_base_class() -> None:
    errors = [getattr(turnstream, name) for name in turnstream.__all__ if name.endswith("Error")]
    assert len(errors) > 10
    assert all(issubclass(error, turnstream.TurnstreamError) for error in errors)


@pytest.mark.parametrize("folder", ["stream", "models", "export"])
def test_a_source_folder_under_its_own_name_is_refused_with_the_right_one(folder: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", f"import {folder}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert finished.returncode == 1
    last = finished.stderr.splitlines()[-1]
    assert last == (
        f"ImportError: this folder is installed as turnstream.{folder}, but was imported as "
        f"'{folder}'; run `pip install .` and `import turnstream`"
    )


@pytest.mark.parametrize("folder", ["stream", "models", "export"])
def test_only_docstrings_and_the_guard_stand_in_a_packages_init(folder: str) -> None:
    allowed = (ast.If, ast.Import, ast.ImportFrom)
    for init in (ROOT / folder).rglob("__init__.py"):
        if init.parent.name != "_toplevel":
            docstring, *rest = ast.parse(init.read_text()).body
            assert isinstance(docstring, ast.Expr), init
            assert all(isinstance(node, allowed) for node in rest), init
