"""The code that `demo` and `listen` share: what it shows, its error messages, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import re
import signal
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from turnstream.stream.devices.second_channel import DeviceVoice, PairedSource
from turnstream.stream.engine import Engine
from turnstream.stream.errors import DeviceError, ServerError
from turnstream.stream.live import listener
from turnstream.stream.live.listener import Connect, Listener
from turnstream.stream.live.live_audio import LiveAudio
from turnstream.stream.live.local_client import LocalClient
from turnstream.stream.live.terminal_screen import Screen
from turnstream.stream.prediction import FrameMessage, Pair
from turnstream.stream.protocol import TerminationMessage
from turnstream.stream.sources import AudioSource

from ..fake_microphone import FakeMicrophone

SOUND = np.random.default_rng(5).normal(0, 0.1, (480, 1)).astype(np.float32)
NOTHING = np.zeros((48000, 1), np.float32)


@pytest.fixture(scope="module")
def engine(tiny_model_path: Path) -> Engine:
    return Engine(tiny_model_path)


@pytest.fixture
def local(engine: Engine) -> Connect:
    return lambda settings: LocalClient(engine, settings)


def hear(source: AudioSource, connect: Connect, record: Path | None = None) -> str:
    out = io.StringIO()
    assert (
        Listener(LiveAudio(source, "Headset"), out=out, record=record).run("listen", connect) == 0
    )
    return out.getvalue()


def on_frame(monkeypatch: pytest.MonkeyPatch, frame: int, then: Callable[[], object]) -> None:
    """Call a function when a prediction has been shown."""
    shown = Screen.on_prediction

    def show(
        self: Screen,
        p: FrameMessage,
        latency_s: float | None = None,
        levels_dbfs: Pair | None = None,
    ) -> None:
        shown(self, p, latency_s, levels_dbfs)
        if p.frame == frame:
            then()

    monkeypatch.setattr(Screen, "on_prediction", show)


def test_lost_audio_is_said_once_and_summed_up(local: Connect) -> None:
    def lose() -> None:
        source.dropped_samples += 4800
        source.overflows += 1

    source = FakeMicrophone([SOUND, lose, SOUND, SOUND, SOUND])
    text = hear(source, local)
    assert text.startswith("Headset, model tiny 0")
    assert text.count("too slow: some sound was skipped") == 1
    assert text.count("the sound card lost some audio") == 1
    assert "0.10 s of sound were skipped" in text


def test_a_muted_microphone_is_said_after_three_seconds_and_withdrawn(
    local: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices: list[str | None] = []
    noticed = Screen.on_notice

    def note(self: Screen, text: str | None) -> None:
        notices.append(text)
        noticed(self, text)

    monkeypatch.setattr(Screen, "on_notice", note)
    text = hear(FakeMicrophone([SOUND, *[NOTHING] * 7, SOUND]), local)
    assert notices == ["No sound for 3 s: is the microphone muted?", None]
    assert text.count("! No sound for 3 s: is the microphone muted?\n") == 1
    assert text.count("* sound again\n") == 1
    assert "nothing but zeros" not in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_well_with_all_that_was_heard(
    local: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    on_frame(monkeypatch, 3, lambda: signal.raise_signal(number))
    source = FakeMicrophone([SOUND] * 10, endless=True)
    text = hear(source, local, tmp_path)
    assert source.closed
    rows = (tmp_path / "predictions.csv").read_text().splitlines()[1:]
    assert f" {len(rows)} predictions\n" in text
    assert f"Recorded in {tmp_path}\n" in text
    assert 4 <= len(rows) == -(-soundfile.info(tmp_path / "audio.wav").frames // 960)
    assert signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}


def test_a_second_signal_ends_it_at_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf(LocalClient):
        """A client that never receives the end."""

        async def close(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    on_frame(monkeypatch, 3, lambda: signal.raise_signal(signal.SIGTERM))
    text = hear(FakeMicrophone([SOUND] * 10, endless=True), lambda settings: Deaf(engine, settings))
    assert " predictions\n" in text


def test_an_end_without_last_answers_takes_no_longer_than_it_may(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mute(LocalClient):
        """A client that never sends the end."""

        async def close(self) -> None:
            """Do nothing."""

    monkeypatch.setattr(listener, "_LAST_ANSWERS_S", 0.05)
    on_frame(monkeypatch, 3, lambda: signal.raise_signal(signal.SIGTERM))
    text = hear(FakeMicrophone([SOUND] * 10, endless=True), lambda settings: Mute(engine, settings))
    assert " predictions\n" in text


def test_a_lost_device_is_an_error_after_all_that_was_heard_and_the_recording_stays(
    local: Connect, tmp_path: Path
) -> None:
    out, source = (
        io.StringIO(),
        FakeMicrophone([SOUND] * 9 + [DeviceError("microphone 3 stopped; was it unplugged?")]),
    )
    listening = Listener(LiveAudio(source, "Headset"), out=out, record=tmp_path)
    with pytest.raises(DeviceError, match="was it unplugged"):
        listening.run("listen", local)
    assert f"Recorded in {tmp_path}\n0.1 s of conversation, 5 predictions\n" in out.getvalue()
    assert soundfile.info(tmp_path / "audio.wav").frames == 9 * 480
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 6


def test_a_full_disk_is_not_the_users_mistake_and_what_was_heard_is_summed_up(
    local: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: wave.Wave_write, samples: bytes) -> None:
        written(self, samples)
        if self.getnframes() >= 9 * 480:
            raise OSError(errno.ENOSPC, "No space left on device")

    written = wave.Wave_write.writeframes
    monkeypatch.setattr(wave.Wave_write, "writeframes", write)
    out, source = io.StringIO(), FakeMicrophone([SOUND] * 10, endless=True)
    listening = Listener(LiveAudio(source, "Headset"), out=out, record=tmp_path)
    with pytest.raises(OSError, match="No space left on device") as caught:
        listening.run("listen", local)
    assert caught.value.filename == str(tmp_path)  # `turnstream` prints it and returns 1
    assert f"Recorded in {tmp_path}\n0.1 s of conversation, 4 predictions\n" in out.getvalue()
    assert source.closed


def test_a_server_that_ends_the_session_is_said(engine: Engine) -> None:
    class Ending(LocalClient):
        """A server that is shutting down."""

        async def __aiter__(self) -> AsyncIterator[TerminationMessage]:
            self.finished = True
            yield TerminationMessage(0, 1.5, "shutdown")

    source = FakeMicrophone([SOUND], endless=True)
    with pytest.raises(
        ServerError, match=r"the server ended the session after 1\.5 s of audio \(shutdown\)"
    ):
        hear(source, lambda settings: Ending(engine, settings))
    assert source.closed


def test_clocks_that_drift_apart_are_said_but_not_for_every_block(
    local: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starve(settings: object, sample_rate_hz: int) -> FakeMicrophone:
        return FakeMicrophone([NOTHING[:4800]], sample_rate_hz)

    monkeypatch.setattr("turnstream.stream.devices.second_channel.MicrophoneSource", starve)
    source = PairedSource(FakeMicrophone([SOUND] * 30), DeviceVoice("loopback", 48000))
    text = hear(source, local)
    said = re.findall(
        (
            r"the two devices' clocks differ: so far (\d+) ms of silence put into Other's channel, "
            "0 ms left out"
        ),
        text,
    )
    assert len(said) == 1
    assert 10 <= int(said[0]) <= 300


def test_a_client_that_cannot_connect_leaves_nothing_open_and_no_recording(tmp_path: Path) -> None:
    @contextlib.asynccontextmanager
    async def refused(settings: object) -> AsyncIterator[LocalClient]:
        await asyncio.sleep(0)
        raise ServerError("unreachable", "no server")
        yield

    source = FakeMicrophone([SOUND])
    with pytest.raises(ServerError, match="no server"):
        hear(source, refused, tmp_path / "kept")
    assert source.closed
    assert not (tmp_path / "kept").exists()
