"""`turnstream demo` end to end.

It uses a real server, a real websocket, and a short recording at high speed; no microphone.
"""

from __future__ import annotations

import argparse
import io
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from turnstream import ConfigError, Engine
from turnstream.stream.clients.asynchronous import AsyncClient
from turnstream.stream.errors import AudioFormatError, DeviceError, ModelError
from turnstream.stream.live import demo
from turnstream.stream.live.terminal_screen import Screen
from turnstream.stream.policy_settings import PRESETS, PolicySettings
from turnstream.stream.prediction import FrameMessage

from ..embeddings import random_embedding
from ..pauses import RecordingPauseModel, pausing_call

FAST = 1e4


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Half a second of stereo noise."""
    path = tmp_path / "noise.wav"
    soundfile.write(path, np.random.default_rng(3).normal(0, 0.1, (8000, 2)), 16000)
    return path


def arguments(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def no_microphone(monkeypatch: pytest.MonkeyPatch, error: DeviceError | None = None) -> None:
    def microphones() -> list[object]:
        if error is not None:
            raise error
        return []

    monkeypatch.setattr(demo, "list_microphones", microphones)


def test_a_recording_is_shown_to_its_end(tiny_model_path: Path, recording: Path) -> None:
    out = io.StringIO()
    assert (
        demo.run(arguments("--file", recording, "--model", tiny_model_path), speed=FAST, out=out)
        == 0
    )
    text = out.getvalue()
    assert text.startswith("noise.wav, model tiny 0; Ctrl-C ends\n")
    assert "0.5 s of conversation, 25 predictions" in text
    assert "Delay from a frame's last sample to its prediction: " in text
    assert "turnstream listen" in text
    assert "turnstream serve" in text


def test_the_policy_that_is_asked_for_decides_the_events(
    tiny_model_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[PolicySettings] = []
    client = demo.AsyncClient

    class Client(client):
        async def __aenter__(self) -> AsyncClient:
            entered = await super().__aenter__()
            held.append(self.begin.settings.policy_settings)
            return entered

    monkeypatch.setattr(demo, "AsyncClient", Client)
    for words in ((), ("--policy", "patient", "--end-threshold", "0.8")):
        chosen = arguments("--file", recording, "--model", tiny_model_path, *words)
        demo.run(chosen, speed=FAST, out=io.StringIO())
    assert held == [PRESETS["balanced"], replace(PRESETS["patient"], end_threshold=0.8)]


@pytest.mark.parametrize("words", [(), ("--pause-model",), ("--no-pause-model",)])
def test_the_pause_model_is_asked_beside_another_model_if_it_is_wanted(
    talkative_path: Path,
    tmp_path: Path,
    loaded_pause_models: list[RecordingPauseModel],
    words: tuple[str, ...],
) -> None:
    path = tmp_path / "call.wav"
    soundfile.write(path, pausing_call(2.0), 16000)
    out = io.StringIO()
    demo.run(arguments("--file", path, "--model", talkative_path, *words), speed=FAST, out=out)
    assert "100 predictions" in out.getvalue()
    if words == ("--pause-model",):
        assert [len(model.audios) > 0 for model in loaded_pause_models] == [True]
    else:  # it is not used by itself beside a model that is not the bundled one
        assert loaded_pause_models == []


def test_seconds_end_it_earlier(tiny_model_path: Path, recording: Path) -> None:
    out = io.StringIO()
    demo.run(
        arguments("--file", recording, "--model", tiny_model_path, "--seconds", "0.21"),
        speed=FAST,
        out=out,
    )
    # The last frame is completed with silence
    assert "0.2 s of conversation, 11 predictions" in out.getvalue()


@pytest.mark.parametrize(("rate_hz", "shape"), [(44100, (22050,)), (8000, (4000, 2))])
def test_recordings_of_any_rate_and_width_are_shown(
    tiny_model_path: Path, tmp_path: Path, rate_hz: int, shape: tuple[int, ...]
) -> None:
    path, out = tmp_path / "other.flac", io.StringIO()
    soundfile.write(path, np.random.default_rng(3).normal(0, 0.1, shape), rate_hz)
    demo.run(arguments("--file", path, "--model", tiny_model_path), speed=FAST, out=out)
    assert "25 predictions" in out.getvalue() or "26 predictions" in out.getvalue()


def test_without_a_microphone_the_bundled_call_is_shown(
    tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_microphone(monkeypatch)
    out = io.StringIO()
    assert (
        demo.run(arguments("--model", tiny_model_path, "--seconds", "0.5"), speed=FAST, out=out)
        == 0
    )
    lines = out.getvalue().splitlines()
    assert lines[0] == "No microphone found, so here is a recorded telephone call."
    assert lines[1].startswith("call to a bank (HarperValleyBank, CC BY 4.0), ")


def test_a_microphone_that_cannot_be_used_is_named_unless_it_was_asked_for(
    tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_microphone(monkeypatch, DeviceError("the PortAudio library is missing"))
    out = io.StringIO()
    demo.run(arguments("--model", tiny_model_path, "--seconds", "0.1"), speed=FAST, out=out)
    assert "recorded telephone call. (the PortAudio library is missing)" in out.getvalue()

    def broken(device: str) -> None:
        raise DeviceError(f"expected one of the input devices 0 'Line', got {device!r}")

    monkeypatch.setattr(demo, "SteadyMicrophone", broken)
    with pytest.raises(DeviceError, match="got 'headset'"):
        demo.run(arguments("--model", tiny_model_path, "--device", "headset"), out=io.StringIO())


def test_no_sound_output_is_said_and_the_demo_goes_on(
    tiny_model_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(sample_rate_hz: int, channels: int) -> None:
        raise DeviceError("no sound: no output device")

    monkeypatch.setattr(demo, "Playback", silent)
    out = io.StringIO()
    assert (
        demo.run(
            arguments("--file", recording, "--model", tiny_model_path, "--play"),
            speed=FAST,
            out=out,
        )
        == 0
    )
    assert out.getvalue().startswith("no sound: no output device\n")
    assert "25 predictions" in out.getvalue()


def test_play_lets_the_recording_be_heard_as_it_is_shown(
    tiny_model_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[object] = []

    class FakePlayback:
        def __init__(self, sample_rate_hz: int, channels: int) -> None:
            heard.append((sample_rate_hz, channels))

        def push_audio(self, block: np.ndarray) -> None:
            heard.append(len(block))

        def close(self) -> None:
            heard.append("close")

    monkeypatch.setattr(demo, "Playback", FakePlayback)
    demo.run(
        arguments("--file", recording, "--model", tiny_model_path, "--play"),
        speed=FAST,
        out=io.StringIO(),
    )
    assert heard == [(16000, 2), *[160] * 50, "close"]


def test_control_c_ends_it_well(
    tiny_model_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    shown, leave, close = Screen.on_prediction, Screen.__exit__, demo.Server.close

    def interrupt(self: Screen, p: FrameMessage, *about: Any) -> None:
        shown(self, p, *about)
        if p.frame == 5:
            signal.raise_signal(signal.SIGINT)

    def note_leave(self: Screen, *exc_info: object) -> None:
        steps.append("screen restored")
        leave(self, *exc_info)

    async def note_close(self: demo.Server) -> None:
        await close(self)
        steps.append(f"server closed, {self.sessions} sessions left")

    monkeypatch.setattr(Screen, "on_prediction", interrupt)
    monkeypatch.setattr(Screen, "__exit__", note_leave)
    monkeypatch.setattr(demo.Server, "close", note_close)
    out = io.StringIO()
    assert demo.run(arguments("--file", recording, "--model", tiny_model_path), out=out) == 0
    assert steps == ["screen restored", "server closed, 0 sessions left"]
    assert " predictions\n" in out.getvalue()
    assert "25 predictions" not in out.getvalue()


def test_a_damaged_recording_is_shown_as_far_as_it_goes_then_named(
    tiny_model_path: Path, recording: Path
) -> None:
    recording.write_bytes(recording.read_bytes()[:-4000])
    out = io.StringIO()
    with pytest.raises(AudioFormatError, match="cut off"):
        demo.run(arguments("--file", recording, "--model", tiny_model_path), speed=FAST, out=out)


def test_the_plane_follows_the_states_of_the_server(
    tiny_model_path: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, frames = tmp_path / "plane.json", list[int]()
    random_embedding(Engine(tiny_model_path)).save(path)
    monkeypatch.setattr(Screen, "on_latents", lambda self, frame, values: frames.append(frame))
    assert (
        demo.run(
            arguments("--file", recording, "--model", tiny_model_path, "--embedding", path),
            speed=FAST,
            out=io.StringIO(),
        )
        == 0
    )
    assert frames == list(range(25))
    with pytest.raises(ConfigError, match="got the bundled plane"):
        demo.run(
            arguments("--file", recording, "--model", tiny_model_path, "--embedding"),
            speed=FAST,
            out=io.StringIO(),
        )


def test_a_missing_model_or_file_is_named(tiny_model_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx"):
        demo.run(arguments("--sample", "--model", tmp_path / "none.onnx"))
    with pytest.raises(AudioFormatError, match="does not exist"):
        demo.run(arguments("--file", tmp_path / "none.wav", "--model", tiny_model_path))


@pytest.mark.parametrize(
    "words",
    [
        ("--seconds", "0"),
        ("--seconds", "soon"),
        ("--seconds", "inf"),
        ("--sample", "--file", "a.wav"),
    ],
)
def test_arguments_out_of_range_are_refused(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        arguments(*words)
    assert "expected" in capsys.readouterr().err or "--sample" in words
