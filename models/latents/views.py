"""What a view leaves behind: files that a person can open, each with a caption in words."""

from __future__ import annotations

import base64
import html
import io
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from ...stream.errors import ConfigError
from ..dialogues.activity import Samples
from ..dialogues.manifest import Dialogue
from ..evaluation.page import STYLE
from ..evaluation.plots import DPI, THEMES, styled_panels
from .collection import CollectedDialogue, Collection
from .fonts import fonts_for

LIGHT = THEMES[0]
CAPTION_SIZE, CAPTION_CHARACTERS_PER_INCH = 8.5, 15.5
SOUND_RATE_HZ = 16000  # of what pages play
# From -1 to +1 in every view, as Karpathy's cells have it: light enough for a waveform upon it; red
# and blue are apart for colour-blind people, too.
RED_TO_BLUE = ("#c34b5a", "#ffffff", "#5288be")
# Okabe & Ito's colours, which colour-blind people can tell apart, for what views compare. Pages
# have them from here, too.
COLOURS = {
    "other": "#bbbbbb",
    "speaking": "#0072b2",
    "listening": "#56b4e9",
    "pausing": "#009e73",
    "done": "#d55e00",
    "about to speak": "#cc79a7",
    "both speaking": "#e69f00",
    "shift": "#d55e00",
    "hold": "#009e73",
    "gap": "#d55e00",
    "pause": "#009e73",
    "overlap": "#e69f00",
    "backchannel": "#cc79a7",
    "speech": "#0072b2",
    "silence": "#bbbbbb",
    "correct": "#0072b2",
    "wrong": "#d55e00",
    "question": "#cc79a7",
    "statement": "#0072b2",
    "speaker": "#0072b2",
    "listener": "#d55e00",
}


@dataclass(frozen=True)
class View:
    """A file and what it shows.

    Attributes:
        path: of the picture, page, film or table.
        title: a few words.
        caption: what is seen in it, with the figures that were measured.
    """

    path: Path
    title: str
    caption: str


def check_suffix(path: Path, *suffixes: str) -> None:
    """Refuse, before any work is done, a file that could not be written.

    Raises:
        ConfigError: another suffix, or no such folder.
    """
    if path.suffix not in suffixes:
        raise ConfigError(
            f"expected an output file ending in {' or '.join(suffixes)}, got {str(path)!r}"
        )
    if not path.parent.is_dir():
        raise ConfigError(
            f"expected a file that can be written, got {str(path)!r}: no folder "
            f"{str(path.parent)!r}"
        )


@contextmanager
def picture(
    path: Path, title: str, caption: str, size: tuple[float, float], **grid: Any
) -> Iterator[Any]:
    """Panels to draw on, saved in the end as a PNG with the title above and the caption below.

    Args:
        path: .png.
        title, caption: see View.
        size: of the panels together, in inches.
        grid: as for matplotlib's `subplots`.
    """
    from matplotlib.figure import Figure  # not pyplot: no display, no global state

    words = "\n".join(textwrap.wrap(caption, round(size[0] * CAPTION_CHARACTERS_PER_INCH)))
    below = 0.16 * (words.count("\n") + 1) + 0.25
    height = size[1] + below
    with fonts_for(path):
        figure: Any = Figure(figsize=(size[0], height), layout="constrained", facecolor=LIGHT.paper)
        figure.get_layout_engine().set(rect=(0, below / height, 1, 1 - below / height))
        yield styled_panels(figure, LIGHT, **grid)
        figure.suptitle(title, fontsize=12, color=LIGHT.ink)
        figure.text(
            0.012,
            (below - 0.16) / height,
            words,
            fontsize=CAPTION_SIZE,
            color="#555555",
            va="top",
            ha="left",
            linespacing=1.3,
        )
        figure.savefig(path, dpi=DPI, facecolor=LIGHT.paper)


