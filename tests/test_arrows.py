"""Imports between the source folders run one way.

The runtime is the ground floor, research stands on it, and export stands on both. There is no
circle of folders.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {
    "stream": 0,
    "models": 1,
    "export": 2,
    "_toplevel": 3,
}  # a folder may import from its own floor and from lower ones
# Importing folder: imported folder: modules of the first that do it
Arrows = dict[str, dict[str, set[str]]]


def module_of(path: Path, root: Path) -> str:
    """Return the module's name in the installed package, such as `stream.ring`.

    Files of `_toplevel` are installed one level above.
    """
    parts = path.relative_to(root).with_suffix("").parts
    parts = parts[1:] if parts[:2] == ("stream", "_toplevel") else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, package: str) -> Iterator[str]:
    """Return every module of this project that a file imports, or name in one.

    Imports inside functions count, too.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")
            base = above[: len(above) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")] if node.module else base)
            yield from (
                f"{module}.{alias.name}".removeprefix("turnstream.") for alias in node.names
            )
        elif isinstance(node, ast.Import):
            yield from (
                alias.name.removeprefix("turnstream.")
                for alias in node.names
                if alias.name.startswith("turnstream.")
            )


def arrows(root: Path) -> Arrows:
    """Return which folder imports which other folder, and the modules that do."""
    paths = {
        module_of(path, root): path for floor in FLOORS for path in (root / floor).rglob("*.py")
    }
    homes = {
        name: name if path.name == "__init__.py" else name.rpartition(".")[0] or "_toplevel"
        for name, path in paths.items()
    }
    found: Arrows = {}
    for module, path in paths.items():
        own = homes[module]
        for name in imports(path, own):
            target = name if name in paths else name.rpartition(".")[0]
            if target in paths and homes[target] != own:
                found.setdefault(own, {}).setdefault(homes[target], set()).add(module)
    return found


def floor_of(folder: str) -> int:
    return FLOORS[folder.split(".", maxsplit=1)[0]]


def rising(found: Arrows) -> list[str]:
    return [
        f"{sorted(modules)} import {there}"
        for here, targets in found.items()
        for there, modules in targets.items()
        if floor_of(here) < floor_of(there)
    ]


def circle(found: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Return the folders of a circle, the first one again at the end; empty without a circle."""
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_import_runs_up_and_none_in_a_circle() -> None:
    found = arrows(ROOT)
    for here, targets in sorted(found.items()):
        print(
            here,
            "->",
            ", ".join(f"{there} ({len(modules)})" for there, modules in sorted(targets.items())),
        )
    assert rising(found) == []
    assert circle(found) == []


FEW = {
    "stream/__init__.py": "",
    "stream/policy.py": "",
    "stream/ring.py": "",
    "stream/live/__init__.py": "",
    "stream/live/terminal.py": "from ..ring import x",
    "models/__init__.py": "",
    "models/config.py": "from ..stream import ring",
    "models/rings.py": "",
    "export/__init__.py": "",
    "export/export.py": "from ..models.config import x\nimport turnstream.stream.policy",
}


def found_in(folder: Path, files: Mapping[str, str]) -> Arrows:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return arrows(folder)


def test_imports_that_run_down_are_fine(tmp_path: Path) -> None:
    found = found_in(tmp_path, FEW)
    assert found["export"].keys() == {"models", "stream"}
    assert (rising(found), circle(found)) == ([], [])


@pytest.mark.parametrize(
    ("file", "line", "complaints"),
    [
        (
            "stream/policy.py",
            "from ..models.config import ModelConfig",
            ["['stream.policy'] import models"],
        ),
        (
            "models/rings.py",
            "def late():\n    from ..export.export import export",
            ["['models.rings'] import export"],
        ),
        ("stream/ring.py", "from .live import terminal", []),
    ],
)
def test_an_import_that_runs_up_or_round_is_seen(
    file: str, line: str, complaints: list[str], tmp_path: Path
) -> None:
    found = found_in(tmp_path, FEW | {file: line})
    assert rising(found) == complaints
    assert circle(found)
