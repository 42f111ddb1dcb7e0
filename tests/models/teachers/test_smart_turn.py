import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from turnstream.models.teachers.smart_turn import INPUT_SAMPLES, SmartTurn, log_mel
from turnstream.stream.errors import ConfigError, MissingExtraError

FOUND = importlib.util.find_spec("pipecat")
needs_pipecat = pytest.mark.skipif(FOUND is None, reason="no pipecat-ai")


def noise(samples: int) -> np.ndarray:
    rng = np.random.default_rng(samples)
    return (0.1 * rng.standard_normal(samples) * np.linspace(1, 0, samples)).astype(np.float32)


@pytest.fixture(scope="module")
def theirs() -> ModuleType:
    """Pipecat's own features, loaded without importing pipecat."""
    assert FOUND is not None
    assert FOUND.submodule_search_locations
    path = Path(FOUND.submodule_search_locations[0]) / "audio/turn/smart_turn/_whisper_features.py"
    spec = importlib.util.spec_from_file_location("whisper_features", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_pipecat
@pytest.mark.parametrize("samples", [1600, 70001, INPUT_SAMPLES])
def test_features_are_pipecats(theirs: ModuleType, samples: int):
    clip = noise(samples)
    padded = np.pad(clip, (INPUT_SAMPLES - samples, 0))
    np.testing.assert_allclose(
        log_mel(clip), theirs.compute_whisper_log_mel_features(padded), atol=1e-5
    )


def test_the_last_eight_seconds_are_heard():
    clip = noise(INPUT_SAMPLES + 5000)
    assert np.array_equal(log_mel(clip), log_mel(clip[5000:]))


@needs_pipecat
def test_scores_are_probabilities_one_per_clip():
    tone = np.sin(np.arange(32000) / 20).astype(np.float32)
    scores = SmartTurn().scores([noise(16000), tone])
    assert scores.shape == (2,)
    assert ((scores > 0) & (scores < 1)).all()
    # Two noises are not enough: on a CPU without int8 products the network saturates.
    assert abs(scores[0] - scores[1]) > 0.1


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pipecat-ai is not installed"):
        SmartTurn()


@needs_pipecat
def test_a_package_without_the_network_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    spec = importlib.util.spec_from_file_location(
        "pipecat", tmp_path / "__init__.py", submodule_search_locations=[str(tmp_path)]
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ConfigError, match=r"smart-turn-v3\.2-cpu\.onnx: expected the network"):
        SmartTurn()
