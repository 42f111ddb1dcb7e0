"""`TurnPredictor`, the shortest way from audio to predictions.

Any chunking, any sample rate and any process give the same numbers.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream import Engine, PolicySettings, TurnPolicy, TurnPredictor
from turnstream.stream import pause_model
from turnstream.stream.errors import AudioFormatError, ModelError, PolicyError, SnapshotError
from turnstream.stream.pause_model import PauseModel
from turnstream.stream.prediction import Prediction

from .broken_models import LOUD, broken_model
from .pauses import RecordingPauseModel, pausing_call, tiny_pause_model
from .serving import dialogue

FIELDS = (
    "frame",
    "time_s",
    "holder",
    "p_shift",
    "p_hold",
    "vad",
    "p_now",
    "p_future",
    "p_next",
    "p_backchannel",
    "active",
    "level_dbfs",
)


def assert_same(left: list[Prediction], right: list[Prediction]) -> None:
    assert len(left) == len(right)
    for ours, theirs in zip(left, right, strict=True):
        assert [getattr(ours, name) for name in FIELDS] == [
            getattr(theirs, name) for name in FIELDS
        ]
        np.testing.assert_array_equal(ours.latent, theirs.latent)
        np.testing.assert_array_equal(ours.latent_speaker, theirs.latent_speaker)


def in_chunks(
    predictor: TurnPredictor, audio: NDArray[np.int16], sizes: list[int]
) -> list[Prediction]:
    predictions, start = [], 0
    for size in itertools.cycle(sizes):
        if start >= len(audio):
            return predictions + predictor.flush()
        predictions += predictor.push_audio(audio[start : start + size])
        start += size
    raise AssertionError("expected at least one size")


@pytest.mark.parametrize("rate_hz", [16000, 8000, 44100])
@pytest.mark.parametrize("sizes", [[1], [317], [320], [20_000], [5, 0, 1999, 64, 641]], ids=str)
def test_chunk_size_does_not_change_a_bit(engine: Engine, rate_hz: int, sizes: list[int]) -> None:
    audio = dialogue(0.25 if sizes == [1] else 3.0, seed=1, rate_hz=rate_hz)
    whole = TurnPredictor(engine, sample_rate_hz=rate_hz)
    expected = whole.push_audio(audio) + whole.flush()
    assert len(expected) == -(-len(audio) * 50 // rate_hz)
    assert len({prediction.holder for prediction in expected}) > 1
    assert_same(in_chunks(TurnPredictor(engine, sample_rate_hz=rate_hz), audio, sizes), expected)


def test_predictions_come_as_soon_as_their_frame_is_whole(engine: Engine) -> None:
    predictor = TurnPredictor(engine)
    audio = dialogue(0.1, seed=0)
    assert predictor.push_audio(audio[:319]) == []
    (first,) = predictor.push_audio(audio[319:320])
    assert (first.frame, first.time_s) == (0, 0.02)
    assert [p.frame for p in predictor.push_audio(audio[320:1600])] == [1, 2, 3, 4]


def test_the_future_does_not_change_the_past(engine: Engine) -> None:
    audio = dialogue(1.0, seed=2)
    other = audio.copy()
    other[8000:] = dialogue(1.0, seed=3)[8000:]
    ours, theirs = TurnPredictor(engine).push_audio(audio), TurnPredictor(engine).push_audio(other)
    assert_same(ours[:25], theirs[:25])
    assert ours[-1].vad != theirs[-1].vad


def test_a_push_longer_than_the_buffer_is_predicted_on_whole(engine: Engine) -> None:
    assert len(TurnPredictor(engine).push_audio(dialogue(5.0, seed=0))) == 250


def test_conversations_on_one_engine_do_not_meet(engine: Engine) -> None:
    one, two = dialogue(1.0, seed=4), dialogue(1.0, seed=5)
    first, second = TurnPredictor(engine), TurnPredictor(engine)
    mixed: tuple[list[Prediction], list[Prediction]] = ([], [])
    for start in range(0, 16000, 800):
        mixed[0].extend(first.push_audio(one[start : start + 800]))
        mixed[1].extend(second.push_audio(two[start : start + 800]))
    assert_same(mixed[0], TurnPredictor(engine).push_audio(one))
    assert_same(mixed[1], TurnPredictor(engine).push_audio(two))


def test_a_model_is_given_as_path_text_or_engine(engine: Engine) -> None:
    audio = dialogue(0.2, seed=0)
    expected = TurnPredictor(engine).push_audio(audio)
    assert_same(TurnPredictor(engine.path).push_audio(audio), expected)
    assert_same(TurnPredictor(str(engine.path)).push_audio(audio), expected)


@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize("channels", [1, 2])
def test_bytes_are_16_bit_samples_interleaved(
    engine: Engine, channels: int, kind: type[bytes]
) -> None:
    audio = dialogue(0.3, seed=4)[:, :channels]
    given = kind(audio.astype("<i2").tobytes())
    predictor = TurnPredictor(engine)
    assert_same(
        predictor.push_audio(given, channels=channels), TurnPredictor(engine).push_audio(audio)
    )


@pytest.mark.parametrize(
    ("given", "channels", "message"),
    [
        (bytes(3), 2, r"whole samples of 4 bytes \(pcm_s16le, 2 channels\), got 3 bytes"),
        (bytes(6), 2, r"whole samples of 4 bytes \(pcm_s16le, 2 channels\), got 6 bytes"),
        (bytes(7), 1, r"whole samples of 2 bytes \(pcm_s16le, 1 channels\), got 7 bytes"),
        (bytes(8), 3, "expected bytes of 1 or 2 channels, got 3"),
        (bytes(8), None, "expected bytes of 1 or 2 channels, got None"),
    ],
)
def test_bytes_that_are_no_whole_samples_are_refused(
    engine: Engine, given: bytes, channels: Any, message: str
) -> None:
    predictor = TurnPredictor(engine)
    before = predictor.snapshot()
    with pytest.raises(AudioFormatError, match=message):
        predictor.push_audio(given, channels=channels)
    assert predictor.snapshot() == before


def test_reset_starts_anew(engine: Engine) -> None:
    audio = dialogue(0.5, seed=6)
    predictor = TurnPredictor(engine)
    expected = predictor.push_audio(audio)
    predictor.push_audio(audio[:123])
    predictor.reset()
    assert_same(predictor.push_audio(audio), expected)


@pytest.mark.parametrize("cut", [0, 1, 320, 12_345])
def test_restored_equals_uninterrupted(engine: Engine, cut: int) -> None:
    audio = dialogue(1.0, seed=7, rate_hz=24000)
    whole = TurnPredictor(engine, sample_rate_hz=24000)
    expected = whole.push_audio(audio) + whole.flush()
    before = TurnPredictor(engine, sample_rate_hz=24000)
    first = before.push_audio(audio[:cut])
    after = TurnPredictor.restore(before.snapshot(), engine.path)
    assert_same(first + after.push_audio(audio[cut:]) + after.flush(), expected)


def test_a_lost_state_would_be_noticed(engine: Engine) -> None:
    audio = dialogue(1.0, seed=7)
    whole = TurnPredictor(engine).push_audio(audio)
    forgetful = TurnPredictor(engine).push_audio(audio[8000:])
    assert max(abs(a.vad[0] - b.vad[0]) for a, b in zip(whole[25:], forgetful, strict=True)) > 1e-3


def test_restore_refuses_what_is_no_snapshot(engine: Engine) -> None:
    with pytest.raises(SnapshotError, match="got 5 bytes that are not one"):
        TurnPredictor.restore(b"hello", engine)


@pytest.mark.parametrize("cut_s", [0.5, 4.99, 5.13, 7.0])
def test_a_restored_predictor_repeats_no_warning_and_loses_none(
    engine: Engine, cut_s: float
) -> None:
    audio, cut = np.zeros((16000 * 8, 2), np.int16), round(cut_s * 16000)
    before = TurnPredictor(engine)
    before.push_audio(audio[:cut])
    untaken = TurnPredictor.restore(before.snapshot(), engine)
    first = before.take_warnings()
    after = TurnPredictor.restore(before.snapshot(), engine)
    for predictor, earlier in ((untaken, []), (after, first)):
        predictor.push_audio(audio[cut:])
        warnings = earlier + predictor.take_warnings()
        assert [(warning.code, warning.time_s) for warning in warnings] == [("silent", 5.056)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("output", ["vad", "p_next", "p_backchannel", "latent", "latent_speaker"])
def test_nan_and_infinity_are_an_error_and_never_a_prediction(
    tiny_model_path: Path, tmp_path: Path, output: str, value: float
) -> None:
    path = broken_model(tiny_model_path, tmp_path / "broken.onnx", output, value)
    predictor, audio = TurnPredictor(path), np.zeros(3200, np.float32)
    assert len(predictor.push_audio(audio[:1600])) == 5
    audio[:] = LOUD + 0.05
    message = r"expected finite outputs of the model tiny 0, got NaN or infinity in frame 5"
    with pytest.raises(ModelError, match=message):
        predictor.push_audio(audio[:1600])


def test_nan_of_one_conversation_is_no_error_of_another(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    engine = Engine(broken_model(tiny_model_path, tmp_path / "broken.onnx", "latent", float("nan")))
    output, _ = engine.step(np.full((3, 2, 320), LOUD + 0.05, np.float32), engine.init_state(3))
    for row in (0, 2):
        output.latent[row] = 0
    assert [output.is_finite(row) for row in range(3)] == [True, False, True]


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"got '.*none\.onnx', which is not a file"):
        TurnPredictor(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("samples", "got"),
    [
        (np.zeros((10, 3), np.float32), "float32 (10, 3)"),
        (np.zeros((2, 10, 2), np.float32), "float32 (2, 10, 2)"),
        (np.zeros(10, np.int32), "int32 (10,)"),
        (np.zeros(10, np.uint8), "uint8 (10,)"),
        (np.array(0.5, np.float32), "float32 ()"),
        (np.full(10, np.nan, np.float32), "nan"),
        (np.full(10, np.inf, np.float32), "inf"),
        (np.full(10, 3000.0, np.float32), "peak of 3000"),
        ("audio", "<U5"),
        (None, "object"),
    ],
)
def test_wrong_audio_is_refused_and_changes_nothing(engine: Engine, samples: Any, got: str) -> None:
    audio = dialogue(0.2, seed=0)
    predictor = TurnPredictor(engine)
    predictor.push_audio(audio[:100])
    before = predictor.snapshot()
    with pytest.raises(AudioFormatError) as caught:
        predictor.push_audio(samples)
    assert got in str(caught.value)
    assert predictor.snapshot() == before
    assert_same(predictor.push_audio(audio[100:]), TurnPredictor(engine).push_audio(audio))


@pytest.mark.parametrize("shape", [(500,), (500, 1)])
def test_mono_is_the_user_and_the_other_is_silent(engine: Engine, shape: tuple[int, ...]) -> None:
    user = dialogue(0.1, seed=0)[:500, 0]
    stereo = np.stack([user, np.zeros_like(user)], axis=1)
    mono = TurnPredictor(engine).push_audio(user.reshape(shape))
    assert_same(mono, TurnPredictor(engine).push_audio(stereo))
    assert mono[0].level_dbfs is not None
    assert mono[0].level_dbfs[0] > mono[0].level_dbfs[1] == -120


def test_int16_is_scaled_to_full_scale(engine: Engine) -> None:
    audio = dialogue(0.1, seed=0)
    floats = audio.astype(np.float32) / 32768
    assert_same(TurnPredictor(engine).push_audio(audio), TurnPredictor(engine).push_audio(floats))


def test_a_rate_out_of_range_is_refused(engine: Engine) -> None:
    with pytest.raises(AudioFormatError, match="got 4000"):
        TurnPredictor(engine, sample_rate_hz=4000)


def test_suspicious_audio_is_reported_once(engine: Engine) -> None:
    predictor = TurnPredictor(engine)
    predictor.push_audio(np.zeros(100_000, np.int16))
    assert [warning.code for warning in predictor.take_warnings()] == ["silent"]
    assert predictor.take_warnings() == []


def test_with_a_policy_predictions_carry_the_events_that_the_policy_alone_would_give(
    engine: Engine,
) -> None:
    audio = dialogue(12.0, seed=3)
    policy = TurnPolicy("fast")
    plain = TurnPredictor(engine).push_audio(audio)
    expected = [tuple(policy.update(prediction)) for prediction in plain]
    assert any(expected)
    assert all(prediction.events == () for prediction in plain)
    with_events = TurnPredictor(engine, policy="fast").push_audio(audio)
    assert [prediction.events for prediction in with_events] == expected
    assert_same(with_events, plain)


def test_the_policy_moves_to_another_process_with_the_conversation(engine: Engine) -> None:
    audio = dialogue(12.0, seed=3)
    whole = TurnPredictor(engine, policy="fast").push_audio(audio)
    before = TurnPredictor(engine, policy="fast")
    first = before.push_audio(audio[:70_000])
    after = TurnPredictor.restore(before.snapshot(), engine)
    joined = first + after.push_audio(audio[70_000:])
    assert [prediction.events for prediction in joined] == [one.events for one in whole]


# ---- with a pause model ----


def test_true_is_the_bundled_pause_model(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = PauseModel(tiny_pause_model(tmp_path))
    monkeypatch.setattr(pause_model, "shared_pause_model", lambda: bundled)
    audio = pausing_call(2.0)
    with_it, without = TurnPredictor(engine, pause_model=True), TurnPredictor(engine)
    assert with_it.pause_model is bundled
    assert without.pause_model is None
    ours, theirs = with_it.push_audio(audio), without.push_audio(audio)
    changed = [a for a, b in zip(ours, theirs, strict=True) if a.p_shift != b.p_shift]
    assert changed
    assert not any(any(prediction.active) for prediction in changed)


def test_the_first_speech_loads_the_pause_model_and_silence_does_not(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = PauseModel(tiny_pause_model(tmp_path))
    begun: list[int] = []
    monkeypatch.setattr(model, "load_soon", lambda: begun.append(frame))
    predictor = TurnPredictor(engine, pause_model=model)
    active: list[int] = []
    for frame, start in enumerate(range(0, 16000, 320)):
        for prediction in predictor.push_audio(pausing_call(1.0, seed=1)[start : start + 320]):
            active += [frame] * any(prediction.active)
    assert begun == active
    assert 0 < len(begun) < 50


def test_conversations_share_a_pause_model_and_do_not_meet(engine: Engine, tmp_path: Path) -> None:
    model = RecordingPauseModel(tiny_pause_model(tmp_path))
    calls = [pausing_call(2.0), pausing_call(2.0, seed=1)]
    alone = [TurnPredictor(engine, pause_model=model).push_audio(call) for call in calls]
    questions = len(model.audios)
    together = [TurnPredictor(engine, pause_model=model) for _ in calls]
    found: list[list[Prediction]] = [[] for _ in calls]
    for start in range(0, 32000, 800):
        for call, predictor, predictions in zip(calls, together, found, strict=True):
            predictions.extend(predictor.push_audio(call[start : start + 800]))
    assert all(predictor.pause_model is model for predictor in together)
    assert len(model.audios) == 2 * questions > 0
    for ours, theirs in zip(found, alone, strict=True):
        assert_same(ours, theirs)


@pytest.mark.parametrize("cut", [0, 12_345, 13_600, 20_001])
def test_restored_with_its_pause_model_equals_uninterrupted(
    engine: Engine, tmp_path: Path, cut: int
) -> None:
    model, audio = PauseModel(tiny_pause_model(tmp_path)), pausing_call(2.0)
    expected = TurnPredictor(engine, pause_model=model).push_audio(audio)
    before = TurnPredictor(engine, pause_model=model)
    first = before.push_audio(audio[:cut])
    after = TurnPredictor.restore(before.snapshot(), engine, pause_model=model)
    assert after.pause_model is model
    assert_same(first + after.push_audio(audio[cut:]), expected)
    with pytest.raises(SnapshotError, match="that the conversation had, got none"):
        TurnPredictor.restore(before.snapshot(), engine)


def test_a_turn_that_is_over_can_be_ended(engine: Engine) -> None:
    predictor = TurnPredictor(engine, policy=PolicySettings(end_threshold=1.0, timeout_secs=60))
    audio = (np.random.default_rng(3).standard_normal(16000) * 0.2).astype(np.float32)
    started = [event for p in predictor.push_audio(audio) for event in p.events]
    assert {event.type for event in started} == {"start_of_turn"}
    (event,) = predictor.end_turn(started[0].speaker)
    assert (event.type, event.trigger, event.time_s) == ("end_of_turn", "forced", 1.0)
    assert predictor.end_turn(started[0].speaker) == []


def test_without_a_policy_there_is_no_turn_to_end(engine: Engine) -> None:
    with pytest.raises(PolicyError, match="expected a session with a policy, got one without"):
        TurnPredictor(engine).end_turn()


def test_a_policy_that_does_not_exist_is_refused(engine: Engine) -> None:
    with pytest.raises(PolicyError, match="hasty"):
        TurnPredictor(engine, policy="hasty")
