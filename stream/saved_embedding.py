"""Reads and writes embeddings of latent states in 2 or 3 dimensions.

An embedding is fitted once and then used for every conversation, so the same state always gives the
same point. It is stored as one JSON file, which the web page reads as well. Arrays are stored as
{"shape": [...], "float32": base64}.

PCA, the plane and the autoencoder's encoder have a formula: a list of dense layers,
y = activation(W x + b), which any program can compute live. t-SNE and UMAP have no formula. Their
file keeps the states of the fit, and models/latents/space/fitting.py embeds new states among them.

This module needs only numpy.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError

METHODS = ("plane", "pca", "autoencoder", "tsne", "umap")
FORMAT = "turnstream projection 1"
Float32 = NDArray[np.float32]

ACTIVATIONS: dict[str, Callable[[Float32], Float32]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
}


@dataclass(frozen=True)
class DenseLayer:
    """y = activation(weight x + bias); weight (outputs, inputs), bias (outputs,)."""

    weight: Float32
    bias: Float32
    activation: str = "linear"


@dataclass(frozen=True)
class Formula:
    """The result of fitting an embedding that has a formula.

    Attributes:
        layers: dense layers that map states (..., H) to points (..., D).
        settings: values chosen by the fit, by name.
        trust: measures of quality, by name.
        about: text that describes the directions.
    """

    layers: tuple[DenseLayer, ...]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    trust: dict[str, float] = field(default_factory=dict[str, float])
    about: str = ""


@dataclass(frozen=True)
class SavedEmbedding:
    """A fitted embedding of latent states (H values) as points in D dimensions.

    Attributes:
        method: one of METHODS.
        layer: the embedded state: "latent" or "latent_speaker".
        model: name of the network.
        weights_sha256: hash of the network's weights.
        layers: the formula; empty if there is none.
        reference: states of the fit, (N, H); empty if there is a formula.
        places: points of states of the fit, (N, D). With a formula they are a sample, for the
            background of a picture.
        situations: what the speaker of each point was doing, (N,) of text, one of SITUATIONS in
            models/latents/moments.py.
        stability: share of each point's neighbours that stay neighbours when the embedding is
            fitted again, (N,); NaN if it was not fitted again.
        low, high: corners of the region to draw, (D,).
        landmarks: mean point of each situation, (D,).
        trust: measures of how well the points show the states, by name (see
            models/latents/space/trust.py); NaN if there were too few points to measure.
        settings: settings of the fit, by name.
        about: text that describes the data of the fit and the directions.
    """

    method: str
    layer: str
    model: str
    weights_sha256: str
    layers: tuple[DenseLayer, ...]
    places: Float32
    situations: NDArray[np.str_]
    stability: Float32
    low: tuple[float, ...]
    high: tuple[float, ...]
    landmarks: dict[str, tuple[float, ...]]
    reference: Float32 = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    trust: dict[str, float] = field(default_factory=dict[str, float])
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    about: str = ""

    @property
    def dims(self) -> int:
        """Number of dimensions of the points, D."""
        return self.places.shape[1]

    @property
    def width(self) -> int:
        """Number of values in a state, H."""
        return self.layers[0].weight.shape[1] if self.layers else self.reference.shape[1]

    @property
    def has_formula(self) -> bool:
        """Whether new states can be embedded live, by `project`."""
        return bool(self.layers)

    def project(self, states: Float32) -> Float32:
        """Embed states by the formula: (..., H) to points (..., D).

        Raises:
            ConfigError: there is no formula, or the states have another length.
        """
        if not self.layers:
            raise ConfigError(
                "expected a projection with a formula (plane, pca or autoencoder), "
                f"got {self.method}, which can only place recorded states"
            )
        if states.shape[-1] != self.width:
            raise ConfigError(
                f"expected states of {self.width} values, as the projection was fitted on, "
                f"got {states.shape[-1]}"
            )
        return apply_layers(self.layers, states)

    def save(self, path: Path) -> None:
        """Write the file atomically: a failure leaves no partial file at `path`."""
        words = {
            "format": FORMAT,
            "method": self.method,
            "layer": self.layer,
            "model": self.model,
            "weights_sha256": self.weights_sha256,
            "about": self.about,
            "trust": {  # NaN, which JSON lacks: there were too few points to measure
                name: None if math.isnan(value) else value for name, value in self.trust.items()
            },
            "settings": self.settings,
            "low": self.low,
            "high": self.high,
            "landmarks": self.landmarks,
            "layers": [
                {
                    "activation": layer.activation,
                    "weight": packed(layer.weight),
                    "bias": packed(layer.bias),
                }
                for layer in self.layers
            ],
            "places": packed(self.places),
            "situations": self.situations.tolist(),
            "stability": packed(self.stability),
            "reference": packed(self.reference),
        }
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(words, indent=0, allow_nan=False) + "\n", encoding="utf-8")
        part.replace(path)


def apply_layers(layers: Sequence[DenseLayer], states: Float32) -> Float32:
    """Apply dense layers to states (..., H); return points (..., D)."""
    for layer in layers:
        states = ACTIVATIONS[layer.activation](states @ layer.weight.T + layer.bias).astype(
            np.float32
        )
    return states


def bundled_plane() -> Path:
    """Return the path of the plane that is installed with the bundled model."""
    return Path(str(files("turnstream.models.weights") / "plane.json"))


def load_embedding(path: str | Path | None = None) -> SavedEmbedding:
    """Read an embedding.

    Args:
        path: the file; None is the bundled model's plane.
    Raises:
        ConfigError: the file does not exist or is no embedding.
    """
    path = bundled_plane() if path is None else Path(path)
    try:
        words: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if words["format"] != FORMAT:
            raise ValueError(f"format {words['format']!r}")
        layers = tuple(
            DenseLayer(unpacked(layer["weight"]), unpacked(layer["bias"]), layer["activation"])
            for layer in words["layers"]
        )
        projection = SavedEmbedding(
            **{
                name: str(words[name])
                for name in ("method", "layer", "model", "weights_sha256", "about")
            },
            layers=layers,
            places=unpacked(words["places"]),
            situations=np.array(words["situations"], dtype=str),
            stability=unpacked(words["stability"]),
            low=_floats(words["low"]),
            high=_floats(words["high"]),
            landmarks={str(name): _floats(place) for name, place in words["landmarks"].items()},
            reference=unpacked(words["reference"]),
            trust={
                str(name): math.nan if value is None else float(value)
                for name, value in words["trust"].items()
            },
            settings=dict(words["settings"]),
        )
        _check(projection)
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{path}: expected a projection that `turnstream latents project` wrote: "
            f"{type(error).__name__} {error}"
        ) from None
    return projection


def packed(array: NDArray[Any]) -> dict[str, Any]:
    """Return an array as JSON values; it is stored as float32."""
    return {
        "shape": list(array.shape),
        "float32": base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode(),
    }


def unpacked(words: Mapping[str, Any]) -> Float32:
    """Return the array that `packed` stored, as float32."""
    return (
        np.frombuffer(base64.b64decode(words["float32"], validate=True), "<f4")
        .reshape(words["shape"])
        .astype(np.float32)
    )


def _check(projection: SavedEmbedding) -> None:
    count, dims = projection.places.shape
    widths = [layer.weight.shape for layer in projection.layers]
    joined = [b[1] == a[0] for a, b in zip(widths, widths[1:], strict=False)]
    if projection.method not in METHODS:
        raise ValueError(f"method {projection.method!r}")
    if any(
        layer.activation not in ACTIVATIONS or layer.bias.shape != layer.weight.shape[:1]
        for layer in projection.layers
    ) or not all(joined):
        raise ValueError("layers that do not fit together")
    if (widths[-1][0] != dims) if widths else (len(projection.reference) != count):
        raise ValueError(f"places of {dims} dimensions that no layer or reference gives")
    corners: Sequence[Sequence[float]] = (
        projection.low,
        projection.high,
        *projection.landmarks.values(),
    )
    if (
        any(len(corner) != dims for corner in corners)
        or len(projection.situations) != count
        or projection.stability.shape != (count,)
    ):
        raise ValueError(
            f"corners, landmarks, situations or stability that do not fit {count} places "
            f"of {dims} dimensions"
        )


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
