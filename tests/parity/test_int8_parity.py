"""The bundled int8 model keeps every promise but equality with torch."""

from __future__ import annotations

import json

import numpy as np
import pytest

from turnstream import Engine, TurnPredictor
from turnstream.stream.bench import sample_audio
from turnstream.stream.engine import INT8, bundled_model
from turnstream.stream.errors import ConfigError, SnapshotError
from turnstream.stream.latent_message import LatentKind
from turnstream.stream.live_embedding import LiveEmbedding
from turnstream.stream.prediction import Prediction

from .test_predictor_parity import assert_same

SECONDS = 6


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(INT8)


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    return sample_audio(16000)[: SECONDS * 16000]


@pytest.fixture(scope="module")
def whole(engine: Engine, audio: np.ndarray) -> list[Prediction]:
    return TurnPredictor(engine).push_audio(audio)


@pytest.mark.parametrize("size", [1, 333, 320, 32000])
def test_no_chunking_changes_one_bit_in_int8(
    engine: Engine, audio: np.ndarray, whole: list[Prediction], size: int
) -> None:
    audio = audio[: 3200 if size == 1 else None]
    predictor = TurnPredictor(engine)
    found = [
        prediction
        for start in range(0, len(audio), size)
        for prediction in predictor.push_audio(audio[start : start + size])
    ]
    assert_same(found, whole[: len(audio) // 320])


def test_a_restored_conversation_goes_on_with_the_same_bits_in_int8(
    engine: Engine, audio: np.ndarray, whole: list[Prediction]
) -> None:
    predictor = TurnPredictor(engine)
    first = predictor.push_audio(audio[:47777])
    again = TurnPredictor.restore(predictor.snapshot(), engine)
    assert_same(first + again.push_audio(audio[47777:]), whole)


def test_a_snapshot_of_the_float_model_is_not_resumed_in_int8(engine: Engine) -> None:
    with pytest.raises(SnapshotError, match="expected a snapshot of the model"):
        TurnPredictor.restore(TurnPredictor().snapshot(), engine)


def test_the_int8_model_predicts_what_the_float_model_predicts(
    audio: np.ndarray, whole: list[Prediction]
) -> None:
    expected = TurnPredictor().push_audio(audio)
    gaps = [abs(a.p_next[0] - b.p_next[0]) for a, b in zip(whole, expected, strict=True)]
    assert 0 < np.mean(gaps) < 0.01
    assert max(gaps) < 0.05


def test_the_bundled_int8_model_was_made_from_the_bundled_model(engine: Engine) -> None:
    about = json.loads(bundled_model(INT8).with_suffix(".json").read_text())
    assert about["quantized_from"] == Engine().metadata.weights_sha256
    assert about["weights_sha256"] == engine.metadata.weights_sha256
    assert engine.metadata.precision == "int8"


def test_what_is_fitted_to_the_states_of_the_float_model_fits_the_int8_model(
    engine: Engine,
) -> None:
    metadata = engine.metadata
    sizes: dict[LatentKind, int] = {
        "latent": metadata.latent_size,
        "latent_speaker": metadata.latent_speaker_size,
    }
    LiveEmbedding.load().check_fits(metadata.name, metadata.network_sha256, sizes)
    with pytest.raises(ConfigError, match="expected a projection of the model that runs"):
        LiveEmbedding.load().check_fits(metadata.name, metadata.weights_sha256, sizes)
