"""The page's plane computes the same as Python, and shows the embedding that the server serves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnstream.stream.engine import Engine
from turnstream.stream.predictor import TurnPredictor
from turnstream.stream.saved_embedding import SavedEmbedding, load_embedding
from turnstream.stream.service.server import Server

from ..stream.embeddings import random_embedding
from .chromium import Tab
from .demo_page import open_page, page, status_is
from .relay import relay_to

PROJECT = """(async (words, states) => {
  const { Plane } = await import('/plane.js');
  const plane = new Plane(words);
  const values = Float32Array.from(states);
  const rows = [...Array(values.length / plane.size).keys()];
  const places = rows.map((row) => plane.project(values, row));
  return { layer: plane.layer, size: plane.size, places };
})"""


def as_file(projection: SavedEmbedding, folder: Path) -> bytes:
    path = folder / "projection.json"
    projection.save(path)
    return path.read_bytes()


def projections(engine: Engine) -> dict[str, SavedEmbedding]:
    return {
        "bundled": load_embedding(),
        "linear": random_embedding(engine),
        "autoencoder": random_embedding(engine, "latent_speaker", ((40, "relu"), (12, "tanh"))),
    }


@pytest.mark.parametrize("name", ["bundled", "linear", "autoencoder"])
async def test_places_are_those_of_python(
    tab: Tab, server: Server, engine: Engine, tmp_path: Path, name: str
) -> None:
    projection = projections(engine)[name]
    rng = np.random.default_rng(7)
    states = rng.normal(0, 1, (6, projection.layers[0].weight.shape[1])).astype(np.float32)
    await tab.go(page(server))
    got = await tab.value(
        f"{PROJECT}({as_file(projection, tmp_path).decode()}, "
        f"{json.dumps(states.reshape(-1).tolist())})"
    )
    assert (got["layer"], got["size"]) == (projection.layer, states.shape[1])
    np.testing.assert_allclose(got["places"], projection.project(states), atol=1e-5)
    without_activations = replace(
        projection, layers=tuple(replace(layer, activation="linear") for layer in projection.layers)
    )
    assert np.allclose(got["places"], without_activations.project(states), atol=1e-2) == (
        name != "autoencoder"
    )


async def test_the_served_projection_is_drawn_with_the_states_of_its_layer(
    tab: Tab, engine: Engine, tmp_path: Path, unused_tcp_port: int
) -> None:
    states = np.stack(
        [
            p.latent_speaker
            for p in TurnPredictor(engine).push_audio(
                np.random.default_rng(2).normal(0, 0.1, (8000, 2))
            )
        ]
    )
    deep = random_embedding(engine, "latent_speaker", ((40, "relu"), (12, "tanh")))
    placed = deep.project(states.astype(np.float32)).reshape(-1, 2)
    low, high = placed.min(axis=0) - 1, placed.max(axis=0) + 1
    other = f"ws://127.0.0.1:{unused_tcp_port}"
    middle, corner = (low + high) / 2, low + 0.02 * (high - low)
    served = replace(
        deep,
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        landmarks={"everywhere": tuple(middle.tolist())},
        places=np.array([corner], np.float32),
        situations=np.array(["speaking"]),
        stability=np.ones(1, np.float32),
    )
    async with (
        Server(engine, port=0, plane=as_file(served, tmp_path), page_servers=[other]) as server,
        relay_to(server, unused_tcp_port) as relay,
    ):
        await open_page(tab, page(server, relay.url))
        await tab.click("#example")
        await tab.until(
            "/^The (caller|agent) is near “everywhere”, the (caller|agent) is near “everywhere”/"
            ".test(document.querySelector('#plane-caption').innerText)"
        )
        assert {"type": "configure", "latents": "all"} in relay.controls
        assert await tab.value("document.querySelector('#latent-size').textContent") == str(
            engine.metadata.latent_speaker_size
        )
        assert not await tab.value("document.querySelector('#plane-dots').hidden")
        near_corner = """(() => {
          const canvas = document.querySelector('#plane'), margin = 26;
          const ratio = canvas.width / canvas.clientWidth;
          const [wide, high] = [canvas.clientWidth - 2 * margin, canvas.clientHeight - 2 * margin];
          const box = [margin + 0.02 * wide - 1, margin + 0.98 * high - 1, 4, 4]
            .map((value) => value * ratio);
          return canvas.getContext('2d').getImageData(...box).data.some((value) => value > 0);
        })()"""
        assert await tab.value(near_corner)
        assert tab.complaints == []


async def test_a_plane_without_landmarks_or_background_is_explained_all_the_same(
    tab: Tab, engine: Engine, tmp_path: Path
) -> None:
    bare = replace(random_embedding(engine), landmarks={})
    async with Server(engine, port=0, plane=as_file(bare, tmp_path)) as server:
        await open_page(tab, page(server))
        await tab.click("#example")
        await tab.until(
            "document.querySelector('#plane-caption').innerText === "
            "'What the model holds of each speaker moves the dots.'"
        )
        assert await tab.value("document.querySelector('#plane-dots').hidden")
        assert tab.complaints == []


async def test_a_projection_of_another_model_is_not_shown(
    tab: Tab, engine: Engine, tmp_path: Path, unused_tcp_port: int
) -> None:
    foreign = replace(random_embedding(engine), weights_sha256="00")
    other = f"ws://127.0.0.1:{unused_tcp_port}"
    async with (
        Server(engine, port=0, plane=as_file(foreign, tmp_path), page_servers=[other]) as server,
        relay_to(server, unused_tcp_port) as relay,
    ):
        await open_page(tab, page(server, relay.url))
        await tab.click("#example")
        await status_is(tab, "Listening to the example")
        await tab.until("document.querySelector('#plane-missing').checkVisibility()")
        assert not await tab.value("document.querySelector('#plane').checkVisibility()")
        assert not any("latents" in control for control in relay.controls)
