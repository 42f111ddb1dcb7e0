"""The page of `turnstream predict --plot FILE.html`: the pictures, with the sound beside them.

While the sound plays, a cursor moves through the rows. A click into a row continues there. The page
is one file and needs nothing else.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_STYLE = """
body { font: 16px system-ui, sans-serif; max-width: 1100px; margin: 0 auto; padding: 0 1em 2em;
  background: #fff; color: #222; }
audio { position: sticky; top: 0; z-index: 1; width: 100%; }
.row { position: relative; cursor: pointer; }
.row svg { display: block; width: 100%; height: auto; }
.cursor { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px; background: #c00;
  pointer-events: none; }
"""

# LEFT and WIDTH: where the time axis lies in a row, as shares of the row's width.
_SCRIPT = """
const sound = document.querySelector("audio");
const rows = [...document.querySelectorAll(".row")];
let shown = null;
function draw() {
  const row = rows[Math.min(rows.length - 1, Math.floor(sound.currentTime / ROW_S))];
  for (const one of rows) one.querySelector(".cursor").hidden = one !== row;
  const share = sound.currentTime / ROW_S - rows.indexOf(row);
  row.querySelector(".cursor").style.left = `${100 * (LEFT + WIDTH * share)}%`;
  if (row !== shown && !sound.paused) row.scrollIntoView({ block: "nearest" });
  shown = row;
  if (!sound.paused) requestAnimationFrame(draw);
}
for (const kind of ["play", "seeked", "timeupdate"]) sound.addEventListener(kind, draw);
rows.forEach((row, place) => row.addEventListener("click", (event) => {
  const { left, width } = row.getBoundingClientRect();
  const share = ((event.clientX - left) / width - LEFT) / WIDTH;
  sound.currentTime = ROW_S * (place + Math.min(1, Math.max(0, share)));
}));
draw();
"""


def page(
    pictures: Sequence[str],
    audio: NDArray[np.float32],
    sample_rate_hz: int,
    title: str,
    *,
    row_s: float,
    left: float,
    width: float,
) -> str:
    """Return the page.

    Args:
        pictures: an SVG element for each row, in order of time.
        audio: samples in [-1, 1], (N, 1) or (N, 2).
        sample_rate_hz: rate of the audio.
        title: title of the page, as plain text.
        row_s: seconds on the time axis of each picture.
        left, width: start and length of the time axis, as shares of the picture's width.
    """
    name = html.escape(title)
    constants = f"const ROW_S = {row_s!r}, LEFT = {left!r}, WIDTH = {width!r};"
    rows = "".join(
        f'<div class="row">{picture}<i class="cursor" hidden></i></div>' for picture in pictures
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        f"<style>{_STYLE}</style><h1>{name}</h1>"
        f'<audio controls src="data:audio/ogg;base64,{_encoded(audio, sample_rate_hz)}"></audio>'
        f"{rows}<p>Click into a row to hear it. Above: the two speakers' sound, shaded where the "
        "model hears speech, with the turn events. Below: the probability that the floor goes to "
        "the other speaker next, in the colour of the one who would get it. Above the dotted line, "
        f"a pause ends the turn.</p><script>{constants}{_SCRIPT}</script></html>"
    )


def _encoded(audio: NDArray[np.float32], sample_rate_hz: int) -> str:
    """Returns the sound as Ogg Vorbis, in base64."""
    import soundfile  # pyright: ignore[reportMissingTypeStubs]

    sound = io.BytesIO()
    with soundfile.SoundFile(
        sound, "w", sample_rate_hz, audio.shape[1], format="OGG", subtype="VORBIS"
    ) as file:
        # Write 1 s at a time: a long write overflows the stack in libsndfile's Vorbis encoder.
        for start in range(0, len(audio), sample_rate_hz):
            file.write(audio[start : start + sample_rate_hz])  # pyright: ignore[reportUnknownMemberType]
    return base64.b64encode(sound.getvalue()).decode()
