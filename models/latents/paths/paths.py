"""`turnstream latents paths`: conversations and events as lines through the plane, to see where the network decides, and where it goes wrong.

turnstream latents paths SOURCE --out paths.html|paths.png [--embedding FILE ...] [--dims 2|3] [--model FOLDER] [--layer NAME]
    [--before SECONDS] [--after SECONDS] [--of KIND ...] [--whose speaker|listener]
    [--most N] [--seed N] [--dialogue ID [--start SECONDS] [--end SECONDS]]

A page to change scale, dimensions and groups in, to compare pairs and to hear them; or a picture of the same for papers (paths_picture.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ....stream.errors import ConfigError, DialogueError
from ....stream.saved_embedding import SavedEmbedding
from ...evaluation.shift_hold import SCORE_S
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import LAYERS, Collection
from ..events.label_contrasts import event_labels
from ..moments import EVENT_KINDS
from ..space.explore import PLACED_EVERY, stability
from ..space.fitting import projection_for
from ..space.trust import UNSTABLE
from ..views import SOUND_RATE_HZ, View, check_suffix, embedded_sound, sound_of, write_page
from .path_states import (
    ROLES,
    Paths,
    PlacedPaths,
    check_whose,
    gather_paths,
    number_of,
    place_track,
    predicted_class,
    stretch_of,
    true_class,
)
from .path_words import caption_of

BEFORE_S, AFTER_S = 1.0, 0.5
MOST = 200
CONVERSATION_MINUTES = 5.0  # in a page, of whole conversations, from the first on
BETWEEN_CLIPS_S = 0.05  # of silence, so that no clip runs into the next one
TITLE = "Paths through the latent space"
Floats = NDArray[np.float32]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents paths`."""
    add_source_argument(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("paths.html"),
        metavar="FILE",
        help="page (.html) or picture (.png) to write (default paths.html)",
    )
    projections = (
        "embedding from `turnstream latents project`; a page takes one in 2 dimensions and one in "
        "3 (default: the bundled plane or principal components)"
    )
    parser.add_argument(
        "--embedding", type=Path, action="append", metavar="FILE.json", help=projections
    )
    parser.add_argument(
        "--dims",
        type=int,
        choices=(2, 3),
        help=(
            "dimensions of the picture, or of the page when it opens (default: those of "
            "--embedding, or 2)"
        ),
    )
    add_model_argument(parser)
    parser.add_argument(
        "--layer", choices=LAYERS, help="layer to show (default: that of --embedding, or latent)"
    )
    parser.add_argument(
        "--before",
        type=float,
        default=BEFORE_S,
        metavar="SECONDS",
        help=f"length of a path before its event (default {BEFORE_S:g})",
    )
    parser.add_argument(
        "--after",
        type=float,
        default=AFTER_S,
        metavar="SECONDS",
        help=f"length of a path from the start of its event on (default {AFTER_S:g})",
    )
    parser.add_argument(
        "--of",
        nargs="+",
        choices=EVENT_KINDS,
        default=["shift", "hold"],
        metavar="KIND",
        help=f"kinds of events to show, of {', '.join(EVENT_KINDS)} (default: shift hold)",
    )
    parser.add_argument(
        "--whose",
        choices=ROLES,
        default="speaker",
        help=(
            "whose state to show: of who spoke before the event, or of who listened (default "
            "speaker)"
        ),
    )
    parser.add_argument(
        "--most",
        type=int,
        default=MOST,
        metavar="N",
        help=f"show at most N events, drawn at random (default {MOST})",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the draw (default 0)"
    )
    parser.add_argument(
        "--dialogue",
        metavar="ID",
        help="show this whole dialogue, both speakers, instead of events",
    )
    parser.add_argument(
        "--start",
        type=float,
        metavar="SECONDS",
        help="time in --dialogue to begin at (default: its start)",
    )
    parser.add_argument(
        "--end",
        type=float,
        metavar="SECONDS",
        help="time in --dialogue to end at (default: its end)",
    )


