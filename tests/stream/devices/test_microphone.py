"""MicrophoneSource: its rules with a fake sounddevice."""

import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from turnstream.stream.devices import microphone
from turnstream.stream.devices.microphone import MicrophoneSource, find_microphone, list_microphones
from turnstream.stream.errors import AudioFormatError, DeviceError

ABLE_HZ = [16000, 44100, 48000]


class FakePortAudioError(Exception):
    pass


def check_input_settings(samplerate: int, **_: Any) -> None:
    if samplerate not in ABLE_HZ:
        raise FakePortAudioError("Invalid sample rate")


class FakeStream:
    """Calls the callback when the test says so."""

    def __init__(self, **settings: Any) -> None:
        check_input_settings(settings["samplerate"])
        self.settings = settings
        self.stopped = True
        self.closed = False
        self.latency = 0.02

    def start(self) -> None:
        self.stopped = False

    def abort(self, ignore_errors: bool) -> None:
        self.stopped = True

    def close(self, ignore_errors: bool) -> None:
        self.closed = True

    def record(self, value: float, overflow: bool = False) -> None:
        block = np.full((self.settings["blocksize"], self.settings["channels"]), value, np.float32)
        self.settings["callback"](block, len(block), None, SimpleNamespace(input_overflow=overflow))
        block[:] = np.nan  # PortAudio reuses its buffer

    def unplug(self) -> None:
        self.settings["finished_callback"]()


DEVICES = [
    {"name": "Speakers", "max_input_channels": 0, "default_samplerate": 48000.0},
    {"name": "USB headset", "max_input_channels": 1, "default_samplerate": 48000.0},
    {"name": "Built-in Microphone", "max_input_channels": 2, "default_samplerate": 44100.0},
    {"name": "headset", "max_input_channels": 1, "default_samplerate": 16000.0},
]


