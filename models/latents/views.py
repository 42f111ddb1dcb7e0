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
from ..evaluation.page import html_page
from ..evaluation.plots import DPI, THEMES, styled_panels
from .collection import CollectedDialogue, Collection
from .fonts import fonts_for

LIGHT = THEMES[0]
CAPTION_SIZE, CAPTION_CHARACTERS_PER_INCH = 8.5, 15.5
SOUND_RATE_HZ = 16000  # of what pages play
# From -1 to +1 in every view, as Karpathy's cells have it: light enough for a waveform upon it; red
# and blue are apart for colour-blind people, too.
RED_TO_BLUE = ("#c34b5a", "#ffffff", "#5288be")
# Okabe & Ito's colours, which colour-blind people can tell apart, of what views and pages compare.
_COMPARED = {
    "#bbbbbb": ("other", "silence"),
    "#0072b2": ("speaking", "speech", "correct", "statement", "speaker"),
    "#56b4e9": ("listening",),
    "#009e73": ("pausing", "hold", "pause"),
    "#d55e00": ("done", "shift", "gap", "wrong", "listener"),
    "#cc79a7": ("about to speak", "backchannel", "question"),
    "#e69f00": ("both speaking", "overlap"),
}
COLOURS = {name: colour for colour, names in _COMPARED.items() for name in names}


@dataclass(frozen=True)
class View:
    """A picture, page, film or table: its file, a few words, and what is seen and was measured."""

    path: Path
    title: str
    caption: str


def check_suffix(path: Path, *suffixes: str) -> None:
    """Refuse, before any work is done, a file of another suffix, or in no folder: ConfigError."""
    if path.suffix not in suffixes:
        expected = f"an output file ending in {' or '.join(suffixes)}"
        raise ConfigError(f"expected {expected}, got {str(path)!r}")
    if not path.parent.is_dir():
        got = f"{str(path)!r}: no folder {str(path.parent)!r}"
        raise ConfigError(f"expected a file that can be written, got {got}")


@contextmanager
def picture(
    path: Path, title: str, caption: str, size: tuple[float, float], **grid: Any
) -> Iterator[Any]:
    """Panels to draw on, saved in the end as a PNG with the title above and the caption below.

    `size` is that of the panels together, in inches; `grid` is as for matplotlib's `subplots`.
    """
    from matplotlib.figure import Figure  # not pyplot: no display, no global state

    width = round(size[0] * CAPTION_CHARACTERS_PER_INCH)
    words = "\n".join(part for line in caption.splitlines() for part in textwrap.wrap(line, width))
    below = 0.16 * (words.count("\n") + 1) + 0.25
    height = size[1] + below
    look: dict[str, Any] = {"fontsize": CAPTION_SIZE, "va": "top", "ha": "left", "linespacing": 1.3}
    with fonts_for(path):
        figure: Any = Figure(figsize=(size[0], height), layout="constrained", facecolor=LIGHT.paper)
        figure.get_layout_engine().set(rect=(0, below / height, 1, 1 - below / height))
        yield styled_panels(figure, LIGHT, **grid)
        figure.suptitle(title, fontsize=12, color=LIGHT.ink)
        figure.text(0.012, (below - 0.16) / height, words, color="#555555", **look)
        figure.savefig(path, dpi=DPI, facecolor=LIGHT.paper)


def red_to_blue() -> Any:
    """The colours of -1 to 1, in every view."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("red to blue", RED_TO_BLUE)


def legend_below(panel: Any, columns: int, **look: Any) -> None:
    """Put a panel's legend under its axis, where it covers nothing; `look` is more for `legend`."""
    look = {"fontsize": 8, "frameon": False, "borderaxespad": 0, **look}
    panel.legend(**look, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=columns)


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
        path, title, caption: of the View, a .html.
        script: name of a file in web/, which finds `contents`, unpacked, in `kit.contents`, and
            draws into the element `view`.
        contents: JSON with numpy arrays in it, which become typed arrays (text: lists); float
            arrays become float32.
        plotly, before: with the plotting library; with more files in web/ that the script needs.
    """
    scripts = [_script(name) for name in ("kit.js", *before, script)]
    if plotly:
        from plotly.offline import get_plotlyjs

        scripts.insert(0, get_plotlyjs())
    embedded = json.dumps(_plain({**contents, "colours": COLOURS}), ensure_ascii=False)
    embedded = embedded.replace("<", "\\u003c")
    body = (
        f'<h1>{html.escape(title)}</h1><p class="note">{html.escape(caption)}</p>'
        f'<div id="view"></div><script type="application/json" id="contents">{embedded}</script>'
        + "".join(f"<script>{code}</script>" for code in scripts)
    )
    path.write_text(html_page(title, body, _script("kit.css")), encoding="utf-8")


def dialogue_of(collected: CollectedDialogue) -> Dialogue:
    """The files of a collected dialogue; ConfigError if it was imported, so that there are none."""
    if not collected.audio:
        raise ConfigError(
            f"dialogue {collected.id!r}: expected audio, got a collection that was imported "
            "without it"
        )
    return Dialogue(
        collected.id,
        tuple(map(Path, collected.audio)),
        (f"{collected.id}/0", f"{collected.id}/1"),
        split=collected.split,
        sample_rate_hz=collected.sample_rate_hz,
        start_s=collected.start_s,
        end_s=collected.end_s,
    )


def number_of(collection: Collection, name: str | None) -> int:
    """The number of a dialogue, None being the first; ConfigError if none has this name."""
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
    """A dialogue's sound, (2, N) at SOUND_RATE_HZ; ConfigError, DialogueError if there is none."""
    from .collect import load_sound  # loads torch

    return load_sound(dialogue_of(collected), SOUND_RATE_HZ)


def embedded_sound(sound: Samples) -> str:
    """Sound (2, N) at SOUND_RATE_HZ as a data URL of stereo Ogg Vorbis, speaker 0 on the left."""
    written, second = io.BytesIO(), SOUND_RATE_HZ
    kind: dict[str, Any] = {"format": "OGG", "subtype": "VORBIS", "compression_level": 0.9}
    with sf.SoundFile(written, "w", SOUND_RATE_HZ, 2, **kind) as file:
        # One long write overflows the stack in libsndfile's Vorbis encoder.
        for start in range(0, sound.shape[1], second):
            file.write(sound[:, start : start + second].T)
    return "data:audio/ogg;base64," + base64.b64encode(written.getvalue()).decode()


def envelope(sound: Samples, frame_rate_hz: float) -> NDArray[np.float32]:
    """Largest magnitude in every frame, (2, N) -> (2, T), the loudest of each speaker being 1."""
    step = round(SOUND_RATE_HZ / frame_rate_hz)
    frames = np.abs(sound[:, : sound.shape[1] // step * step]).reshape(2, -1, step)
    peaks = frames.max(axis=2, initial=0)
    loudest = np.maximum(peaks.max(axis=1, keepdims=True, initial=0), 1e-3)
    return (peaks / loudest).astype(np.float32)


def _script(name: str) -> str:
    return (files("turnstream.models.latents") / "web" / name).read_text(encoding="utf-8")


def _plain(value: Any) -> Any:
    """JSON's own types; arrays of numbers packed, to be unpacked by kit.js."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        kind = "f4" if value.dtype.kind == "f" else "u1" if value.dtype == np.uint8 else "i4"
        packed = base64.b64encode(np.ascontiguousarray(value, f"<{kind}").tobytes()).decode()
        return {"$array": kind, "shape": list(value.shape), "base64": packed}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