def main(args: argparse.Namespace) -> int:
    """Write the page or the picture, and say what is in it."""
    check_suffix(args.out, ".html", ".png")
    if args.dialogue is None and (args.start is not None or args.end is not None):
        raise ConfigError("expected --dialogue with --start or --end, got none")
    page = args.out.suffix == ".html"
    with opened_collection(args.source, args.model) as collection:
        first, second = _chosen_projections(
            collection, args.embedding or [], args.layer, args.dims, page
        )
        between = _part(collection, args.dialogue, args.start, args.end)
        which = {
            "kinds": args.of,
            "before_s": args.before,
            "after_s": args.after,
            "most": args.most,
            "seed": args.seed,
        }
        if page:
            shown = {"whose": args.whose, "conversation": args.dialogue, "between": between}
            view = paths_page(collection, first, args.out, second=second, **which, **shown)
        elif args.dialogue is not None:
            from .paths_picture import conversation_picture

            view = conversation_picture(collection, first, args.out, args.dialogue, between)
        else:
            from .paths_picture import paths_picture

            view = paths_picture(collection, first, args.out, whose=args.whose, **which)
    print(f"{view.caption}\n{view.path}")
    return 0


def _part(
    collection: Collection, dialogue: str | None, start_s: float | None, end_s: float | None
) -> tuple[float, float] | None:
    """Start and end of the part of a dialogue that is asked for, in seconds; None: all of it."""
    if dialogue is None or (start_s is None and end_s is None):
        return None
    whole_s = collection.frame_count(number_of(collection, dialogue)) / collection.frame_rate_hz
    return start_s or 0.0, whole_s if end_s is None else end_s


def paths_page(
    collection: Collection,
    projection: SavedEmbedding,
    out: Path,
    *,
    second: SavedEmbedding | None = None,
    kinds: Sequence[str] = ("shift", "hold"),
    before_s: float = BEFORE_S,
    after_s: float = AFTER_S,
    whose: str = "speaker",
    most: int = MOST,
    seed: int = 0,
    conversation: str | None = None,
    between: tuple[float, float] | None = None,
) -> View:
    """Write the page.

    Args:
        collection: of dialogues.
        projection: of its network, in 2 or 3 dimensions, which the page opens with.
        out: .html.
        second: of the same layer, in the other number of dimensions, to change to.
        kinds, before_s, after_s, most, seed: see gather_paths.
        whose: of ROLES, whose paths the page opens with; it has both.
        conversation: id of the dialogue whose whole path the page opens with; None: events.
        between: the part of it, in seconds; None: as much as CONVERSATION_MINUTES.
    Raises:
        ConfigError: what cannot be drawn.
    """
    check_whose(whose)
    if second is not None and second.dims == projection.dims:
        raise ConfigError(
            f"expected a second projection with another number of dimensions, got {second.dims} twice"
        )
    projections = [projection, *([] if second is None else [second])]
    paths = gather_paths(
        collection, projections, kinds, before_s=before_s, after_s=after_s, most=most, seed=seed
    )
    sound, offsets, silent = _clips(collection, paths)
    contents = {
        "model": collection.about.model,
        "layer": paths.layer,
        "width": collection.about.sizes[paths.layer],
        "frame_rate_hz": collection.frame_rate_hz,
        "before_s": before_s,
        "after_s": after_s,
        "judged_s": SCORE_S,
        "unstable": UNSTABLE,
        "whose": ROLES.index(whose),
        "events": [
            asdict(event)
            | {"true": true_class(event), "predicted": predicted_class(event), "labels": labels}
            for event, labels in zip(
                paths.events, event_labels(collection, paths.events), strict=True
            )
        ],
        "projections": [_shown(placed) for placed in paths.placed],
        "nearest": paths.nearest,
        "distance": paths.distance,
        "typical": paths.typical,
        "sound": sound,
        "offsets": offsets,
        "silent": silent,
        "conversations": _conversations(collection, projections, conversation, between),
        "opens": "conversation" if conversation else "paths",
    }
    title = TITLE if conversation is None else f"{TITLE}: {conversation}"
    opens = (
        f"The page opens with the whole path of {conversation}; it also has the paths around events. "
        if conversation
        else ""
    )
    chosen = f"Any event can be chosen, compared with another{', and heard' if sound else ''}."
    caption = f"{opens}{caption_of(collection, paths, ROLES.index(whose))} {chosen}"
    write_page(
        out,
        title,
        caption,
        "paths.js",
        contents,
        before=("paths_events.js", "paths_controls.js", "paths_drawing.js"),
    )
    return View(out, title, caption)


# ---- what the page holds ----


def _shown(placed: PlacedPaths) -> dict[str, Any]:
    projection = placed.projection
    return {
        "method": projection.method,
        "dims": projection.dims,
        "about": projection.about,
        "trust": projection.trust,
        "times_s": np.asarray(placed.times_s, np.float32),
        "places": placed.places,
        "last": placed.last,
        "stability": np.stack(
            [stability(projection, placed.last_points(role)) for role in range(len(ROLES))], axis=1
        ),
    }