def red_to_blue() -> Any:
    """The colours of -1 to 1, in every view."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("red to blue", RED_TO_BLUE)


def legend_below(panel: Any, columns: int, **look: Any) -> None:
    """Put a panel's legend under its axis, where it covers nothing that is drawn.

    Args:
        panel: with labelled lines or points.
        columns: of the legend.
        look: more for matplotlib's `legend`.
    """
    panel.legend(
        **{"fontsize": 8, "frameon": False, "borderaxespad": 0, **look},
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2),
        ncols=columns,
    )


def write_page(
    path: Path,
    title: str,
    caption: str,
    script: str,
    contents: Mapping[str, Any],
    *,
    plotly: bool = True,
    before: Sequence[str] = (),
) -> None:
    """Write a page that needs nothing but itself.

    Args:
        path: .html.
        title, caption: see View.
        script: name of a file in web/, which finds `contents`, unpacked, in `kit.contents`, and
            draws into the element `view`.
        contents: JSON with numpy arrays in it, which become typed arrays (text: lists); float
            arrays become float32.
        plotly: with the plotting library.
        before: more files in web/, which the script builds on.
    """
    scripts = [_script(name) for name in ("kit.js", *before, script)]
    if plotly:
        from plotly.offline import get_plotlyjs

        scripts.insert(0, get_plotlyjs())
    embedded = json.dumps(_plain({**contents, "colours": COLOURS}), ensure_ascii=False).replace(
        "<", "\\u003c"
    )
    style = STYLE + _script("kit.css")
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{style}</style>"
    )
    path.write_text(
        f'<!doctype html><html lang="en"><head>{head}</head><body><h1>{html.escape(title)}</h1>'
        f'<p class="note">{html.escape(caption)}</p>'
        f'<div id="view"></div><script type="application/json" id="contents">{embedded}</script>'
        + "".join(f"<script>{code}</script>" for code in scripts)
        + "</body></html>\n",
        encoding="utf-8",
    )


def dialogue_of(collected: CollectedDialogue) -> Dialogue:
    """The files of a collected dialogue.

    Raises:
        ConfigError: it came from elsewhere (a CSV file), so there are none.
    """
    if not collected.audio:
        raise ConfigError(
            f"dialogue {collected.id!r}: expected audio, got a collection that was imported "
            "without it"
        )
    return Dialogue(
        collected.id,
        tuple(Path(path) for path in collected.audio),
        (f"{collected.id}/0", f"{collected.id}/1"),
        split=collected.split,
        sample_rate_hz=collected.sample_rate_hz,
        start_s=collected.start_s,
        end_s=collected.end_s,
    )


def number_of(collection: Collection, name: str | None) -> int:
    """The number of a dialogue; None is the first.

    Raises:
        ConfigError: there is none of this name.
    """
    names = [dialogue.id for dialogue in collection.dialogues]
    if name is None:
        return 0
    if name not in names:
        some = f"{', '.join(names[:5])}{', ...' * (len(names) > 5)}"
        raise ConfigError(
            f"expected one of the {len(names)} dialogues of the collection ({some}), got {name!r}"
        )
    return names.index(name)


def sound_of(collected: CollectedDialogue) -> Samples:
    """A collected dialogue's sound, (2, N) at SOUND_RATE_HZ.

    Raises:
        ConfigError: it has none.
        DialogueError: its files cannot be read any more.
    """
    from .collect import load_sound  # loads torch

    return load_sound(dialogue_of(collected), SOUND_RATE_HZ)


def embedded_sound(sound: Samples) -> str:
    """Sound (2, N) at SOUND_RATE_HZ as a data URL of stereo Ogg Vorbis, speaker 0 on the left."""
    written = io.BytesIO()
    with sf.SoundFile(
        written, "w", SOUND_RATE_HZ, 2, format="OGG", subtype="VORBIS", compression_level=0.9
    ) as file:
        for start in range(
            0, sound.shape[1], SOUND_RATE_HZ
        ):  # one long write overflows the stack in libsndfile's Vorbis encoder
            file.write(sound[:, start : start + SOUND_RATE_HZ].T)
    return "data:audio/ogg;base64," + base64.b64encode(written.getvalue()).decode()


def envelope(sound: Samples, frame_rate_hz: float) -> NDArray[np.float32]:
    """Largest magnitude in every frame, (2, N) -> (2, T), the loudest of each speaker being 1."""
    step = round(SOUND_RATE_HZ / frame_rate_hz)
    peaks = (
        np.abs(sound[:, : sound.shape[1] // step * step])
        .reshape(2, -1, step)
        .max(axis=2, initial=0)
    )
    return (peaks / np.maximum(peaks.max(axis=1, keepdims=True, initial=0), 1e-3)).astype(
        np.float32
    )


def _script(name: str) -> str:
    return (files("turnstream.models.latents") / "web" / name).read_text(encoding="utf-8")


def _plain(value: Any) -> Any:
    """JSON's own types; arrays of numbers packed, to be unpacked by kit.js."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiub":
            return value.tolist()
        kind = "f4" if value.dtype.kind == "f" else "u1" if value.dtype == np.uint8 else "i4"
        return {
            "$array": kind,
            "shape": list(value.shape),
            "base64": base64.b64encode(np.ascontiguousarray(value, f"<{kind}").tobytes()).decode(),
        }
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
