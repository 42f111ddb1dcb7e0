"""What an editable install hides.

Everything on disk must be listed for the wheel, and every requirement must be pinned.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import turnstream

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS: dict[str, Any] = PROJECT["tool"]["setuptools"]
FOLDER_OF: dict[str, str] = SETUPTOOLS["package-dir"]
ROOTS = ("stream", "models", "export")


def folder_of(package: str) -> Path:
    """Return where a package's files are, by the longest entry of package-dir that fits."""
    known = max(
        (name for name in FOLDER_OF if package == name or package.startswith(name + ".")), key=len
    )
    return (
        ROOT.joinpath(FOLDER_OF[known], *package.removeprefix(known).strip(".").split("."))
        if package != known
        else ROOT / FOLDER_OF[known]
    )


def folders_on_disk() -> set[Path]:
    """Return every folder that is a package of this project."""
    return {init.parent for root in ROOTS for init in (ROOT / root).rglob("__init__.py")}


def test_the_folders_on_disk_are_the_packages_listed() -> None:
    listed: list[str] = SETUPTOOLS["packages"]
    assert len(set(listed)) == len(listed)
    assert {folder_of(package) for package in listed} == folders_on_disk()


def test_every_module_is_in_a_package_or_shipped_as_data() -> None:
    modules = {module for root in ROOTS for module in (ROOT / root).rglob("*.py")}
    assert {
        module for module in modules if module.parent not in folders_on_disk()
    } <= shipped_data()


def shipped_data() -> set[Path]:
    return {
        path
        for package, globs in SETUPTOOLS["package-data"].items()
        for glob in globs
        for path in folder_of(package).glob(glob)
    }


@pytest.mark.parametrize(
    ("package", "glob"),
    [(package, glob) for package, globs in SETUPTOOLS["package-data"].items() for glob in globs],
)
def test_every_data_glob_matches_a_file(package: str, glob: str) -> None:
    found = list(folder_of(package).glob(glob))
    assert found
    assert any(path.stat().st_size for path in found) or glob == "py.typed"


def test_the_runtime_finds_what_it_opens() -> None:
    from turnstream.stream.engine import bundled_model
    from turnstream.stream.sources import bundled_sample

    assert {bundled_model(), bundled_sample()} <= shipped_data()


def requirement_name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def direct_dependencies() -> set[str]:
    extras: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
    everything = PROJECT["project"]["dependencies"] + [
        requirement for listed in extras.values() for requirement in listed
    ]
    return {requirement_name(requirement) for requirement in everything} - {"turnstream"}


def test_every_direct_dependency_is_pinned() -> None:
    lines = [
        line.partition("#")[0].strip()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    ]
    pins = {requirement_name(line): line for line in lines if line}
    assert direct_dependencies() <= set(pins)
    assert {
        line
        for line in pins.values()
        if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.+!-]*( *;.*)?", line)
    } == set()


def test_pyproject_only_bounds_from_below() -> None:
    extras: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
    everything = PROJECT["project"]["dependencies"] + [
        requirement for listed in extras.values() for requirement in listed
    ]
    assert {
        r
        for r in everything
        if not r.startswith("turnstream[")
        and not re.fullmatch(r"[a-z0-9-]+>=[0-9.]+(; sys_platform != 'win32')?", r)
    } == set()


def test_the_base_install_brings_no_torch() -> None:
    assert not {"torch", "torchaudio", "onnx", "onnxscript", "matplotlib"} & {
        requirement_name(r) for r in PROJECT["project"]["dependencies"]
    }


def test_the_command_lines_table_of_extras_names_extras_that_bring_the_package() -> None:
    from turnstream.cli import _EXTRA_OF

    package_of = {
        "sklearn": "scikit-learn",
        "umap": "umap-learn",
    }  # packages whose modules have another name
    for module, extra in _EXTRA_OF.items():
        assert requirement_name(package_of.get(module, module)) in {
            requirement_name(r) for r in PROJECT["project"]["optional-dependencies"][extra]
        }


def test_the_version_is_the_same_everywhere() -> None:
    assert PROJECT["project"]["version"] == turnstream.__version__ == version("turnstream")


def test_the_licence_is_mit_and_that_of_the_call() -> None:
    assert PROJECT["project"]["license"] == "MIT AND CC-BY-4.0"
    text = (ROOT / "LICENSE").read_text()
    assert "MIT License" in text
    assert "without restriction" in text
    assert "CC BY 4.0" in (ROOT / "stream" / "sample" / "README.md").read_text()
    assert "stream/sample/README.md" in PROJECT["project"]["license-files"]
    assert all((ROOT / name).is_file() for name in PROJECT["project"]["license-files"])


def test_type_checkers_are_told_that_there_are_types() -> None:
    assert (ROOT / "stream" / "_toplevel" / "py.typed").is_file()
    assert "py.typed" in SETUPTOOLS["package-data"]["turnstream"]


def test_nothing_but_turnstream_is_installed_at_the_top_level() -> None:
    assert {package.partition(".")[0] for package in SETUPTOOLS["packages"]} == {"turnstream"}
