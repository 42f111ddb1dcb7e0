"""`turnstream latents gallery`: every view of a network in one folder, and a page of them.

    turnstream latents gallery --out gallery    (the bundled network, the bundled call)
    turnstream latents gallery --source calls.jsonl --model RUN --run RUN --out gallery

A gallery that was cut short is gone on with: what was heard is kept in its `collection` folder, and
views that are there, of the same network and dialogues, are left. A folder with what another
network heard, or of other dialogues, is refused. A view that the dialogues are too few for is named
with the reason.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ....stream.errors import ConfigError, TurnstreamError
from ....stream.saved_embedding import SavedEmbedding
from ....stream.sources import bundled_sample
from ...evaluation.shift_hold import SCORE_S
from ...runs.run_folder import find_snapshots
from ..bars import bar
from ..cells.activations import activations_picture
from ..cells.cells import cell_page
from ..cells.saturation import draw_saturation, gate_saturation
from ..cells.unit_search import find_units
from ..cells.units import draw_units
from ..cells.words import words_page
from ..collect import add_model_argument, load_network, name_of, opened_collection
from ..collection import LAYERS, Collection
from ..events.averages import average_pictures
from ..events.classes import view_classes
from ..events.probe_results import draw_probes
from ..events.probes import probe
from ..film.film import film, film_of_event
from ..interventions.effect_results import draw_ranking
from ..interventions.effects import mean_state, rank_units
from ..interventions.silence_windows import silence_windows
from ..memory.connectivity_view import view_connectivity
from ..memory.encoder_view import encoder_picture
from ..memory.moment_view import view_moment
from ..memory.oracles_view import view_oracles
from ..memory.past_view import view_past
from ..options import option
from ..paths.page import empty_page, explorer
from ..paths.paths_picture import conversation_picture, paths_picture
from ..quality import quality_of
from ..space.colour import colour_picture
from ..space.fitting import projection_for
from ..space.project import project
from ..training.animate import animate, animation_page, moving_stages
from ..training.learning import draw_learning, learn
from ..views import View, dialogue_of
from .index import index_page

if TYPE_CHECKING:
    from ...turn_model import TurnModel

INDEX, DONE, COLLECTED = "index.html", "gallery.json", "collection"
SHOWN_S = 60.0  # of the longest dialogue, where a view shows one from its beginning
STATES, EVENTS, PATHS = "The space of states", "Around events", "Paths and film"
CELLS, MEMORY, TRAINING = "Cells and gates", "Memory", "Training"
SPACES = {
    "tsne": "space_tsne",
    "umap": "space_umap",
    "autoencoder": "space_autoencoder",
    "pca": "space_pca",
}


@dataclass(frozen=True)
class Room:
    """What a gallery is made of.

    Attributes:
        collection: of the dialogues.
        model: the network.
        name: of it.
        run: its run with snapshots, or None.
        out: folder.
    """

    collection: Collection
    model: TurnModel
    name: str
    run: Path | None
    out: Path

    def space(self, method: str, layer: str = "latent") -> Path:
        """File of a projection that was fitted for the gallery."""
        return self.out / f"{SPACES[method]}{'' if layer == 'latent' else '_first'}.json"

    def fitted(self, method: str, layer: str = "latent") -> SavedEmbedding | None:
        """A projection that was fitted for the gallery; None without one of this network."""
        path = self.space(method, layer)
        try:
            return projection_for(self.collection, path) if path.is_file() else None
        except ConfigError:
            return None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents gallery`."""
    option(
        parser,
        "--source SOURCE",
        "dialogues to show: manifest, audio file or collection (default: the bundled call)",
        kind=Path,
    )
    option(
        parser,
        "--out FOLDER",
        "folder for the views; open its index.html",
        kind=Path,
        required=True,
    )
    option(
        parser,
        "--only WORD",
        "make only views whose names contain one of these words, such as gate or t-SNE",
        nargs="+",
    )
    option(
        parser,
        "--run FOLDER",
        "run of `turnstream train --snapshots`, to show what was learned first and how the "
        "space changed (default: before and after training)",
        kind=Path,
    )
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Make every view, and the page."""
    source = args.source or bundled_sample()
    args.out.mkdir(parents=True, exist_ok=True)
    with opened_collection(source, args.model, args.out / COLLECTED) as collection:
        room = Room(collection, load_network(args.model), name_of(args.model), args.run, args.out)
        made, missing = make_views(room, args.only)
        (args.out / INDEX).write_text(
            index_page(room.name, collection, made, missing), encoding="utf-8"
        )
    for title, reason in missing.items():
        print(f"not shown: {title}: {reason}")
    print(f"{len(made)} views in {args.out / INDEX}")
    return 0


def make_views(
    room: Room, only: Sequence[str] | None = None
) -> tuple[list[tuple[str, View]], dict[str, str]]:
    """Make the views; return all that are there by section, and why others could not be made.

    Args:
        room: what they are made of.
        only: words, one of which the name of a view must hold to be made; None makes all. Others
            are given if they were made before.
    Raises:
        ConfigError: no view has such a name.
    """
    steps = _steps(room)
    asked = {
        name
        for _, name, _ in steps
        if only is None or any(word.lower() in name.lower() for word in only)
    }
    if not asked:
        names = ", ".join(name for _, name, _ in steps)
        raise ConfigError(
            f"expected words from the names of views ({names}), got {', '.join(only or ())}"
        )
    key = [
        room.collection.about.weights_sha256,
        [dialogue.id for dialogue in room.collection.dialogues],
        str(room.run),
    ]
    done = _read_done(room.out, key)
    made: list[tuple[str, View]] = []
    missing: dict[str, str] = {}
    for section, title, make in bar(steps, "gallery", "view"):
        if title not in done:
            if title not in asked:
                continue
            try:
                views = make()
            except TurnstreamError as error:
                missing[title] = str(error)
                continue
            done[title] = [
                {"path": view.path.name, "title": view.title, "caption": view.caption}
                for view in views
            ]
            (room.out / DONE).write_text(
                json.dumps({"key": key, "done": done}, indent=1, ensure_ascii=False),
                encoding="utf-8",
            )
        made += [
            (section, View(room.out / words["path"], words["title"], words["caption"]))
            for words in done[title]
        ]
    return made, missing


def _read_done(out: Path, key: list[object]) -> dict[str, list[dict[str, str]]]:
    try:
        there = json.loads((out / DONE).read_text(encoding="utf-8"))
        done: dict[str, list[dict[str, str]]] = there["done"] if there["key"] == key else {}
    except (OSError, ValueError, KeyError):
        return {}
    return {
        title: views
        for title, views in done.items()
        if all((out / view["path"]).is_file() for view in views)
    }


def _steps(room: Room) -> list[tuple[str, str, Callable[[], Sequence[View]]]]:
    """(section, name, how it is made) of every view."""
    from ...checkpoint import load_checkpoint

    collection, model, out = room.collection, room.model, room.out
    longest = max(range(len(collection.dialogues)), key=collection.frame_count)
    end_s = min(SHOWN_S, collection.frame_count(longest) / collection.frame_rate_hz)
    dialogue, name = collection.dialogues[longest].id, room.name

    def space(method: str, layer: str = "latent") -> list[View]:
        path = room.space(method, layer)
        return [project(collection, method, path, path.with_suffix(".png"), layer=layer)]

    def explored() -> list[View]:
        fitted = [room.fitted(method, layer) for method in SPACES for layer in LAYERS]
        spaces = [found for found in fitted if found is not None]
        spaces += [projection_for(collection, None), projection_for(collection, None, dims=3)]
        return [explorer(collection, spaces, out / "explore.html")]

    def paths() -> list[View]:
        plane, path = projection_for(collection, None), out / "conversation.png"
        part = (0.0, end_s)
        return [
            paths_picture(collection, plane, out / "paths.png"),
            conversation_picture(collection, plane, path, dialogue, part),
        ]

    def films() -> list[View]:
        planes = {layer: projection_for(collection, None, layer) for layer in LAYERS}
        spaces = {layer: room.fitted("tsne", layer) or planes[layer] for layer in LAYERS}
        made = [film(collection, longest, spaces, out / "film.mp4", 0.0, end_s)]
        for event in collection.events("shift", "hold")[:1]:
            made.append(film_of_event(collection, event, planes, out / "film_of_event.mp4"))
        return made

    def tracking() -> list[View]:
        search = find_units(collection)
        which = partial(cell_page, model=model, search=search, dialogue=dialogue, end_s=end_s)
        return [draw_units(search, out / "units.png"), which(collection, out / "cell.html")]

    def used() -> list[View]:
        windows, mean = silence_windows(model, collection), mean_state(collection, "latent")
        ranking = rank_units(model, windows, "latent", mean)
        return [draw_ranking(ranking, find_units(collection), out / "intervene.png")]

    def gates() -> list[View]:
        found = gate_saturation(model, [dialogue_of(dialogue) for dialogue in collection.dialogues])
        quality = quality_of(collection).in_words()
        return [draw_saturation(found, out / "gates.png", room.name, quality)]

    def moment() -> list[View]:
        shifts = collection.events("shift")
        if not shifts:
            raise ConfigError("expected a dialogue with a shift, got none")
        where, when_s = out / "moment.png", shifts[0].start_s + SCORE_S
        of = partial(view_moment, dialogue=shifts[0].dialogue, speaker=shifts[0].next, name=name)
        return [of(collection, model, when_s, where)]

    def animation() -> list[View]:
        networks = {"before training": untrained(model), "trained": model}
        if room.run is not None:
            networks = {
                folder.name: load_checkpoint(folder) for folder in find_snapshots(room.run).values()
            }
        stages = moving_stages(networks, collection, 600, "latent")
        found = animate(replace(stages, origin="run"), "tsne")
        return [animation_page(found, out / "animation.html")]

    def coloured(by: str) -> list[View]:
        plane = projection_for(collection, None)
        return [colour_picture(collection, plane, by, out / f"colour_{by}.png")]

    def average(contrast: str) -> list[View]:
        return [average_pictures(collection, out / f"average_{contrast}.png", contrast)]

    def probes() -> list[View]:
        found = probe(collection, model=model, parts=out / "probes.parts")
        return [draw_probes(found, out / "probes.png")]

    def encoder() -> list[View]:
        features, config = model.config.features, model.config.encoder
        path = out / "encoder.png"
        return [encoder_picture(room.name, features, config, model.encoder, path)]

    def activations() -> list[View]:
        path = out / "activations.png"
        return [activations_picture(collection, path, model=model, dialogue=dialogue, end_s=end_s)]

    def words() -> list[View]:
        known = [described.id for described in collection.dialogues if described.words]
        return [words_page(collection, out / "words.html", model=model, dialogue=(*known, None)[0])]

    def classes() -> list[View]:
        return [view_classes(collection, model, out / "classes.png", name=name)]

    def learned(run: Path) -> list[View]:
        return [draw_learning(learn(find_snapshots(run), collection), out / "learning.png")]

    by, seen = [*collection.labels, "floor"], (collection, model)
    contrasts = ("shift-hold", "gap-pause", "speaker-listener")
    steps: list[tuple[str, str, Callable[[], Sequence[View]]]] = [
        (STATES, "t-SNE of the last layer", lambda: space("tsne")),
        (STATES, "t-SNE of the first layer", lambda: space("tsne", "latent_speaker")),
        (STATES, "UMAP", lambda: space("umap")),
        (STATES, "denoising autoencoder", lambda: space("autoencoder")),
        (STATES, "principal components", lambda: space("pca")),
        *((STATES, f"coloured by {column}", partial(coloured, column)) for column in by),
        (STATES, "explorer of points and paths", explored),
        *((EVENTS, f"average encodings, {two}", partial(average, two)) for two in contrasts),
        (EVENTS, "probes", probes),
        (EVENTS, "gains by class of moment", classes),
        (PATHS, "paths", paths),
        (PATHS, "film", films),
        (CELLS, "units", tracking),
        (CELLS, "words coloured by a unit", words),
        (CELLS, "which units are used", used),
        (CELLS, "activations", activations),
        (CELLS, "gate saturation", gates),
        (MEMORY, "what the encoder sees", encoder),
        (
            MEMORY,
            "connectivity",
            lambda: [view_connectivity(*seen, out / "connectivity.png", name=name)],
        ),
        (MEMORY, "one moment", moment),
        (
            MEMORY,
            "quality against the past heard",
            lambda: [view_past(*seen, out / "past.png", name=name)],
        ),
        (MEMORY, "errors by oracles", lambda: view_oracles(*seen, out / "oracles.png", name=name)),
        (TRAINING, "animation over training", animation),
        (TRAINING, "page for files of your own", lambda: [empty_page(out / "page.html")]),
    ]
    if room.run is not None:
        steps.append((TRAINING, "what is learned first", partial(learned, room.run)))
    return steps


def untrained(model: TurnModel) -> TurnModel:
    """A network of the same configuration as it is before training, from seed 0."""
    import torch

    from ...turn_model import TurnModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TurnModel(model.config).eval()
