"""The tiny network's views, as the command line makes them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from turnstream.cli import main
from turnstream.models.latents.collection import Collection

Run = Callable[[str, str], tuple[int, str]]


@pytest.fixture
def latents(
    tiny_checkpoint: Path,
    tiny_collection: Collection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Makes a view, with options, in `tmp_path`; returns the exit status and what was said."""
    monkeypatch.chdir(tmp_path)

    def run(view: str, options: str) -> tuple[int, str]:
        of = [view, str(tiny_collection.folder), "--model", str(tiny_checkpoint)]
        return main(["latents", *of, *options.split()]), "".join(capsys.readouterr())

    return run
