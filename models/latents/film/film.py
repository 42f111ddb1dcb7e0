"""`turnstream latents film`: a conversation, while its points light up in the network's layers.

turnstream latents film SOURCE --out film.mp4 [--dialogue ID] [--start SECONDS --end SECONDS]
turnstream latents film SOURCE --out film.mp4 --event N

The first has the sound. The second shows one shift or hold, four times slower and silent.

An MP4 file (H.264 and AAC, through PyAV) that browsers play. Picture k is of the middle of the time
in which it is seen, and shows the newest frame of the network that has been heard whole by then:
sight and sound are never a picture apart. Nothing is interpolated. film_planes.py and film_strip.py
draw, film_file.py writes; here are what is drawn, the sound and the caption.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ....stream.saved_embedding import SavedEmbedding
from ...dialogues.activity import Samples
from ...evaluation.shift_hold import SCORE_S
from ..bars import bar
from ..collect import add_model_argument, add_source_argument, load_sound, opened_collection
from ..collection import LAYERS, Collection, Event
from ..fonts import fonts_for
from ..importing import UNKNOWN
from ..options import add_out, option, shown
from ..quality import quality_of
from ..space.fitting import placer, projection_for
from ..space.trust import TITLES, UNSTABLE, figures_in_words
from ..views import SOUND_RATE_HZ, View, check_suffix, dialogue_of, envelope, number_of
from .film_file import pictures, write_film
from .film_planes import Plane
from .film_stretch import SIDES, Stretch, clock

AROUND_S = 1.0  # before and after the silence of an event
SLOWER = 4  # a film of an event
TRAIL_S = 1.5
CLOUD = 2500  # points, where the projection brings no places
LOUDNESS_HZ, CLOSE_LOUDNESS_HZ = 100.0, 400.0  # of the waveforms, the latter of a few seconds
CLOSE_S = 6.0
LONGEST_NAME, LEGEND_LETTERS = 24, 150  # what there is room for at the top


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents film`."""
    add_source_argument(parser)
    add_out(parser, what="film to write", metavar="FILE.mp4")
    option(parser, "--dialogue ID", "dialogue of SOURCE to show (default: the first)")
    option(
        parser,
        "--start SECONDS",
        "time in the dialogue to begin at (default: its start)",
        kind=float,
    )
    option(parser, "--end SECONDS", "time in the dialogue to end at (default: its end)", kind=float)
    option(
        parser,
        "--event N",
        f"show one of the dialogue's shifts and holds, counted from 0, {SLOWER} times slower "
        "and without sound",
        kind=int,
    )
    option(
        parser,
        "--embedding FILE.json",
        "embedding of the last layer, from `turnstream latents project` (default: the bundled "
        "plane, or principal components)",
        kind=Path,
    )
    option(
        parser,
        "--embedding-speaker FILE.json",
        "embedding of the first layer (default: principal components of SOURCE)",
        kind=Path,
    )
    option(parser, "--fps N", "pictures per second (default %(default)s)", 25)
    option(
        parser,
        "--height N",
        "height of the picture in pixels; it is 16:9 (default %(default)s)",
        720,
    )
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
        _part(collection, number, args.start, args.end)  # before anything is fitted
        files = {"latent_speaker": args.embedding_speaker, "latent": args.embedding}
        projections = {
            layer: projection_for(collection, files[layer], layer)
            for layer in LAYERS
            if layer in collection.about.sizes
        }
        shape = {"fps": args.fps, "height": args.height}
        if event is not None:
            view = film_of_event(collection, event, projections, args.out, **shape)
        else:
            part = args.start, args.end
            view = film(collection, number, projections, args.out, *part, **shape)
    return shown(view)


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
    sound = _sound(collection, number, start_s, end_s)
    stretch, planes = _look(collection, number, projections, start_s, end_s, sound)
    trail, below = f"the last {TRAIL_S:g} s", _below(stretch, sound is not None)
    caption = " ".join(
        [
            _opening(collection, number, stretch, sound is not None),
            _points(planes, trail, below),
            _turns(collection, number, stretch),
            quality_of(collection).in_words(),
        ]
    )
    title = (
        f"{_short(collection.dialogues[number].id)}, {clock(start_s)} to {clock(end_s)}, in "
        f"{_short(collection.about.model)}"
    )
    view, words = View(out, title, caption), _legend(trail, below)
    return _write(view, stretch, planes, sound, TRAIL_S, words, fps, height)


