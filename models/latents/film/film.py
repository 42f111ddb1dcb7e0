"""`turnstream latents film`: a conversation, while its points light up in the network's layers.

turnstream latents film SOURCE --out film.mp4 [--dialogue ID] [--start SECONDS --end SECONDS]
turnstream latents film SOURCE --out film.mp4 --event N

The first has the sound. The second shows one shift or hold, four times slower and silent.

Picture k is of the middle of the time in which it is seen, and shows the newest frame of the
network that has been heard whole by then: sight and sound are never a picture apart. Nothing is
interpolated. film_planes.py and film_strip.py draw, film_file.py writes.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ....stream.errors import ConfigError
from ....stream.saved_embedding import SavedEmbedding
from ...evaluation.shift_hold import SCORE_S
from ..bars import bar
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import LAYERS, Collection, Event
from ..drawing import listed
from ..fonts import fonts_for
from ..importing import UNKNOWN
from ..moments import shift_probability
from ..options import add_out, option, shown
from ..quality import quality_of
from ..space.fitting import place_known, placer, projection_for
from ..space.trust import name_of_fit
from ..views import View, check_suffix, number_of, sound_of
from .film_file import pictures, write_film
from .film_strip import SIDES, Float32, Stretch, clock

AROUND_S = 1.0  # before and after the silence of an event
SLOWER = 4  # a film of an event
TRAIL_S = 1.5
LONGEST_NAME, LEGEND_LETTERS = 24, 150  # what there is room for at the top
LEGEND = (
    "A point is what the network holds in mind of one speaker now, hollow while silent; its trail "
    "is {}, thick while nobody speaks. Below: {}, and a bar for who has the floor. Silences of "
    "shifts and holds have a name."
)
PREDICTED = (
    " Last, the probability that the floor goes to the other one, as far as it has been predicted; "
    "✓ if predicted right (ring), ✗ if wrong."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents film`."""
    add_source_argument(parser)
    add_out(parser, what="film to write", metavar="FILE.mp4")
    slowly = (
        "show one of the dialogue's shifts and holds, counted from 0, "
        f"{SLOWER} times slower and without sound"
    )
    last = (
        "embedding of the last layer, from `turnstream latents project` (default: the bundled "
        "plane, or principal components)"
    )
    first = "embedding of the first layer (default: principal components of SOURCE)"
    option(parser, "--dialogue ID", "dialogue of SOURCE to show (default: the first)")
    for name, words, kind in (
        ("--start SECONDS", "time in the dialogue to begin at (default: its start)", float),
        ("--end SECONDS", "time in the dialogue to end at (default: its end)", float),
        ("--event N", slowly, int),
        ("--embedding FILE.json", last, Path),
        ("--embedding-speaker FILE.json", first, Path),
    ):
        option(parser, name, words, kind=kind)
    option(parser, "--fps N", "pictures per second", 25)
    option(parser, "--height N", "height of the picture in pixels; it is 16:9", 720)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Make the film."""
    check_suffix(args.out, ".mp4")
    check_shape(args.fps, args.height)
    if args.event is not None and (args.start is not None or args.end is not None):
        raise ConfigError("expected either --event or --start and --end, got both")
    with opened_collection(args.source, args.model) as collection:
        number = number_of(collection, args.dialogue)
        event = None if args.event is None else event_of(collection, number, args.event)
        part = _part(collection, number, args.start, args.end)  # before anything is fitted
        files = {"latent_speaker": args.embedding_speaker, "latent": args.embedding}
        projections = {
            layer: projection_for(collection, files[layer], layer)
            for layer in LAYERS
            if layer in collection.about.sizes
        }
        shape = {"fps": args.fps, "height": args.height}
        if event is not None:
            return shown(film_of_event(collection, event, projections, args.out, **shape))
        return shown(film(collection, number, projections, args.out, *part, **shape))


def film(
    collection: Collection,
    number: int,
    projections: Mapping[str, SavedEmbedding],
    out: Path,
    start_s: float | None = None,
    end_s: float | None = None,
    *,
    fps: int = 25,
    height: int = 720,
) -> View:
    """Film a dialogue, or a part of it, with its sound.

    Args:
        collection: what the network held in mind; of imported ones the film is silent.
        number: of the dialogue.
        projections: of the layers to show, to two dimensions.
        out: .mp4.
        start_s, end_s: part of the dialogue; None for its ends.
        fps, height: of the pictures.
    Raises:
        ConfigError: no such part, or projections that are no planes of these layers.
        DialogueError: the sound cannot be read any more.
    """
    start_s, end_s = _part(collection, number, start_s, end_s)
    stretch = _look(collection, number, projections, start_s, end_s)
    dialogue, part = collection.dialogues[number], f"{clock(start_s)} to {clock(stretch.end_s)}"
    heard = f"speaker 0 {SIDES[0]}, speaker 1 {SIDES[1]}"
    figures = {
        "dialogue": f"{dialogue.id}, {part}",
        "sound": heard if stretch.sound is not None else "without sound, as it was imported",
    }
    if dialogue.activity_from == UNKNOWN:
        figures["who spoke when"] = "not known, so it has no shifts and holds"
    else:
        figures |= {f"{kind}s": _told_right(stretch.events, kind) for kind in ("shift", "hold")}
    what = f"{_short(dialogue.id)}, {part},"
    return _write(out, what, figures, collection, stretch, 1, fps, height)


def film_of_event(
    collection: Collection,
    event: Event,
    projections: Mapping[str, SavedEmbedding],
    out: Path,
    *,
    fps: int = 25,
    height: int = 720,
) -> View:
    """Film a shift or a hold as `film` does a part of a dialogue, but slowly and silent.

    The path grows while the prediction is made.
    """
    around = max(0.0, event.start_s - AROUND_S), event.end_s + AROUND_S
    stretch = _look(collection, event.number, projections, *around)
    begins = clock(event.start_s, 1)
    before_s, after_s = event.start_s - stretch.start_s, stretch.end_s - event.end_s
    figures = {
        "dialogue": f"{event.dialogue}, a {event.kind} at {begins}, {SLOWER} times slower",
        "sound": "without sound",
        "silence": f"{event.end_s - event.start_s:.2f} s, seen from {before_s:.1f} s before to "
        f"{after_s:.1f} s after it",
        "speaker before and after it": f"{event.speaker} and {event.next}",
    }
    if event.p_shift is not None:
        verdict = "right" if event.correct else "wrong"
        figures[f"p(shift) {SCORE_S:g} s into it"] = f"{event.p_shift:.2f}, which was {verdict}"
    what = f"A {event.kind} of {_short(event.dialogue)} at {begins}, {SLOWER} times slower,"
    return _write(out, what, figures, collection, stretch, SLOWER, fps, height)


def check_shape(fps: int, height: int) -> None:
    """Refuse pictures that cannot be filmed, by a ConfigError."""
    if not 1 <= fps <= 60:
        raise ConfigError(f"expected 1 to 60 pictures a second, got {fps}")
    if height % 2 or not 180 <= height <= 2160:
        raise ConfigError(f"expected an even height of 180 to 2160 pixels, got {height}")


def event_of(collection: Collection, number: int, index: int) -> Event:
    """One of a dialogue's shifts and holds.

    Raises:
        ConfigError: there are not so many.
    """
    events = [event for event in collection.events("shift", "hold") if event.number == number]
    if not 0 <= index < len(events):
        raise ConfigError(
            f"dialogue {collection.dialogues[number].id!r}: expected one of its {len(events)} "
            f"shifts and holds, counted from 0, got {index}"
        )
    return events[index]


def _part(
    collection: Collection, number: int, start_s: float | None, end_s: float | None
) -> tuple[float, float]:
    length_s = collection.frame_count(number) / collection.frame_rate_hz
    start_s, end_s = 0.0 if start_s is None else start_s, length_s if end_s is None else end_s
    if not 0 <= start_s < end_s <= length_s + 0.5 or end_s - start_s < 0.1:
        raise ConfigError(
            f"expected a part of at least 0.1 s between 0 and {length_s:.2f} s, got {start_s:g} to "
            f"{end_s:g} s"
        )
    return start_s, end_s


def _look(
    collection: Collection,
    number: int,
    projections: Mapping[str, SavedEmbedding],
    start_s: float,
    end_s: float,
) -> Stretch:
    """What is drawn and heard of a part of a dialogue."""
    if not projections:
        raise ConfigError("expected a projection of at least one layer, got none")
    rate_hz, dialogue = collection.frame_rate_hz, collection.dialogues[number]
    end_s = min(end_s, collection.frame_count(number) / rate_hz)
    first, end = int(np.ceil(start_s * rate_hz - 1e-6)), int(end_s * rate_hz + 1e-6)
    columns = collection.frames(number, ["speaking", "holder", "p_next", *projections])
    columns = {name: values[first:end] for name, values in columns.items()}
    places: dict[str, Float32] = {}
    for layer, projection in projections.items():
        if projection.layer != layer or projection.dims != 2:
            raise ConfigError(
                f"expected a projection of {layer} to 2 dimensions, got one of {projection.layer} "
                f"to {projection.dims}"
            )
        places[layer] = place_known(placer(projection), columns[layer], 2)
    sound = None
    if dialogue.audio:
        part = {"start_s": dialogue.start_s + start_s, "end_s": dialogue.start_s + end_s}
        sound = sound_of(replace(dialogue, **part))
    return Stretch(
        start_s,
        end_s,
        times_s=(np.arange(first, end) + 1) / rate_hz,
        places=places,
        speaking=columns["speaking"].astype(bool),
        holder=columns["holder"][:, 0].astype(int),
        p_shift=shift_probability(columns),
        events=[
            event
            for event in collection.events("shift", "hold")
            if event.number == number and event.end_s > start_s and event.start_s < end_s
        ],
        planes=projections,
        sound=sound,
    )


def _write(
    out: Path,
    what: str,
    figures: Mapping[str, str],
    collection: Collection,
    stretch: Stretch,
    slower: int,
    fps: int,
    height: int,
) -> View:
    """Draw a film, so many times slower, and write it."""
    check_shape(fps, height)
    long = slower > 1
    trail = "all since the film began" if long else f"the last {TRAIL_S:g} s"
    sound = "shading" if stretch.sound is None else "sound, shaded"
    legend = LEGEND.format(trail, f"{sound} where that speaker speaks")
    if np.isfinite(stretch.p_shift).any():
        legend += PREDICTED
    planes = "planes, from left to right" if len(stretch.planes) > 1 else "plane"
    figures = {
        "network": collection.about.model,
        **figures,
        planes: ", ".join(map(name_of_fit, stretch.planes.values())),
    }
    caption = f"{legend} {listed(figures)} {quality_of(collection).in_words()}"
    title = f"{what} in {_short(collection.about.model)}"
    words = "\n".join(textwrap.wrap(legend, LEGEND_LETTERS))
    times_s = _times(stretch, 1 / fps / slower)
    shown_s = np.inf if long else TRAIL_S
    drawn = pictures(stretch, times_s, height, shown_s, title, words)
    with fonts_for(out):
        images = bar(drawn, "film", "picture", len(times_s))
        write_film(out, images, fps, height, None if long else stretch.sound, title, caption)
    return View(out, f"Film: {title}", caption)


def _times(stretch: Stretch, step_s: float) -> list[float]:
    """Of the pictures: the middle of the time in which each is seen."""
    count = max(1, round((stretch.end_s - stretch.start_s) / step_s))
    return [stretch.start_s + (number + 0.5) * step_s for number in range(count)]


def _short(name: str) -> str:
    """A name as long as there is room for."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _told_right(events: Sequence[Event], kind: str) -> str:
    """How many there are of a kind, and how many of these were predicted right."""
    told = [event.correct for event in events if event.kind == kind]
    judged = [correct for correct in told if correct is not None]
    right = f"{sum(judged)} of {len(judged)} predicted right {SCORE_S:g} s into the silence"
    return f"{len(told)}, {right}" if judged else f"{len(told)}"
