"""Guarantees of `TurnPredictor`, bit for bit.

The chunking, interruptions, the order of the channels and the length make no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from turnstream.export.step_input import PCM, StepInput
from turnstream.models.turn_model import TurnModel
from turnstream.stream.engine import Engine, Float32
from turnstream.stream.prediction import Prediction
from turnstream.stream.predictor import TurnPredictor

from ..networks import random_audio, whole_conversation

RATES_HZ = [16000, 8000, 44100]


@pytest.fixture(scope="module")
def engine(tiny_model_path: Path) -> Engine:
    return Engine(tiny_model_path)


def bursts(seconds: float, rate_hz: int, seed: int = 0) -> Float32:
    """Return noise that comes and goes on both channels, (N, 2)."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * rate_hz)
    loud = np.repeat(rng.random((samples // (rate_hz // 10) + 1, 2)) < 0.6, rate_hz // 10, axis=0)[
        :samples
    ]
    return (0.2 * rng.standard_normal((samples, 2)) * loud).astype(np.float32)


def cut(audio: Float32, sizes: Iterator[int]) -> Iterator[Float32]:
    start = 0
    while start < len(audio):
        size = next(sizes)
        yield audio[start : start + size]
        start += size


def constantly(size: int) -> Iterator[int]:
    while True:
        yield size


def randomly(seed: int) -> Iterator[int]:
    rng = np.random.default_rng(seed)
    while True:
        yield int(rng.integers(0, 3000))


def push(
    predictor: TurnPredictor, chunks: Iterator[Float32] | Sequence[Float32]
) -> list[Prediction]:
    return [prediction for chunk in chunks for prediction in predictor.push_audio(chunk)]


def run(engine: Engine, audio: Float32, rate_hz: int, sizes: Iterator[int]) -> list[Prediction]:
    predictor = TurnPredictor(engine, sample_rate_hz=rate_hz)
    return push(predictor, cut(audio, sizes)) + predictor.flush()


def assert_same(found: Sequence[Prediction], expected: Sequence[Prediction]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        for field in Prediction.__struct_fields__:
            np.testing.assert_array_equal(
                getattr(ours, field),
                getattr(theirs, field),
                err_msg=f"frame {theirs.frame}: {field}",
            )


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_no_chunking_changes_one_bit(engine: Engine, rate_hz: int) -> None:
    audio = bursts(3.3, rate_hz)
    whole = run(engine, audio, rate_hz, constantly(len(audio)))
    assert len(whole) == 165
    for sizes in (
        constantly(333),
        constantly(rate_hz // 50),
        constantly(2 * rate_hz),
        randomly(1),
        randomly(2),
    ):
        assert_same(run(engine, audio, rate_hz, sizes), whole)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_sample_by_sample_is_the_same_too(engine: Engine, rate_hz: int) -> None:
    audio = bursts(0.11, rate_hz)
    whole = run(engine, audio, rate_hz, constantly(len(audio)))
    assert len(whole) == 6  # the last frame is completed with silence
    assert_same(run(engine, audio, rate_hz, constantly(1)), whole)


def test_int16_is_the_same_as_its_floats(engine: Engine) -> None:
    pcm = (bursts(1.0, 16000) * 20000).astype(np.int16)
    assert_same(
        push(TurnPredictor(engine), [pcm]),
        push(TurnPredictor(engine), [pcm.astype(np.float32) / 32768]),
    )


def test_mono_is_the_user_beside_a_silent_channel(engine: Engine) -> None:
    user = bursts(1.0, 16000)[:, 0]
    assert_same(
        push(TurnPredictor(engine), [user]),
        push(TurnPredictor(engine), [np.stack([user, np.zeros_like(user)], axis=1)]),
    )


def test_predictions_are_those_of_torchs_whole_pass(engine: Engine, tiny_model: TurnModel) -> None:
    audio = random_audio(tiny_model.config, batch=1, steps=80)
    output = whole_conversation(tiny_model, audio)
    p = tiny_model.probabilities(output)
    for t, prediction in enumerate(run(engine, audio[0].numpy().T, 16000, randomly(3))):
        assert (prediction.frame, prediction.time_s) == (t, pytest.approx((t + 1) * 0.02))
        for field in p._fields:
            np.testing.assert_allclose(
                getattr(prediction, field), getattr(p, field)[0, :, t], atol=1e-5, err_msg=field
            )
        np.testing.assert_allclose(prediction.latent, output.latent[0, :, t], atol=1e-5)
        np.testing.assert_allclose(
            prediction.latent_speaker, output.latent_speaker[0, :, t], atol=1e-5
        )


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_restored_conversation_goes_on_with_the_same_bits(
    engine: Engine, tiny_model_path: Path, rate_hz: int
) -> None:
    audio = bursts(1.5, rate_hz)
    whole = run(engine, audio, rate_hz, constantly(len(audio)))
    elsewhere = Engine(tiny_model_path)
    for cut_at in np.random.default_rng(rate_hz).integers(0, len(audio), 6):
        first = TurnPredictor(engine, sample_rate_hz=rate_hz)
        before = push(first, [audio[:cut_at]])
        second = TurnPredictor.restore(first.snapshot(), elsewhere)
        assert_same(before + push(second, [audio[cut_at:]]) + second.flush(), whole)


def test_a_snapshot_changes_nothing_and_can_be_restored_twice(engine: Engine) -> None:
    audio = bursts(1.0, 16000)
    predictor = TurnPredictor(engine)
    predictor.push_audio(audio[:7777])
    snapshot = predictor.snapshot()
    rest = push(predictor, [audio[7777:]])
    for _ in range(2):
        assert_same(push(TurnPredictor.restore(snapshot, engine), [audio[7777:]]), rest)


def test_losing_the_state_in_a_snapshot_would_show(engine: Engine) -> None:
    audio = bursts(1.0, 16000)
    predictor = TurnPredictor(engine)
    predictor.push_audio(audio[:8000])
    after = predictor.push_audio(audio[8000:])
    fresh = TurnPredictor(engine).push_audio(audio[8000:])
    assert np.abs(after[0].latent - fresh[0].latent).max() > 1e-3


def test_swapping_the_channels_swaps_every_prediction_exactly(engine: Engine) -> None:
    audio = bursts(2.0, 16000)
    straight, swapped = (
        run(engine, a, 16000, constantly(320))
        for a in (audio, np.ascontiguousarray(audio[:, ::-1]))
    )
    for ours, theirs in zip(straight, swapped, strict=True):
        for field in ("vad", "p_now", "p_future", "p_next", "p_backchannel"):
            assert getattr(ours, field) == getattr(theirs, field)[::-1], field
        np.testing.assert_array_equal(ours.latent, theirs.latent[::-1])
        np.testing.assert_array_equal(ours.latent_speaker, theirs.latent_speaker[::-1])
        assert (ours.p_shift, ours.p_hold) == (theirs.p_shift, theirs.p_hold)
        assert ours.holder == (None if theirs.holder is None else 1 - theirs.holder)


def test_reset_is_a_new_conversation(engine: Engine) -> None:
    audio = bursts(1.0, 44100)
    predictor = TurnPredictor(engine, sample_rate_hz=44100)
    first = predictor.push_audio(audio)
    predictor.push_audio(audio[:1234])
    predictor.reset()
    assert_same(predictor.push_audio(audio), first)


def test_twenty_minutes_of_audio_keep_memory_and_state_flat_and_count_every_frame(
    exported: Callable[[str, StepInput], Any], tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    # With 60 ms a step, twenty minutes take seconds
    path.write_bytes(exported("plain_rnn_joined_at_layers_stride_3_odd_window", PCM).graph)
    predictor = TurnPredictor(path)
    minute = bursts(60.0, 16000)
    process = psutil.Process()
    memory: list[int] = []
    sizes: list[int] = []
    frames = 0
    last: Prediction | None = None
    for _ in range(20):
        for second in np.split(minute, 60):
            predictions = predictor.push_audio(second)
            frames += len(predictions)
            last = predictions[-1]
        memory.append(process.memory_info().rss)
        sizes.append(len(predictor.snapshot()))
    assert frames == 20 * 1000
    assert last is not None
    assert (last.frame, last.time_s) == (frames - 1, 1200.0)
    assert np.isfinite(last.latent).all()
    # What waits for the audio check varies, up to 64 KB.
    assert max(sizes) < 4 * predictor.engine.metadata.state_size + 80_000
    assert np.median(memory[-5:]) - np.median(memory[5:10]) < 2e6  # bytes