@pytest.fixture
def sounddevice(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    fake = SimpleNamespace(
        query_devices=lambda: DEVICES,
        default=SimpleNamespace(device=[2, 0]),
        InputStream=FakeStream,
        PortAudioError=FakePortAudioError,
        check_input_settings=check_input_settings,
    )
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


@pytest.mark.usefixtures("sounddevice")
class TestRules:
    def test_only_inputs_are_listed(self) -> None:
        found = [(m.index, m.channels, m.sample_rate_hz, m.is_default) for m in list_microphones()]
        assert found == [
            (1, 1, 48000, False),
            (2, 2, 44100, True),
            (3, 1, 16000, False),
        ]

    @pytest.mark.parametrize(
        ("wanted", "index"),
        [(None, 2), (1, 1), ("3", 3), ("built-IN", 2), ("headset", 3), ("USB", 1)],
    )
    def test_a_device_is_found_by_default_number_name_or_part_of_it(
        self, wanted: int | str | None, index: int
    ) -> None:
        assert find_microphone(wanted).index == index

    @pytest.mark.parametrize("wanted", [0, 9, "gramophone", "9"])
    def test_an_unknown_device_is_an_error_that_lists_the_known(self, wanted: int | str) -> None:
        with pytest.raises(
            DeviceError,
            match=r"1 'USB headset', 2 'Built-in Microphone', 3 'headset', got .*--list-devices",
        ):
            find_microphone(wanted)

    def test_no_device_is_an_error_that_says_how_to_list(
        self, sounddevice: SimpleNamespace
    ) -> None:
        sounddevice.query_devices = list
        assert list_microphones() == []
        with pytest.raises(DeviceError, match=r"found no input device; .*--list-devices"):
            MicrophoneSource()

    def test_a_rate_that_the_device_refuses_is_an_error_that_says_which_it_can_do(self) -> None:
        with pytest.raises(
            DeviceError,
            match=(
                "at 12345 Hz with 1 channels cannot be opened: Invalid sample rate; it can do "
                "44100, 16000, 48000 Hz; "
            ),
        ):
            MicrophoneSource(sample_rate_hz=12345)

    def test_a_device_that_cannot_do_its_own_rate_is_opened_at_another(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys.modules[__name__], "ABLE_HZ", [32000, 48000])
        assert MicrophoneSource().sample_rate_hz == 48000
        monkeypatch.setattr(sys.modules[__name__], "ABLE_HZ", [])
        with pytest.raises(
            DeviceError,
            match="at 44100 Hz with 1 channels cannot be opened: Invalid sample rate; `turnstream",
        ):
            MicrophoneSource()

    def test_two_channels_of_a_device_with_one_are_refused(self) -> None:
        with pytest.raises(
            DeviceError, match="expected a device with 2 channels, got 'headset' with 1"
        ):
            MicrophoneSource("headset", channels=2)

    def test_looking_for_devices_again_starts_portaudio_anew(
        self, sounddevice: SimpleNamespace
    ) -> None:
        steps: list[str] = []
        sounddevice._terminate, sounddevice._initialize = (
            lambda: steps.append("terminate"),
            lambda: steps.append("initialize"),
        )
        microphone.rescan_devices()
        assert steps == ["terminate", "initialize"]

    def test_all_that_waits_is_taken_at_once_and_a_loss_is_an_error_after_it(self) -> None:
        source = MicrophoneSource("headset")
        source.start()
        assert source.take_waiting().shape == (0, 1)
        for value in (0.1, 0.2):
            source._stream.record(value)
        source._stream.unplug()
        np.testing.assert_allclose(
            source.take_waiting()[:, 0], np.repeat([0.1, 0.2], 160), rtol=1e-6
        )
        with pytest.raises(DeviceError, match="was it unplugged"):
            source.take_waiting()
        assert source.take_waiting().shape == (0, 1)
        assert source.latency_s == 0.02

    @pytest.mark.parametrize("settings", [{"channels": 3}, {"channels": 0}, {"block_ms": 0}])
    def test_impossible_settings_are_refused(self, settings: dict[str, Any]) -> None:
        with pytest.raises(AudioFormatError, match="1 or 2 channels and block_ms above 0"):
            MicrophoneSource(**settings)

    def test_blocks_come_in_order_at_the_devices_rate(self) -> None:
        source = MicrophoneSource(channels=2)
        blocks = iter(source)
        for value in (0.1, 0.2, 0.3):
            source._stream.record(value)
        received = [next(blocks) for _ in range(3)]
        assert source.sample_rate_hz == 44100
        assert [(block.shape, block.dtype) for block in received] == [((441, 2), np.float32)] * 3
        assert [float(block[0, 0]) for block in received] == pytest.approx([0.1, 0.2, 0.3])
        assert not source._stream.stopped

    def test_a_full_queue_drops_the_oldest_and_counts(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        source = MicrophoneSource("headset", block_ms=20, queue_s=0.1)
        for value in range(8):
            source._stream.record(value / 10, overflow=value in {2, 3})
        assert [
            float(block[0, 0]) for _, block in zip(range(5), source, strict=False)
        ] == pytest.approx([0.3, 0.4, 0.5, 0.6, 0.7])
        assert (source.captured_samples, source.dropped_samples) == (8 * 320, 3 * 320)
        assert source.overflows == 2
        assert [record.message for record in caplog.records] == [
            "microphone 3 'headset' at 16000 Hz with 1 channels: 960 samples dropped (read too "
            "slowly), 2 device overflows"
        ]

    def test_an_unplugged_device_gives_what_it_recorded_and_then_an_error(self) -> None:
        source = MicrophoneSource("headset", block_ms=20)
        source._stream.record(0.5)
        source._stream.unplug()
        blocks = iter(source)
        assert len(next(blocks)) == 320
        with pytest.raises(
            DeviceError, match=r"'headset' .* stopped; was it unplugged\? \(after 0.02 s\)"
        ):
            next(blocks)
        assert source._stream.closed

    def test_a_device_that_gives_nothing_is_an_error_after_a_while(self) -> None:
        with pytest.raises(DeviceError, match=r"gave no audio for 0\.01 s"):
            next(iter(MicrophoneSource(stall_s=0.01)))

    def test_close_ends_an_iteration_that_waits_in_another_thread(self) -> None:
        source = MicrophoneSource("headset")
        source._stream.record(0.5)
        first = threading.Event()
        ended = threading.Event()

        def read() -> None:
            for _ in source:
                first.set()
            ended.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert first.wait(5)
        source.close()
        source.close()
        assert ended.wait(5)
        reader.join()
        assert source._stream.closed
        assert list(source) == []

    def test_leaving_the_context_closes(self) -> None:
        with MicrophoneSource() as source:
            assert not source._stream.closed
        assert source._stream.closed


def test_a_missing_portaudio_library_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    with pytest.raises(
        DeviceError, match=r"apt-get install libportaudio2 \(PortAudio library not found\)"
    ):
        list_microphones()


def test_importing_the_module_does_not_import_sounddevice() -> None:
    code = (
        "import sys; import turnstream.stream.devices.microphone, turnstream.stream.sources; "
        "sys.exit(bool({'sounddevice', 'soundfile'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