def film_of_event(
    collection: Collection,
    event: Event,
    projections: Mapping[str, SavedEmbedding],
    out: Path,
    *,
    fps: int = 25,
    height: int = 720,
    slower: int = SLOWER,
) -> View:
    """Film one shift or hold: the path grows, slowly and silent, while the prediction is made.

    Args:
        collection, projections, out, fps, height: as in `film`.
        event: a shift or a hold of the collection.
        slower: so many times.
    Raises:
        ConfigError, DialogueError: as in `film`.
    """
    length_s = _length_s(collection, event.number)
    start_s, end_s = max(0.0, event.start_s - AROUND_S), min(length_s, event.end_s + AROUND_S)
    sound = _sound(collection, event.number, start_s, end_s)
    stretch, planes = _look(collection, event.number, projections, start_s, end_s, sound)
    below = _below(stretch, sound is not None)
    what = f"a {event.kind} of {_short(event.dialogue)} at {clock(event.start_s, 1)}"
    told = ""
    if event.p_shift is not None:
        judged = "right" if event.correct else "wrong"
        told = (
            f" {SCORE_S:g} s into the silence the network gave a shift {event.p_shift:.2f}, which "
            f"was {judged}."
        )
    caption = (
        f"{what[0].upper()}{what[1:]}, in {collection.about.model}: from "
        f"{event.start_s - start_s:.1f} s before to {end_s - event.end_s:.1f} s after "
        f"a silence of {event.end_s - event.start_s:.2f} s, {_between(event)}, {slower} times "
        f"slower and without sound.{told} "
        + _points(planes, "all of it since the film began", below)
        + f" {quality_of(collection).in_words()}"
    )
    title = (
        f"{what[0].upper()}{what[1:]}, {slower} times slower, in {_short(collection.about.model)}"
    )
    view, words = View(out, title, caption), _legend("all since the film began", below)
    return _write(view, stretch, planes, None, np.inf, words, fps, height, slower)


def check_shape(fps: int, height: int) -> int:
    """The height, if it can be filmed.

    Raises:
        ConfigError: it cannot.
    """
    if not 1 <= fps <= 60:
        raise ConfigError(f"expected 1 to 60 pictures a second, got {fps}")
    if height % 2 or not 180 <= height <= 2160:
        raise ConfigError(f"expected an even height of 180 to 2160 pixels, got {height}")
    return height


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


