"""Saved embeddings of any network, with random formulas, for the tests of the live views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from turnstream.stream.engine import Engine, ModelMetadata
from turnstream.stream.saved_embedding import DenseLayer, SavedEmbedding

LANDMARKS = {"speaking": (0.8, 0.5), "listening": (-0.8, 0.5), "done": (0.0, -0.5)}


def width_of(model: ModelMetadata, layer: str) -> int:
    return model.latent_speaker_size if layer == "latent_speaker" else model.latent_size


def random_embedding(
    engine: Engine, layer: str = "latent", hidden: tuple[tuple[int, str], ...] = (), dims: int = 2
) -> SavedEmbedding:
    """Return a random embedding of an engine's states.

    It has hidden layers (outputs, activation). All its points lie well within its corners.
    """
    rng = np.random.default_rng(len(hidden))
    widths = (width_of(engine.metadata, layer), *(outputs for outputs, _ in hidden), dims)
    activations = (*(activation for _, activation in hidden), "linear")
    layers = [
        DenseLayer(
            rng.normal(0, 0.5 / inputs**0.5, (outputs, inputs)).astype(np.float32),
            rng.normal(0, 0.05, outputs).astype(np.float32),
            activation,
        )
        for inputs, outputs, activation in zip(widths, widths[1:], activations, strict=False)
    ]
    return SavedEmbedding(
        method="autoencoder" if hidden else "pca",
        layer=layer,
        model="fitted",
        weights_sha256=engine.metadata.weights_sha256,
        layers=tuple(layers),
        places=np.zeros((0, dims), np.float32),
        situations=np.array([], dtype=str),
        stability=np.zeros(0, np.float32),
        low=(-2.0,) * dims,
        high=(2.0,) * dims,
        landmarks={word: (*place, *(0.0,) * (dims - 2)) for word, place in LANDMARKS.items()},
    )


def unusable_embeddings(engine: Engine, folder: Path) -> dict[Path, str]:
    """Return files that cannot be shown live with an engine, each with its error message."""
    fitting = random_embedding(engine)
    width = engine.metadata.latent_size
    wide = replace(fitting.layers[0], weight=np.zeros((2, width + 1), np.float32))
    tsne = replace(fitting, method="tsne", layers=(), reference=np.zeros((0, width), np.float32))
    cases = {
        "tsne": (
            tsne,
            (
                r"tsne\.json: expected a projection that can follow a live conversation \(plane, "
                r"pca or autoencoder\), got tsne"
            ),
        ),
        "deep": (
            random_embedding(engine, dims=3),
            r"deep\.json: expected a projection into 2 dimensions, got 3",
        ),
        "foreign": (
            replace(fitting, weights_sha256="0123456789abcdef"),
            (
                r"expected a projection of the model that runs, .*got .*foreign\.json, of fitted "
                r"\(weights 0123456789ab\)"
            ),
        ),
        "wide": (
            replace(fitting, layers=(wide,)),
            (
                rf"latent of {width} values or latent_speaker of \d+ values, got .*wide\.json, of "
                f"latent of {width + 1} values"
            ),
        ),
        "nameless": (
            replace(fitting, layer="latent_next"),
            r"got .*nameless\.json, of latent_next of",
        ),
    }
    for name, (projection, _) in cases.items():
        projection.save(folder / f"{name}.json")
    (folder / "broken.json").write_text("{}")
    said = {folder / f"{name}.json": words for name, (_, words) in cases.items()}
    return {
        **said,
        folder / "broken.json": (
            r"broken\.json: expected a projection that "
            "`turnstream latents project` wrote"
        ),
        folder / "none.json": (
            r"none\.json: expected a projection that `turnstream latents project` wrote: "
            "FileNotFoundError"
        ),
    }
