"""Which embeddings can be shown with which running model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from turnstream import ConfigError, Engine
from turnstream.stream.latent_message import LatentKind
from turnstream.stream.live_embedding import LiveEmbedding
from turnstream.stream.saved_embedding import bundled_plane

from .embeddings import random_embedding, unusable_embeddings


def check(projection: LiveEmbedding, engine: Engine) -> None:
    model = engine.metadata
    sizes: dict[LatentKind, int] = {
        "latent": model.latent_size,
        "latent_speaker": model.latent_speaker_size,
    }
    projection.check_fits(f"{model.name} {model.version}", model.weights_sha256, sizes)


def test_the_bundled_plane_fits_the_bundled_model_alone(engine: Engine) -> None:
    plane = LiveEmbedding.load()
    assert plane.path == bundled_plane()
    assert plane.latents == "final"
    check(plane, Engine())
    with pytest.raises(
        ConfigError,
        match=(
            r"of the model that runs, \S+ 0 \(weights .*got the bundled plane, of turnstream 4 "
            ".*latents project` fits one"
        ),
    ):
        check(plane, engine)


@pytest.mark.parametrize(("layer", "asked"), [("latent", "final"), ("latent_speaker", "all")])
def test_each_layers_states_are_asked_for(
    engine: Engine, tmp_path: Path, layer: str, asked: str
) -> None:
    path = tmp_path / "plane.json"
    random_embedding(engine, layer, ((3, "tanh"),)).save(path)
    projection = LiveEmbedding.load(path)
    check(projection, engine)
    assert projection.latents == asked


def test_what_cannot_be_shown_is_named(engine: Engine, tmp_path: Path) -> None:
    for path, words in unusable_embeddings(engine, tmp_path).items():
        with pytest.raises(ConfigError) as caught:
            check(LiveEmbedding.load(path), engine)
        assert re.search(words, str(caught.value)), (path, caught.value)
        assert "\n" not in str(caught.value)
