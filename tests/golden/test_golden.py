"""The bundled model gives the golden outputs, and its metadata is beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from turnstream import Engine
from turnstream.models.checkpoint import bundled_checkpoint, load_checkpoint
from turnstream.stream.contract import LABELS, METADATA_KEY
from turnstream.stream.engine import INT8, bundled_model
from turnstream.stream.onnx_session import open_session

GOLDEN = Path(__file__).parent / "turnstream.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as archive:
        return dict(archive)


def test_golden_file_holds_every_output(golden: dict[str, np.ndarray]):
    assert set(golden) == {"input", *LABELS}


def test_engine_gives_the_golden_outputs(golden: dict[str, np.ndarray]):
    engine = Engine()
    audio = golden["input"]  # (B, 2, T, N)
    state = engine.init_state(audio.shape[0])
    for t in range(audio.shape[2]):
        output, state = engine.step(np.ascontiguousarray(audio[:, :, t]), state)
        for name in set(LABELS) - {"next_state"}:
            np.testing.assert_allclose(getattr(output, name), golden[name][:, t], rtol=0, atol=1e-5)
    np.testing.assert_allclose(state, golden["next_state"], rtol=0, atol=1e-5)


def test_a_state_from_zero_after_every_frame_is_noticed(golden: dict[str, np.ndarray]):
    engine = Engine()
    last = np.ascontiguousarray(golden["input"][:, :, -1])
    output, _ = engine.step(last, engine.init_state(len(last)))
    assert np.abs(output.latent - golden["latent"][:, -1]).max() > 1e-2


def test_bundled_graph_and_bundled_weights_are_the_same_network():
    from turnstream.export.metadata import weights_sha256

    assert Engine().metadata.weights_sha256 == weights_sha256(load_checkpoint(bundled_checkpoint()))


def test_metadata_tells_another_language_all_it_needs():
    config = Engine().metadata.config
    assert json.loads(json.dumps(config)) == config
    assert config["features"]["hop_samples"] == 320


@pytest.mark.parametrize("name", [None, INT8])
def test_the_json_file_beside_the_model_holds_its_metadata(name: str | None):
    model = bundled_model(name)
    stored = open_session(model).get_modelmeta().custom_metadata_map[METADATA_KEY]
    assert json.loads(model.with_suffix(".json").read_text()) == json.loads(stored)
