"""`turnstream listen` with raw audio, and with a microphone that is missing."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pty
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from turnstream import ConfigError, Engine, TurnPredictor
from turnstream.stream.devices import second_channel
from turnstream.stream.devices.microphone import Microphone
from turnstream.stream.errors import AudioFormatError, DeviceError, ServerError, TurnstreamError
from turnstream.stream.live import listen
from turnstream.stream.live.terminal_screen import Screen

from ..command_server import TURNSTREAM, command_server
from ..embeddings import random_embedding, unusable_embeddings
from ..fake_microphone import MICROPHONE, FakeMicrophone
from ..pauses import RecordingPauseModel, pausing_call
from .terminal_pictures import FakeTerminal


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
    text = hear(tiny_model_path, noise(8000, 2).astype("<f4").tobytes(), "--encoding", "pcm_f32le")
    assert text.startswith("standard input, pcm_f32le, model tiny 0; Ctrl-C ends\n")
    assert "0.5 s of conversation, 25 predictions" in text
    assert "Delay from a frame's last sample to its prediction: " in text
    assert "turnstream demo --sample" in text


def test_raw_audio_of_another_rate_and_width(tiny_model_path: Path) -> None:
    raw = (noise(4000, 1) * 32767).astype("<i2").tobytes()
    text = hear(
        tiny_model_path, raw, "--encoding", "pcm_s16le", "--sample-rate", 8000, "--channels", 1
    )
    assert "25 predictions" in text or "26 predictions" in text


def test_seconds_end_it_earlier(tiny_model_path: Path) -> None:
    assert "10 predictions" in hear(
        tiny_model_path, noise(8000, 2).tobytes(), "--encoding", "pcm_f32le", "--seconds", "0.2"
    )


@pytest.mark.parametrize("words", [(), ("--pause-model",), ("--no-pause-model",)])
def test_the_pause_model_is_asked_beside_another_model_if_it_is_wanted(
    talkative_path: Path, loaded_pause_models: list[RecordingPauseModel], words: tuple[str, ...]
) -> None:
    text = hear(talkative_path, pausing_call(2.0).tobytes(), "--encoding", "pcm_s16le", *words)
    assert "100 predictions" in text
    if words == ("--pause-model",):
        assert [len(model.audios) > 0 for model in loaded_pause_models] == [True]
    else:  # it is not used by itself beside a model that is not the bundled one
        assert loaded_pause_models == []


def test_suspicious_audio_is_named_with_the_speaker(tiny_model_path: Path) -> None:
    text = hear(tiny_model_path, bytes(4 * 2 * 16000 * 6), "--encoding", "pcm_f32le")
    assert "* You: nothing but zeros for 5 s" in text


def test_a_stream_that_ends_inside_a_sample_is_named(tiny_model_path: Path) -> None:
    with pytest.raises(AudioFormatError, match="3 bytes of one at the end"):
        hear(tiny_model_path, noise(640, 2).tobytes()[:-1], "--encoding", "pcm_s16le")


def test_devices_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        listen, "list_microphones", lambda: [Microphone(0, "Line", 2, 44100, False), MICROPHONE]
    )
    out = io.StringIO()
    assert listen.run(arguments("--list-devices"), out=out) == 0
    assert "  3 * Headset  (1 channels, 48000 Hz)" in out.getvalue()
    monkeypatch.setattr(listen, "list_microphones", list)
    out = io.StringIO()
    listen.run(arguments("--list-devices"), out=out)
    assert out.getvalue().startswith("No microphone found")


def test_without_a_microphone_it_says_so(
    tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **settings: object) -> None:
        raise DeviceError("expected a microphone, found no input device")

    monkeypatch.setattr(listen, "SteadyMicrophone", broken)
    with pytest.raises(DeviceError, match="no input device"):
        listen.run(arguments("--model", tiny_model_path))


@pytest.fixture
def microphone(monkeypatch: pytest.MonkeyPatch) -> list[FakeMicrophone]:
    """Records every microphone that is opened; none is real."""
    opened: list[FakeMicrophone] = []

    def opening(
        device: str | None = None, *, sample_rate_hz: int | None = None, channels: int = 1
    ) -> FakeMicrophone:
        if device == "none":
            raise DeviceError("expected one of the input devices 0 'Line', got 'none'")
        opened.append(
            FakeMicrophone([np.zeros((480, channels), np.float32)] * 10, sample_rate_hz or 48000)
        )
        return opened[-1]

    for module, name in (
        (listen, "SteadyMicrophone"),
        (listen, "MicrophoneSource"),
        (second_channel, "MicrophoneSource"),
    ):
        monkeypatch.setattr(module, name, opening)
    return opened


def test_the_microphone_is_listened_to_at_the_rate_asked_for(
    tiny_model_path: Path, microphone: list[FakeMicrophone]
) -> None:
    text = hear(tiny_model_path, b"", "--sample-rate", 8000)
    assert text.startswith("microphone Headset, model tiny 0")
    assert "0.6 s of conversation" in text
    assert microphone[0].closed


def test_an_agents_file_is_the_second_channel(
    tiny_model_path: Path,
    microphone: list[FakeMicrophone],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def silent(sample_rate_hz: int, channels: int) -> None:
        raise DeviceError("no sound: no output device")

    monkeypatch.setattr(listen, "Playback", silent)
    agent = tmp_path / "agent.wav"
    soundfile.write(agent, np.full(4800, 0.25), 48000)
    text = hear(tiny_model_path, b"", "--agent", agent, "--record", tmp_path / "kept")
    assert text.startswith(
        f"{agent} is not heard: no sound: no output device\nmicrophone Headset and agent.wav"
    )
    audio, _ = soundfile.read(tmp_path / "kept" / "audio.wav")
    np.testing.assert_allclose(audio, np.tile([0, 0.25], (4800, 1)), atol=1e-3)


def test_a_second_device_is_the_second_channel(
    tiny_model_path: Path, microphone: list[FakeMicrophone], tmp_path: Path
) -> None:
    text = hear(tiny_model_path, b"", "--agent", "loopback", "--record", tmp_path / "kept")
    assert text.startswith("microphone Headset and loopback")
    assert soundfile.info(tmp_path / "kept" / "audio.wav").channels == 2
    assert all(opened.closed for opened in microphone)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--agent", "none"), "--agent: there is no file .none., and as an input device: .*'none'"),
        (("--agent", __file__), "expected an audio file"),
        (
            ("--agent", "loopback", "--channels", 2),
            "one channel of the microphone, got --channels 2",
        ),
        (
            ("--agent", "loopback", "--encoding", "mulaw"),
            "with a microphone, got it with --encoding",
        ),
        (("--device", 3, "--encoding", "mulaw"), "--device without --encoding"),
        (("--token", "0123456789abcdef"), "--token with --url"),
    ],
)
def test_what_does_not_fit_together_is_named_and_nothing_stays_open(
    tiny_model_path: Path, microphone: list[FakeMicrophone], words: tuple[object, ...], reason: str
) -> None:
    with pytest.raises(TurnstreamError, match=reason):
        hear(tiny_model_path, b"", *words)
    assert all(opened.closed for opened in microphone)


@pytest.mark.parametrize("option", ["--pause-model", "--no-pause-model"])
def test_the_pause_model_of_a_server_is_not_the_clients_choice(option: str) -> None:
    parser = argparse.ArgumentParser()
    listen.add_arguments(parser)
    args = parser.parse_args(["--url", "ws://127.0.0.1:1", "--encoding", "mulaw", option])
    with pytest.raises(ConfigError, match="without --url, got it with --url"):
        listen.run(args, raw_input=io.BytesIO())


def test_a_server_predicts_the_same(tiny_model_path: Path) -> None:
    raw = noise(16000, 2).astype("<f4").tobytes()
    out = io.StringIO()
    with command_server(tiny_model_path, tokens="0123456789abcdef") as server:
        words = ("--url", server.url, "--token", "0123456789abcdef", "--encoding", "pcm_f32le")
        assert listen.run(arguments(*words), raw_input=io.BytesIO(raw), out=out) == 0
        with pytest.raises(ServerError, match="401"):
            listen.run(
                arguments(*words[:2], *words[4:]), raw_input=io.BytesIO(raw), out=io.StringIO()
            )
    assert out.getvalue().startswith("standard input, pcm_f32le, model tiny 0")
    assert "1.0 s of conversation, 50 predictions" in out.getvalue()
    assert "Delay from a frame's last sample" in out.getvalue()


@pytest.fixture
def shown_states(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, np.ndarray]]:
    """The frames and states that are given to the screen."""
    states: list[tuple[int, np.ndarray]] = []
    monkeypatch.setattr(
        Screen, "on_latents", lambda self, frame, values: states.append((frame, values))
    )
    return states


@pytest.mark.parametrize("layer", ["latent", "latent_speaker"])
def test_the_plane_gets_the_states_of_its_layer_here_and_from_a_server(
    tiny_model_path: Path, tmp_path: Path, shown_states: list[tuple[int, np.ndarray]], layer: str
) -> None:
    sound, path = noise(8000, 2), tmp_path / "plane.json"
    engine = Engine(tiny_model_path)
    random_embedding(engine, layer, ((4, "relu"),)).save(path)
    expected = [
        getattr(p, layer) for p in TurnPredictor(engine).push_audio((sound * 32767).astype("<i2"))
    ]
    raw = (sound * 32767).astype("<i2").tobytes()
    hear(tiny_model_path, raw, "--encoding", "pcm_s16le", "--embedding", path)
    with command_server(tiny_model_path) as server:
        words = ("--url", server.url, "--encoding", "pcm_s16le", "--embedding", path)
        assert listen.run(arguments(*words), raw_input=io.BytesIO(raw), out=io.StringIO()) == 0
    assert [frame for frame, _ in shown_states] == [*range(25), *range(25)]
    np.testing.assert_allclose(
        [states for _, states in shown_states], [*expected, *expected], atol=1e-6
    )


def test_the_plane_is_drawn_on_a_terminal_with_the_bundled_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("TERM", "xterm-256color"), ("COLUMNS", "80"), ("LINES", "24")):
        monkeypatch.setenv(name, value)
    out = FakeTerminal()
    raw = (noise(8000, 2) * 32767).astype("<i2").tobytes()
    assert (
        listen.run(
            arguments("--encoding", "pcm_s16le", "--embedding"), raw_input=io.BytesIO(raw), out=out
        )
        == 0
    )
    pictures = out.getvalue().split("● You")
    assert len(pictures) > 5
    assert "about to speak" in pictures[-1]
    assert "near " in pictures[-1]


@pytest.mark.parametrize(
    "words", [("--encoding", "pcm_s16le"), ("--encoding", "pcm_s16le", "--record", "kept")]
)
def test_a_embedding_that_does_not_fit_is_named_before_anything_is_shown(
    tiny_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    for path, reason in unusable_embeddings(Engine(tiny_model_path), tmp_path).items():
        out = io.StringIO()
        with pytest.raises(ConfigError, match=reason):
            listen.run(
                arguments("--model", tiny_model_path, *words, "--embedding", path),
                raw_input=io.BytesIO(bytes(64000)),
                out=out,
            )
        assert out.getvalue() == ""
    with pytest.raises(ConfigError, match="got the bundled plane, of turnstream 4"):
        hear(tiny_model_path, b"", *words, "--embedding")
    assert not (tmp_path / "kept").exists()


def test_a_server_of_another_model_than_the_planes_is_named(tiny_model_path: Path) -> None:
    with (
        command_server(tiny_model_path) as server,
        pytest.raises(ConfigError, match=r"of the model that runs, tiny 0 .*got the bundled plane"),
    ):
        listen.run(
            arguments("--url", server.url, "--encoding", "pcm_s16le", "--embedding"),
            raw_input=io.BytesIO(b""),
            out=io.StringIO(),
        )


def test_the_plane_needs_the_picture(tiny_model_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected --embedding without --plain"):
        hear(tiny_model_path, b"", "--encoding", "pcm_s16le", "--embedding", "--plain")


def test_sigterm_while_standard_input_gives_nothing_leaves_the_terminal_as_it_was(
    tiny_model_path: Path,
) -> None:
    leader, follower = pty.openpty()
    command = [*TURNSTREAM, "listen", "--encoding", "pcm_s16le", "--model", str(tiny_model_path)]
    of_the_terminal = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONIOENCODING": "utf-8"}
    environment = os.environ | of_the_terminal
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=follower, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        try:
            os.close(follower)
            shown = b""
            while b"\x1b[?1049h" not in shown:
                shown += os.read(leader, 4096)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            with contextlib.suppress(
                OSError
            ):  # on Linux: the other end is closed and nothing is left to read
                while more := os.read(leader, 4096):
                    shown += more
        finally:
            process.kill()
            os.close(leader)
    assert b"\x1b[?1049l" in shown.partition(b"\x1b[?1049h")[2]
    assert b"Next:" in shown
