"""`turnstream latents gates`: how often each unit's gates are shut or wide open.

A gate is left-saturated below 0.1 and right-saturated above 0.9. The state h is counted where it is
below -0.9 and above 0.9, too: that is all that can be said of a plain RNN.

Source: Karpathy, Johnson & Fei-Fei 2016, section 4.2. PyTorch's GRU keeps the state where its
update gate is 1, and lets it in where it is 0.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError, DialogueError
from ...dialogues.manifest import Dialogue
from ...evaluation.plots import check_matplotlib
from .. import collect
from ..bars import bar
from ..collection import Collection
from ..drawing import heading, listed, many
from ..options import add_out, check_files, shown
from ..parts import Parts, parts_beside
from ..quality import quality_of
from ..tables import write_rows
from ..views import LIGHT, View, dialogue_of, picture
from .gates import GATES, RNNS, kinds, listen_inside

if TYPE_CHECKING:
    from ...turn_model import TurnModel

LEFT, RIGHT, STATE = 0.1, 0.9, 0.9
BINS = 40  # of the distribution of a gate's values
MOSTLY = 0.9  # share of the time from which a unit counts as hardly moving
MEANINGS = {
    "reset": "0: the proposal ignores the state; 1: it sees it",
    "update": "0: takes the proposal; 1: keeps the state",
    "input": "0: lets nothing in; 1: lets the proposal in",
    "forget": "0: empties the cell; 1: keeps it",
    "output": "0: hides the cell; 1: shows it",
    "h": "",
}
HEADER = ("layer", "depth", "gate", "unit", "left_saturated", "right_saturated", "neither")

Counts = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class GateShares:
    """Of one gate, or of the state ("h"), in one layer of the RNN (depth, 0 the lowest).

    Attributes:
        left, right: share of the time in which each unit is left- and right-saturated, (H,).
        histogram: share of all its values in BINS equal parts of (0, 1), of the state (-1, 1).
    """

    layer: str
    depth: int
    gate: str
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    histogram: NDArray[np.float64]


@dataclass(frozen=True)
class Saturation:
    """Of every gate, lower layers first, with the kind of RNN by layer, and the frames of both
    speakers that were counted.
    """

    gates: tuple[GateShares, ...]
    kinds: dict[str, str]
    frames: int
    dialogues: int
    frame_rate_hz: float

    def by_layer(self) -> dict[str, list[GateShares]]:
        """The gates of each layer of each RNN, by the layer's name in words."""
        found: dict[str, list[GateShares]] = {}
        for shares in self.gates:
            depths = 1 + max(other.depth for other in self.gates if other.layer == shares.layer)
            which = f", layer {shares.depth + 1} of {depths}" * (depths > 1)
            name = f"{shares.layer} ({self.kinds[shares.layer].upper()}{which})"
            found.setdefault(name, []).append(shares)
        return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents gates`."""
    collect.add_source_argument(parser)
    add_out(parser, csv="a table with a row for each unit of each gate")
    collect.add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Count, draw, and print what is seen."""
    check_matplotlib()
    check_files(args, ".png")
    model, name, dialogues = heard_by(args.source, args.model)
    found = gate_saturation(model, dialogues, parts_beside(args.out))
    if args.csv is not None:
        rows = (
            (shares.layer, shares.depth, shares.gate, unit, left, right, 1 - left - right)
            for shares in found.gates
            for unit, (left, right) in enumerate(zip(shares.left, shares.right, strict=True))
        )
        write_rows(args.csv, HEADER, rows)
    quality = quality_of(Collection(args.source)).in_words() if args.source.is_dir() else ""
    return shown(draw_saturation(found, args.out, name, quality))


def heard_by(source: Path, folder: Path | None) -> tuple[TurnModel, str, list[Dialogue]]:
    """Return a network, its name, and the dialogues of a source for it to hear.

    Raises:
        ConfigError: the collection is of another network.
        DialogueError: the source is none of the three.
    """
    if not source.is_dir():
        dialogues = collect.read_source(source)  # refused before the network is loaded
        return collect.load_network(folder), collect.name_of(folder), dialogues
    collection = Collection(source)
    model, about = collect.network_to_run(collection, folder), collection.about
    from ...checkpoint import weights_sha256

    if weights_sha256(model) != about.weights_sha256:
        raise ConfigError(
            f"{source}: expected a collection of {collect.name_of(folder)}, got one of "
            f"{about.model}; name its checkpoint with --model"
        )
    return model, about.model, [dialogue_of(collected) for collected in collection.dialogues]


def gate_saturation(
    model: TurnModel, dialogues: Sequence[Dialogue], kept: Path | None = None
) -> Saturation:
    """Hear dialogues and count how often every gate is saturated; parts are kept in a folder.

    Raises:
        ConfigError: neither layer of the network has gates or a bounded state.
        DialogueError: a dialogue that cannot be read, or not one frame in all of them.
    """
    from ...checkpoint import weights_sha256

    of_layers = kinds(model)
    if set(of_layers.values()) == {"none"}:
        raise ConfigError(
            "expected a recurrent network, got one whose layers are both linear read-outs (kind "
            "none): nothing in it gates or saturates"
        )
    key = json.dumps([weights_sha256(model), *map(asdict, dialogues)], default=str)
    parts, counts = Parts(kept, key), {}
    for number, dialogue in enumerate(bar(dialogues, "gates", "dialogue")):
        made = parts.of(number, lambda dialogue=dialogue: _count(model, dialogue, of_layers))
        counts = {name: counts.get(name, 0) + values for name, values in made.items()}
    frames = int(counts.get("frames", 0))
    if not frames:
        raise DialogueError(
            f"expected audio of at least a frame, got {len(dialogues)} dialogues without one"
        )
    parts.remove()
    found: list[GateShares] = []
    for layer, name in RNNS.items():
        config = getattr(model, name).config
        for depth in range(config.layers if config.kind != "none" else 0):
            for gate in (*GATES[config.kind], "h"):
                sides = ("left", "right", "histogram")
                left, right, bins = (counts[f"{layer} {gate} {s}"][depth] / frames for s in sides)
                found.append(GateShares(layer, depth, gate, left, right, bins / config.hidden))
    return Saturation(tuple(found), of_layers, frames, len(dialogues), model.config.frame_rate_hz)


def draw_saturation(
    found: Saturation, path: Path, name: str = "the network", quality: str = ""
) -> View:
    """For each layer, a row: each gate's units in the plane of the two shares, and below, how its
    values are distributed; `quality` is how good the network is, in words.
    """
    title, rows = f"Gate saturation of {name}", found.by_layer()
    columns = max(map(len, rows.values()))
    caption = f"{saturation_in_words(found, name)} {quality}".strip()
    size = (3.1 * columns + 0.4, 4.6 * len(rows))
    grid = {"ncols": columns, "height_ratios": [2.6, 1] * len(rows), "squeeze": False}
    with picture(path, title, caption, size, nrows=2 * len(rows), **grid) as panels:
        for panel in panels.flat:
            panel.set_visible(False)
        for row, (layer, gates) in enumerate(rows.items()):
            for column, shares in enumerate(gates):
                above, below = panels[2 * row : 2 * row + 2, column]
                above.set_visible(True)
                below.set_visible(True)
                _draw_gate(above, below, shares, layer)
    return View(path, title, caption)


def saturation_in_words(found: Saturation, name: str) -> str:
    """Return what the shares say: a sentence, and the medians."""
    minutes = found.frames / 2 / found.frame_rate_hz / 60
    figures = {
        f"{layer}, {len(gates[0].left)} units": ", ".join(map(_in_words, gates))
        for layer, gates in found.by_layer().items()
    }
    linear = [layer for layer, kind in found.kinds.items() if kind == "none"]
    figures["linear, with nothing to count"] = ", ".join(linear)
    if not any(GATES[kind] for kind in found.kinds.values()):
        kinds = " and ".join(dict.fromkeys(found.kinds.values()))
        figures["without gates"] = f"this network ({kinds}), so only its states are shown"
    return (
        f"Every dot is a unit of {name}: the share of the time in which its gate is left-saturated "
        f"(below {LEFT}) and right-saturated (above {RIGHT}), over "
        f"{many(found.dialogues, 'dialogue')} ({minutes:.1f} minutes, both speakers). On the "
        "dotted line it is always one or the other; in the corner at 0 it is never saturated. Of "
        f"the state h the same is counted beyond -{STATE} and {STATE}. Below: how all values are "
        "distributed. Medians over units, and in brackets how many are so for "
        f"{MOSTLY * 100:.0f} % of the time or more:{listed(figures)}"
    )


def _in_words(shares: GateShares) -> str:
    sides: list[str] = []
    for side, values in (("left", shares.left), ("right", shares.right)):
        share = np.median(values)
        words = "under 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"
        sides.append(f"{words} {side} ({(values >= MOSTLY).sum()})")
    return f"{shares.gate} {' and '.join(sides)}"


def _bounds(gate: str) -> tuple[float, float, float]:
    """The lowest value of a gate, or of the state, and the bounds of saturation; 1 is highest."""
    return (-1.0, -STATE, STATE) if gate == "h" else (0.0, LEFT, RIGHT)


def _count(model: TurnModel, dialogue: Dialogue, of_layers: dict[str, str]) -> Counts:
    """Hear a dialogue: both sides of each gate, (layers, H), and its histogram, (layers, BINS)."""
    import torch

    counts: Counts = {"frames": np.zeros((), np.int64)}
    audio = collect.load_sound(dialogue, model.config.features.sample_rate_hz)
    for output, _, inside in listen_inside(model, audio):
        counts["frames"] += 2 * output.vad.shape[2]
        for layer, found in inside.items():
            for gate in (*GATES[of_layers[layer]], "h") if found else ():
                values, (low, left, right) = found[gate].flatten(0, 1), _bounds(gate)
                bins = ((values.double() - low) * (BINS / (1 - low))).floor().clamp(0, BINS - 1)
                each = [torch.bincount(b.flatten(), minlength=BINS) for b in bins.long().unbind(1)]
                sides = {"left": values < left, "right": values > right}
                summed = {side: flags.sum(dim=0) for side, flags in sides.items()}
                for side, count in (summed | {"histogram": torch.stack(each)}).items():
                    name = f"{layer} {gate} {side}"
                    counts[name] = counts.get(name, 0) + count.numpy()
    return counts


def _draw_gate(above: Any, below: Any, shares: GateShares, layer: str) -> None:
    state, (low, left, right) = shares.gate == "h", _bounds(shares.gate)
    dots = {"color": LIGHT.first, "markersize": 4, "alpha": 0.45, "markeredgewidth": 0}
    middle = {"color": LIGHT.second, "markersize": 6, "markeredgecolor": LIGHT.paper}
    medians = (np.median(shares.left), np.median(shares.right))
    above.plot([0, 1], [1, 0], ":", color=LIGHT.faint, linewidth=1)
    above.plot(shares.left, shares.right, "o", clip_on=False, **dots)
    above.plot(*medians, "D", clip_on=False, label="median", **middle)
    above.legend(loc="upper right", fontsize=8, edgecolor="none", framealpha=0.8)
    above.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    above.set_xlabel(f"share of time {'h ' * state}< {left}")
    above.set_ylabel(f"share of time {'h ' * state}> {right}")
    heading(above, f"{layer}\n{'state h' if state else f'{shares.gate} gate'}")
    edges = np.linspace(low, 1, BINS + 1)
    below.stairs(shares.histogram, edges, fill=True, color=LIGHT.first, alpha=0.6)
    for bound in (left, right):
        below.axvline(bound, color=LIGHT.ink, linewidth=0.8, linestyle="--")
    below.set(xlim=(low, 1), yticks=[])
    meaning = f"value of {'h' if state else 'the gate'}\n{MEANINGS[shares.gate]}"
    below.set_xlabel(meaning.strip(), fontsize=8)
    below.set_ylabel("how often", fontsize=8)