def _clips(collection: Collection, paths: Paths) -> tuple[str, Floats, str]:
    """The sound of all windows, one after another; where each begins in it, (E,), NaN where it has none; and why some cannot be heard."""
    pieces: list[NDArray[np.float32]] = []
    offsets = np.full(len(paths.events), np.nan, np.float32)
    samples, failed = 0, []
    for number in tqdm(
        sorted({event.number for event in paths.events}),
        desc="sound",
        unit="dialogue",
        disable=None,
    ):
        try:
            sound = sound_of(collection.dialogues[number])
        except (ConfigError, DialogueError) as error:
            failed.append(str(error))
            continue
        for index, event in enumerate(paths.events):
            if event.number == number:
                first = round((event.start_s - paths.before_s) * SOUND_RATE_HZ)
                last = round((event.start_s + paths.after_s) * SOUND_RATE_HZ)
                piece = np.zeros(
                    (2, last - first + round(BETWEEN_CLIPS_S * SOUND_RATE_HZ)), np.float32
                )
                heard = sound[:, max(0, first) : max(0, last)]
                piece[:, max(0, -first) : max(0, -first) + heard.shape[1]] = heard
                offsets[index] = samples / SOUND_RATE_HZ
                pieces.append(piece)
                samples += piece.shape[1]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    silent = f"Cannot be heard: {failed[0]}{more}." if failed else ""
    return embedded_sound(np.concatenate(pieces, axis=1)) if pieces else "", offsets, silent


def _conversations(
    collection: Collection,
    projections: Sequence[SavedEmbedding],
    conversation: str | None,
    between: tuple[float, float] | None,
) -> list[dict[str, Any]]:
    """Whole paths of both speakers: of one dialogue, or of the first ones until CONVERSATION_MINUTES are used up."""
    numbers = (
        range(len(collection.dialogues))
        if conversation is None
        else [number_of(collection, conversation)]
    )
    left = round(CONVERSATION_MINUTES * 60 * collection.frame_rate_hz)
    events = collection.events("shift", "hold")
    found: list[dict[str, Any]] = []
    for number in numbers:
        first, last = stretch_of(collection, number, between)
        if between is None:
            last = min(last, first + left)
        if last <= first:
            break
        left -= last - first
        frames = collection.frames(number, [projections[0].layer, "speaking"])
        states = frames[projections[0].layer][first:last]
        steps = [PLACED_EVERY[projection.has_formula] for projection in projections]
        whole = collection.frame_count(number) / collection.frame_rate_hz
        found.append(
            {
                "id": collection.dialogues[number].id,
                "whole_s": whole,
                "first": first,
                "last": last,
                "speaking": frames["speaking"][first:last].astype(np.uint8),
                "every": steps,
                "tracks": [
                    place_track(projection, states[::step])
                    for projection, step in zip(projections, steps, strict=True)
                ],
                "events": [
                    asdict(e)
                    for e in events
                    if e.number == number and first <= e.start_s * collection.frame_rate_hz <= last
                ],
            }
        )
    return found


# ---- what is asked for ----


def _chosen_projections(
    collection: Collection, files: Sequence[Path], layer: str | None, dims: int | None, page: bool
) -> tuple[SavedEmbedding, SavedEmbedding | None]:
    """The projection to open with, and for a page that with the other number of dimensions, fitted if it is not given."""
    if len(files) > (2 if page else 1):
        raise ConfigError(
            f"expected {'at most two projections' if page else 'one projection'}, got {len(files)}"
        )
    given = [projection_for(collection, path) for path in files]
    if len({projection.dims for projection in given}) < len(given):
        raise ConfigError(
            f"expected projections in 2 and in 3 dimensions, got two in {given[0].dims}"
        )
    layer = layer or (given[0].layer if given else "latent")
    other = [projection.layer for projection in given if projection.layer != layer]
    if other:
        raise ConfigError(f"expected projections of layer {layer}, got one of {other[0]}")
    by_dims = {projection.dims: projection for projection in given}
    dims = dims or (given[0].dims if given else 2)
    if not page and given and dims not in by_dims:
        raise ConfigError(f"expected a projection in {dims} dimensions, got one in {given[0].dims}")
    for wanted in (dims, 5 - dims) if page else (dims,):
        if wanted not in by_dims:
            by_dims[wanted] = projection_for(collection, None, layer, wanted)
    return by_dims[dims], by_dims.get(5 - dims)
