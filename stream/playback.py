"""Lets a recording be heard while it is shown, through PortAudio (sounddevice)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import DeviceError


class Playback:
    """One recording on the system's sound output.

    Args:
        path: an audio file that `FileSource` reads.
    Raises:
        DeviceError: the PortAudio library is missing, or there is no output that can play it.
    """

    def __init__(self, path: Path) -> None:
        import soundfile  # pyright: ignore[reportMissingTypeStubs]

        try:
            import sounddevice  # pyright: ignore[reportMissingTypeStubs]
        except OSError as error:
            raise DeviceError(f"no sound: the PortAudio library is missing; on Debian and Ubuntu: apt-get install libportaudio2 ({error})") from None
        self._sounddevice: Any = sounddevice
        reader: Any = soundfile
        self._samples, self._sample_rate_hz = reader.read(path, dtype="float32")
        try:
            self._sounddevice.check_output_settings(samplerate=self._sample_rate_hz, channels=1 if self._samples.ndim == 1 else self._samples.shape[1])
        except (self._sounddevice.PortAudioError, ValueError) as error:
            raise DeviceError(f"no sound: expected an output device that plays {self._sample_rate_hz} Hz ({error})") from None

    def start(self) -> None:
        """Play from the beginning, without waiting."""
        self._sounddevice.play(self._samples, self._sample_rate_hz)

    def stop(self) -> None:
        """Fall silent."""
        self._sounddevice.stop()
