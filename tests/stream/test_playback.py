"""Playback through an imitated sounddevice."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from turnstream.stream.errors import DeviceError
from turnstream.stream.playback import Playback


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "noise.wav"
    soundfile.write(path, np.zeros((800, 2)), 8000)
    return path


def imitate(monkeypatch: pytest.MonkeyPatch, **functions: object) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(PortAudioError=RuntimeError, **functions))


def test_the_whole_recording_is_played_at_its_rate(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    imitate(
        monkeypatch,
        check_output_settings=lambda samplerate, channels: calls.append((samplerate, channels)),
        play=lambda samples, rate_hz: calls.append((samples.shape, rate_hz)),
        stop=lambda: calls.append("stop"),
    )
    playback = Playback(recording)
    playback.start()
    playback.stop()
    assert calls == [(8000, 2), ((800, 2), 8000), "stop"]


def test_without_an_output_device_it_says_so(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(samplerate: int, channels: int) -> None:
        raise RuntimeError("Error querying device -1")

    imitate(monkeypatch, check_output_settings=refuse)
    with pytest.raises(DeviceError, match="expected an output device that plays 8000 Hz"):
        Playback(recording)
