"""A microphone that goes on when its device was unplugged and came back, or when the system has another one.

The rule: a microphone that was chosen by name or number is waited for under its name; the system's default may be replaced by
whatever is the default now. Waiting ends after a time, with the error of the loss. The gap is not filled: time counts the samples
heard. Looking for devices needs every stream of the process closed (see `rescan_devices`), so it is only for a
microphone that is the only one in use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from ..errors import DeviceError
from ..sources import Block
from .microphone import Microphone, MicrophoneSource, rescan_devices

_RETRY_S = 1.0


class SteadyMicrophone:
    """Live blocks of a microphone as from `MicrophoneSource`, across losses of the device.

    Args:
        device, sample_rate_hz, channels: see `MicrophoneSource`; the rate stays whatever device comes.
        wait_s: how long to wait for a device.
        on_notice: told, in the thread that iterates, what is wrong when the device is lost, and None when sound comes again.
    Raises:
        DeviceError, AudioFormatError: as `MicrophoneSource`.
    Attributes:
        microphone: the device in use.
        on_notice: as given; may be replaced before iterating.
    """

    def __init__(
        self,
        device: int | str | None = None,
        *,
        sample_rate_hz: int | None = None,
        channels: int = 1,
        wait_s: float = 30.0,
        on_notice: Callable[[str | None], object] = lambda notice: None,
    ) -> None:
        self._source = MicrophoneSource(device, sample_rate_hz=sample_rate_hz, channels=channels)
        self._chosen = None if device is None else self._source.microphone.name
        self.sample_rate_hz = self._source.sample_rate_hz
        self.channels = channels
        self.on_notice = on_notice
        self._wait_s = wait_s
        self._dropped_samples = self._overflows = 0  # of devices that were lost
        self._closed = threading.Event()

    @property
    def microphone(self) -> Microphone:
        """The device in use, or used last."""
        return self._source.microphone

    @property
    def dropped_samples(self) -> int:
        """Samples per channel dropped because nobody read them in time."""
        return self._dropped_samples + self._source.dropped_samples

    @property
    def overflows(self) -> int:
        """How often a device reported lost audio."""
        return self._overflows + self._source.overflows

    def __iter__(self) -> Iterator[Block]:
        """Give blocks, (N, C) float32, until `close`.

        Raises:
            DeviceError: the device was lost and none came within `wait_s`.
        """
        lost: DeviceError | None = None
        deadline_s = 0.0
        while True:
            try:
                for block in self._source:
                    if lost is not None:
                        lost = None
                        self.on_notice(None)
                    yield block
                return
            except DeviceError as error:
                if lost is None:
                    lost, deadline_s = error, time.monotonic() + self._wait_s
                    awaited = "it or another" if self._chosen is None else "it"
                    self.on_notice(
                        f"Microphone {self.microphone.name} is gone; waiting {self._wait_s:g} s for {awaited}"
                    )
            if not self._reopen(deadline_s):
                if self._closed.is_set():
                    return
                raise DeviceError(f"{lost}, and none came back within {self._wait_s:g} s")

    def close(self) -> None:
        """Stop recording, or waiting; an iteration in another thread ends."""
        self._closed.set()
        self._source.close()

    def _reopen(self, deadline_s: float) -> bool:
        """Try until a device opens; False when the time is over or `close` came."""
        while time.monotonic() < deadline_s and not self._closed.wait(_RETRY_S):
            rescan_devices()
            try:
                source = MicrophoneSource(
                    self._chosen, sample_rate_hz=self.sample_rate_hz, channels=self.channels
                )
            except DeviceError:
                continue
            self._dropped_samples, self._overflows = self.dropped_samples, self.overflows
            self._source = source
            if self._closed.is_set():
                source.close()
            return True
        return False
