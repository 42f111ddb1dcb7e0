"""What a view refuses, it refuses at once: without torch, which takes seconds to load."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from turnstream.models.latents.collection import Collection
from turnstream.models.latents.command import VIEWS

# Runs commands one after another. An import of torch fails, and is noted of the command that asked.
PROGRAM = """
import contextlib, io, json, sys
from turnstream.cli import main

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            asked.append(name)
            raise ImportError("torch is not needed to refuse")

sys.meta_path.insert(0, Watch())
answers = []
for command in json.load(sys.stdin):
    asked, said = [], io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = main(["latents", *command])
        except SystemExit as error:
            status = error.code
    answers.append([status, said.getvalue(), bool(asked)])
assert "torch" not in sys.modules
json.dump(answers, sys.stdout)
"""

OUT = {  # a file that each view can write; None: a folder, or one with a default
    "collect": "--out new",
    "project": "--method pca --out a.json",
    "place": "--out a.csv",
    "colour": "--by floor",
    "gates": "--out a.png",
    "units": "--out a.csv",
    "cell": "--out a.png",
    "activations": "--out a.png",
    "film": "--out a.mp4",
    "export": "--out a.npz",
    "import": "--out new",
    "connectivity": "--out a.png",
    "moment": "--at 8",
    "past": "--out a.png",
    "oracles": "--out a.png",
    "animate": "--out a.html",
    "learning": "--out a.png",
}
# A missing file; {source} is a collection that is there.
MISSING = {view: f"{view} nowhere.jsonl {OUT.get(view, '')}" for view in VIEWS} | {
    "label": "label {source} nowhere.csv",
    "import": "import nowhere.csv --out new",
    "animate": "animate nowhere/a nowhere/b --source {source} --out a.html",
    "learning": "learning nowhere --source {source} --out a.png",
    "gallery": "gallery --source nowhere.jsonl --out new",
    "page": "page --out nowhere/page.html",
}
OF_NETWORKS = [view for view in OUT if view not in ("collect", "import", "animate", "learning")]
OF_NETWORKS += ["explore", "words", "averages", "probes", "paths", "intervene", "classes"]
NO_NETWORK = {
    f"{view} of no network": (
        f"{view} {{source}} {OUT.get(view, '')} --model nowhere",
        "expected a checkpoint folder with config.json and model.safetensors, got 'nowhere'",
    )
    for view in OF_NETWORKS
}
WITHOUT_FILE = ("collect", "label", "import", "gallery")
SUFFIX = {
    f"{view} to another suffix": (
        f"{view}{'' if view == 'page' else ' {source}'} {OUT.get(view, '')} --out a.txt"
        f"{' --source {source}' if view in ('animate', 'learning') else ''}",
        "expected an output file ending in .",
    )
    for view in VIEWS
    if view not in WITHOUT_FILE
}
LAYER = {
    f"{view} of a wrong layer": (
        f"{view} {{source}} {OUT.get(view, '')} --layer middle",
        "invalid choice: 'middle'",
    )
    for view in ("project", "units", "averages", "paths", "export", "intervene", "seeds", "animate")
}
COLUMN = {
    "colour by no column": ("colour {source} --by mood", "'mood'"),
    "averages by no label": ("averages {source} --contrast mood=a/b", "'mood'"),
    "probes of no label": ("probes {source} --label mood=a/b", "'mood'"),
    "intervene along no label": ("intervene {source} --probe mood=a/b", "'mood'"),
    "words of no label": ("words {source} --label mood", "'mood'"),
    "animate without numbers": ("animate a.csv b.csv --out a.html", "expected one series of col"),
    "import without time": ("import a.csv --out new", "a.csv: expected"),
    "label without time": ("label {source} a.csv", "a.csv: expected"),
    "cell of no dialogue": ("cell {source} --out a.png --dialogue mood", "'mood'"),
    "activations of no dialogue": ("activations {source} --out a.png --dialogue mood", "'mood'"),
    "moment of no dialogue": ("moment {source} --at 8 --dialogue mood", "'mood'"),
}
CASES = {f"{view} of a missing file": (line, "nowhere") for view, line in MISSING.items()}
CASES |= SUFFIX | NO_NETWORK | LAYER | COLUMN


@pytest.fixture(scope="module")
def answers(
    tiny_collection: Collection, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[int, str, bool]]:
    """The exit status of every case, what it printed as errors, and whether it asked for torch."""
    folder = tmp_path_factory.mktemp("refusals")
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("word,mood\nyes,1\nno,2\n")
    source = str(tiny_collection.folder)
    commands = [line.format(source=source).split() for line, _ in CASES.values()]
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return dict(zip(CASES, json.loads(finished.stdout), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_is_one_line_and_needs_no_torch(
    case: str, answers: dict[str, tuple[int, str, bool]]
) -> None:
    status, said, asked_for_torch = answers[case]
    assert (status, asked_for_torch) == (2, False), said
    assert CASES[case][1] in said
    assert len([line for line in said.splitlines() if "error:" in line]) == 1


def test_every_view_is_asked() -> None:
    assert VIEWS.keys() == MISSING.keys()
