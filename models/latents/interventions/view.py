"""`turnstream latents intervene`: what moves p_shift when the states, or the sound, are changed.

turnstream latents intervene SOURCE --model RUN --out intervene.png [--csv FILE.csv]
    [--layer LAYER] [--unit N | --direction FILE | --probe QUESTION | --sound FROM TO]
    [--do ablate|clamp|patch] [--value V] [--whose both|speaker|listener]

Without a unit, a direction or a stretch of sound, every unit of the layer is ablated alone, and
the units are ranked by how much p_shift changes, beside what each of them tracks. A unit can track
something that nothing uses: "tracks" is a correlation, an ablation is a cause.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ....stream.errors import ConfigError
from ..cells.unit_search import find_units
from ..collect import add_model_argument, add_source_argument, network_to_run, opened_collection
from ..collection import Collection
from ..events.label_contrasts import contrast_in
from ..options import add_layer, add_out, add_seed, check_files, option, shown
from .directions import probe_direction, read_direction, unit_direction
from .effect_results import draw_effect, draw_ranking, write_effect, write_ranking
from .effects import DOES, Effect, direction_effect, mean_state, rank_units, sound_effect
from .silence_windows import BEFORE_S, MOST, SilenceWindows, silence_windows

if TYPE_CHECKING:
    from ...turn_model import TurnModel

WHOSE = ("both", "speaker", "listener")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents intervene`."""
    add_source_argument(parser)
    add_out(parser, "intervene.png", csv="a table: of the units, or of the silences")
    add_layer(parser, "layer to change")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--unit", type=int, metavar="N", help="change this unit")
    words = "change the states along this direction: an array (.npy) or numbers in text"
    what.add_argument("--direction", type=Path, metavar="FILE", help=words)
    words = "change the states along the direction of a linear probe, such as shift-hold"
    what.add_argument("--probe", metavar="QUESTION", help=words)
    words = "change this stretch of sound, in seconds from the start of the silence"
    what.add_argument("--sound", type=float, nargs=2, metavar=("FROM", "TO"), help=words)
    words = (
        "ablate: set to the mean; clamp: set to --value, or sound to silence; patch: take it from "
        "around a silence of the other kind (default ablate)"
    )
    parser.add_argument("--do", choices=DOES, default="ablate", help=words)
    option(parser, "--value V", "value to clamp the states to", kind=float)
    words = (
        "whose states or sound to change: of both, of the speaker before the silence, or of the "
        "listener (default both)"
    )
    parser.add_argument("--whose", choices=WHOSE, default="both", help=words)
    words = "change states from this long before the silence on"
    option(parser, "--before SECONDS", words, BEFORE_S)
    option(parser, "--most N", "use at most N silences, drawn at random", MOST)
    add_seed(parser)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Intervene, draw and write."""
    check_files(args, ".png")
    alone = args.unit is args.direction is args.probe is args.sound is None
    if alone and args.do != "ablate":
        raise ConfigError(
            f"expected --unit, --direction, --probe or --sound to {args.do}, got none of them"
        )
    if (args.value is None) != (args.do != "clamp" or args.sound is not None):
        raise ConfigError(
            f"expected --value with --do clamp of states, and only then, got {args.value}"
        )
    with opened_collection(args.source, args.model) as collection:
        if args.probe is not None:
            contrast_in(collection, args.probe)  # refused before the network is loaded
        model = network_to_run(collection, args.model)
        check_network(collection, model)
        drawn = {"before_s": args.before, "most": args.most, "seed": args.seed}
        windows = silence_windows(model, collection, **drawn)
        if alone:
            mean = mean_state(collection, args.layer)
            ranking = rank_units(model, windows, args.layer, mean, whose=args.whose, seed=args.seed)
            search = find_units(collection)
            view = draw_ranking(ranking, search, args.out)
            if args.csv is not None:
                write_ranking(ranking, search, args.csv)
        else:
            effect, words = _effect(args, model, collection, windows)
            view = draw_effect(effect, words, collection.about.model, args.out)
            if args.csv is not None:
                write_effect(effect, collection, args.csv)
    return shown(view)


def check_network(collection: Collection, model: TurnModel) -> None:
    """Refuse a collection of another network: its states are not this one's.

    Raises:
        ConfigError: it is of another network.
    """
    from ...checkpoint import weights_sha256

    sha256 = weights_sha256(model)
    if collection.about.weights_sha256 != sha256:
        raise ConfigError(
            f"{collection.folder}: expected a collection of the network {sha256[:8]}, got one of "
            f"{collection.about.model} {collection.about.weights_sha256[:8]}; give its --model"
        )


def _effect(
    args: argparse.Namespace,
    model: TurnModel,
    collection: Collection,
    windows: SilenceWindows,
) -> tuple[Effect, str]:
    """Return the effect that is asked for, and in words what was done."""
    from ..intervene import layer_size

    of_whom = {"both": "of both", "speaker": "of who spoke before", "listener": "of the listener"}
    if args.sound is not None:
        low, high = args.sound
        effect = sound_effect(
            model, windows, (low, high), args.do, whose=args.whose, seed=args.seed
        )
        done = {"ablate": "the mean log-mel frame", "clamp": "digital silence"}.get(
            args.do, "that around a silence of the other kind"
        )
        return effect, (
            f"the sound {of_whom[args.whose]} from {low:g} to {high:g} s, heard as {done}"
        )
    size = layer_size(model, args.layer)
    if args.unit is not None:
        direction, name = unit_direction(args.unit, size), f"unit {args.unit}"
    elif args.direction is not None:
        direction, name = read_direction(args.direction, size), f"the direction {args.direction}"
    else:
        direction = probe_direction(collection, args.layer, args.probe)
        name = f"the direction of the probe {args.probe}"
    effect = direction_effect(
        model,
        windows,
        args.layer,
        direction,
        args.do,
        mean=mean_state(collection, args.layer),
        value=args.value,
        whose=args.whose,
        seed=args.seed,
    )
    done = {
        "ablate": "set to its mean",
        "clamp": f"clamped to {args.value}",
        "patch": "as it is around a silence of the other kind",
    }[args.do]
    return effect, f"{name} of {args.layer}, {of_whom[args.whose]}, {done}"
