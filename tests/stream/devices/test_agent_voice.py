"""The agent's voice on the user's clock.

Every sample has the position that the user's clock gives, whatever the sizes of the pieces.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from turnstream.stream.devices.agent_voice import AgentVoice, Cut
from turnstream.stream.errors import AudioFormatError, ConfigError
from turnstream.stream.resample import StreamingResampler

RATE_HZ = 16000


def speech(samples: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, samples).astype(np.float32)


def resampled(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    resampler = StreamingResampler(rate_hz, RATE_HZ, 1)
    return np.concatenate([resampler.push(samples[:, None]), resampler.flush()])[:, 0]


def cut_up(samples: NDArray[np.float32], sizes: list[int]) -> list[NDArray[np.float32]]:
    return np.split(samples, np.cumsum(sizes)[np.cumsum(sizes) < len(samples)])


def take_in(voice: AgentVoice, total: int, sizes: list[int]) -> NDArray[np.float32]:
    return np.concatenate(
        [voice.take(len(piece)) for piece in cut_up(np.zeros(total, np.float32), sizes)]
    )


SIZES = st.lists(st.sampled_from([0, 1, 7, 320, 961, 4000]), max_size=12)


@given(
    SIZES,
    SIZES,
    st.integers(0, 500),
    st.sampled_from([8000, 16000, 24000, 44100]),
    st.sampled_from([0.0, 0.01, 0.0301]),
)
def test_speech_stands_where_it_was_said_for_any_chunks(
    said: list[int], taken: list[int], before: int, rate_hz: int, delay_s: float
) -> None:
    voice = AgentVoice(RATE_HZ, delay_s=delay_s)
    silence = take_in(voice, before, taken)
    samples = speech(1500)
    for piece in cut_up(samples, said):
        voice.say(piece, rate_hz)
    heard = take_in(voice, 5000, taken[::-1])
    assert not silence.any()
    expected = np.zeros(5000, np.float32)
    start, sounding = round(delay_s * RATE_HZ), resampled(samples, rate_hz)
    expected[start : start + len(sounding)] = sounding
    np.testing.assert_array_equal(heard, expected)


@given(SIZES, st.lists(st.sampled_from([1, 100, 320]), min_size=5, max_size=5))
def test_speech_made_just_in_time_has_no_gaps(taken: list[int], sizes: list[int]) -> None:
    voice, samples = AgentVoice(RATE_HZ), speech(sum(sizes))
    heard: list[NDArray[np.float32]] = []
    for piece in cut_up(samples, sizes):
        voice.say(piece)
        heard.append(take_in(voice, len(piece), taken))
    np.testing.assert_array_equal(np.concatenate(heard), samples)


def test_a_later_utterance_begins_when_it_is_said() -> None:
    voice, first, second = AgentVoice(RATE_HZ, delay_s=0.01), speech(100, 1), speech(100, 2)
    voice.say(first)
    heard = [voice.take(1000)]
    voice.say(second)
    heard.append(voice.take(1000))
    expected = np.zeros(2000, np.float32)
    expected[160:260], expected[1160:1260] = first, second
    np.testing.assert_array_equal(np.concatenate(heard), expected)


def test_speech_that_comes_too_late_for_the_loudspeaker_sounds_after_a_gap() -> None:
    voice, first, second = AgentVoice(RATE_HZ, delay_s=0.01), speech(300, 1), speech(100, 2)
    voice.say(first)  # sounds from 160 to 460; the loudspeaker has taken all of it at 300
    heard = [voice.take(350)]
    voice.say(second)
    heard.append(voice.take(650))
    expected = np.zeros(1000, np.float32)
    expected[160:460], expected[510:610] = first, second
    np.testing.assert_array_equal(np.concatenate(heard), expected)


def test_the_rate_may_change_between_sayings() -> None:
    voice, first, second = AgentVoice(RATE_HZ), speech(100, 1), speech(100, 2)
    voice.say(first, 8000)
    voice.say(second, 24000)
    sounding = np.concatenate([resampled(first, 8000), resampled(second, 24000)])
    np.testing.assert_array_equal(voice.take(400)[: len(sounding)], sounding)


def test_int16_and_a_column_are_understood() -> None:
    voice = AgentVoice(RATE_HZ)
    voice.say(np.array([[16384], [-32768]], np.int16))
    np.testing.assert_array_equal(voice.take(3), np.array([0.5, -1, 0], np.float32))


def test_more_speech_than_may_wait_is_refused_and_leaves_what_waits() -> None:
    voice, minute = AgentVoice(8000), np.zeros(60 * 24000, np.int16)
    for _ in range(10):
        voice.say(minute, 24000)
    voice.take(8000)
    waiting = voice.waiting_samples
    with pytest.raises(
        AudioFormatError,
        match=r"expected at most 600 s of speech that waits for the user's audio, got 659\.0 s",
    ):
        voice.say(minute, 24000)
    assert voice.waiting_samples == waiting
    voice.take(waiting)
    voice.say(minute, 24000)


# ---- stopping ----


@pytest.mark.parametrize("delay", [0, 160])
def test_a_cut_drops_what_was_not_played_and_says_how_much(delay: int) -> None:
    voice, samples = AgentVoice(RATE_HZ, delay_s=delay / RATE_HZ), speech(1600)
    voice.say(samples[:1000])
    voice.say(samples[1000:])
    heard = [voice.take(400)]
    # What the loudspeaker has taken is heard `delay` later, so the sum is the same.
    assert voice.stop() == Cut(400 / RATE_HZ, 1200 / RATE_HZ)
    heard.append(voice.take(1000))
    assert not voice.speaking
    expected = np.zeros(1400, np.float32)
    expected[delay : delay + 400] = samples[:400]
    np.testing.assert_array_equal(np.concatenate(heard), expected)


def test_a_cut_counts_what_the_resampler_still_had() -> None:
    voice = AgentVoice(RATE_HZ)
    voice.say(speech(800), 8000)
    voice.take(100)
    assert voice.stop() == Cut(100 / RATE_HZ, 1500 / RATE_HZ)
    assert not voice.take(100).any()


def test_a_cut_counts_one_utterance_at_a_time() -> None:
    voice = AgentVoice(RATE_HZ)
    voice.say(speech(100))
    voice.take(500)
    assert voice.stop() == Cut(0.0, 0.0)  # it had ended
    voice.say(speech(200))
    voice.take(50)
    assert voice.stop() == Cut(50 / RATE_HZ, 150 / RATE_HZ)
    assert voice.stop() == Cut(0.0, 0.0)


def test_speech_after_a_cut_begins_anew() -> None:
    voice, samples = AgentVoice(RATE_HZ), speech(100)
    voice.say(speech(1000, 1))
    voice.take(10)
    voice.stop()
    voice.say(samples)
    np.testing.assert_array_equal(voice.take(100), samples)


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_it_speaks_from_saying_to_the_last_sample(rate_hz: int) -> None:
    voice = AgentVoice(RATE_HZ, delay_s=0.01)
    assert not voice.speaking
    voice.say(speech(rate_hz // 100), rate_hz)
    for _ in range(2):  # the delay, then the speech
        assert voice.speaking
        voice.take(160)
    voice.take(1)
    assert not voice.speaking


# ---- bad input ----


def test_bad_input_is_one_clear_error() -> None:
    with pytest.raises(AudioFormatError, match="expected a sample rate"):
        AgentVoice(4000)
    with pytest.raises(ConfigError, match=r"expected a delay from 0 to 60 s, got -1"):
        AgentVoice(RATE_HZ, delay_s=-1)
    voice = AgentVoice(RATE_HZ)
    with pytest.raises(AudioFormatError, match="expected a sample rate"):
        voice.say(speech(10), 4000)
    with pytest.raises(AudioFormatError, match=r"shape \(N,\), \(N, 1\), got float32 \(10, 2\)"):
        voice.say(np.zeros((10, 2), np.float32))
    with pytest.raises(ConfigError, match="expected a count of at least 0 samples, got -1"):
        voice.take(-1)
