"""MicrophoneSource records from a real device: a virtual one of PulseAudio."""

import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from turnstream.stream.devices import microphone
from turnstream.stream.errors import DeviceError

from ..command_server import TURNSTREAM

DEADLINE_S = 20.0
TONE_HZ = 700.0

RECORDER = """
import sys
import numpy as np
from turnstream.stream.errors import DeviceError
from turnstream.stream.devices.microphone import MicrophoneSource

kept = []
with MicrophoneSource(sample_rate_hz=16000, block_ms=20) as source:
    try:
        for block in source:
            if not kept:
                print("recording", flush=True)
            kept.append(block)
            loud = np.abs(np.concatenate(kept[-30:])) > 0.05
            # A sine gives 0.936. A gap that a busy machine left in it lowers that.
            if len(kept) >= 30 and loud.mean() > 0.93:
                print("heard", flush=True)
                if sys.argv[1] != "stay":
                    np.save(sys.argv[1], np.concatenate(kept[-30:]))
                    break
    except DeviceError as error:
        print(f"DeviceError: {error}", flush=True)
"""


@dataclass
class Pulse:
    """A PulseAudio daemon of its own.

    Its only sink discards the audio. Its only source is that sink's monitor.
    """

    environment: dict[str, str]
    daemon: subprocess.Popen[bytes]

    def run(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command, env=self.environment, capture_output=True, timeout=DEADLINE_S, check=False
        )

    @contextmanager
    def running(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start a program, whose output can be read line by line, and kill it at the end."""
        with subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def why_no_pulse() -> str | None:
    missing = [
        program for program in ("pulseaudio", "pactl", "paplay") if shutil.which(program) is None
    ]
    if missing:
        return f"not installed: {', '.join(missing)} (apt-get install pulseaudio pulseaudio-utils)"
    if not any(
        Path(folder).glob("*/alsa-lib/libasound_module_pcm_pulse.so")
        for folder in ("/usr/lib", "/usr/lib64")
    ):
        return "not installed: ALSA's pulse plug-in (apt-get install libasound2-plugins)"
    try:
        microphone._sounddevice()
    except DeviceError as error:
        return str(error)
    return None


@pytest.fixture
def pulse(tmp_path: Path) -> Iterator[Pulse]:
    reason = why_no_pulse()
    if reason:
        pytest.skip(reason)
    home = tmp_path / "pulse"
    home.mkdir(mode=0o700)
    (home / ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
    folders = ("HOME", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH", "PULSE_STATE_PATH")
    ours = {"PULSE_SERVER": f"unix:{home}/native", "PULSE_LATENCY_MSEC": "20"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PULSE_", "DBUS_", "ALSA_"))
    }
    environment = kept | dict.fromkeys(folders, str(home)) | ours
    command = [
        *("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes"),
        *("--use-pid-file=no", "--log-level=error"),
        f"--load=module-native-protocol-unix auth-anonymous=1 socket={home}/native",
        "--load=module-null-sink sink_name=virtual rate=48000",
    ]
    daemon = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    started = Pulse(environment, daemon)
    try:
        wait_until(
            lambda: b"virtual.monitor" in started.run("pactl", "list", "sources", "short").stdout,
            "the virtual source",
        )
        yield started
    finally:
        daemon.kill()
        daemon.wait(DEADLINE_S)


def wait_until(reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not reached():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S:g} s for {what}"


def read_line(process: subprocess.Popen[bytes]) -> str:
    """Return the next line of a process's unbuffered output, within the deadline."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], DEADLINE_S)
    assert ready, f"no line from the recorder within {DEADLINE_S:g} s"
    return process.stdout.readline().decode().strip()


@pytest.fixture
def playing(pulse: Pulse, tmp_path: Path) -> Iterator[Pulse]:
    """The daemon while a tone is played into its sink."""
    times = np.arange(48000 * 60) / 48000
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * TONE_HZ * times), 48000)
    with pulse.running("paplay", "--device=virtual", str(tmp_path / "tone.wav")):
        yield pulse


def test_a_tone_played_into_a_virtual_device_is_recorded(playing: Pulse, tmp_path: Path) -> None:
    words = (sys.executable, "-c", RECORDER, str(tmp_path / "heard.npy"))
    with playing.running(*words) as recorder:
        assert recorder.wait(DEADLINE_S) == 0
    heard = np.load(tmp_path / "heard.npy")
    assert heard.shape == (9600, 1)
    steady = heard[-4800:, 0]
    spectrum = np.abs(np.fft.rfft(steady * np.hanning(len(steady)))) ** 2
    frequencies = np.fft.rfftfreq(len(steady), 1 / 16000)
    assert frequencies[spectrum.argmax()] == pytest.approx(TONE_HZ, abs=4)
    assert spectrum[np.abs(frequencies - TONE_HZ) < 10].sum() / spectrum.sum() > 0.95
    assert np.abs(steady).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("loss", ["sink unloaded", "daemon killed"])
def test_a_device_that_disappears_is_an_error_and_no_hang(playing: Pulse, loss: str) -> None:
    with playing.running(sys.executable, "-c", RECORDER, "stay") as recorder:
        assert read_line(recorder) == "recording"
        if loss == "daemon killed":
            playing.daemon.kill()
        else:
            assert playing.run("pactl", "unload-module", "module-null-sink").returncode == 0
        line = read_line(recorder)
        while line == "heard":
            line = read_line(recorder)
        assert line.startswith("DeviceError: microphone ")
        assert "unplugged" in line or "gave no audio" in line
        assert recorder.wait(DEADLINE_S) == 0


def test_listen_goes_on_when_the_device_comes_back_and_keeps_the_recording(
    playing: Pulse, tmp_path: Path
) -> None:
    command = (*TURNSTREAM, "listen", "--plain", "--record", str(tmp_path / "kept"))
    with playing.running(*command) as listening:
        lines = [read_line(listening)]
        wait_until(
            lambda: (tmp_path / "kept" / "predictions.csv").stat().st_size > 5000, "predictions"
        )
        assert playing.run("pactl", "unload-module", "module-null-sink").returncode == 0
        lines.append(read_line(listening))
        while "is gone" not in lines[-1]:
            lines.append(read_line(listening))
        sink = ("module-null-sink", "sink_name=virtual", "rate=48000")
        assert playing.run("pactl", "load-module", *sink).returncode == 0
        while "sound again, from the microphone" not in lines[-1]:
            lines.append(read_line(listening))
        listening.terminate()
        assert listening.wait(DEADLINE_S) == 0
    assert soundfile.info(tmp_path / "kept" / "audio.wav").frames > 0


def test_without_a_daemon_there_is_no_microphone(pulse: Pulse) -> None:
    pulse.daemon.kill()
    pulse.daemon.wait(DEADLINE_S)
    recorder = pulse.run(
        sys.executable,
        "-c",
        "from turnstream.stream.devices.microphone import MicrophoneSource\nMicrophoneSource()",
    )
    assert b"DeviceError: " in recorder.stderr
