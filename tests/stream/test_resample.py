from collections.abc import Callable

import numpy as np
import pytest
import soxr

from turnstream.stream.errors import AudioFormatError, ShapeError, SnapshotError
from turnstream.stream.resample import (
    StreamingResampler,
    _phase_table,
    check_rate,
    prepare_table,
    table_taps,
)

RATES = [
    (8000, 16000),
    (48000, 16000),
    (44100, 16000),
    (11025, 16000),
    (22051, 16000),
    (192000, 16000),
    (16000, 8000),
    (16000, 16000),
]


def noise(count: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((count, channels)) * 0.1).astype(np.float32)


def tone(rate_hz: int, frequency_hz: float, seconds: float = 0.5) -> np.ndarray:
    return (
        0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(round(rate_hz * seconds)) / rate_hz)
    ).astype(np.float32)[:, np.newaxis]


def resample(
    resampler: StreamingResampler, samples: np.ndarray, chunk: Callable[[], int]
) -> np.ndarray:
    outputs = []
    start = 0
    while start < len(samples):
        count = chunk()
        outputs.append(resampler.push(samples[start : start + count]))
        start += count
    return np.concatenate([*outputs, resampler.flush()])


@pytest.mark.parametrize(("input_rate_hz", "output_rate_hz"), RATES)
def test_chunk_size_does_not_change_one_bit(input_rate_hz: int, output_rate_hz: int) -> None:
    samples = noise(input_rate_hz // 4)
    whole = resample(
        StreamingResampler(input_rate_hz, output_rate_hz, 2), samples, lambda: len(samples)
    )
    assert len(whole) == -(-len(samples) * output_rate_hz // input_rate_hz)
    random = np.random.default_rng(1)
    few = samples[: input_rate_hz // 20]
    for chunk in (lambda: 17, lambda: input_rate_hz // 50, lambda: int(random.integers(0, 2000))):
        np.testing.assert_array_equal(
            resample(StreamingResampler(input_rate_hz, output_rate_hz, 2), samples, chunk), whole
        )
    one_by_one = StreamingResampler(input_rate_hz, output_rate_hz, 2)
    first = np.concatenate([one_by_one.push(few[i : i + 1]) for i in range(len(few))])
    np.testing.assert_array_equal(first, whole[: len(first)])
    assert len(first) > 0


@pytest.mark.parametrize(("input_rate_hz", "output_rate_hz"), RATES)
def test_a_channel_that_is_silent_for_a_while_changes_no_bit(
    input_rate_hz: int, output_rate_hz: int
) -> None:
    samples = noise(input_rate_hz // 4)
    samples[: input_rate_hz // 8, 1] = 0
    both = resample(StreamingResampler(input_rate_hz, output_rate_hz, 2), samples, lambda: 700)
    for channel in (0, 1):
        alone = resample(
            StreamingResampler(input_rate_hz, output_rate_hz, 1),
            samples[:, channel : channel + 1],
            lambda: 700,
        )
        np.testing.assert_array_equal(both[:, channel], alone[:, 0])


@pytest.mark.parametrize(("input_rate_hz", "output_rate_hz"), RATES)
def test_agrees_with_soxr_in_the_pass_band(input_rate_hz: int, output_rate_hz: int) -> None:
    lower = min(input_rate_hz, output_rate_hz)
    band_limited = soxr.resample(
        noise(lower // 2), lower * 8 // 10, input_rate_hz, quality="VHQ"
    ).astype(np.float32)
    ours = resample(StreamingResampler(input_rate_hz, output_rate_hz, 2), band_limited, lambda: 960)
    theirs = soxr.resample(band_limited, input_rate_hz, output_rate_hz, quality="VHQ")
    inner = slice(500, min(len(ours), len(theirs)) - 500)
    error_db = 20 * np.log10(np.abs(ours[inner] - theirs[inner]).std() / theirs[inner].std() + 1e-9)
    assert error_db < -65


def test_tones_above_the_new_nyquist_frequency_vanish() -> None:
    for frequency_hz in (8000.0, 9000.0, 15000.0, 23000.0):
        samples = tone(48000, frequency_hz)
        resampled = resample(StreamingResampler(48000, 16000, 1), samples, lambda: 480)[200:-200]
        assert 20 * np.log10(np.abs(resampled).max() / 0.5) < -75


@pytest.mark.parametrize(("input_rate_hz", "output_rate_hz"), RATES)
def test_output_comes_after_the_stated_delay_and_stands_at_its_own_time(
    input_rate_hz: int, output_rate_hz: int
) -> None:
    resampler = StreamingResampler(input_rate_hz, output_rate_hz, 1)
    assert resampler.delay_s < 0.005
    heard = produced = 0
    for _ in range(100):
        block = tone(input_rate_hz, 500.0, 0.02)
        heard += len(block)
        produced += len(resampler.push(block))
        lag_s = heard / input_rate_hz - produced / output_rate_hz
        assert lag_s <= resampler.delay_s + 1 / output_rate_hz
    ours = resample(
        StreamingResampler(input_rate_hz, output_rate_hz, 1),
        tone(input_rate_hz, 500.0),
        lambda: 100,
    )
    np.testing.assert_allclose(
        ours[200:-200], tone(output_rate_hz, 500.0)[200 : len(ours) - 200], atol=1e-4
    )


@pytest.mark.parametrize(("input_rate_hz", "output_rate_hz"), RATES)
def test_a_restored_resampler_goes_on_with_the_same_bits(
    input_rate_hz: int, output_rate_hz: int
) -> None:
    samples = noise(input_rate_hz // 4)
    uninterrupted = resample(
        StreamingResampler(input_rate_hz, output_rate_hz, 2), samples, lambda: 777
    )
    for cut in (0, 1, 5, 1234):
        first = StreamingResampler(input_rate_hz, output_rate_hz, 2)
        before = first.push(samples[:cut])
        fraction, inputs = first.snapshot()
        first.push(noise(500, seed=9))  # must not reach the snapshot
        second = StreamingResampler(input_rate_hz, output_rate_hz, 2)
        second.push(noise(333, seed=8))  # must be forgotten
        second.restore(fraction, inputs)
        after = resample(second, samples[cut:], lambda: 501)
        np.testing.assert_array_equal(np.concatenate([before, after]), uninterrupted)


def test_a_snapshot_stays_small_however_much_was_heard() -> None:
    resampler = StreamingResampler(44100, 16000, 2)
    resampler.push(noise(200_000))
    assert resampler.snapshot()[1].nbytes < 2048


def test_a_snapshot_of_something_else_is_refused() -> None:
    telephone = StreamingResampler(8000, 16000, 2)
    for other in (StreamingResampler(48000, 16000, 2), StreamingResampler(8000, 16000, 1)):
        with pytest.raises(SnapshotError, match=r"8000 to 16000 Hz: .* shape \(2, up to 63\)"):
            telephone.restore(*other.snapshot())
    fraction, _ = telephone.snapshot()
    with pytest.raises(SnapshotError, match=r"up to 63.* got float32 \(2, 64\)"):
        telephone.restore(fraction, np.zeros((2, 64), np.float32))
    with pytest.raises(SnapshotError, match=r"a fraction below 2, got .* and 2"):
        telephone.restore(2, np.zeros((2, 31), np.float32))


def test_reset_and_flush_return_to_the_first_state() -> None:
    samples = noise(1000)
    resampler = StreamingResampler(8000, 16000, 2)
    once = resample(resampler, samples, lambda: 300)
    np.testing.assert_array_equal(resample(resampler, samples, lambda: 300), once)
    resampler.push(samples)
    resampler.reset()
    np.testing.assert_array_equal(resample(resampler, samples, lambda: 300), once)


def test_equal_rates_pass_samples_through_untouched() -> None:
    samples = noise(321)
    resampler = StreamingResampler(16000, 16000, 2)
    np.testing.assert_array_equal(resampler.push(samples), samples)
    assert len(resampler.flush()) == 0
    assert resampler.delay_s == 0


@pytest.mark.parametrize("rate", [0, 7999, 192_001, -16000, 16000.0, True, "16000", None])
def test_a_rate_out_of_range_is_refused_with_the_range(rate: object) -> None:
    with pytest.raises(AudioFormatError, match="integer from 8000 to 192000 Hz, got"):
        check_rate(rate)


def test_a_block_of_another_shape_is_refused() -> None:
    resampler = StreamingResampler(8000, 16000, 2)
    for samples in (np.zeros(3, np.float32), np.zeros((3, 1), np.float32), np.zeros((3, 2))):
        with pytest.raises(ShapeError, match=r"\(N, 2\)"):
            resampler.push(samples)
    with pytest.raises(ShapeError, match="at least 1 channel"):
        StreamingResampler(8000, 16000, 0)


@pytest.mark.parametrize(("input_rate_hz", "output_rate_hz"), RATES[:-1])
def test_the_size_of_a_table_is_known_before_it_is_computed(
    input_rate_hz: int, output_rate_hz: int
) -> None:
    assert table_taps(input_rate_hz, output_rate_hz) == (
        _phase_table(input_rate_hz, output_rate_hz).size
    )


def test_a_resampler_finds_the_table_that_was_prepared() -> None:
    assert table_taps(16000, 16000) == 0
    prepare_table(31_013, 16000)
    hits = _phase_table.cache_info().hits
    StreamingResampler(31_013, 16000, 2)
    assert _phase_table.cache_info().hits == hits + 1
