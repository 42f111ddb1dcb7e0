"""Writes what a live command heard and said into a folder, so that it can be studied later, or predicted on again.

    audio.wav        16 bits, both channels if there are two; the very bits that were predicted on
    predictions.csv  as `turnstream predict --out` writes them
    events.csv       as `turnstream predict --events` writes them

Everything is on its way to the disk as soon as it is known, and the wav's header is right after every block: what a crash
leaves behind can be used. `turnstream predict audio.wav` gives the same predictions again: the same bytes where this
process predicted, the 4 decimals of the wire where a server did.
"""

from __future__ import annotations

import csv
import wave
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioFormatError
from ..predict import COLUMNS, EVENT_COLUMNS, event_row, to_row
from ..prediction import Prediction, TurnEvent
from ..protocol import FrameMessage

AUDIO, PREDICTIONS, EVENTS = "audio.wav", "predictions.csv", "events.csv"
_MAX_AUDIO_BYTES = 2**32 - 2**16  # the header of a wav counts to 4 GB: 6 hours of stereo at 48 kHz


class Recording:
    """One session on disk; a context manager that closes the files.

    Args:
        folder: where to; made if missing. It must not hold a recording yet.
        sample_rate_hz, channels: of the audio.
    Raises:
        AudioFormatError: the folder or a file in it cannot be written, or holds a recording already.
    """

    def __init__(self, folder: Path, sample_rate_hz: int, channels: int) -> None:
        self.folder = folder
        self._audio_bytes = 0
        with ExitStack() as stack:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                audio_file = stack.enter_context((folder / AUDIO).open("xb", buffering=0))
                self._audio: wave.Wave_write = stack.enter_context(wave.open(audio_file, "wb"))
                self._audio.setparams((channels, 2, sample_rate_hz, 0, "NONE", ""))
                self._audio.writeframes(b"")
                self._predictions = self._table(folder / PREDICTIONS, COLUMNS, stack)
                self._events = self._table(folder / EVENTS, EVENT_COLUMNS, stack)
            except FileExistsError as error:
                raise AudioFormatError(
                    f"expected a folder without a recording, got {str(folder)!r} with {Path(error.filename).name}"
                ) from None
            except OSError as error:
                raise self._unwritable(error) from None
            self._stack = stack.pop_all()

    def on_audio(self, samples: NDArray[np.int16]) -> None:
        """Write audio, (N, C).

        Raises:
            AudioFormatError: the disk takes no more, or the wav is full; what was written stays.
        """
        self._audio_bytes += samples.nbytes
        if self._audio_bytes > _MAX_AUDIO_BYTES:
            raise AudioFormatError(
                f"expected less than 4 GB of audio, which is all that a wav can hold; the recording in {str(self.folder)!r} is full"
            )
        try:
            self._audio.writeframes(samples.astype("<i2").tobytes())
        except OSError as error:
            raise self._unwritable(error) from None

    def on_prediction(self, p: Prediction | FrameMessage) -> None:
        """Write a row; raises as `on_audio`."""
        self._write(self._predictions, to_row(p))

    def on_event(self, event: TurnEvent) -> None:
        """Write a row; raises as `on_audio`."""
        self._write(self._events, event_row(event))

    def close(self) -> None:
        """Close the files; may be called twice."""
        self._stack.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _write(self, table: csv.DictWriter[str], row: dict[str, Any]) -> None:
        try:
            table.writerow(row)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> AudioFormatError:
        return AudioFormatError(
            f"expected a folder that can be written, got {str(self.folder)!r}: {error.strerror or error}"
        )

    @staticmethod
    def _table(path: Path, columns: tuple[str, ...], stack: ExitStack) -> csv.DictWriter[str]:
        """A table whose lines are written one by one."""
        out = stack.enter_context(path.open("x", newline="", encoding="utf-8", buffering=1))
        table = csv.DictWriter(out, columns, lineterminator="\n")
        table.writeheader()
        return table
