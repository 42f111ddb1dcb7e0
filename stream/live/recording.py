"""Records a live session: writes its audio, predictions and events into a folder.

    audio.wav        16 bits, all channels; exactly the samples that the model got
    predictions.csv  in the format of `turnstream predict --out`
    events.csv       in the format of `turnstream predict --events`

All data is written at once, and the header of the wav is correct after every block. So the files
are valid after a crash. `turnstream predict audio.wav` reproduces the predictions: the same bytes
if this process predicted, or the 4 decimals of the wire if a server predicted.
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
from ..prediction import FrameMessage, TurnEvent
from ..row_file import writing

AUDIO, PREDICTIONS, EVENTS = "audio.wav", "predictions.csv", "events.csv"
_MAX_AUDIO_BYTES = 2**32 - 2**16  # limit of a wav header, 4 GB: 6 hours of stereo at 48 kHz


class Recording:
    """The recording of one session; a context manager that closes the files.

    Args:
        folder: where to write. It is made if it does not exist, and must not hold a recording.
        sample_rate_hz, channels: of the audio.
    Raises:
        AudioFormatError: the folder or a file in it cannot be written, or the folder holds a
            recording.
        OSError: the disk is full or failed.
    """

    def __init__(self, folder: Path, sample_rate_hz: int, channels: int) -> None:
        self.folder = folder
        self._audio_bytes = 0
        with ExitStack() as stack, writing(folder, "folder"):
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
                    "expected a folder without a recording, "
                    f"got {str(folder)!r} with {Path(error.filename).name}"
                ) from None
            self._stack = stack.pop_all()

    def on_audio(self, samples: NDArray[np.int16]) -> None:
        """Write audio, (N, C).

        Raises:
            AudioFormatError: the file cannot be written, or the wav is full. The data written
                before stays.
            OSError: the disk is full or failed. The data written before stays.
        """
        self._audio_bytes += samples.nbytes
        if self._audio_bytes > _MAX_AUDIO_BYTES:
            raise AudioFormatError(
                "expected less than 4 GB of audio, which is all that a wav can hold; "
                f"the recording in {str(self.folder)!r} is full"
            )
        with writing(self.folder, "folder"):
            self._audio.writeframes(samples.astype("<i2").tobytes())

    def on_prediction(self, p: FrameMessage) -> None:
        """Write a prediction as a row; raises as `on_audio`."""
        self._write(self._predictions, to_row(p))

    def on_event(self, event: TurnEvent) -> None:
        """Write an event as a row; raises as `on_audio`."""
        self._write(self._events, event_row(event))

    def close(self) -> None:
        """Close the files; may be called twice."""
        self._stack.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _write(self, table: csv.DictWriter[str], row: dict[str, Any]) -> None:
        with writing(self.folder, "folder"):
            table.writerow(row)

    @staticmethod
    def _table(path: Path, columns: tuple[str, ...], stack: ExitStack) -> csv.DictWriter[str]:
        """Create a table with a header. Every row is written at once."""
        out = stack.enter_context(path.open("x", newline="", encoding="utf-8", buffering=1))
        table = csv.DictWriter(out, columns, lineterminator="\n")
        table.writeheader()
        return table
