from collections.abc import Callable

import numpy as np
import pytest
import soxr

from turnstream.stream.audio_check import AudioCheck
from turnstream.stream.channel_check import AudioWarning
from turnstream.stream.errors import AudioFormatError, ShapeError
from turnstream.stream.pcm import decode_pcm
from turnstream.stream.sources import FileSource, bundled_sample


def heard(
    samples: np.ndarray, rate_hz: int = 16000, chunk: Callable[[], int] = lambda: 320
) -> list[AudioWarning]:
    check = AudioCheck(rate_hz, samples.shape[1])
    warnings = []
    start = 0
    while start < len(samples):
        count = chunk()
        warnings += check.push(samples[start : start + count].astype(np.float32))
        start += count
    return warnings


def codes(warnings: list[AudioWarning]) -> set[tuple[str, int]]:
    return {(warning.code, warning.channel) for warning in warnings}


def bursts(seconds: float, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Return white noise that comes and goes four times a second, over a quiet floor.

    It is loud, wide-band, and without pitch.
    """
    count = round(seconds * 16000)
    noise = np.random.default_rng(seed).standard_normal((count, channels))
    loudness = 0.1 * (np.sin(2 * np.pi * 4 * np.arange(count) / 16000) > 0) + 1e-4
    return noise * loudness[:, np.newaxis]


def voice(seconds: float, rate_hz: int, channels: int = 1) -> np.ndarray:
    """Return a voice of 200 Hz that says five syllables a second.

    It takes a breath every 4 s. It has harmonics up to 3 kHz and a quiet floor.
    """
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    harmonics = sum(np.sin(2 * np.pi * 200 * k * time_s) / k for k in range(1, 16))
    loudness = 0.1 * np.sin(np.pi * 5 * time_s) ** 2 * (time_s % 4 > 0.3)
    floor = 1e-4 * np.random.default_rng(0).standard_normal(len(time_s))
    return np.tile((harmonics * loudness + floor)[:, np.newaxis], (1, channels))


@pytest.fixture(scope="module")
def call() -> np.ndarray:
    """The bundled call: two speakers at 8 kHz."""
    return np.concatenate(list(FileSource(bundled_sample())))


@pytest.fixture(scope="module")
def conversation(call: np.ndarray) -> np.ndarray:
    """The call at 16 kHz, with an added band above 4 kHz like that of loud voices.

    The band is noise that follows the voices' loudness.
    """
    wide = soxr.resample(call, 8000, 16000)
    noise = np.random.default_rng(0).standard_normal(wide.shape)
    return wide + 0.3 * np.abs(wide) * (
        noise - soxr.resample(soxr.resample(noise, 16000, 8000), 8000, 16000)[: len(noise)]
    )


def test_good_audio_is_not_remarked_upon(call: np.ndarray, conversation: np.ndarray) -> None:
    assert heard(conversation) == []
    assert heard(soxr.resample(conversation, 16000, 48000), 48000) == []
    assert heard(call, 8000) == []


def test_an_upsampled_telephone_line_is_an_information(call: np.ndarray) -> None:
    warnings = heard(soxr.resample(call, 8000, 16000))
    assert codes(warnings) == {("narrow_band", 0), ("narrow_band", 1)}
    assert {warning.severity for warning in warnings} == {"info"}
    assert "declared as 16000 Hz, but nothing above 4 kHz" in warnings[0].message


def test_speech_at_double_speed_is_a_warning() -> None:
    (warning,) = heard(voice(24, rate_hz=8000))
    assert (warning.code, warning.severity) == ("wrong_rate", "warning")
    assert "recorded at 8000 Hz and declared as 16000 Hz" in warning.message
    assert heard(voice(24, rate_hz=8000), 8000) == []


def test_a_few_quick_phrases_are_no_evidence_of_double_speed() -> None:
    phrase, silence = voice(5, rate_hz=8000), np.zeros((40000, 1))  # 2.5 s each at 16 kHz
    phrases = np.tile(np.concatenate([phrase, silence]), (2, 1))
    short = np.tile(np.concatenate([phrase[:16000], silence[:32000]]), (10, 1))
    assert heard(np.concatenate([phrases, short])) == []


@pytest.mark.parametrize("chunk", [1, 333, 5000])
def test_chunk_size_does_not_change_what_is_noticed(chunk: int) -> None:
    samples = bursts(3) * 20
    assert heard(samples.clip(-1, 1), chunk=lambda: chunk) == heard(samples.clip(-1, 1))


def test_random_chunks_do_not_change_what_is_noticed(call: np.ndarray) -> None:
    random = np.random.default_rng(0)
    declared_wrongly = np.concatenate(
        [voice(24, rate_hz=8000, channels=2), soxr.resample(call, 8000, 16000)]
    )
    expected = heard(declared_wrongly)
    assert codes(expected) == {("wrong_rate", 0), ("wrong_rate", 1)}
    assert heard(declared_wrongly, chunk=lambda: int(random.integers(0, 3000))) == expected


def test_a_user_who_sends_only_zeros_is_reported_once_after_5_s() -> None:
    (warning,) = heard(np.zeros((16000 * 20, 2)))
    assert (warning.code, warning.channel, warning.severity) == ("silent", 0, "warning")
    assert warning.time_s == pytest.approx(5, abs=0.1)


def test_a_muted_user_on_an_a_law_line_is_reported() -> None:
    samples = decode_pcm(bytes([0xD5]) * 16000 * 20, "alaw", 2)
    assert samples.any()
    assert codes(heard(samples, 8000)) == {("silent", 0)}


def test_a_quiet_room_or_a_short_gap_is_not_silent() -> None:
    noise = np.random.default_rng(0).standard_normal((16000 * 8, 2)) / 32768
    assert heard(noise) == []
    noise[16000:80000] = 0
    assert heard(noise) == []


def test_clipped_speech_is_reported_once() -> None:
    loud = bursts(10, channels=2) * [20, 1]
    (warning,) = heard(loud.clip(-1, 1))
    assert (warning.code, warning.channel) == ("clipping", 0)
    assert "full scale" in warning.message


def test_a_few_clipped_samples_are_not_reported() -> None:
    speech = bursts(10)
    speech[::500] = 1
    assert heard(speech) == []


@pytest.mark.parametrize("offset", [0.03, -0.2])
def test_a_constant_offset_is_reported_with_its_size(offset: float) -> None:
    (warning,) = heard(bursts(12) + offset)
    assert (warning.code, warning.time_s) == ("dc_offset", pytest.approx(5, abs=0.1))
    assert f"{offset:+.3f}" in warning.message


def test_a_hum_is_no_offset() -> None:
    assert heard(0.3 * np.sin(2 * np.pi * 50 * np.arange(16000 * 6) / 16000)[:, np.newaxis]) == []


def test_memory_does_not_grow() -> None:
    import pickle

    check = AudioCheck(16000, 1)
    sizes = []
    for seed in range(4):
        check.push(bursts(70, seed=seed).astype(np.float32))
        sizes.append(len(pickle.dumps(check)))
    assert max(sizes) - min(sizes) < 200


def test_impossible_audio_is_refused() -> None:
    with pytest.raises(AudioFormatError, match="got 4000"):
        AudioCheck(4000)
    with pytest.raises(ShapeError, match=r"\(N, 2\), got \(5,\)"):
        AudioCheck(16000).push(np.zeros(5, np.float32))


@pytest.mark.parametrize("cut", [1, 8191, 8192, 100_001, 300_000])
def test_a_restored_check_notices_the_same_and_nothing_twice(cut: int) -> None:
    clipped = (bursts(9, channels=2) * 20 + 0.2).clip(-1, 1)
    samples = np.concatenate([voice(24, rate_hz=8000, channels=2), clipped]).astype(np.float32)
    whole = AudioCheck(16000)
    expected = whole.push(samples)
    assert len(codes(expected)) == len(expected) >= 4
    first, second = AudioCheck(16000), AudioCheck(16000)
    before = first.push(samples[:cut])
    second.restore(*first.snapshot())
    assert before + second.push(samples[cut:]) == expected
    for one, other in zip(second.snapshot(), whole.snapshot(), strict=True):
        np.testing.assert_equal(one, other)


def test_a_state_of_another_rate_is_refused() -> None:
    check = AudioCheck(48000)
    check.push(np.zeros((20000, 2), np.float32))
    with pytest.raises(ValueError, match=r"expected samples of shape \(2, at most 8191\)"):
        AudioCheck(16000).restore(*check.snapshot())
