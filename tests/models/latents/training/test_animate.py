"""The animation: what it gathers, what its caption says, and the page in a browser."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.checkpoint import save_checkpoint
from turnstream.models.latents.paths import page as page_module
from turnstream.models.latents.space.trust import near_among
from turnstream.models.latents.training import animate as module
from turnstream.models.latents.training.animate import animate, animation_page, gather
from turnstream.models.latents.training.stages import Stages, write_stages
from turnstream.models.runs.run_folder import snapshot_folder
from turnstream.stream.errors import ConfigError

from ....networks import TINY, random_model
from ....web.chromium import Tab
from ..paths.test_page import set_to, shown_page


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "gru"
    for step in (0, 50):
        save_checkpoint(random_model(TINY, seed=step), snapshot_folder(folder, step))
    return folder


@pytest.fixture(scope="module")
def made() -> Stages:
    """Two classes that part; every tenth point is wrong at first."""
    rng = np.random.default_rng(0)
    side = np.arange(60) % 2
    states = tuple(
        (share * np.stack([side, 1 - side] * 3, axis=1) * 5 + rng.normal(0, 1, (60, 6))).astype(
            np.float32
        )
        for share in (0.1, 1.0)
    )
    wrong = np.full((2, 60), np.nan, np.float32)
    wrong[:, :20] = 0
    wrong[0, :10] = 1
    wrong[1, 0] = 1
    return Stages(
        ("before", "after"),
        states,
        tuple(f"point {i}" for i in range(60)),
        {"event": np.array(["shift", "hold"])[side]},
        wrong,
    )


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_args([*words])


def test_the_command_shows_the_snapshots_of_a_run(
    run_folder: Path, tiny_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, tables = tmp_path / "page.html", tmp_path / "tables"
    words = [
        str(run_folder),
        "--source",
        str(tiny_manifest),
        "--out",
        str(out),
        "--method",
        "pca",
        "--points",
        "80",
        "--csv",
        str(tables),
    ]
    assert module.main(options(*words)) == 0
    said = capsys.readouterr().out
    assert "at 2 stages, from step_000000 to step_000050, projected together by pca" in said
    assert "Of 15 shifts and holds" in said
    assert "How good the network is: AUC " in said
    assert '"stages"' in out.read_text()
    again = tmp_path / "again.html"
    assert (
        module.main(
            options(*map(str, sorted(tables.iterdir())), "--out", str(again), "--method", "pca")
        )
        == 0
    )
    figures = [text.split("Ways are")[1] for text in (said, capsys.readouterr().out)]
    assert (
        figures[0].split("From step")[0] == figures[1].split("From 000_step")[0]
    )  # the same picture out of the files


def test_two_networks_are_shown_side_by_side(
    run_folder: Path, tiny_manifest: Path, tiny_checkpoint: Path
) -> None:
    found = gather([tiny_checkpoint, snapshot_folder(run_folder, 50)], tiny_manifest, "latent", 50)
    assert found.names == ("tiny", "gru step_000050")


def test_the_caption_counts_what_is_told_wrongly(made: Stages) -> None:
    words = module.describe(animate(made, "pca"))
    assert "The same 60 points at 2 stages, from before to after" in words
    assert (
        "Of 20 shifts and holds 50 % are told wrongly at before and 5 % at after; 1 are wrong at "
        "every stage." in words
    )


def test_files_of_anyone_have_points_with_a_mark(made: Stages) -> None:
    files = replace(made, origin="files")
    words = module.describe(animate(files, "pca"))
    assert (
        "Of the points with a mark, 50 % of 20 are wrong at before and 5 % of 20 are wrong at "
        "after; 1 are wrong at every stage." in words
    )
    assert made.wrong is not None
    unmarked = made.wrong.copy()
    unmarked[0] = np.nan
    words = module.describe(animate(replace(files, wrong=unmarked), "pca"))
    assert (
        "Of the points with a mark, there are none at before and 5 % of 20 are wrong at after; 0 "
        "are wrong at every stage." in words
    )
    assert "nan" not in words


def test_the_title_says_what_is_shown(
    made: Stages, run_folder: Path, tiny_manifest: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    networks = gather(
        [tiny_checkpoint, snapshot_folder(run_folder, 50)], tiny_manifest, "latent", 50
    )
    files = gather(write_stages(made, tmp_path / "tables"), None, "latent", 40)
    assert len(files.ids) == 40
    origins = [
        gather([run_folder], tiny_manifest, "latent", 50).origin,
        networks.origin,
        files.origin,
    ]
    assert origins == ["run", "networks", "files"]
    assert (
        animation_page(animate(networks, "pca"), tmp_path / "a.html").title
        == "The same moments in the spaces of several networks"
    )
    assert (
        animation_page(animate(files, "pca"), tmp_path / "b.html").title
        == "The same points at several stages"
    )


@pytest.mark.parametrize(
    ("names", "source", "message"),
    [
        (["a.csv"], None, "expected two or more CSV files and nothing else"),
        (["a.csv", "run"], None, "expected two or more CSV files and nothing else"),
        (["a.csv", "b.csv"], "m.jsonl", "expected no --source with CSV files"),
        (["run"], None, "expected --source with dialogues"),
        (["run"], "m.jsonl", "expected a run with two or more snapshots"),
    ],
)
def test_a_mixture_that_cannot_be_shown_is_refused(
    tmp_path: Path, names: list[str], source: str | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        gather(
            [tmp_path / name for name in names],
            None if source is None else tmp_path / source,
            "latent",
            10,
        )


def test_too_many_points_or_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected 2 to 4000 points, got 100000"):
        module.main(
            options("a.csv", "b.csv", "--out", str(tmp_path / "a.html"), "--points", "100000")
        )
    with pytest.raises(ConfigError, match=r"expected an output file ending in \.html"):
        module.main(options("a.csv", "b.csv", "--out", str(tmp_path / "a.mp4")))


FOLLOWED = "[...document.querySelectorAll('#chosen tr')].map((row) => row.innerText).join()"


@pytest.mark.parametrize("dims", [2, 3])
async def test_the_page_plays_steps_follows_and_compares(
    made: Stages, tmp_path: Path, dims: int, browser: str
) -> None:
    animated = animate(made, "pca", dims)
    animation_page(animated, tmp_path / "page.html")
    async with shown_page(browser, tmp_path / "page.html") as tab:
        assert await tab.value("stagesView.state.at") == 0
        await tab.click("button[title^='one stage on']")
        assert await tab.value("stagesView.state.at") == 1
        np.testing.assert_allclose(
            await tab.value("stagesView.places()"), animated.places[1], atol=1e-4
        )
        await tab.value("page.pick('id:point 3')")
        assert "event hold, at this stage told rightly" in await tab.value(FOLLOWED)
        await tab.click("button[title^='one stage back']")
        assert await tab.value("stagesView.item('id:point 3').labels['at this stage']") == (
            "told wrongly"
        )
        near = near_among(made.states[0], 8)[3]
        assert await tab.value("stagesView.near('id:point 3')") == [f"id:point {i}" for i in near]
        await tab.value("stagesView.state.speed = 4")
        await tab.click("button[title^='play']")
        await tab.until("stagesView.state.at === 1 && !stagesView.state.playing", 55)
        # The way of the point that is followed: two stages, where it is now, a gap.
        assert await tab.value("page.plane.panels[0].layers[1].places.length") == 4
        await set_to(tab, "#compare", "true")
        assert await tab.value("page.plane.panels.map((p) => p.title)") == ["before", "after"]


async def test_a_label_of_zero_is_shown_and_points_of_anyone_are_marked(
    made: Stages, tmp_path: Path, browser: str
) -> None:
    files = replace(made, origin="files", labels={"size": np.arange(60) % 3})
    animation_page(animate(files, "pca"), tmp_path / "page.html")
    async with shown_page(browser, tmp_path / "page.html") as tab:
        await tab.value("page.pick('id:point 0')")
        assert "size 0, at this stage marked wrong" in await tab.value(FOLLOWED)


async def test_moments_of_networks_are_heard_in_the_page(
    run_folder: Path, tiny_manifest: Path, tmp_path: Path, browser: str
) -> None:
    stages = gather([run_folder], tiny_manifest, "latent", 50)
    animation_page(animate(stages, "pca"), tmp_path / "page.html")
    assert stages.moments is not None
    async with shown_page(browser, tmp_path / "page.html") as tab:
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
def empty(tmp_path: Path) -> Path:
    parser = argparse.ArgumentParser()
    page_module.add_arguments(parser)
    assert page_module.main(parser.parse_args(["--out", str(tmp_path / "page.html")])) == 0
    return tmp_path / "page.html"


async def test_files_that_are_given_to_a_page_lie_in_one_frame_of_principal_components(
    made: Stages, empty: Path, tmp_path: Path, browser: str
) -> None:
    files = write_stages(made, tmp_path / "tables")
    joined = np.concatenate(made.states).astype(np.float64)
    centred = joined - joined.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ directions[:2].T
    async with shown_page(browser, empty) as tab:
        said = await choose_files(tab, *files)
        assert said == "60 points that all 2 stages have."
        places = []
        for stage in (0, 1):
            await tab.value(f"(stagesView.state.at = {stage}, page.draw())")
            places += await tab.value("stagesView.places()")
        signs = np.sign((np.array(places) * expected).sum(axis=0))
        np.testing.assert_allclose(np.array(places) * signs, expected, atol=1e-3)
        share = sizes[0] ** 2 / (sizes**2).sum()
        assert f"({100 * share:.0f} %," in await tab.text("#plane-words")
        legend = "document.querySelector('#legend').innerText"
        assert "shift (30)" in await tab.value(legend)
        assert "marked wrong at that stage" in await tab.value(legend)
        apart = np.linalg.norm(made.states[1] - made.states[1][7], axis=1)
        near = [f"id:point {i}" for i in np.argsort(apart)[1:9]]
        assert await tab.value("stagesView.near('id:point 7')") == near


async def test_a_file_that_is_dropped_has_its_own_places_its_batches_and_its_text(
    empty: Path, tmp_path: Path, browser: str
) -> None:
    lines = ["epoch,batch,id,x,y,words"]
    for batch in (2, 10):
        lines += [f'1,{batch},p{i},{i},{i * batch},"say ""{i}"", please"' for i in range(3)]
    (tmp_path / "run.csv").write_text("\n".join(lines) + "\n")
    async with shown_page(browser, empty) as tab:
        await tab.drop(tmp_path / "run.csv")
        await tab.until("page.keys().length === 3")
        assert await tab.text("#stage-name") == "epoch 1, batch 2"
        await tab.value("(stagesView.state.at = 1, page.draw())")
        assert await tab.text("#stage-name") == "epoch 1, batch 10"
        assert await tab.value("stagesView.places()") == [[0, 0], [1, 10], [2, 20]]
        text = await tab.value("page.keys().map(textOf).join()")
        assert 'words say "2", please' in text


REFUSED = [
    (["id,a\nx,1\n"], "a: expected x and y, or two or more columns of numbers, got id, a"),
    (["a,b\n1,2\n3\n"], "a.csv, row 2: expected 2 values, got 1"),
    (["id,a,b\nx,1,2\nx,3,4\n"], "a: expected every id once, got x again"),
    (
        ["id,a,b\nx,1,2\ny,3,4\n", "id,a,c\nx,1,2\ny,3,4\n"],
        "b: expected the columns of a, got none called b",
    ),
    (
        ["id,a,b\nx,1,2\ny,3,4\n", "id,a,b\nz,1,2\ny,3,4\n"],
        "expected points that are in all 2 files, got 1 common id",
    ),
    (
        ["id,a,b\nx,1,2\ny,3,4\n", "id,a,b\nx,1,2\ny,inf,4\n"],
        "b, id y: expected a number in a, got “inf”",
    ),
]


async def test_files_that_cannot_be_shown_are_refused_in_the_page(
    empty: Path, tmp_path: Path, browser: str
) -> None:
    async with shown_page(browser, empty) as tab:
        for texts, said in REFUSED:
            files = [tmp_path / f"{name}.csv" for name in "ab"[: len(texts)]]
            for file, text in zip(files, texts, strict=True):
                file.write_text(text)
            assert said in await choose_files(tab, *files)
            assert await tab.value("page.keys().length") == 0


def test_stages_written_by_others_make_a_page(made: Stages, tmp_path: Path) -> None:
    files = write_stages(made, tmp_path / "tables")
    assert (
        module.main(
            options(
                *map(str, files),
                "--out",
                str(tmp_path / "a.html"),
                "--method",
                "pca",
                "--dims",
                "3",
            )
        )
        == 0
    )
