"""A projection of latent states into a plane or a space, as a file: fitted once, it shows every conversation in the same place.

One JSON file, which the web page reads as well. Arrays are {"shape": [...], "float32": base64}. A projection that is a formula (principal
components, a plane, an autoencoder's encoder) is a list of dense layers, y = activation(W x + b), that anything can step live. t-SNE
and UMAP have no formula: their file keeps the states that they were fitted on, and fitting.py places new ones among these. Needs numpy alone.
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
    """y = activation(weight x + bias), weight (outputs, inputs), bias (outputs,)."""

    weight: Float32
    bias: Float32
    activation: str = "linear"


@dataclass(frozen=True)
class Formula:
    """What fitting a projection that is a formula gives.

    Attributes:
        layers: from states (..., H) to places (..., D).
        settings: what was chosen, by name.
        trust: measured of it, by name.
        about: what its directions are, in words.
    """

    layers: tuple[DenseLayer, ...]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    trust: dict[str, float] = field(default_factory=dict[str, float])
    about: str = ""


@dataclass(frozen=True)
class SavedProjection:
    """Where states lie.

    Attributes:
        method: one of METHODS.
        layer: whose states: "latent" or "latent_speaker".
        model: name of the network.
        weights_sha256: of its weights.
        layers: the formula; empty where there is none.
        reference: states that it was fitted on, (N, H); kept only where there is no formula.
        places: of states that it was fitted on, (N, D); with a formula a sample of them, for a picture's background.
        situations: what the speakers of `places` were doing, (N,) of text (moments.py).
        stability: of each of `places`, the share of its neighbours that stay its neighbours when the projection is fitted again, (N,);
            NaN where it was not fitted again.
        low, high: corners of the part to draw, (D,).
        landmarks: mean place in each situation.
        trust: how far the picture can be believed (trust.py), by name.
        settings: of the fit, by name.
        about: what it was fitted on and what its directions are, in words.
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
        """Of the plane or space, D."""
        return self.places.shape[1]

    @property
    def width(self) -> int:
        """Of the states, H."""
        return self.layers[0].weight.shape[1] if self.layers else self.reference.shape[1]

    @property
    def has_formula(self) -> bool:
        """Can it be stepped live?"""
        return bool(self.layers)

    def project(self, states: Float32) -> Float32:
        """Places of states by the formula, (..., H) -> (..., D).

        Raises:
            ConfigError: there is no formula, or the states have another width.
        """
        if not self.layers:
            raise ConfigError(
                f"expected a projection with a formula (plane, pca or autoencoder), got {self.method}, which can only place recorded states"
            )
        if states.shape[-1] != self.width:
            raise ConfigError(
                f"expected states of {self.width} values, as the projection was fitted on, got {states.shape[-1]}"
            )
        return apply_layers(self.layers, states)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        words = {
            "format": FORMAT,
            "method": self.method,
            "layer": self.layer,
            "model": self.model,
            "weights_sha256": self.weights_sha256,
            "about": self.about,
            "trust": {
                name: None if math.isnan(value) else value for name, value in self.trust.items()
            },  # not measured of too few points
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
    """Run states (..., H) through dense layers, -> (..., D)."""
    for layer in layers:
        states = ACTIVATIONS[layer.activation](states @ layer.weight.T + layer.bias).astype(
            np.float32
        )
    return states


def bundled_plane() -> Path:
    """Path of the plane that is installed with the bundled model."""
    return Path(str(files("turnstream.models.weights") / "plane.json"))


def load_projection(path: str | Path | None = None) -> SavedProjection:
    """Read a projection; None is the bundled model's plane.

    Raises:
        ConfigError: no such file, or not a projection.
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
        projection = SavedProjection(
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
            f"{path}: expected a projection that `turnstream latents project` wrote: {type(error).__name__} {error}"
        ) from None
    return projection


def packed(array: NDArray[Any]) -> dict[str, Any]:
    """An array as JSON holds it."""
    return {
        "shape": list(array.shape),
        "float32": base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode(),
    }


def unpacked(words: Mapping[str, Any]) -> Float32:
    """The inverse of `packed`."""
    return (
        np.frombuffer(base64.b64decode(words["float32"], validate=True), "<f4")
        .reshape(words["shape"])
        .astype(np.float32)
    )


def _check(projection: SavedProjection) -> None:
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
            f"corners, landmarks, situations or stability that do not fit {count} places of {dims} dimensions"
        )


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
