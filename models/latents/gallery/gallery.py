"""`turnstream latents gallery`: every view of a network in one folder, and a page of them.

    turnstream latents gallery --out gallery    (the bundled network, the bundled call)
    turnstream latents gallery --source calls.jsonl --model RUN --run RUN --out gallery

A gallery that was cut short is gone on with: what was heard is kept in its `collection` folder (of
another network or other dialogues it is refused), and views that are there are left. A view that
the dialogues are too few for is named with the reason.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....stream.errors import ConfigError, TurnstreamError
from ....stream.saved_embedding import SavedEmbedding
from ....stream.sources import bundled_sample
from ...evaluation.page import html_page
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
from ..training.animate import animation_page
from ..training.learning import draw_learning, learn
from ..training.stages import moving_stages
from ..views import View, dialogue_of

if TYPE_CHECKING:
    from ...turn_model import TurnModel

DONE, FITS = "gallery.json", ("tsne", "umap", "autoencoder", "pca")
SHOWN_S = 60.0  # of the longest dialogue, where a view shows one from its beginning
LOOKS = (
    "body { max-width: 1200px } video { width: 100% } img { background: #fff } "
    "iframe { width: 100%; height: 900px; border: 1px solid var(--faint) }"
)
LAYERS_IN_WORDS = (
    "The first layer is the per-speaker RNN, which hears one channel; the last one is the "
    "cross-speaker RNN, which hears what both hold in mind. Each caption says what was measured; "
    "a picture of few events can mislead, and its caption says how few they are."
)
FIGURES = {  # by suffix
    ".html": '<h3><a href="{name}">{title}</a></h3><p class="note">{caption}</p>'
    '<iframe loading="lazy" src="{name}" title="{title}"></iframe>',
    ".mp4": '<h3>{title}</h3><figure><video controls preload="metadata" src="{name}"></video>'
    "<figcaption>{caption}</figcaption></figure>",
    ".png": '<figure><img loading="lazy" src="{name}" alt="{caption}"></figure>',
}

Made = View | Sequence[View]
Step = Callable[[], Made]


@dataclass(frozen=True)
class Room:
    """What a gallery is made of; the run, if there is one, has snapshots."""

    collection: Collection
    model: TurnModel
    name: str
    run: Path | None
    out: Path

    def space(self, method: str, layer: str = "latent") -> Path:
        """File of a projection that was fitted for the gallery."""
        return self.out / f"space_{method}{'' if layer == 'latent' else '_first'}.json"

    def fitted(self, method: str, layer: str = "latent") -> SavedEmbedding | None:
        """A projection that was fitted for the gallery; None without one."""
        path = self.space(method, layer)
        return projection_for(self.collection, path) if path.is_file() else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents gallery`."""
    source = "dialogues to show: manifest, audio file or collection (default: the bundled call)"
    option(parser, "--source SOURCE", source, kind=Path)
    out = "folder for the views; open its index.html"
    option(parser, "--out FOLDER", out, kind=Path, required=True)
    only = "make only views whose names contain one of these words, such as gate or t-SNE"
    option(parser, "--only WORD", only, nargs="+")
    run = "run with snapshots, whose training is shown (default: before and after training)"
    option(parser, "--run FOLDER", run, kind=Path)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Make every view, and the page."""
    source = args.source or bundled_sample()
    if args.run is not None and (count := len(find_snapshots(args.run))) < 2:
        raise ConfigError(f"{args.run}: expected a run with two or more snapshots, got {count}")
    args.out.mkdir(parents=True, exist_ok=True)
    with opened_collection(source, args.model, args.out / "collection") as collection:
        room = Room(collection, load_network(args.model), name_of(args.model), args.run, args.out)
        made, missing = make_views(room, args.only)
        page = index_page(room.name, collection, made, missing)
        (args.out / "index.html").write_text(page, encoding="utf-8")
    for title, reason in missing.items():
        print(f"not shown: {title}: {reason}")
    print(f"{len(made)} views in {args.out / 'index.html'}")
    return 0


def make_views(
    room: Room, only: Sequence[str] | None = None
) -> tuple[list[tuple[str, View]], dict[str, str]]:
    """Make the views; return all that are there by section, and why others could not be made.

    With `only`, those are made whose names hold one of these words (ConfigError if none does), and
    others given if they were made before.
    """
    steps = _steps(room)
    words = [""] if only is None else [word.lower() for word in only]
    asked = {name for _, name, _ in steps if any(word in name.lower() for word in words)}
    if not asked:
        names, got = ", ".join(name for _, name, _ in steps), ", ".join(words)
        raise ConfigError(f"expected words from the names of views ({names}), got {got}")
    heard = [dialogue.id for dialogue in room.collection.dialogues]
    key = [room.collection.about.weights_sha256, heard, str(room.run)]
    done = _read_done(room.out, key)
    made: list[tuple[str, View]] = []
    missing: dict[str, str] = {}
    for section, name, make in bar(steps, "gallery", "view"):
        if name not in done:
            if name not in asked:
                continue
            try:
                found: Made = make()
            except TurnstreamError as error:
                missing[name] = str(error)
                continue
            views = [found] if isinstance(found, View) else found
            done[name] = [vars(view) | {"path": view.path.name} for view in views]
            text = json.dumps({"key": key, "done": done}, indent=1, ensure_ascii=False)
            (room.out / DONE).write_text(text, encoding="utf-8")
        made += [(section, View(**{**one, "path": room.out / one["path"]})) for one in done[name]]
    return made, missing


def _read_done(out: Path, key: list[object]) -> dict[str, list[dict[str, Any]]]:
    """Views of an earlier run by name, if it was of the same and their files are still there."""
    try:
        there = json.loads((out / DONE).read_text(encoding="utf-8"))
        done: dict[str, list[dict[str, Any]]] = there["done"] if there["key"] == key else {}
    except (OSError, ValueError, KeyError):
        return {}
    return {
        name: views
        for name, views in done.items()
        if all((out / view["path"]).is_file() for view in views)
    }


def _steps(room: Room) -> list[tuple[str, str, Step]]:
    """(section, name, how it is made) of every view."""
    from ...checkpoint import load_checkpoint

    collection, model, out, name = room.collection, room.model, room.out, room.name
    longest = max(range(len(collection.dialogues)), key=collection.frame_count)
    end_s = min(SHOWN_S, collection.frame_count(longest) / collection.frame_rate_hz)
    shown = {"dialogue": collection.dialogues[longest].id, "end_s": end_s}
    plane = partial(projection_for, collection, None)

    def draw(view: Callable[..., Made], file: str, *more: Any, **options: Any) -> Step:
        return partial(view, collection, out / file, *more, **options)

    def run_on(view: Callable[..., Made], file: str) -> Step:
        return partial(view, collection, model, out / file, name=name)

    def space(method: str, layer: str = "latent") -> Step:
        path = room.space(method, layer)
        return partial(project, collection, method, path, path.with_suffix(".png"), layer=layer)

    def coloured(by: str) -> Made:
        return colour_picture(collection, plane(), by, out / f"colour_{by}.png")

    def explored() -> Made:
        fitted = [room.fitted(method, layer) for method in FITS for layer in LAYERS]
        spaces = [found for found in fitted if found is not None] + [plane(), plane(dims=3)]
        return explorer(collection, spaces, out / "explore.html")

    def paths() -> Made:
        path, dialogue = out / "conversation.png", shown["dialogue"]
        conversation = conversation_picture(collection, plane(), path, dialogue, (0.0, end_s))
        return paths_picture(collection, plane(), out / "paths.png"), conversation

    def films() -> Made:
        planes = {layer: plane(layer) for layer in LAYERS}
        spaces = {layer: room.fitted("tsne", layer) or planes[layer] for layer in LAYERS}
        made = [film(collection, longest, spaces, out / "film.mp4", 0.0, end_s)]
        for event in collection.events("shift", "hold")[:1]:
            made.append(film_of_event(collection, event, planes, out / "film_of_event.mp4"))
        return made

    def tracking() -> Made:
        search, path = find_units(collection), out / "cell.html"
        cell = cell_page(collection, path, model=model, search=search, **shown)
        return draw_units(search, out / "units.png"), cell

    def used() -> Made:
        windows, mean = silence_windows(model, collection), mean_state(collection, "latent")
        ranking = rank_units(model, windows, "latent", mean)
        return draw_ranking(ranking, find_units(collection), out / "intervene.png")

    def probes() -> Made:
        found = probe(collection, model=model, parts=out / "probes.parts")
        return draw_probes(found, out / "probes.png")

    def gates() -> Made:
        found = gate_saturation(model, [dialogue_of(dialogue) for dialogue in collection.dialogues])
        return draw_saturation(found, out / "gates.png", name, quality_of(collection).in_words())

    def moment() -> Made:
        if not (shifts := collection.events("shift")):
            raise ConfigError("expected a dialogue with a shift, got none")
        where, when_s = out / "moment.png", shifts[0].start_s + SCORE_S
        who = {"dialogue": shifts[0].dialogue, "speaker": shifts[0].next, "name": name}
        return view_moment(collection, model, when_s, where, **who)

    def animation() -> Made:
        networks = {"before training": untrained(model), "trained": model}
        if room.run is not None:
            folders = find_snapshots(room.run).values()
            networks = {folder.name: load_checkpoint(folder) for folder in folders}
        stages = replace(moving_stages(networks, collection, 600, "latent"), origin="run")
        return animation_page(stages, out / "animation.html", "tsne")

    encoder = (model.config.features, model.config.encoder, model.encoder, out / "encoder.png")
    spoken = next((one.id for one in collection.dialogues if one.words), None)
    own: dict[str, Any] = {"model": model}
    steps: dict[str, dict[str, Step]] = {
        "The space of states": {
            "t-SNE of the last layer": space("tsne"),
            "t-SNE of the first layer": space("tsne", "latent_speaker"),
            "UMAP": space("umap"),
            "denoising autoencoder": space("autoencoder"),
            "principal components": space("pca"),
            **{f"coloured by {by}": partial(coloured, by) for by in (*collection.labels, "floor")},
            "explorer of points and paths": explored,
        },
        "Around events": {
            **{
                f"average encodings, {two}": draw(average_pictures, f"average_{two}.png", two)
                for two in ("shift-hold", "gap-pause", "speaker-listener")
            },
            "probes": probes,
            "gains by class of moment": run_on(view_classes, "classes.png"),
        },
        "Paths and film": {"paths": paths, "film": films},
        "Cells and gates": {
            "units": tracking,
            "words coloured by a unit": draw(words_page, "words.html", dialogue=spoken, **own),
            "which units are used": used,
            "activations": draw(activations_picture, "activations.png", **own, **shown),
            "gate saturation": gates,
        },
        "Memory": {
            "what the encoder sees": partial(encoder_picture, name, *encoder),
            "connectivity": run_on(view_connectivity, "connectivity.png"),
            "one moment": moment,
            "quality against the past heard": run_on(view_past, "past.png"),
            "errors by oracles": run_on(view_oracles, "oracles.png"),
        },
        "Training": {
            "animation over training": animation,
            "page for files of your own": partial(empty_page, out / "page.html"),
        },
    }
    if (run := room.run) is not None:
        steps["Training"]["what is learned first"] = lambda: draw_learning(
            learn(find_snapshots(run), collection), out / "learning.png"
        )
    return [(section, *step) for section, made in steps.items() for step in made.items()]


def untrained(model: TurnModel) -> TurnModel:
    """A network of the same configuration as it is before training, from seed 0."""
    import torch

    from ...turn_model import TurnModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TurnModel(model.config).eval()


def index_page(
    name: str, collection: Collection, made: Sequence[tuple[str, View]], missing: dict[str, str]
) -> str:
    """The text of index.html: views by section, and why others, by title, could not be made."""
    dialogues = collection.dialogues
    frames = sum(collection.frame_count(number) for number in range(len(dialogues)))
    kinds = ("shift", "hold", "backchannel")
    counts = ", ".join(f"{len(collection.events(kind))} {kind}s" for kind in kinds)
    which = dialogues[0].id if len(dialogues) == 1 else f"{len(dialogues)} dialogues"
    title, minutes = f"Inside {name}", f"{frames / collection.frame_rate_hz / 60:.1f} minutes"
    about = f"{escape(which)}, {minutes}, {counts}. {LAYERS_IN_WORDS}"
    parts = [f"<h1>{escape(title)}</h1><p class='note'>{about}</p>"]
    for section in dict.fromkeys(section for section, _ in made):
        parts.append(f"<h2>{escape(section)}</h2>")
        for view in (view for found, view in made if found == section):
            words = {"title": escape(view.title), "caption": escape(view.caption)}
            parts.append(FIGURES[view.path.suffix].format(name=view.path.name, **words))
    if missing:
        lacking = [f"<li>{escape(what)}: {escape(why)}</li>" for what, why in missing.items()]
        parts.append(f"<h2>Not shown</h2><ul>{''.join(lacking)}</ul>")
    return html_page(title, "".join(parts), LOOKS)
