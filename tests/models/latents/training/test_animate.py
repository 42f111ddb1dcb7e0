"""The animation: what it gathers, what its caption says, and the page in a browser."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.checkpoint import save_checkpoint
from turnstream.models.latents.training import animate as module
from turnstream.models.latents.training.animate import animate, animation_page, gather
from turnstream.models.latents.training.stages import Stages, write_stages
from turnstream.models.runs.run_folder import snapshot_folder
from turnstream.stream.errors import ConfigError

from ....networks import TINY, random_model
from ....web.chromium import open_tab_of

HINTS = ("WebGL", "GPU stall", "willReadFrequently")  # of the browser about software rendering


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
    assert out.stat().st_size > 4e6
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
        "Of 20 shifts and holds 50 % are told wrongly at before and 5 % at after; 1 are wrong at every stage."
        in words
    )


def test_files_of_anyone_have_points_with_a_mark(made: Stages) -> None:
    files = replace(made, origin="files")
    words = module.describe(animate(files, "pca"))
    assert (
        "Of the points with a mark, 50 % of 20 are wrong at before and 5 % of 20 are wrong at after; 1 are wrong at every stage."
        in words
    )
    assert made.wrong is not None
    unmarked = made.wrong.copy()
    unmarked[0] = np.nan
    words = module.describe(animate(replace(files, wrong=unmarked), "pca"))
    assert (
        "Of the points with a mark, there are none at before and 5 % of 20 are wrong at after; 0 are wrong at every stage."
        in words
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


@pytest.mark.parametrize("dims", [2, 3])
async def test_the_page_plays_steps_follows_and_compares(
    made: Stages, tmp_path: Path, dims: int, browser: str
) -> None:
    animated = animate(made, "pca", dims)
    animation_page(animated, tmp_path / "page.html")
    async with open_tab_of(browser) as tab:
        await tab.go(f"file://{tmp_path / 'page.html'}")
        await tab.until("window.animation")
        assert await tab.value("animation.state.at") == 0
        await tab.click("button[title^='one stage on']")
        assert await tab.value("animation.state.at") == 1
        places = await tab.value("animation.places().map((axis) => Array.from(axis))")
        np.testing.assert_allclose(np.array(places).T, animated.places[1], atol=1e-4)
        await tab.value("animation.choose([3], true)")
        assert "point 3 (event: hold, told rightly here)" in await tab.text("#followed")
        await tab.click("button[title^='one stage back']")
        assert "told wrongly here" in await tab.text("#followed")
        await tab.value(
            "animation.state.speed = 4"
        )  # few pictures: without a graphics card each takes long
        await tab.click("button[title^='play']")
        await tab.until("animation.state.at === 1 && !animation.state.playing", 55)
        assert (
            await tab.value("document.getElementById('chart0').data[1].x.length") == 4
        )  # two stages, where it is now, a gap
        await tab.click("input[type=checkbox]")
        assert await tab.value("!document.getElementById('chart1').hidden")
        assert [c for c in tab.complaints if not any(hint in c for hint in HINTS)] == []


async def test_a_label_of_zero_is_shown_and_points_of_anyone_are_marked(
    made: Stages, tmp_path: Path, browser: str
) -> None:
    files = replace(made, origin="files", labels={"size": np.arange(60) % 3})
    animation_page(animate(files, "pca"), tmp_path / "page.html")
    async with open_tab_of(browser) as tab:
        await tab.go(f"file://{tmp_path / 'page.html'}")
        await tab.until("window.animation")
        await tab.value("animation.choose([0], true)")
        assert "point 0 (size: 0, marked wrong here)" in await tab.text("#followed")


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
