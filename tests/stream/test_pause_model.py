"""The pause model: what it hears, what it answers, and files that are no pause model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from turnstream.stream.engine import Engine, Float32
from turnstream.stream.errors import ModelError, ShapeError
from turnstream.stream.pause_model import PauseHead, PauseMix, PauseModel, choose_pause_model
from turnstream.stream.resample import StreamingResampler
from turnstream.stream.sources import bundled_sample

from .pauses import HEAD, SAMPLES, tiny_pause_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PauseModel:
    return PauseModel(tiny_pause_model(tmp_path_factory.mktemp("pause")))


def noise(samples: int) -> Float32:
    return np.random.default_rng(1).normal(0, 0.1, samples).astype(np.float32)


# ---- the choice ----


def test_the_bundled_pause_model_belongs_to_the_bundled_model(tiny_model_path: Path) -> None:
    chosen = choose_pause_model(None, Engine())
    assert chosen is not None
    assert choose_pause_model(None, Engine()) is chosen  # loaded once
    assert choose_pause_model(True, Engine(tiny_model_path)) is chosen
    assert choose_pause_model(None, Engine(tiny_model_path)) is None
    assert choose_pause_model(False, Engine()) is None


def test_a_loaded_pause_model_is_used_beside_any_model(
    model: PauseModel, tiny_model_path: Path
) -> None:
    assert choose_pause_model(model, Engine(tiny_model_path)) is model


# ---- the answer ----


def test_the_logit_is_the_weighted_sum_of_the_embedding(model: PauseModel) -> None:
    audio = noise(SAMPLES)
    assert model.samples == SAMPLES
    assert model.logit(audio) == pytest.approx(
        20 * np.abs(audio).mean() + 5 * abs(audio[-1]) - 4, abs=1e-5
    )


@pytest.mark.parametrize("samples", [1, 777, SAMPLES - 1])
def test_a_shorter_audio_is_padded_with_silence_in_front(model: PauseModel, samples: int) -> None:
    audio = noise(samples)
    silence = np.zeros(SAMPLES - samples, np.float32)
    assert model.logit(audio) == model.logit(np.concatenate([silence, audio]))
    assert abs(model.logit(audio) - model.logit(np.concatenate([audio, silence]))) > 1e-2


def test_of_a_longer_audio_only_the_end_counts(model: PauseModel) -> None:
    audio = noise(3 * SAMPLES)
    assert model.logit(audio) == model.logit(audio[-SAMPLES:])
    assert abs(model.logit(audio) - model.logit(audio[:SAMPLES])) > 1e-2


def test_the_audio_is_not_changed(model: PauseModel) -> None:
    audio = noise(777)
    model.logit(audio)
    np.testing.assert_array_equal(audio, noise(777))


def test_another_head_changes_the_logit_and_leaves_the_first_model_as_it_was(
    model: PauseModel,
) -> None:
    audio = noise(SAMPLES)
    before = model.logit(audio)
    head = PauseHead("other", (0.0, 0.0), 1.5, PauseMix(1.0, 1.0))
    other = model.with_head(head)
    assert (other.logit(audio), other.head) == (1.5, head)
    assert (model.logit(audio), model.head) == (before, HEAD)
    assert before != 1.5


@pytest.mark.parametrize("bias", [float("nan"), float("inf")])
def test_a_logit_that_is_not_finite_is_an_error(model: PauseModel, bias: float) -> None:
    broken = model.with_head(PauseHead("broken", (0.0, 0.0), bias, PauseMix(1.0, 1.0)))
    with pytest.raises(ModelError, match=f"expected a finite logit, got {bias}"):
        broken.logit(noise(10))


def test_a_head_can_be_given_instead_of_the_file(tmp_path: Path) -> None:
    path = tiny_pause_model(tmp_path)
    path.with_suffix(".json").unlink()
    head = PauseHead("given", (0.0, 0.0), 0.25, PauseMix(1.0, 1.0))
    assert PauseModel(path, head=head).logit(noise(10)) == 0.25


# Moments of the bundled call: the sample at 16 kHz, the speaker, and the logit. The encoder is
# quantized to int8, whose products differ a little between processors.
GOLDEN = [(315 * 320, 1, 2.286), (622 * 320, 0, 0.135), (922 * 320, 1, -0.985)]
TOLERANCE = 0.35


def test_the_bundled_model_gives_the_golden_logits() -> None:
    samples, rate_hz = soundfile.read(bundled_sample(), dtype="float32", always_2d=True)
    resampler = StreamingResampler(rate_hz, 16000, channels=2)
    start = np.asarray(samples[: 20 * rate_hz], np.float32)
    audio = np.concatenate([resampler.push(start), resampler.flush()])
    bundled = PauseModel()
    for end, speaker, golden in GOLDEN:
        logit = bundled.logit(audio[:end, speaker])
        assert logit == pytest.approx(golden, abs=TOLERANCE)
        # The tolerance tells the moments apart
        others = [other for *_, other in GOLDEN if other != golden]
        assert all(abs(logit - other) > TOLERANCE for other in others)


# ---- errors ----


@pytest.mark.parametrize(
    ("audio", "got"),
    [
        (np.zeros(0, np.float32), r"float32 \(0,\)"),
        (np.zeros(10, np.float64), r"float64 \(10,\)"),
        (np.zeros(10, np.int16), r"int16 \(10,\)"),
        (np.zeros((10, 2), np.float32), r"float32 \(10, 2\)"),
        (np.zeros((), np.float32), r"float32 \(\)"),
    ],
)
def test_audio_of_another_form_is_refused(model: PauseModel, audio: Any, got: str) -> None:
    with pytest.raises(ShapeError, match=rf"expected float32 audio \(N >= 1,\), got {got}"):
        model.logit(audio)


def test_a_missing_encoder_is_refused(tmp_path: Path) -> None:
    path = tiny_pause_model(tmp_path)
    path.unlink()
    with pytest.raises(ModelError, match=r"got '.*tiny_pause\.onnx', which is not a file"):
        PauseModel(path)


def test_a_missing_head_is_refused(tmp_path: Path) -> None:
    path = tiny_pause_model(tmp_path)
    path.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match=r"tiny_pause\.json: expected the head .*No such file"):
        PauseModel(path)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("weights", "malformed"),
        ("{}", "missing required field `name`"),
        (
            json.dumps({"name": "x", "weights": ["a"], "bias": 0, "mix": {}}),
            r"Expected `float`, got `str` - at `\$.weights\[0\]`",
        ),
        (
            json.dumps({"name": "x", "weights": [1], "bias": 0, "mix": {"network": 1}}),
            r"missing required field `pause` - at `\$.mix`",
        ),
    ],
)
def test_a_malformed_head_is_refused(tmp_path: Path, text: str, got: str) -> None:
    path = tiny_pause_model(tmp_path)
    path.with_suffix(".json").write_text(text)
    with pytest.raises(ModelError, match=rf"tiny_pause\.json: expected the head .*got: .*{got}"):
        PauseModel(path)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tiny_pause_model(tmp_path)
    path.write_bytes(b"once upon a time")
    with pytest.raises(
        ModelError, match=r"tiny_pause\.onnx: expected an ONNX pause model, but ONNX Runtime cannot load"
    ) as caught:
        PauseModel(path)
    assert len(str(caught.value).splitlines()) == 1


def test_the_streaming_model_is_refused_as_a_pause_model(tiny_model_path: Path) -> None:
    with pytest.raises(ModelError, match="with input audio and output embedding, got audio, state"):
        PauseModel(tiny_model_path, head=HEAD)


def test_a_head_of_another_size_is_refused(tmp_path: Path) -> None:
    head = PauseHead("three", (1.0, 2.0, 3.0), 0.0, PauseMix(1.0, 1.0))
    with pytest.raises(ModelError, match="its embeddings have 2 dimensions, its head has 3"):
        PauseModel(tiny_pause_model(tmp_path, head))
