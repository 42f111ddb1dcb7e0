"""Embeddings as files, and the numbers that their formula gives.

They are read as they were written. Damaged files are refused in one line.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from turnstream.stream.errors import ConfigError
from turnstream.stream.saved_embedding import (
    DenseLayer,
    SavedEmbedding,
    load_embedding,
    packed,
    unpacked,
)


def a_projection(method: str = "autoencoder") -> SavedEmbedding:
    rng = np.random.default_rng(0)
    layers = (
        DenseLayer(rng.normal(size=(4, 6)).astype("f4"), rng.normal(size=4).astype("f4"), "tanh"),
        DenseLayer(np.eye(2, 4, dtype="f4"), np.ones(2, "f4")),
    )
    with_formula = method not in ("tsne", "umap")
    return SavedEmbedding(
        method=method,
        layer="latent",
        model="a network",
        weights_sha256="abc",
        layers=layers if with_formula else (),
        places=rng.normal(size=(5, 2)).astype("f4"),
        situations=np.array(["speaking", "listening", "done", "other", "about to speak"]),
        stability=np.array([0.5, 1, 0, 0.25, np.nan], "f4"),
        low=(-1.0, -2.0),
        high=(1.0, 2.5),
        landmarks={"speaking": (0.5, 0.25)},
        reference=np.zeros((0, 0), "f4") if with_formula else rng.normal(size=(5, 6)).astype("f4"),
        trust={"trustworthiness": 0.9},
        settings={"perplexity": 30.0, "principal": [1, 3]},
        about="Ünïcode, too.",
    )


def changed(path: Path, projection: SavedEmbedding, **changes: Any) -> Path:
    projection.save(path)
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes))
    return path


@pytest.mark.parametrize("method", ["autoencoder", "tsne"])
def test_a_projection_is_read_as_it_was_written(method: str, tmp_path: Path) -> None:
    written = a_projection(method)
    written.save(tmp_path / "space.json")
    read = load_embedding(tmp_path / "space.json")
    for field in fields(SavedEmbedding):
        if field.name == "layers":
            continue
        np.testing.assert_array_equal(
            getattr(read, field.name), getattr(written, field.name), err_msg=field.name
        )
    for ours, theirs in zip(read.layers, written.layers, strict=True):
        assert ours.activation == theirs.activation
        np.testing.assert_array_equal(ours.weight, theirs.weight)
        np.testing.assert_array_equal(ours.bias, theirs.bias)
    assert read.width == 6
    assert [path.name for path in tmp_path.iterdir()] == ["space.json"]


def test_the_formula_is_dense_layers_one_after_another() -> None:
    projection = a_projection()
    states = np.random.default_rng(1).normal(size=(3, 7, 6)).astype("f4")
    (first, second), states64 = projection.layers, states.astype(float)
    expected = (
        np.einsum(
            "dh,tbh->tbd",
            second.weight,
            np.tanh(np.einsum("ho,tbo->tbh", first.weight, states64) + first.bias),
        )
        + second.bias
    )
    found = projection.project(states)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    rectified = replace(projection, layers=(replace(first, activation="relu"), second))
    np.testing.assert_allclose(
        rectified.project(states),
        np.maximum(states64 @ first.weight.T + first.bias, 0) @ second.weight.T + second.bias,
        atol=1e-5,
    )


def test_states_of_another_width_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected states of 6 values.*got 5"):
        a_projection().project(np.zeros((3, 5), "f4"))


def test_what_has_no_formula_says_so() -> None:
    with pytest.raises(ConfigError, match=r"expected a projection with a formula .* got tsne"):
        a_projection("tsne").project(np.zeros((3, 6), "f4"))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "something else"},
        {"method": "guess"},
        {"places": None},
        {"places": packed(np.zeros((4, 2)))},
        {"places": packed(np.zeros((5, 3)))},
        {"places": {"shape": [5, 2], "float32": "AAAA"}},
        {"places": {"shape": [5, 2], "float32": "not base64!"}},
        {"stability": packed(np.zeros(4))},
        {"situations": ["speaking"]},
        {"low": [1.0]},
        {"high": "high"},
        {"landmarks": 3},
        {"landmarks": {"speaking": [1.0]}},
        {"layers": [{"activation": "tanh"}]},
        {
            "layers": [
                {
                    "activation": "guess",
                    "weight": packed(np.zeros((2, 6))),
                    "bias": packed(np.zeros(2)),
                }
            ]
        },
        {
            "layers": [
                {
                    "activation": "tanh",
                    "weight": packed(np.zeros((3, 6))),
                    "bias": packed(np.zeros(3)),
                }
            ]
        },
        {
            "layers": [
                {
                    "activation": "tanh",
                    "weight": packed(np.zeros((2, 6))),
                    "bias": packed(np.zeros(3)),
                }
            ]
        },
        {"layers": []},
        {"trust": {"trustworthiness": "much"}},
    ],
)
def test_a_damaged_file_is_refused_in_one_line(changes: dict[str, Any], tmp_path: Path) -> None:
    path = changed(tmp_path / "space.json", a_projection(), **changes)
    with pytest.raises(
        ConfigError,
        match=r"space\.json: expected a projection that `turnstream latents project` wrote",
    ) as error:
        load_embedding(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "contents", [b"", b"[]", b"\xff\xfe", b'{"format": "turnstream projection 1"}']
)
def test_what_is_no_projection_is_refused(contents: bytes, tmp_path: Path) -> None:
    (tmp_path / "space.json").write_bytes(contents)
    with pytest.raises(ConfigError, match="expected a projection"):
        load_embedding(tmp_path / "space.json")


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.json: expected a projection"):
        load_embedding(tmp_path / "nowhere.json")


def test_arrays_survive_packing() -> None:
    for array in (
        np.zeros((0, 3), "f4"),
        np.arange(6, dtype="f4").reshape(2, 3),
        np.array([np.nan, np.inf], "f4"),
    ):
        np.testing.assert_array_equal(unpacked(json.loads(json.dumps(packed(array)))), array)
