"""`turnstream listen` with raw audio, and with a microphone that is not there."""

from __future__ import annotations

import argparse
import io
import signal
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from turnstream.stream import listen
from turnstream.stream.errors import AudioFormatError, DeviceError
from turnstream.stream.live import farewell, levels_dbfs
from turnstream.stream.microphone import Microphone
from turnstream.stream.terminal_screen import Screen
from turnstream.stream.terminal_words import Tally

MICROPHONE = Microphone(3, "Headset", 1, 48000, True)


def arguments(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    listen.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def noise(samples: int, channels: int) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 0.1, (samples, channels)).astype(np.float32)


def hear(path: Path, raw: bytes, *words: object) -> str:
    out = io.StringIO()
    assert listen.run(arguments("--model", path, *words), raw_input=io.BytesIO(raw), out=out) == 0
    return out.getvalue()


class FakeMicrophone(listen.MicrophoneSource):
    """Ten blocks of silence; says after the first that some was lost."""

    def __init__(self, device: str | None, *, sample_rate_hz: int | None, channels: int) -> None:
        self.microphone = MICROPHONE
        self.sample_rate_hz = sample_rate_hz or 48000
        self.channels = channels
        self.dropped_samples = self.overflows = 0

    def __iter__(self):
        for number in range(10):
            yield np.zeros((960, self.channels), np.float32)
            self.dropped_samples += 480
            self.overflows += number > 3

    def close(self) -> None:
        """Nothing to let go of."""


def test_raw_audio_on_standard_input_is_predicted_on(tiny_model_path: Path) -> None:
    text = hear(tiny_model_path, noise(8000, 2).astype("<f4").tobytes(), "--raw", "pcm_f32le")
    assert text.startswith("standard input, pcm_f32le, model tiny 0; Ctrl-C ends\n")
    assert "0.5 s of conversation, 25 predictions" in text
    assert "Delay from receiving a frame's last sample to its prediction: " in text
    assert "turnstream demo --sample" in text


def test_raw_audio_of_another_rate_and_width(tiny_model_path: Path) -> None:
    raw = (noise(4000, 1) * 32767).astype("<i2").tobytes()
    text = hear(tiny_model_path, raw, "--raw", "pcm_s16le", "--sample-rate", 8000, "--channels", 1)
    assert "25 predictions" in text or "26 predictions" in text


def test_seconds_end_it_earlier(tiny_model_path: Path) -> None:
    assert "10 predictions" in hear(tiny_model_path, noise(8000, 2).tobytes(), "--raw", "pcm_f32le", "--seconds", "0.2")


def test_suspicious_audio_is_named_with_the_speaker(tiny_model_path: Path) -> None:
    text = hear(tiny_model_path, bytes(4 * 2 * 16000 * 6), "--raw", "pcm_f32le")
    assert "* You: nothing but zeros for 5 s" in text


def test_a_stream_that_ends_inside_a_sample_is_named(tiny_model_path: Path) -> None:
    with pytest.raises(AudioFormatError, match="3 bytes of one at the end"):
        hear(tiny_model_path, noise(640, 2).tobytes()[:-1], "--raw", "pcm_s16le")


def test_lost_audio_is_said_once_and_summed_up(tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "MicrophoneSource", FakeMicrophone)
    out = io.StringIO()
    assert listen.run(arguments("--model", tiny_model_path), out=out) == 0
    text = out.getvalue()
    assert text.startswith("microphone Headset, model tiny 0")
    assert text.count("too slow: some sound was skipped") == 1
    assert text.count("the sound card lost some audio") == 1
    assert "0.10 s of sound were skipped" in text


def test_control_c_ends_it_well(tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    shown = Screen.on_prediction

    def interrupt(self: Screen, p: object, latency_s: float | None = None) -> None:
        shown(self, p, latency_s)
        if p.frame == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(listen, "MicrophoneSource", FakeMicrophone)
    monkeypatch.setattr(FakeMicrophone, "close", lambda self: closed.append(True))
    monkeypatch.setattr(Screen, "on_prediction", interrupt)
    out = io.StringIO()
    assert listen.run(arguments("--model", tiny_model_path), out=out) == 0
    assert closed == [True]
    assert "4 predictions" in out.getvalue()


def test_devices_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "list_microphones", lambda: [Microphone(0, "Line", 2, 44100, False), MICROPHONE])
    out = io.StringIO()
    assert listen.run(arguments("--list-devices"), out=out) == 0
    assert "  3 * Headset  (1 channels, 48000 Hz)" in out.getvalue()
    monkeypatch.setattr(listen, "list_microphones", list)
    out = io.StringIO()
    listen.run(arguments("--list-devices"), out=out)
    assert out.getvalue().startswith("No microphone found")


def test_without_a_microphone_it_says_so(tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **settings: object) -> None:
        raise DeviceError("expected a microphone, found no input device")

    monkeypatch.setattr(listen, "MicrophoneSource", broken)
    with pytest.raises(DeviceError, match="no input device"):
        listen.run(arguments("--model", tiny_model_path))


def test_levels_are_in_db_against_full_scale() -> None:
    sine = np.sin(2 * np.pi * np.arange(320) / 32)[:, None].astype(np.float32)
    assert levels_dbfs(sine) == pytest.approx((-3.01, -120.0), abs=0.01)
    assert levels_dbfs(np.concatenate([sine, 0.1 * sine], axis=1)) == pytest.approx((-3.01, -23.01), abs=0.01)
    assert levels_dbfs(np.zeros((0, 2), np.float32)) == (-120.0, -120.0)


@pytest.mark.parametrize("command", ["demo", "listen"])
def test_the_last_words_fit_into_80_columns(command: str) -> None:
    tally = Tally(frames=2249, seconds=44.98, latencies_s=deque([0.0219]))
    lines = farewell(command, tally, "from receiving a frame's last sample to its prediction").splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(f"turnstream {command}  " in line for line in lines)
