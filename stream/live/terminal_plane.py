"""Draws the plane of a saved embedding in characters: landmarks, reference points, and both paths.

A character holds two by four braille dots. No colours, no I/O: the result names the part that each
character belongs to, and the view colours it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..saved_embedding import SavedEmbedding

Part = Literal["empty", "places", "word", "user", "other", "user_head", "other_head"]
Float32 = NDArray[np.float32]
Dots = NDArray[np.int64]

TRAIL_S = 2.0
HEADS = ("●", "◆")  # user and other speaker; the web page uses the same
LANDMARK = "+"
_PATHS: tuple[Part, Part] = ("user", "other")
_TIPS: tuple[Part, Part] = ("user_head", "other_head")
# (dots drawn, out of this many): a solid line for the user, dashes for the other speaker.
_DASHES = ((1, 1), (3, 5))
# Bit of each dot in a braille character, by row and column.
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_BRAILLE = 0x2800
_BETWEEN = 16  # steps between two points of a path, which make it a line
_LABEL_OFFSETS = (1, -1, 2, -2)  # rows from a landmark to its label; the first free one is taken


@dataclass(frozen=True)
class PlanePicture:
    """Rows of characters, all of the same width, and the part that each character belongs to."""

    characters: list[str]
    parts: list[list[Part]]


class TerminalPlane:
    """Follows both speakers' states through the plane of an embedding.

    Args:
        embedding: the embedding. It has a formula and two dimensions.
        frame_rate_hz: frames per second of the states.
        heard: which speakers have audio. The others are not drawn.
    """

    def __init__(
        self,
        embedding: SavedEmbedding,
        frame_rate_hz: float = 50.0,
        heard: tuple[bool, bool] = (True, True),
    ) -> None:
        self.embedding = embedding
        self.heard = heard
        self._low, self._high = (
            np.array(corner, np.float64) for corner in (embedding.low, embedding.high)
        )
        self._newest = -1
        # Points of both speakers, (2, 2), of consecutive frames.
        self._trail = deque[Float32](maxlen=max(2, round(TRAIL_S * frame_rate_hz)))

    def add(self, frame: int, states: Float32) -> None:
        """Add both speakers' states after a frame, (2, H); the path restarts at a missing frame."""
        if frame != self._newest + 1:
            self._trail.clear()
        self._newest = frame
        self._trail.append(self.embedding.project(states))

    def nearest(self, speaker: int) -> str | None:
        """Return the label of the landmark that is nearest to a speaker.

        Distances are relative to the width and height of the picture. None before the first frame,
        for a speaker without audio, and without landmarks.
        """
        if not (self._trail and self.heard[speaker] and self.embedding.landmarks):
            return None
        here = self._share(self._trail[-1][speaker])
        return min(
            self.embedding.landmarks,
            key=lambda word: math.dist(here, self._share(np.array(self.embedding.landmarks[word]))),
        )

    def picture(self, width: int, rows: int) -> PlanePicture:
        """Draw the plane in `width` x `rows` characters.

        The second dimension points up. Path points outside the plane are drawn at the edge.
        """
        canvas = _Canvas(width, rows)
        canvas.put("places", self._inside(self.embedding.places, width, rows))
        trail = np.array(self._trail)
        for speaker in (1, 0):
            if self.heard[speaker] and len(trail) > 1:
                dots = self._path(trail[:, speaker], width, rows)
                canvas.put(
                    _PATHS[speaker],
                    dots[np.arange(len(dots)) % _DASHES[speaker][1] < _DASHES[speaker][0]],
                )
        self._write_landmarks(canvas)
        for speaker in (1, 0):
            if self.heard[speaker] and len(trail):
                column, row = self.cell(trail[-1, speaker], width, rows)
                canvas.write(row, column, HEADS[speaker], _TIPS[speaker])
        return canvas.picture()

    def cell(self, place: Sequence[float] | Float32, width: int, rows: int) -> tuple[int, int]:
        """Return column and row of the character that a point lies in."""
        column, row = (self._dots(np.array([place], np.float32), width, rows)[0] // (2, 4)).tolist()
        return column, row

    def _share(self, places: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return points relative to the picture: (0, 0) is top left, (1, 1) is bottom right."""
        shares = (places - self._low) / (self._high - self._low)
        return np.stack([shares[..., 0], 1 - shares[..., 1]], axis=-1)

    def _dots(self, places: Float32, width: int, rows: int) -> Dots:
        """Return column and row of the dot of each point (N, 2), clipped to the edge."""
        size = np.array([2 * width, 4 * rows])
        return np.clip(np.floor(self._share(places) * size), 0, size - 1).astype(np.int64)

    def _inside(self, places: Float32, width: int, rows: int) -> Dots:
        shares = self._share(places)
        return self._dots(places[((shares >= 0) & (shares < 1)).all(axis=1)], width, rows)

    def _path(self, places: Float32, width: int, rows: int) -> Dots:
        """Return the dots of a path (T, 2), the newest first, without repeated dots in a row."""
        steps = np.arange(len(places))
        fine = np.linspace(0, len(places) - 1, _BETWEEN * (len(places) - 1) + 1)
        joined = np.stack(
            [np.interp(fine, steps, places[:, axis]) for axis in (0, 1)], axis=1
        ).astype(np.float32)
        dots = self._dots(joined, width, rows)[::-1]
        return dots[np.r_[True, (np.diff(dots, axis=0) != 0).any(axis=1)]]

    def _write_landmarks(self, canvas: _Canvas) -> None:
        crosses = {
            word: self.cell(place, canvas.width, canvas.rows)
            for word, place in self.embedding.landmarks.items()
        }
        for column, row in crosses.values():
            canvas.write(row, column, LANDMARK, "word")
        for word, (column, row) in crosses.items():
            start = max(0, min(canvas.width - len(word), column - len(word) // 2))
            offset = next(
                (
                    offset
                    for offset in _LABEL_OFFSETS
                    if canvas.is_free(row + offset, start, len(word))
                ),
                None,
            )
            if offset is not None:  # without room for its label, a landmark stays a cross
                canvas.write(row + offset, start, word, "word")


class _Canvas:
    """A grid of characters and the part of each. Dots show where no character was written."""

    def __init__(self, width: int, rows: int) -> None:
        self.width, self.rows = width, rows
        self._bits = np.zeros((rows, width), np.int64)
        self._characters = [[" "] * width for _ in range(rows)]
        self._parts: list[list[Part]] = [["empty"] * width for _ in range(rows)]

    def put(self, part: Part, dots: Dots) -> None:
        """Set dots, given as columns and rows (N, 2). A path's dots replace the background's."""
        columns, rows = dots.T // np.array([[2], [4]])
        for row, column in {*zip(rows.tolist(), columns.tolist(), strict=True)}:
            if self._parts[row][column] == "places" != part:
                self._bits[row, column] = 0
            self._parts[row][column] = part
        np.bitwise_or.at(self._bits, (rows, columns), _BITS[dots[:, 1] % 4, dots[:, 0] % 2])

    def write(self, row: int, column: int, text: str, part: Part) -> None:
        """Overwrite characters of a row. Text beyond the end of the row is cut."""
        for place, character in enumerate(text[: self.width - column], column):
            self._characters[row][place], self._parts[row][place], self._bits[row, place] = (
                character,
                part,
                0,
            )

    def is_free(self, row: int, column: int, length: int) -> bool:
        """Return whether `length` characters are free, and one more before and after them."""
        around = range(max(0, column - 1), min(self.width, column + length + 1))
        return (
            0 <= row < self.rows
            and length <= self.width
            and all(self._characters[row][place] == " " for place in around)
        )

    def picture(self) -> PlanePicture:
        """Return the grid, with dots as braille characters."""
        characters = [
            "".join(
                chr(_BRAILLE + bits) if character == " " and bits else character
                for character, bits in zip(line, row, strict=True)
            )
            for line, row in zip(self._characters, self._bits.tolist(), strict=True)
        ]
        return PlanePicture(characters, self._parts)
