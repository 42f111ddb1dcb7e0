"""`turnstream listen` with raw audio, and with a microphone that is not there."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from turnstream.stream.errors import AudioFormatError, DeviceError, ServerError, TurnstreamError
from turnstream.stream.live import listen, second_channel
from turnstream.stream.live.microphone import Microphone

from ..command_server import command_server
from ..fake_microphone import MICROPHONE, FakeMicrophone


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


def test_raw_audio_on_standard_input_is_predicted_on(tiny_model_path: Path) -> None:
    text = hear(tiny_model_path, noise(8000, 2).astype("<f4").tobytes(), "--raw", "pcm_f32le")
    assert text.startswith("standard input, pcm_f32le, model tiny 0; Ctrl-C ends\n")
    assert "0.5 s of conversation, 25 predictions" in text
    assert "Delay from a frame's last sample to its prediction: " in text
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

    monkeypatch.setattr(listen, "SteadyMicrophone", broken)
    with pytest.raises(DeviceError, match="no input device"):
        listen.run(arguments("--model", tiny_model_path))


@pytest.fixture
def microphone(monkeypatch: pytest.MonkeyPatch) -> list[FakeMicrophone]:
    """Every microphone that is opened, none of them real."""
    opened: list[FakeMicrophone] = []

    def opening(device: str | None = None, *, sample_rate_hz: int | None = None, channels: int = 1) -> FakeMicrophone:
        if device == "none":
            raise DeviceError("expected one of the input devices 0 'Line', got 'none'")
        opened.append(FakeMicrophone([np.zeros((480, channels), np.float32)] * 10, sample_rate_hz or 48000))
        return opened[-1]

    for module, name in ((listen, "SteadyMicrophone"), (listen, "MicrophoneSource"), (second_channel, "MicrophoneSource")):
        monkeypatch.setattr(module, name, opening)
    return opened


def test_the_microphone_is_listened_to_at_the_rate_asked_for(tiny_model_path: Path, microphone: list[FakeMicrophone]) -> None:
    text = hear(tiny_model_path, b"", "--sample-rate", 8000)
    assert text.startswith("microphone Headset, model tiny 0")
    assert "0.6 s of conversation" in text
    assert microphone[0].closed


def test_an_agents_file_is_the_second_channel(tiny_model_path: Path, microphone: list[FakeMicrophone], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(sample_rate_hz: int, channels: int) -> None:
        raise DeviceError("no sound: no output device")

    monkeypatch.setattr(listen, "Playback", silent)
    agent = tmp_path / "agent.wav"
    soundfile.write(agent, np.full(4800, 0.25), 48000)
    text = hear(tiny_model_path, b"", "--agent", agent, "--record", tmp_path / "kept")
    assert text.startswith(f"{agent} is not heard: no sound: no output device\nmicrophone Headset and agent.wav")
    audio, _ = soundfile.read(tmp_path / "kept" / "audio.wav")
    np.testing.assert_allclose(audio, np.tile([0, 0.25], (4800, 1)), atol=1e-3)


def test_a_second_device_is_the_second_channel(tiny_model_path: Path, microphone: list[FakeMicrophone], tmp_path: Path) -> None:
    text = hear(tiny_model_path, b"", "--agent", "loopback", "--record", tmp_path / "kept")
    assert text.startswith("microphone Headset and loopback")
    assert soundfile.info(tmp_path / "kept" / "audio.wav").channels == 2
    assert all(opened.closed for opened in microphone)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--agent", "none"), "--agent: there is no file .none., and as an input device: .*'none'"),
        (("--agent", __file__), "expected an audio file"),
        (("--agent", "loopback", "--channels", 2), "one channel of the microphone, got --channels 2"),
        (("--agent", "loopback", "--raw", "mulaw"), "with a microphone, got it with --raw"),
        (("--token", "secret"), "--token with --url"),
    ],
)
def test_what_does_not_fit_together_is_named_and_nothing_stays_open(
    tiny_model_path: Path, microphone: list[FakeMicrophone], words: tuple[object, ...], reason: str
) -> None:
    with pytest.raises(TurnstreamError, match=reason):
        hear(tiny_model_path, b"", *words)
    assert all(opened.closed for opened in microphone)


def test_a_server_predicts_the_same(tiny_model_path: Path) -> None:
    raw = noise(16000, 2).astype("<f4").tobytes()
    out = io.StringIO()
    with command_server(tiny_model_path, tokens="secret") as server:
        words = ("--url", server.url, "--token", "secret", "--raw", "pcm_f32le")
        assert listen.run(arguments(*words), raw_input=io.BytesIO(raw), out=out) == 0
        with pytest.raises(ServerError, match="401"):
            listen.run(arguments(*words[:2], *words[4:]), raw_input=io.BytesIO(raw), out=io.StringIO())
    assert out.getvalue().startswith("standard input, pcm_f32le, model tiny 0")
    assert "1.0 s of conversation, 50 predictions" in out.getvalue()
    assert "Delay from a frame's last sample" in out.getvalue()


def test_sigterm_while_standard_input_gives_nothing_leaves_the_terminal_as_it_was(tiny_model_path: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "turnstream", "listen", "--raw", "pcm_s16le", "--model", str(tiny_model_path)]
    environment = os.environ | {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=follower, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            os.close(follower)
            shown = b""
            while b"\x1b[?1049h" not in shown:
                shown += os.read(leader, 4096)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            with contextlib.suppress(OSError):  # Linux: the other end is closed and nothing is left
                while more := os.read(leader, 4096):
                    shown += more
        finally:
            process.kill()
            os.close(leader)
    assert b"\x1b[?1049l" in shown.partition(b"\x1b[?1049h")[2]
    assert b"Next:" in shown
