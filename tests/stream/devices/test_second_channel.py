"""The other speaker's channel: a played file, or a second device whose clock drifts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from turnstream.stream.devices import second_channel
from turnstream.stream.devices.agent_voice import AgentVoice
from turnstream.stream.devices.second_channel import DeviceVoice, FileVoice, PairedSource
from turnstream.stream.errors import AudioFormatError, DeviceError
from turnstream.stream.sources import FileSource

from ..fake_microphone import FakeMicrophone

RATE_HZ = 8000
RAMP = np.linspace(-0.5, 0.5, 4000, dtype=np.float32)


class FakePlayback:
    """Keeps the samples that it should play."""

    delay_s = 0.1

    def __init__(self) -> None:
        self.played: list[np.ndarray] = []
        self.closed = False

    def push_audio(self, block: np.ndarray) -> None:
        self.played.append(block)

    def close(self) -> None:
        self.closed = True


def ramp_file(folder: Path, rate_hz: int = RATE_HZ) -> Path:
    soundfile.write(folder / "ramp.wav", RAMP, rate_hz, subtype="FLOAT")
    return folder / "ramp.wav"


def device_voice(monkeypatch: pytest.MonkeyPatch, blocks: list[np.ndarray]) -> DeviceVoice:
    monkeypatch.setattr(
        second_channel,
        "MicrophoneSource",
        lambda device, sample_rate_hz: FakeMicrophone(blocks, sample_rate_hz),
    )
    return DeviceVoice("loopback", RATE_HZ)


class TestFile:
    def test_it_is_played_from_now_on_and_then_silent(self, tmp_path: Path) -> None:
        voice = FileVoice(ramp_file(tmp_path), RATE_HZ, 0.02, None)
        heard = np.concatenate([voice.take(count) for count in (1, 777, 3000, 222, 500)])
        np.testing.assert_array_equal(heard, np.concatenate([RAMP, np.zeros(500)]))
        voice.close()
        voice.close()

    def test_it_is_heard_at_once_and_lies_where_its_sound_reaches_the_microphone(
        self, tmp_path: Path
    ) -> None:
        playback = FakePlayback()
        voice = FileVoice(ramp_file(tmp_path), RATE_HZ, 0.02, playback)
        heard = np.concatenate([voice.take(160) for _ in range(50)])
        np.testing.assert_array_equal(np.concatenate(playback.played)[: len(RAMP), 0], RAMP)
        assert not heard[:960].any()  # 100 ms until it sounds, 20 ms until it is recorded
        np.testing.assert_array_equal(heard[960 : 960 + len(RAMP)], RAMP)
        voice.close()
        assert playback.closed

    def test_another_rate_is_resampled_and_stereo_is_mixed(self, tmp_path: Path) -> None:
        soundfile.write(
            tmp_path / "stereo.wav", np.tile([0.2, 0.4], (16000, 1)), 16000, subtype="FLOAT"
        )
        voice = FileVoice(tmp_path / "stereo.wav", RATE_HZ, 0.0, None)
        heard = voice.take(8100)
        np.testing.assert_allclose(heard[100:7900], 0.3, atol=1e-3)
        assert not heard[8000:].any()
        voice.close()

    def test_blocks_of_any_size_give_the_agents_voice(self, tmp_path: Path) -> None:
        agent = AgentVoice(RATE_HZ)
        agent.say(RAMP, 24000)
        voice = FileVoice(ramp_file(tmp_path, 24000), RATE_HZ, 0.0, None)
        heard = np.concatenate([voice.take(count) for count in (1, 160, 7, 900, 432)])
        np.testing.assert_array_equal(heard, agent.take(1500))
        voice.close()

    def test_what_is_no_audio_is_named(self) -> None:
        with pytest.raises(AudioFormatError, match="expected an audio file"):
            FileVoice(Path(__file__), RATE_HZ, 0.0, None)


class TestDevice:
    def test_after_the_lead_nothing_is_lost_or_put_in(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        voice = device_voice(
            monkeypatch, [RAMP[start : start + 80, None] for start in range(0, 4000, 80)]
        )
        heard = np.concatenate([voice.take(80) for _ in range(50)])
        first = int(np.flatnonzero(heard)[0])
        assert first == 320  # 40 ms
        np.testing.assert_array_equal(heard[first:], RAMP[: 4000 - first])
        assert voice.filled_samples == voice.skipped_samples == 0

    def test_a_slow_clock_is_filled_with_one_silence_now_and_then(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        voice = device_voice(monkeypatch, [np.full((79, 1), 0.5, np.float32)] * 2000)
        heard = np.concatenate([voice.take(80) for _ in range(2000)])
        gaps = np.count_nonzero(np.diff((heard == 0).astype(int)) == 1)
        # The missing samples, and those that still wait at the end.
        assert 2000 <= voice.filled_samples <= 2000 + 320 + 160
        assert gaps <= 6
        assert voice.skipped_samples == 0

    def test_a_fast_clock_is_skipped_and_never_far_behind(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blocks = [np.full((81, 1), number / 4000, np.float32) for number in range(1, 2001)]
        voice = device_voice(monkeypatch, blocks)
        behind = [number - round(float(voice.take(80)[0]) * 4000) for number in range(1, 2001)][20:]
        assert max(behind) * 10 <= 40 + 80 + 20  # ms
        assert 2000 - 1000 <= voice.skipped_samples <= 2000
        assert voice.filled_samples == 0

    def test_one_that_cannot_do_the_microphones_rate_is_resampled(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stubborn(device: str, sample_rate_hz: int | None = None) -> FakeMicrophone:
            if sample_rate_hz is not None:
                raise DeviceError("it can do 16000 Hz")
            return FakeMicrophone([np.full((160, 1), 0.5, np.float32)] * 20, 16000)

        monkeypatch.setattr(second_channel, "MicrophoneSource", stubborn)
        voice = DeviceVoice("loopback", RATE_HZ)
        heard = np.concatenate([voice.take(80) for _ in range(20)])
        np.testing.assert_allclose(heard[-400:], 0.5, atol=1e-3)


def test_a_pair_may_be_of_files(tmp_path: Path) -> None:
    path = ramp_file(tmp_path)
    pair = PairedSource(FileSource(path), FileVoice(path, RATE_HZ, 0.0, None))
    np.testing.assert_array_equal(np.concatenate(list(pair)), np.column_stack([RAMP, RAMP]))
    assert (pair.dropped_samples, pair.overflows) == (0, 0)
    pair.close()


def test_a_pair_has_the_microphone_in_its_first_channel_and_closes_both(tmp_path: Path) -> None:
    microphone = FakeMicrophone([np.full((100, 1), 0.25, np.float32)] * 3, RATE_HZ)
    microphone.dropped_samples, microphone.overflows = 7, 2
    playback = FakePlayback()
    playback.delay_s = -0.01
    pair = PairedSource(
        microphone, FileVoice(ramp_file(tmp_path), RATE_HZ, microphone.latency_s, playback)
    )
    heard = np.concatenate(list(pair))
    np.testing.assert_array_equal(heard, np.column_stack([np.full(300, 0.25), RAMP[:300]]))
    assert (pair.sample_rate_hz, pair.channels, pair.dropped_samples, pair.overflows) == (
        RATE_HZ,
        2,
        7,
        2,
    )
    pair.close()
    assert microphone.closed
    assert playback.closed
