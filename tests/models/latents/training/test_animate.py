"""The animation: what it gathers, what its caption says, and the page in a browser."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.checkpoint import save_checkpoint
from turnstream.models.latents.paths.page import empty_page
from turnstream.models.latents.space.trust import near_among
from turnstream.models.latents.training import animate as module
from turnstream.models.latents.training.aligned import fit_together
from turnstream.models.latents.training.animate import animation_page, gather
from turnstream.models.latents.training.stages import Stages, write_stages
from turnstream.models.runs.run_folder import snapshot_folder
from turnstream.stream.errors import ConfigError

from ....networks import TINY, random_model
from ....web.chromium import Tab, open_tab_of
from ..paths.test_page import set_to

FOLLOWED = "[...document.querySelectorAll('#chosen tr')].map((row) => row.innerText).join()"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "gru"
    for step in (0, 50):
        save_checkpoint(random_model(TINY, seed=step), snapshot_folder(folder, step))
    return folder


@pytest.fixture(scope="module")
def made() -> Stages:
    """Two classes that part; every tenth point is wrong at first."""
    rng, side = np.random.default_rng(0), np.arange(60) % 2
    ends = 5 * np.stack([side, 1 - side] * 3, axis=1)
    states = [share * ends + rng.normal(0, 1, (60, 6)) for share in (0.1, 1.0)]
    wrong = np.full((2, 60), np.nan, np.float32)
    wrong[:, :20] = 0
    wrong[0, :10] = wrong[1, 0] = 1
    return Stages(
        ("before", "after"),
        tuple(stage.astype(np.float32) for stage in states),
        tuple(f"point {i}" for i in range(60)),
        {"event": np.array(["shift", "hold"])[side], "size": np.arange(60) % 3},
        wrong,
    )


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return module.main(parser.parse_args([*map(str, words), "--method", "pca"]))


def test_the_command_shows_the_snapshots_of_a_run_and_its_files_give_the_same_picture(
    run_folder: Path, tiny_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, tables = tmp_path / "page.html", tmp_path / "tables"
    source = ["--source", tiny_manifest, "--points", 80, "--csv", tables]
    assert run(run_folder, *source, "--out", out) == 0
    assert run(*sorted(tables.iterdir()), "--out", tmp_path / "again.html") == 0
    said, again = capsys.readouterr().out.split(f"{out}\n")
    assert "at 2 stages, from step_000000 to step_000050, projected together by pca" in said
    assert "shifts and holds wrong at step_000050: " in said
    assert " of 15" in said
    assert "How good the network is: AUC " in said
    figures = [text.split("Ways ")[1].split("half of the")[0] for text in (said, again)]
    assert figures[0] == figures[1]


def test_mistakes_are_counted_at_the_first_and_the_last_stage(made: Stages) -> None:
    assert [*module.mistakes(made).values()] == ["50% of 20", "5% of 20", "1"]
    unmarked = np.stack([np.full(60, np.nan), np.arange(60) < 1]).astype(np.float32)
    found = module.mistakes(replace(made, wrong=unmarked, origin="files"))
    assert [*found.values()] == ["none is marked", "2% of 60", "0"]
    assert module.mistakes(replace(made, wrong=None)) == {}


def test_runs_networks_and_files_are_gathered_and_named(
    made: Stages, run_folder: Path, tiny_manifest: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    several = [tiny_checkpoint, snapshot_folder(run_folder, 50)]
    gathered = (
        gather([run_folder], tiny_manifest, "latent", 50),
        gather(several, tiny_manifest, "latent", 50),
        gather(write_stages(made, tmp_path / "tables"), None, "latent", 40),
    )
    assert [stages.origin for stages in gathered] == ["run", "networks", "files"]
    assert gathered[1].names == ("tiny", "gru step_000050")
    assert len(gathered[2].ids) == 40
    titles = [animation_page(one, tmp_path / "a.html", "pca", 3).title for one in gathered]
    assert titles == list(module.TITLES.values())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("a.csv", "expected two or more CSV files and nothing else"),
        ("a.csv run", "expected two or more CSV files and nothing else"),
        ("a.csv b.csv --source m.jsonl", "expected no --source with CSV files"),
        ("run", "expected --source with dialogues"),
        ("run --source m.jsonl", "expected a run with two or more snapshots"),
        ("a.csv b.csv --points 100000", "expected 2 to 4000 points, got 100000"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        run("--out", "a.html", *words.split())


@pytest.fixture
async def tab(browser: str) -> AsyncIterator[Tab]:
    async with open_tab_of(browser) as tab:
        yield tab
        assert tab.complaints == []


async def opened(tab: Tab, page: Path) -> None:
    await tab.go(page.as_uri())
    await tab.until("page.plane.look")


@pytest.mark.parametrize("dims", [2, 3])
async def test_the_page_plays_steps_follows_and_compares(
    made: Stages, tmp_path: Path, dims: int, tab: Tab
) -> None:
    await opened(tab, animation_page(made, tmp_path / "page.html", "pca", dims).path)
    assert await tab.value("stagesView.state.at") == 0
    await tab.click("button[title^='one stage on']")
    assert await tab.value("stagesView.state.at") == 1
    places = fit_together(made.states, "pca", dims)
    np.testing.assert_allclose(await tab.value("stagesView.places()"), places[1], atol=1e-4)
    await tab.value("page.pick('id:point 3')")
    assert "event hold, size 0, at this stage right" in await tab.value(FOLLOWED)
    await tab.click("button[title^='one stage back']")
    labels = await tab.value("stagesView.item('id:point 3').labels")
    assert labels["at this stage"] == "wrong"
    near = [f"id:point {i}" for i in near_among(made.states[0], 8)[3]]
    assert await tab.value("stagesView.near('id:point 3')") == near
    await tab.value("stagesView.state.speed = 4")
    await tab.click("button[title^='play']")
    await tab.until("stagesView.state.at === 1 && !stagesView.state.playing", 55)
    # The way of the point that is followed: two stages, where it is now, a gap.
    assert await tab.value("page.plane.panels[0].layers[1].places.length") == 4
    await set_to(tab, "#compare", "true")
    assert await tab.value("page.plane.panels.map((p) => p.title)") == ["before", "after"]


async def test_moments_of_networks_are_heard_in_the_page(
    run_folder: Path, tiny_manifest: Path, tmp_path: Path, tab: Tab
) -> None:
    stages = gather([run_folder], tiny_manifest, "latent", 50)
    await opened(tab, animation_page(stages, tmp_path / "page.html", "pca").path)
    assert stages.moments is not None
    await tab.value("page.pick(page.keys()[0])")
    moment = await tab.value("now.moment")
    found = {name: int(values[0]) for name, values in stages.moments.items()}
    assert {name: moment[name] for name in found} == found
    assert not await tab.value("playButton.disabled")


async def choose_files(tab: Tab, *files: Path) -> str:
    """Give files to the page as a user chooses them; return what it says of them."""
    root = await tab.call("DOM.getDocument")
    found = await tab.call("DOM.querySelector", nodeId=root["root"]["nodeId"], selector="#files")
    await tab.value("document.querySelector('#drop-words').textContent = ''")
    paths = [str(file) for file in files]
    await tab.call("DOM.setFileInputFiles", files=paths, nodeId=found["nodeId"])
    return await tab.until("document.querySelector('#drop-words').textContent")


@pytest.fixture
async def empty(tab: Tab, tmp_path: Path) -> Tab:
    """An opened page that takes files."""
    await opened(tab, empty_page(tmp_path / "page.html").path)
    return tab


async def test_files_of_ones_own_lie_in_one_frame(made: Stages, empty: Tab, tmp_path: Path) -> None:
    joined = np.concatenate(made.states).astype(np.float64)
    centred = joined - joined.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ directions[:2].T
    said = await choose_files(empty, *write_stages(made, tmp_path / "tables"))
    assert said == "60 points that all 2 stages have."
    places: list[list[float]] = []
    for stage in (0, 1):
        await empty.value(f"(stagesView.state.at = {stage}, page.draw())")
        places += await empty.value("stagesView.places()")
    signs = np.sign((np.array(places) * expected).sum(axis=0))
    np.testing.assert_allclose(np.array(places) * signs, expected, atol=1e-3)
    share = sizes[0] ** 2 / (sizes**2).sum()
    assert f"({100 * share:.0f} %," in await empty.text("#plane-words")
    legend = await empty.value("document.querySelector('#legend').innerText")
    assert "shift (30)" in legend
    assert "marked wrong at that stage" in legend
    apart = np.linalg.norm(made.states[1] - made.states[1][7], axis=1)
    near = [f"id:point {i}" for i in np.argsort(apart)[1:9]]
    assert await empty.value("stagesView.near('id:point 7')") == near


async def test_a_dropped_file_has_its_places_batches_and_text(empty: Tab, tmp_path: Path) -> None:
    lines = ["epoch,batch,id,x,y,words"]
    for batch in (2, 10):
        lines += [f'1,{batch},p{i},{i},{i * batch},"say ""{i}"", please"' for i in range(3)]
    (tmp_path / "run.csv").write_text("\n".join(lines) + "\n")
    await empty.drop(tmp_path / "run.csv")
    await empty.until("page.keys().length === 3")
    assert await empty.text("#stage-name") == "epoch 1, batch 2"
    await empty.value("(stagesView.state.at = 1, page.draw())")
    assert await empty.text("#stage-name") == "epoch 1, batch 10"
    assert await empty.value("stagesView.places()") == [[0, 0], [1, 10], [2, 20]]
    text = await empty.value("page.keys().map(textOf).join()")
    assert 'words say "2", please' in text


GOOD = "id,a,b\nx,1,2\ny,3,4\n"
REFUSED = [
    (["id,a\nx,1\n"], "a: expected x and y, or two or more columns of numbers, got id, a"),
    (["a,b\n1,2\n3\n"], "a.csv, row 2: expected 2 values, got 1"),
    (["id,a,b\nx,1,2\nx,3,4\n"], "a: expected every id once, got x again"),
    ([GOOD, GOOD.replace("b", "c")], "b: expected the columns of a, got none called b"),
    ([GOOD, GOOD.replace("x", "z")], "expected points that are in all 2 files, got 1 common id"),
    ([GOOD, GOOD.replace("3", "inf")], "b, id y: expected a number in a, got “inf”"),
]


async def test_files_that_cannot_be_shown_are_refused(empty: Tab, tmp_path: Path) -> None:
    for texts, said in REFUSED:
        files = [tmp_path / f"{name}.csv" for name in "ab"[: len(texts)]]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        assert said in await choose_files(empty, *files)
        assert await empty.value("page.keys().length") == 0
