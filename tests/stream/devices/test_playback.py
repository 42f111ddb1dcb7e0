"""Playback through a fake sounddevice: the samples that PortAudio's thread receives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from turnstream.stream.devices.playback import Playback
from turnstream.stream.errors import DeviceError

RATE_HZ = 8000


class FakeStream:
    """An output that takes samples when the test says so."""

    latency = 0.03

    def __init__(self, *, callback: Callable[..., None], **settings: Any) -> None:
        if settings["samplerate"] != RATE_HZ:
            raise RuntimeError("Error querying device -1")
        self.settings, self.callback = settings, callback
        self.stopped, self.closed = True, 0

    def start(self) -> None:
        self.stopped = False

    def close(self, ignore_errors: bool) -> None:
        self.closed += 1

    def take(self, count: int) -> np.ndarray:
        out = np.full((count, self.settings["channels"]), np.nan, np.float32)
        self.callback(out, count, None, None)
        return out


@pytest.fixture(autouse=True)
def _sounddevice(monkeypatch: pytest.MonkeyPatch) -> None:
    library = SimpleNamespace(
        PortAudioError=RuntimeError,
        OutputStream=FakeStream,
        query_devices=lambda kind: {"default_samplerate": float(RATE_HZ)},
    )
    monkeypatch.setitem(sys.modules, "sounddevice", library)


def block(first: int, count: int) -> np.ndarray:
    return np.repeat(np.arange(first, first + count, dtype=np.float32)[:, None] / 10000, 2, axis=1)


def test_sound_begins_when_enough_waits_and_is_what_was_pushed() -> None:
    playback = Playback(RATE_HZ, 2)
    assert playback.delay_s == pytest.approx(0.13)
    assert playback._stream.stopped
    playback.push_audio(block(0, 799))
    assert not playback._stream.stopped
    assert not playback._stream.take(100).any()
    playback.push_audio(block(799, 1))
    np.testing.assert_array_equal(
        np.concatenate([playback._stream.take(300), playback._stream.take(500)]), block(0, 800)
    )
    playback.close()
    playback.close()
    assert playback._stream.closed == 2


def test_after_a_gap_there_is_silence_until_enough_waits_again() -> None:
    playback = Playback(RATE_HZ, 2)
    playback.push_audio(block(1, 800))
    taken = playback._stream.take(900)
    np.testing.assert_array_equal(taken, np.concatenate([block(1, 800), np.zeros((100, 2))]))
    playback._stream.take(10)
    playback.push_audio(block(801, 700))
    assert not playback._stream.take(100).any()
    playback.push_audio(block(1501, 100))
    np.testing.assert_array_equal(playback._stream.take(100), block(801, 100))


def test_when_too_much_waits_the_oldest_is_dropped() -> None:
    playback = Playback(RATE_HZ, 2)
    for first in range(0, 4000, 500):
        playback.push_audio(block(first, 500))
    np.testing.assert_array_equal(playback._stream.take(2400), block(1600, 2400))


def test_another_rate_is_brought_to_the_one_that_the_device_plays() -> None:
    playback = Playback(2 * RATE_HZ, 2)
    tone = np.sin(2 * np.pi * 500 * np.arange(RATE_HZ) / (2 * RATE_HZ)).astype(np.float32)  # 0.5 s
    for part in np.split(np.stack([tone, 0.5 * tone], axis=1), 25):
        playback.push_audio(part)
        if len(playback._waiting) >= 800 or playback._sounding:
            taken = playback._stream.take(160)
    assert np.abs(taken[:, 0]).max() == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(taken[:, 1], 0.5 * taken[:, 0], atol=1e-6)
    np.testing.assert_allclose(taken[16:], taken[:-16], atol=1e-3)  # 500 Hz at the device's rate


def test_without_an_output_device_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_device(kind: str) -> None:
        raise RuntimeError(f"no {kind} device")

    monkeypatch.setattr(sys.modules["sounddevice"], "query_devices", no_device)
    with pytest.raises(
        DeviceError, match=r"expected an output device that plays 44100 Hz \(no output device\)"
    ):
        Playback(44100, 1)
