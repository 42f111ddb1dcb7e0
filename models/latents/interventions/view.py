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

import numpy as np

from ....stream.errors import ConfigError
from ...evaluation.shift_hold import SCORE_S
from ..cells.unit_search import find_units
from ..collect import (
    add_model_argument,
    add_source_argument,
    name_of,
    network_to_run,
    opened_collection,
)
from ..collection import Collection
from ..events.label_contrasts import contrast_in, find_cases
from ..events.probe_fits import LEAST, matched_weights, reach_of, read_states
from ..memory.held_out import fit_linear
from ..options import add_layer, add_out, add_seed, check_files, option, shown
from .effect_results import draw_effect, draw_ranking, write_effect, write_ranking
from .effects import DOES, Effect, direction_effect, mean_state, rank_units, sound_effect
from .silence_windows import BEFORE_S, MOST, SilenceWindows, silence_windows

if TYPE_CHECKING:
    from torch import Tensor

    from ...turn_model import TurnModel

WHOSE = {"both": "of both", "speaker": "of who spoke before", "listener": "of the listener"}


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
        "around a silence of the other kind"
    )
    option(parser, "--do", words, "ablate", choices=DOES)
    option(parser, "--value V", "value to clamp the states to", kind=float)
    words = "whose states or sound to change: of both, of who spoke before, or of the listener"
    option(parser, "--whose", words, "both", choices=WHOSE)
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
        from ...checkpoint import weights_sha256  # loads torch

        if weights_sha256(model) != collection.about.weights_sha256:
            raise ConfigError(
                f"{args.source}: expected a collection of {name_of(args.model)}, got one of "
                f"{collection.about.model}; give its --model"
            )
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


def _effect(
    args: argparse.Namespace, model: TurnModel, collection: Collection, windows: SilenceWindows
) -> tuple[Effect, str]:
    """Return the effect that is asked for, and in words what was done."""
    from ..intervene import layer_size, unit_edit

    layer, drawn = args.layer, {"whose": args.whose, "seed": args.seed}
    other = "as around a silence of the other kind"
    if args.sound is not None:
        effect = sound_effect(model, windows, args.sound, args.do, **drawn)
        low, high = args.sound
        done = {"ablate": "as the mean log-mel frame", "clamp": "as digital silence"}
        heard = done.get(args.do, other)
        return effect, f"the sound {WHOSE[args.whose]} from {low:g} to {high:g} s heard {heard}"
    if args.unit is not None:
        direction = unit_edit(model, layer, args.unit, 0.0).basis[0]
        name = f"unit {args.unit}"
    elif args.direction is not None:
        direction = read_direction(args.direction, layer_size(model, layer))
        name = f"the direction {args.direction}"
    else:
        direction = probe_direction(collection, layer, args.probe)
        name = f"the direction of the probe {args.probe}"
    to = mean_state(collection, layer) if args.do == "ablate" else args.value
    effect = direction_effect(model, windows, layer, direction, to, **drawn)
    done = {"ablate": "set to its mean", "clamp": f"clamped to {args.value}"}.get(args.do, other)
    return effect, f"{name} of {layer}, {WHOSE[args.whose]}, {done}"


def read_direction(path: Path, size: int) -> Tensor:
    """Return the direction in a file, (H,); ConfigError if it holds no `size` finite numbers."""
    import torch

    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            values = np.array(path.read_text(encoding="utf-8").replace(",", " ").split(), float)
        direction = np.asarray(values, np.float32).reshape(-1)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(
            f"{path}: expected a direction, an array (.npy) or numbers in text, got: {error}"
        ) from None
    if len(direction) != size or not np.isfinite(direction).all() or not direction.any():
        raise ConfigError(
            f"{path}: expected {size} finite numbers that are not all 0, got {len(direction)}"
        )
    return torch.from_numpy(direction)


def probe_direction(collection: Collection, layer: str, question: str) -> Tensor:
    """Return the direction in which a linear probe tells two classes of moments apart, (H,).

    It is the probe of probe_fits.py on the speaker's own states, fitted on all moments, SCORE_S
    into each silence or at its end. The question is a contrast of `turnstream latents probes`.

    Raises:
        ConfigError: no such question, or too few moments of a class.
    """
    import torch

    cases = find_cases(collection, [question])[question]
    at_s = SCORE_S if question != "backchannel" else 0.0
    reach = reach_of(cases, [at_s], collection)
    there = reach.there[:, 0]
    cases = cases.only(there)
    if min(cases.counts()) < LEAST:
        counts = " and ".join(map(str, cases.counts()))
        raise ConfigError(
            f"expected at least {LEAST} moments of each class of {question}, got {counts}"
        )
    states = read_states(collection, cases.number, reach.steps[there])
    values = states.of(layer, np.arange(len(cases)), 0, cases.speaker)
    weights = matched_weights(cases.first, cases.number)
    probe = fit_linear(values, cases.first, 1 / values.shape[1], weights=weights)
    return torch.from_numpy(probe.direction.astype(np.float32))
