"""A microphone that is unplugged, and is plugged in again or not."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from turnstream.stream.devices import steady_microphone
from turnstream.stream.devices.steady_microphone import SteadyMicrophone
from turnstream.stream.errors import DeviceError

from ..fake_microphone import FakeMicrophone

BLOCK = np.full((480, 1), 0.5, np.float32)
GONE = DeviceError("microphone 3 'Headset' stopped; was it unplugged?")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, FakeMicrophone | DeviceError]]:
    """The opened devices: (requested device, result).

    The test gives the results; the fixture records the requests.
    """
    plan: list[tuple[object, FakeMicrophone | DeviceError]] = []
    opened = iter(range(99))

    def opening(device: object, *, sample_rate_hz: int | None, channels: int) -> FakeMicrophone:
        number = next(opened)
        _, what = plan[min(number, len(plan) - 1)]
        plan[min(number, len(plan) - 1)] = ((device, sample_rate_hz), what)
        if isinstance(what, DeviceError):
            raise what
        return what

    monkeypatch.setattr(steady_microphone, "MicrophoneSource", opening)
    monkeypatch.setattr(steady_microphone, "rescan_devices", lambda: None)
    monkeypatch.setattr(steady_microphone, "_RETRY_S", 0.001)
    return plan


@pytest.mark.parametrize(
    ("device", "asked_again", "awaited"),
    [(None, None, "it or another"), ("head", "Headset", "it"), (3, "Headset", "it")],
)
def test_it_goes_on_with_the_device_of_the_same_name_or_the_default(
    opened: list[tuple[object, object]], device: object, asked_again: object, awaited: str
) -> None:
    first, last = FakeMicrophone([BLOCK, BLOCK, GONE], 16000), FakeMicrophone([BLOCK], 16000)
    first.dropped_samples, first.overflows = 5, 1
    last.dropped_samples, last.overflows = 2, 1
    opened += [(None, first), (None, DeviceError("not yet")), (None, last)]
    notices: list[str | None] = []
    source = SteadyMicrophone(device, on_notice=notices.append)
    assert len(list(source)) == 3
    assert notices == [f"Microphone Headset is gone; waiting 30 s for {awaited}", None]
    assert [asked for asked, _ in opened] == [
        (device, None),
        (asked_again, 16000),
        (asked_again, 16000),
    ]
    assert (source.dropped_samples, source.overflows) == (7, 2)


def test_a_device_that_opens_but_gives_nothing_is_not_back(
    opened: list[tuple[object, object]],
) -> None:
    opened += [
        (None, FakeMicrophone([BLOCK, GONE])),
        (None, FakeMicrophone([GONE])),
        (None, FakeMicrophone([BLOCK])),
    ]
    notices: list[str | None] = []
    assert len(list(SteadyMicrophone(on_notice=notices.append))) == 2
    assert [notice is None for notice in notices] == [False, True]


def test_when_none_comes_back_it_is_the_error_of_the_loss(
    opened: list[tuple[object, object]],
) -> None:
    opened += [(None, FakeMicrophone([BLOCK, GONE])), (None, DeviceError("no input device"))]
    blocks = iter(SteadyMicrophone(wait_s=0.05))
    next(blocks)
    with pytest.raises(DeviceError, match=r"was it unplugged\?, and none came back within 0\.05 s"):
        next(blocks)


def test_close_ends_the_waiting(
    opened: list[tuple[object, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steady_microphone, "_RETRY_S", 60)
    opened += [(None, FakeMicrophone([BLOCK, GONE]))]
    waiting, ended = threading.Event(), threading.Event()

    def read() -> None:
        list(source)
        ended.set()

    source = SteadyMicrophone(on_notice=lambda notice: waiting.set())
    reader = threading.Thread(target=read)
    reader.start()
    assert waiting.wait(5)
    source.close()
    assert ended.wait(5)
    reader.join()
