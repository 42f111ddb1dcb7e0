"""Lines of at most 100 columns in the files that ruff does not read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = (".github", "stream", "models", "export", "tests")  # without builds and environments
CODE = {".js", ".mjs", ".ts", ".css", ".html"}
PATHS = [
    *ROOT.glob("*.md"),
    *(
        path
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in CODE | {".md"}
    ),
]
COLUMNS = 100


def wide_lines(text: str, suffix: str) -> list[int]:
    """Return the numbers of the lines that are too wide.

    In Markdown, tables, code blocks, and the addresses of links and pictures may be wider.
    """
    if suffix == ".md":
        text = re.sub(
            r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), text, flags=re.M | re.S
        )
        text = re.sub(r"^(\||    ).*|\]\([^)\n]*\)|https?://\S+", "", text, flags=re.M)
    return [n for n, line in enumerate(text.splitlines(), start=1) if len(line) > COLUMNS]


def test_no_line_of_code_or_prose_is_wider_than_100_columns() -> None:
    assert {path.suffix for path in PATHS} == CODE | {".md"}
    found = {
        str(path.relative_to(ROOT)): wide_lines(path.read_text(), path.suffix) for path in PATHS
    }
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("text", "suffix", "wide"),
    [
        ("a" * 100, ".js", []),
        ("a" * 101, ".js", [1]),
        ("| " + "a" * 99, ".js", [1]),
        ("| " + "a" * 99, ".md", []),
        ("    " + "a" * 99, ".md", []),
        ("```sh\n" + "a" * 101 + "\n```\n" + "b" * 101, ".md", [4]),
        ("![a picture](" + "a" * 99 + ")", ".md", []),
        ("[" + "a" * 101 + "](README.md)", ".md", [1]),
    ],
)
def test_only_tables_code_and_addresses_of_markdown_may_be_wider(
    text: str, suffix: str, wide: list[int]
) -> None:
    assert wide_lines(text, suffix) == wide