def _short(name: str) -> str:
    """A name as long as there is room for."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _length_s(collection: Collection, number: int) -> float:
    return collection.frame_count(number) / collection.frame_rate_hz


def _part(
    collection: Collection, number: int, start_s: float | None, end_s: float | None
) -> tuple[float, float]:
    length_s = _length_s(collection, number)
    start_s, end_s = 0.0 if start_s is None else start_s, length_s if end_s is None else end_s
    if not 0 <= start_s < end_s <= length_s + 0.5 or end_s - start_s < 0.1:
        raise ConfigError(
            f"expected a part of at least 0.1 s between 0 and {length_s:.2f} s, got {start_s:g} to "
            f"{end_s:g} s"
        )
    return start_s, min(end_s, length_s)


def _times(start_s: float, end_s: float, step_s: float) -> list[float]:
    """Of the pictures: the middle of the time in which each is seen."""
    count = max(1, round((end_s - start_s) / step_s))
    return [start_s + (number + 0.5) * step_s for number in range(count)]


def _write(
    view: View,
    stretch: Stretch,
    planes: Mapping[str, Plane],
    sound: Samples | None,
    trail_s: float,
    words: str,
    fps: int,
    height: int,
    slower: int = 1,
) -> View:
    """Draw a film, so many times slower, and write it."""
    times_s = _times(stretch.start_s, stretch.end_s, 1 / fps / slower)
    look: dict[str, Any] = {"title": view.title, "words": words, "trail_s": trail_s}
    drawn = pictures(stretch, planes, times_s, height=check_shape(fps, height), **look)
    progress = bar(drawn, "film", "picture", len(times_s))
    with fonts_for(view.path):
        write_film(view.path, progress, fps, height, sound, view.title, view.caption)
    return replace(view, title=f"Film: {view.title}")


def _sound(collection: Collection, number: int, start_s: float, end_s: float) -> Samples | None:
    """Of a part of a dialogue, (2, N) at SOUND_RATE_HZ; None where it was imported without."""
    collected = collection.dialogues[number]
    if not collected.audio:
        return None
    dialogue = dialogue_of(collected)
    return load_sound(
        replace(dialogue, start_s=dialogue.start_s + start_s, end_s=dialogue.start_s + end_s),
        SOUND_RATE_HZ,
    )


def _look(
    collection: Collection,
    number: int,
    projections: Mapping[str, SavedEmbedding],
    start_s: float,
    end_s: float,
    sound: Samples | None,
) -> tuple[Stretch, dict[str, Plane]]:
    """What is drawn of a part of a dialogue, and on what."""
    if not projections:
        raise ConfigError("expected a projection of at least one layer, got none")
    rate_hz = collection.frame_rate_hz
    frames = slice(int(np.ceil(start_s * rate_hz - 1e-6)), int(end_s * rate_hz + 1e-6))
    planes: dict[str, Plane] = {}
    places: dict[str, NDArray[np.float32]] = {}
    for layer, projection in projections.items():
        if projection.layer != layer or projection.dims != 2:
            raise ConfigError(
                f"expected a projection of {layer} to 2 dimensions, got one of {projection.layer} "
                f"to {projection.dims}"
            )
        states = collection.frames(number, [layer])[layer]
        these = states[frames]
        place = placer(projection)
        places[layer] = place(these.reshape(-1, these.shape[-1])).reshape(len(these), 2, 2)
        own = len(projection.places) == 0
        cloud = (
            place(states.reshape(-1, states.shape[-1])[:: max(1, 2 * states.shape[0] // CLOUD)])
            if own
            else projection.places
        )
        unstable = np.zeros(len(cloud), bool) if own else projection.stability < UNSTABLE
        marks = (
            f"grey: states {'of this dialogue' if own else 'it was fitted on'}; +: means"
            + "; ×: neighbours change in a refit" * bool(unstable.any())
        )
        planes[layer] = Plane(projection, cloud, unstable, _subtitle(projection), marks)
    said = {
        name: values[frames]
        for name, values in collection.frames(number, ["speaking", "holder", "p_next"]).items()
    }
    holder = said["holder"][:, 0].astype(int)
    p_shift = np.where(
        holder < 0, np.nan, said["p_next"][np.arange(len(holder)), 1 - np.maximum(holder, 0)]
    )
    loudness = (
        np.zeros((2, 1), np.float32)
        if sound is None
        else envelope(sound, CLOSE_LOUDNESS_HZ if end_s - start_s < CLOSE_S else LOUDNESS_HZ)
    )
    events = [
        event
        for event in collection.events("shift", "hold")
        if event.number == number and event.end_s > start_s and event.start_s < end_s
    ]  # of the whole dialogue's only these are seen
    times_s = (np.arange(frames.start, frames.start + len(holder)) + 1) / rate_hz
    return Stretch(
        start_s,
        end_s,
        times_s,
        places,
        said["speaking"].astype(bool),
        holder,
        p_shift,
        loudness,
        events,
    ), planes


def _subtitle(projection: SavedEmbedding) -> str:
    words = TITLES[projection.method]
    if "explained" in projection.settings:
        explained = projection.settings["explained"]
        pairs = zip(
            projection.settings.get("principal", range(1, len(explained) + 1)),
            explained,
            strict=True,
        )
        words += " " + " and ".join(
            f"{component} ({share:.0%} of the variance)" for component, share in pairs
        )
    return f"{words}\n{figures_in_words(projection)}"


def _below(stretch: Stretch, sounding: bool) -> str:
    """What the strip shows."""
    rows = [
        "sound, shaded where that speaker speaks" if sounding else "where each speaker speaks",
        "a bar for who has the floor",
    ]
    if np.isfinite(stretch.p_shift).any():
        rows.append(
            "the probability that it goes to the other one, as far as it has been predicted"
        )
    return ", ".join(rows[:-1]) + ", and " + rows[-1]


def _legend(trail: str, below: str) -> str:
    said = (
        "A point is what the network holds in mind of one speaker now; its trail is "
        f"{trail}, thick while nobody speaks. Below: {below}. "
    )
    return "\n".join(
        textwrap.wrap(
            said
            + "Silences of shifts and holds have a name; ✓ if predicted right (ring), ✗ if wrong.",
            LEGEND_LETTERS,
        )
    )


def _opening(collection: Collection, number: int, stretch: Stretch, sounding: bool) -> str:
    sound = (
        f"with its sound (speaker 0 {SIDES[0]}, speaker 1 {SIDES[1]})"
        if sounding
        else "without sound, which the collection was imported without"
    )
    return (
        f"{clock(stretch.start_s)} to {clock(stretch.end_s)} of "
        f"{collection.dialogues[number].id} in {collection.about.model}, {sound}."
    )


def _points(planes: Mapping[str, Plane], trail: str, below: str) -> str:
    what = {
        "latent_speaker": "the first recurrent layer, which hears one speaker",
        "latent": "the last one, which hears both",
    }
    layers = "; ".join(
        f"{what[layer]} ({TITLES[plane.projection.method]})" for layer, plane in planes.items()
    )
    return (
        f"{'From left to right: ' * (len(planes) > 1)}{layers}. A point is what the network holds "
        "in mind of one speaker, filled while the speaker speaks; "
        f"its trail is {trail}, thick while nobody speaks. Below: {below}."
    )


def _between(event: Event) -> str:
    if event.speaker == event.next:
        return f"after which speaker {event.speaker} goes on"
    return f"after which speaker {event.next} follows speaker {event.speaker}"


def _turns(collection: Collection, number: int, stretch: Stretch) -> str:
    """How many shifts and holds are in it, and how many of these were predicted right."""
    if collection.dialogues[number].activity_from == UNKNOWN:
        return "Who spoke when is not known, so it has no shifts and holds."
    counted: list[str] = []
    for kind in ("shift", "hold"):
        events = [event for event in stretch.events if event.kind == kind]
        told = [event for event in events if event.correct is not None]
        right = (
            f" ({sum(bool(event.correct) for event in told)} of {len(told)} predicted right, "
            f"{SCORE_S:g} s into the silence)"
            if told
            else ""
        )
        counted.append(f"{len(events)} {kind}{'s' * (len(events) != 1)}{right}")
    return f"In it are {counted[0]} and {counted[1]}."
