"""A microphone that resumes after its device was unplugged.

If the user chose the device by name or number, the microphone waits for a device of the same name.
Otherwise it takes the device that is the system's default now. The wait has a limit; then the
iteration raises an error. The gap is not filled with silence: time is the count of recorded
samples.

A search for devices needs every stream of the process closed (see `rescan_devices`). So use this
class only if no other sound device is open in the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from ..errors import DeviceError
from ..pcm import Block
from .microphone import Microphone, MicrophoneSource, rescan_devices

_RETRY_S = 1.0


class SteadyMicrophone:
    """Live blocks of a microphone like `MicrophoneSource`, but it survives the loss of the device.

    Args:
        device, sample_rate_hz, channels: see `MicrophoneSource`. A new device records at the same
            rate.
        wait_s: how long to wait for a device, in seconds.
        on_notice: called in the thread that iterates: with a message when the device is lost, and
            with None when audio comes again.
    Raises:
        DeviceError, AudioFormatError: as `MicrophoneSource`.
    Attributes:
        microphone: the device in use.
        on_notice: the given function. It may be replaced before the iteration begins.
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
        self._dropped_samples = self._overflows = 0  # counts of lost devices
        self._closed = threading.Event()

    @property
    def microphone(self) -> Microphone:
        """The device in use, or the last device in use."""
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
        """Yield blocks, (N, C) float32, until `close`.

        Raises:
            DeviceError: the device was lost, and no device came back within `wait_s`.
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
                        f"Microphone {self.microphone.name} is gone; "
                        f"waiting {self._wait_s:g} s for {awaited}"
                    )
            if not self._reopen(deadline_s):
                if self._closed.is_set():
                    return
                raise DeviceError(f"{lost}, and none came back within {self._wait_s:g} s")

    def close(self) -> None:
        """Stop recording or waiting. An iteration in another thread ends."""
        self._closed.set()
        self._source.close()

    def _reopen(self, deadline_s: float) -> bool:
        """Try until a device opens. Return False if the time is over or `close` was called."""
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
