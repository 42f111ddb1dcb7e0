"""`turnstream latents gallery`: every view of a network in one folder, and a page of them.

    turnstream latents gallery --out gallery                                     (the bundled network, the bundled call)
    turnstream latents gallery --source calls.jsonl --model RUN --run RUN --out gallery

A gallery that was cut short is gone on with: what was heard is kept in its `collection` folder, and views that are there, of the same
network and dialogues, are left. A folder with what another network heard, or of other dialogues, is refused. A view that the dialogues are
too few for is named with the reason.
"""

from __future__ import annotations

import argparse
import html
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tqdm import tqdm

from ....stream.errors import ConfigError, TurnstreamError
from ....stream.sources import bundled_sample
from ...checkpoint import load_checkpoint
from ...evaluation.page import STYLE
from ...runs.run_folder import find_snapshots
from ...turn_model import TurnModel
from ..collect import add_model_argument, load_network, name_of, opened_collection
from ..collection import Collection
from ..quality import quality_of
from ..views import View

if TYPE_CHECKING:
    from ....stream.saved_embedding import SavedEmbedding

INDEX, DONE, COLLECTED = "index.html", "gallery.json", "collection"
SHOWN_S = 60.0  # of the longest dialogue, where a view shows one from its beginning
LOOKS = "body { max-width: 1200px } iframe { width: 100%; height: 900px; border: 1px solid var(--faint) } video { width: 100% } img { background: #fff }"
LAYERS_IN_WORDS = (
    "The first layer is the per-speaker RNN, which hears one channel; the last one is the cross-speaker RNN, which hears what both hold in mind. "
    "Each caption says what was measured; a picture of few events can mislead, and its caption says how few they are."
)
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
        """A projection that was fitted for the gallery; None where there is none, or only one of another network."""
        from ..space.fitting import projection_for

        path = self.space(method, layer)
        try:
            return projection_for(self.collection, path) if path.is_file() else None
        except ConfigError:
            return None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents gallery`."""
    parser.add_argument(
        "--source",
        type=Path,
        metavar="SOURCE",
        help="dialogues to show: manifest, audio file or collection (default: the bundled call)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder for the views; open its index.html",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="WORD",
        help="make only views whose names contain one of these words, such as gate or t-SNE",
    )
    parser.add_argument(
        "--run",
        type=Path,
        metavar="FOLDER",
        help=(
            "run of `turnstream train --snapshots`, to show what was learned first and how the "
            "space changed (default: before and after training)"
        ),
    )
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Make every view, and the page."""
    source = args.source or bundled_sample()
    args.out.mkdir(parents=True, exist_ok=True)
    with opened_collection(source, args.model, args.out / COLLECTED) as collection:
        room = Room(collection, load_network(args.model), name_of(args.model), args.run, args.out)
        made, missing = make_views(room, args.only)
        (args.out / INDEX).write_text(page(room, made, missing), encoding="utf-8")
    for title, reason in missing.items():
        print(f"not shown: {title}: {reason}")
    print(f"{len(made)} views in {args.out / INDEX}")
    return 0


def make_views(
    room: Room, only: Sequence[str] | None = None
) -> tuple[list[tuple[str, View]], dict[str, str]]:
    """All views that are there now, with the section each belongs to, and the reasons of those that could not be made.

    Args:
        room: what they are made of.
        only: words, one of which the name of a view must hold to be made; None makes all. Others are given if they were made before.
    Raises:
        ConfigError: no view has such a name.
    """
    steps = list(_steps(room))
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
    for section, title, make in tqdm(steps, desc="gallery", unit="view", disable=None):
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


def _steps(room: Room) -> Iterator[tuple[str, str, Callable[[], Sequence[View]]]]:
    """(section, name, how it is made) of every view. What a view needs is imported when it is made."""
    collection, model, out = room.collection, room.model, room.out
    longest = max(range(len(collection.dialogues)), key=collection.frame_count)
    end_s = min(SHOWN_S, collection.frame_count(longest) / collection.frame_rate_hz)

    def fitted(method: str, layer: str = "latent", dims: int = 2) -> Callable[[], list[View]]:
        def make() -> list[View]:
            from ..space.project import project

            path = room.space(method, layer)
            return [
                project(collection, method, path, path.with_suffix(".png"), layer=layer, dims=dims)
            ]

        return make

    yield "The space of states", "t-SNE of the last layer", fitted("tsne")
    yield "The space of states", "t-SNE of the first layer", fitted("tsne", "latent_speaker")
    yield "The space of states", "UMAP", fitted("umap")
    yield "The space of states", "denoising autoencoder", fitted("autoencoder")
    yield "The space of states", "principal components", fitted("pca")

    def explore() -> list[View]:
        from ..space.explore import explore

        spaces = [
            space
            for method in SPACES
            for layer in ("latent", "latent_speaker")
            if (space := room.fitted(method, layer)) is not None
        ]
        if not spaces:
            raise ConfigError(
                "expected a projection to explore, got none, since none could be fitted"
            )
        return [explore(collection, spaces, out / "explore.html")]

    yield "The space of states", "explorer", explore

    def average(contrast: str) -> Callable[[], list[View]]:
        def make() -> list[View]:
            from ..events.averages import average_pictures

            return [average_pictures(collection, out / f"average_{contrast}.png", contrast)]

        return make

    for contrast in ("shift-hold", "gap-pause", "speaker-listener"):
        yield "Around events", f"average encodings, {contrast}", average(contrast)

    def probes() -> list[View]:
        from ..events.probe_results import draw_probes
        from ..events.probes import probe

        return [
            draw_probes(
                probe(collection, model=model, parts=out / "probes.parts"), out / "probes.png"
            )
        ]

    yield "Around events", "probes", probes

    def paths() -> list[View]:
        from ..paths.paths import paths_page
        from ..paths.paths_picture import conversation_picture, paths_picture
        from ..space.fitting import projection_for

        plane, space = projection_for(collection, None), projection_for(collection, None, dims=3)
        identity = collection.dialogues[longest].id
        return [
            paths_picture(collection, plane, out / "paths.png"),
            paths_page(collection, plane, out / "paths.html", second=space),
            conversation_picture(
                collection, plane, out / "conversation.png", identity, (0.0, end_s)
            ),
        ]

    yield "Paths and film", "paths", paths

    def films() -> list[View]:
        from ..film.film import event_of, film, film_of_event
        from ..space.fitting import projection_for

        spaces = {
            layer: room.fitted("tsne", layer) or projection_for(collection, None, layer)
            for layer in ("latent_speaker", "latent")
        }
        made = [film(collection, longest, spaces, out / "film.mp4", 0.0, end_s)]
        if collection.events("shift", "hold"):
            event = collection.events("shift", "hold")[0]
            planes = {layer: projection_for(collection, None, layer) for layer in spaces}
            made.append(
                film_of_event(
                    collection,
                    event_of(collection, event.number, 0),
                    planes,
                    out / "film_of_event.mp4",
                )
            )
        return made

    yield "Paths and film", "film", films

    def units() -> list[View]:
        from ..cells.cells import cell_page
        from ..cells.unit_search import find_units
        from ..cells.units import draw_units

        search = find_units(collection)
        identity = collection.dialogues[longest].id
        return [
            draw_units(search, out / "units.png"),
            cell_page(
                collection,
                out / "cell.html",
                model=model,
                search=search,
                dialogue=identity,
                end_s=end_s,
            ),
        ]

    yield "Cells and gates", "units", units

    def used() -> list[View]:
        from ..cells.unit_search import find_units
        from ..interventions.effect_results import draw_ranking
        from ..interventions.effects import mean_state, rank_units
        from ..interventions.silence_windows import silence_windows

        windows = silence_windows(model, collection)
        ranking = rank_units(model, windows, "latent", mean_state(collection, "latent"))
        return [draw_ranking(ranking, find_units(collection), out / "intervene.png")]

    yield "Cells and gates", "which units are used", used

    def activations() -> list[View]:
        from ..cells.activations import activations_picture

        return [
            activations_picture(
                collection,
                out / "activations.png",
                model=model,
                dialogue=collection.dialogues[longest].id,
                end_s=end_s,
            )
        ]

    yield "Cells and gates", "activations", activations

    def gates() -> list[View]:
        from ..cells.saturation import draw_saturation, gate_saturation
        from ..views import dialogue_of

        found = gate_saturation(model, [dialogue_of(dialogue) for dialogue in collection.dialogues])
        quality = quality_of(collection).in_words()
        return [draw_saturation(found, out / "gates.png", room.name, quality)]

    yield "Cells and gates", "gate saturation", gates

    def encoder() -> list[View]:
        from ..memory.encoder_view import encoder_picture

        features, encoder = model.config.features, model.config.encoder
        path = out / "encoder.png"
        return [encoder_picture(room.name, features, encoder, model.encoder, path)]

    yield "Memory", "what the encoder sees", encoder

    def connectivity() -> list[View]:
        from ..memory.connectivity_view import view_connectivity

        return [view_connectivity(collection, model, out / "connectivity.png", name=room.name)]

    yield "Memory", "connectivity", connectivity

    def moment() -> list[View]:
        from ...evaluation.shift_hold import SCORE_S
        from ..memory.moment_view import view_moment

        shifts = collection.events("shift")
        if not shifts:
            raise ConfigError("expected a dialogue with a shift, got none")
        event, path = shifts[0], out / "moment.png"
        which = {"dialogue": event.dialogue, "speaker": event.next, "name": room.name}
        return [view_moment(collection, model, event.start_s + SCORE_S, path, **which)]

    yield "Memory", "one moment", moment

    def past() -> list[View]:
        from ..memory.past_view import view_past

        return [view_past(collection, model, out / "past.png", name=room.name)]

    yield "Memory", "quality against the past heard", past

    def oracles() -> list[View]:
        from ..memory.oracles_view import view_oracles

        return view_oracles(collection, model, out / "oracles.png", name=room.name)

    yield "Memory", "errors by oracles", oracles

    if room.run is not None:
        run = room.run

        def learning() -> list[View]:
            from ..training.learning import draw_learning, learn

            return [draw_learning(learn(find_snapshots(run), collection), out / "learning.png")]

        yield "Training", "what is learned first", learning

    def animation() -> list[View]:
        from ..training.animate import animate, animation_page
        from ..training.stages import follow, read_stages

        networks = {"before training": untrained(model), "trained": model}
        if room.run is not None:
            networks = {
                folder.name: load_checkpoint(folder) for folder in find_snapshots(room.run).values()
            }
        stages = replace(
            read_stages(networks, collection, follow(collection, 600), "latent"), origin="run"
        )
        return [animation_page(animate(stages, "tsne"), out / "animation.html")]

    yield "Training", "animation over training", animation


def untrained(model: TurnModel) -> TurnModel:
    """A network of the same configuration as it is before training, from seed 0."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TurnModel(model.config).eval()


def page(room: Room, made: Sequence[tuple[str, View]], missing: dict[str, str]) -> str:
    """The text of index.html."""
    dialogues = room.collection.dialogues
    seconds = (
        sum(room.collection.frame_count(number) for number in range(len(dialogues)))
        / room.collection.frame_rate_hz
    )
    counts = [
        f"{len(room.collection.events(kind))} {kind}s" for kind in ("shift", "hold", "backchannel")
    ]
    which = dialogues[0].id if len(dialogues) == 1 else f"{len(dialogues)} dialogues"
    parts = [
        f"<h1>Inside {html.escape(room.name)}</h1><p class='note'>{html.escape(which)}, {seconds / 60:.1f} minutes, {', '.join(counts)}. {LAYERS_IN_WORDS}</p>"
    ]
    for section in dict.fromkeys(section for section, _ in made):
        parts.append(f"<h2>{html.escape(section)}</h2>")
        parts += [_figure(view) for found, view in made if found == section]
    if missing:
        listed = "".join(
            f"<li>{html.escape(title)}: {html.escape(reason)}</li>"
            for title, reason in missing.items()
        )
        parts.append(f"<h2>Not shown</h2><ul>{listed}</ul>")
    style = STYLE + LOOKS
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Inside {html.escape(room.name)}</title><style>{style}</style>'
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'
    )


def _figure(view: View) -> str:
    name, title, words = view.path.name, html.escape(view.title), html.escape(view.caption)
    if view.path.suffix == ".html":
        return f'<h3><a href="{name}">{title}</a></h3><p class="note">{words}</p><iframe loading="lazy" src="{name}" title="{title}"></iframe>'
    if view.path.suffix == ".mp4":
        return f'<h3>{title}</h3><figure><video controls preload="metadata" src="{name}"></video><figcaption>{words}</figcaption></figure>'
    return f'<figure><img loading="lazy" src="{name}" alt="{words}"></figure>'
