"""The bundled model gives the golden outputs, in the runtime and in the example code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from turnstream import Engine
from turnstream.models.checkpoint import bundled_checkpoint, load_checkpoint
from turnstream.stream.contract import LABELS
from turnstream.stream.engine import bundled_model

GOLDEN = Path(__file__).parent / "turnstream.npz"
ROOT = Path(__file__).parents[2]


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


def test_example_steps_the_file_with_numpy_and_onnxruntime_alone(tmp_path: Path):
    rng = np.random.default_rng(1)
    samples = (0.1 * rng.standard_normal((16000, 2)) * 32767).astype(np.int16)
    sf.write(tmp_path / "noise.wav", samples, 16000, subtype="PCM_16")
    example = ROOT / "export" / "step_example.py"
    assert len(example.read_text().splitlines()) < 30
    assert set(re.findall(r"^import (\w+)", example.read_text(), re.MULTILINE)) == {
        "json",
        "sys",
        "wave",
        "numpy",
        "onnxruntime",
    }
    done = subprocess.run(
        [sys.executable, str(example), str(bundled_model()), str(tmp_path / "noise.wav")],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 50
    engine = Engine()
    state = engine.init_state()
    for t, line in enumerate(lines):
        frame = samples[320 * t : 320 * (t + 1)].T.astype(np.float32) / 32768
        output, state = engine.step(np.ascontiguousarray(frame)[None], state)
        assert f"{output.p_next[0].round(2)}" in line


def test_metadata_tells_another_language_all_it_needs():
    config = Engine().metadata.config
    assert json.loads(json.dumps(config)) == config
    assert config["features"]["hop_samples"] == 320
