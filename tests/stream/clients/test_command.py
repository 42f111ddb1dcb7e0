"""`turnstream client` sends a file to a server and prints the answers as JSON lines.

Every failure is one line.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from turnstream import Engine
from turnstream.cli import main
from turnstream.stream.clients.asynchronous import AsyncClient
from turnstream.stream.protocol import message_to_json
from turnstream.stream.sources import FileSource, bundled_sample

from ..command_server import TURNSTREAM, CommandServer, command_server, without_reader
from ..serving import dialogue, offline


@pytest.fixture(scope="module")
def server(talkative_path: Path) -> Iterator[CommandServer]:
    with command_server(talkative_path, "--quiet") as running:
        yield running


def answers(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def run_client(*words: str, sent: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*TURNSTREAM, "client", *words],
        input=sent,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_begin_events_and_termination_are_json_lines(
    server: CommandServer, talkative_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["client", str(recording), "--fast", "--url", server.url]) == 0
    begin, *events, termination = answers(capsys)
    assert (begin["type"], begin["model"]["name"], begin["settings"]["frames"]) == (
        "begin",
        "tiny",
        "none",
    )
    assert termination == {"type": "termination", "frames": 200, "seconds": 4.0, "reason": "close"}
    _, expected = offline(Engine(talkative_path), dialogue(4.0, seed=1))
    assert len(expected) > 4
    assert events == [json.loads(message_to_json(event)) for event in expected]


def test_frames_and_policy_are_as_asked_for(
    server: CommandServer, talkative_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--fast", "--frames", "--policy", "patient", "--url", server.url]
    assert main(["client", str(recording), *options]) == 0
    begin, *messages, _ = answers(capsys)
    assert (begin["settings"]["frames"], begin["settings"]["policy"]) == ("all", "patient")
    frames, events = offline(Engine(talkative_path), dialogue(4.0, seed=1), policy="patient")
    assert [message["frame"] for message in messages if message["type"] == "frame"] == [
        frame.frame for frame in frames
    ]
    assert [message["type"] for message in messages if message["type"] != "frame"] == [
        event.type for event in events
    ]


def test_a_mono_telephone_recording_is_sent_as_it_is(
    server: CommandServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "call.wav", dialogue(1.0, seed=2, rate_hz=8000)[:, 0], 8000)
    assert main(["client", str(tmp_path / "call.wav"), "--fast", "--url", server.url]) == 0
    begin, *_, termination = answers(capsys)
    assert (begin["settings"]["sample_rate"], begin["settings"]["channels"]) == (8000, 1)
    assert (termination["frames"], termination["seconds"]) == (50, 1.0)


def test_real_time_is_the_default(
    server: CommandServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "short.wav", dialogue(0.1, seed=2), 16000)
    assert main(["client", str(tmp_path / "short.wav"), "--url", server.url]) == 0
    assert answers(capsys)[-1]["frames"] == 5


def test_a_warning_about_the_audio_is_passed_on(
    server: CommandServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(16000 * 6, np.int16), 16000)
    assert main(["client", str(tmp_path / "silence.wav"), "--fast", "--url", server.url]) == 0
    assert [answer["code"] for answer in answers(capsys) if answer["type"] == "warning"] == [
        "silent"
    ]


def test_a_refused_token_is_one_clear_line(
    tiny_model_path: Path, recording: Path, complaint: Callable[..., str]
) -> None:
    with command_server(tiny_model_path, tokens="the-right-token-0") as server:
        words = [str(recording), "--fast", "--url", server.url]
        for token in (["--token", "wrong"], []):
            assert complaint("client", *words, *token) == (
                "the server refused with HTTP 401: expected a valid token, as 'Authorization: "
                "Bearer TOKEN' or ?token=TOKEN"
            )
        assert main(["client", *words, "--token", "the-right-token-0"]) == 0


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1", "http://127.0.0.1:1", "nonsense"])
def test_no_server_is_one_clear_line(
    recording: Path, complaint: Callable[..., str], url: str
) -> None:
    said = complaint("client", recording, "--fast", "--url", url)
    assert said.startswith("expected a turnstream server at ")


def test_a_missing_file_is_one_clear_line(tmp_path: Path, complaint: Callable[..., str]) -> None:
    assert "does not exist" in complaint("client", tmp_path / "none.wav")


def test_a_file_that_was_cut_off_is_one_clear_line(
    server: CommandServer, recording: Path, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    (tmp_path / "cut.wav").write_bytes(recording.read_bytes()[:-50_000])
    said = complaint("client", tmp_path / "cut.wav", "--fast", "--url", server.url)
    assert "the file was cut off" in said


def test_a_server_that_dies_on_the_way_is_one_clear_line(
    talkative_path: Path,
    recording: Path,
    complaint: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with command_server(talkative_path, "--quiet") as server:
        options = ["--fast", "--reconnect", "0", "--url", server.url]

        async def push_audio(self: AsyncClient, samples: Any) -> None:
            server.end(signal.SIGKILL)

        monkeypatch.setattr(AsyncClient, "push_audio", push_audio)
        said = complaint("client", recording, *options)
    assert "was lost before the session ended" in said


def test_raw_audio_on_standard_input_is_sent(server: CommandServer, talkative_path: Path) -> None:
    samples = dialogue(4.0, seed=1)
    finished = run_client("-", "--url", server.url, sent=samples.tobytes())
    assert (finished.returncode, finished.stderr) == (0, b"")
    _, expected = offline(Engine(talkative_path), samples)
    assert [json.loads(line)["type"] for line in finished.stdout.splitlines()] == [
        "begin",
        *(event.type for event in expected),
        "termination",
    ]


def test_raw_audio_has_the_form_that_is_told(server: CommandServer) -> None:
    form = ["--encoding", "mulaw", "--sample-rate", "8000", "--channels", "1"]
    begin, *_, termination = run_client(
        "-", *form, "--url", server.url, sent=bytes(8000)
    ).stdout.splitlines()
    assert json.loads(begin)["settings"]["sample_rate"] == 8000
    assert json.loads(termination)["seconds"] == 1.0


def test_the_microphone_is_sent(
    server: CommandServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Microphone(FileSource):
        def __init__(
            self, device: str | None, *, sample_rate_hz: int | None, channels: int
        ) -> None:
            asked.append((device, sample_rate_hz, channels))
            super().__init__(bundled_sample())

    monkeypatch.setattr("turnstream.stream.clients.command.MicrophoneSource", Microphone)
    assert main(["client", "mic", "--device", "desk", "--fast", "--url", server.url]) == 0
    assert asked == [("desk", None, 1)]
    assert answers(capsys)[-1]["reason"] == "close"


def test_an_interrupt_ends_live_audio_well(server: CommandServer) -> None:
    command = [*TURNSTREAM, "client", "-", "--frames", "--url", server.url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert json.loads(client.stdout.readline())["type"] == "begin"
        client.stdin.write(bytes(64000))
        client.stdin.flush()
        client.stdout.readline()  # a prediction: the audio has arrived
        client.send_signal(signal.SIGINT)
        out, err = client.communicate(timeout=20)
    assert (client.returncode, err) == (0, b"")
    assert json.loads(out.splitlines()[-1])["type"] == "termination"


def test_a_server_that_dies_lets_go_of_standard_input(talkative_path: Path) -> None:
    with command_server(talkative_path, "--quiet") as server:
        command = [*TURNSTREAM, "client", "-", "--reconnect", "0", "--url", server.url]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as client:
            assert client.stdout is not None
            client.stdout.readline()
            server.end(signal.SIGKILL)
            assert client.wait(20) == 2
            assert client.stderr is not None
            assert b"was lost before the session ended" in client.stderr.read()


def test_the_agents_file_is_the_second_channel(
    server: CommandServer, talkative_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = dialogue(4.0, seed=1)
    for name, channel in (("user.wav", 0), ("agent.wav", 1)):
        soundfile.write(tmp_path / name, samples[:, channel], 16000)
    agent = ["--agent", str(tmp_path / "agent.wav"), "--fast", "--url", server.url]
    assert main(["client", str(tmp_path / "user.wav"), *agent]) == 0
    begin, *events, _ = answers(capsys)
    assert begin["settings"]["channels"] == 2
    assert [event["time_s"] for event in events] == [
        event.time_s for event in offline(Engine(talkative_path), samples)[1]
    ]


def test_an_agent_beside_two_channels_is_one_clear_line(
    recording: Path, complaint: Callable[..., str]
) -> None:
    assert (
        complaint("client", recording, "--agent", recording)
        == "--agent: expected one channel of each speaker, got 2 of the agent and 2 of the user"
    )


@pytest.mark.parametrize("word", ["-1", "soon", "inf"])
def test_a_time_to_reconnect_that_is_none_is_refused(
    recording: Path, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    with pytest.raises(SystemExit):
        main(["client", str(recording), "--reconnect", word])
    assert f"expected a number of seconds, 0 or more, got '{word}'" in capsys.readouterr().err


def test_a_reader_that_has_gone_is_no_error(server: CommandServer, recording: Path) -> None:
    finished = without_reader("client", recording, "--fast", "--url", server.url)
    assert (finished.returncode, finished.stderr) == (0, "")
