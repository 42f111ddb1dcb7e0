"""`turnstream latents gates`: how often each unit's gates are shut or wide open.

turnstream latents gates MANIFEST --out gates.png [--csv gates.csv] [--model RUN]

A gate is left-saturated below 0.1 and right-saturated above 0.9. A unit whose forget (LSTM) or
update (GRU) gate is nearly always right-saturated keeps what it has for long; one whose gate is
nearly always left-saturated is as good as feed-forward. Beside the gates, the state h is counted
where it is close to its bounds, below -0.9 and above 0.9: that is all that can be said of a plain
RNN.

Source: Karpathy, Johnson & Fei-Fei 2016, section 4.2. PyTorch's GRU keeps the state where its
update gate is 1, and lets it in where it is 0.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError, DialogueError
from ...dialogues.manifest import Dialogue
from ...evaluation.plots import check_matplotlib
from ..bars import bar
from ..collect import (
    add_model_argument,
    add_source_argument,
    load_network,
    load_sound,
    name_of,
    network_to_run,
    read_source,
)
from ..collection import Collection
from ..drawing import heading, listed, many
from ..options import add_out, check_files, shown
from ..parts import Parts, parts_beside
from ..quality import quality_of
from ..tables import write_rows
from ..views import LIGHT, View, dialogue_of, picture
from .gates import GATES, RNNS, kinds, listen_inside

if TYPE_CHECKING:
    import torch

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
}

Counts = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class GateShares:
    """Of one gate in one layer, or of the state ("h").

    Attributes:
        layer: of a collection.
        depth: layer of the RNN, 0 the lowest.
        gate: its name.
        left, right: share of the time in which each unit is left- and right-saturated, (H,).
        histogram: share of all its values in BINS equal parts of (0, 1), or of (-1, 1) for the
            state.
    """

    layer: str
    depth: int
    gate: str
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    histogram: NDArray[np.float64]


@dataclass(frozen=True)
class Saturation:
    """Of every gate of a network.

    Attributes:
        gates: lower layers first.
        kinds: of RNN, by layer.
        frames: that were counted, of both speakers.
        dialogues: that they are from.
        frame_rate_hz: of the network.
    """

    gates: tuple[GateShares, ...]
    kinds: dict[str, str]
    frames: int
    dialogues: int
    frame_rate_hz: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents gates`."""
    add_source_argument(parser)
    add_out(parser, csv="a table with a row for each unit of each gate")
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Count, draw, and print what is seen."""
    check_matplotlib()
    check_files(args, ".png")
    model, name, dialogues = heard_by(args.source, args.model)
    found = gate_saturation(model, dialogues, parts_beside(args.out))
    if args.csv is not None:
        write_saturation(found, args.csv)
    quality = quality_of(Collection(args.source)).in_words() if args.source.is_dir() else ""
    return shown(draw_saturation(found, args.out, name, quality))


def heard_by(source: Path, folder: Path | None) -> tuple[TurnModel, str, list[Dialogue]]:
    """A network, its name, and the dialogues of a source for it to hear.

    Raises:
        ConfigError: the collection is of another network.
        DialogueError: the source is none of the three.
    """
    if not source.is_dir():
        dialogues = read_source(source)  # refused before the network is loaded
        return load_network(folder), name_of(folder), dialogues
    collection = Collection(source)
    model = network_to_run(collection, folder)
    from ...checkpoint import weights_sha256

    if weights_sha256(model) != collection.about.weights_sha256:
        raise ConfigError(
            f"{source}: expected a collection of {name_of(folder)}, got one of "
            f"{collection.about.model}; name its checkpoint with --model"
        )
    return (
        model,
        collection.about.model,
        [dialogue_of(collected) for collected in collection.dialogues],
    )


def gate_saturation(
    model: TurnModel, dialogues: Sequence[Dialogue], kept: Path | None = None
) -> Saturation:
    """Hear dialogues and count how often every gate is saturated.

    Memory is that of one dialogue's audio and of the counts.

    Args:
        model: in evaluation mode.
        dialogues: to hear.
        kept: folder that holds the counts of each dialogue while the work lasts; None keeps none.
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
    key = [weights_sha256(model)]
    for dialogue in dialogues:
        key += [dialogue.id, *map(str, dialogue.audio), str(dialogue.start_s), str(dialogue.end_s)]
    parts, counts = Parts(kept, json.dumps(key)), {}
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
    for layer in RNNS:
        config = getattr(model, RNNS[layer]).config
        for depth in range(config.layers if config.kind != "none" else 0):
            for gate in (*GATES[config.kind], "h"):
                left, right, histogram = (
                    counts[f"{layer} {gate} {part}"][depth] / frames
                    for part in ("left", "right", "histogram")
                )
                found.append(GateShares(layer, depth, gate, left, right, histogram / config.hidden))
    return Saturation(tuple(found), of_layers, frames, len(dialogues), model.config.frame_rate_hz)


def write_saturation(found: Saturation, path: Path) -> None:
    """Write a row for each unit of each gate: the share of time left- and right-saturated."""
    header = ("layer", "depth", "gate", "unit", "left_saturated", "right_saturated", "neither")
    write_rows(
        path,
        header,
        (
            (shares.layer, shares.depth, shares.gate, unit, left, right, 1 - left - right)
            for shares in found.gates
            for unit, (left, right) in enumerate(zip(shares.left, shares.right, strict=True))
        ),
    )


def draw_saturation(
    found: Saturation, path: Path, name: str = "the network", quality: str = ""
) -> View:
    """For each layer, a row: each gate's units in the plane of the two shares, and below, how its
    values are distributed.

    Args:
        found: from gate_saturation.
        path: .png.
        name: of the network.
        quality: how good it is, in words.
    """
    title = f"Gate saturation of {name}"
    rows = [
        (layer, depth)
        for layer in RNNS
        for depth in sorted({shares.depth for shares in found.gates if shares.layer == layer})
    ]
    columns = max(
        sum((shares.layer, shares.depth) == row for shares in found.gates) for row in rows
    )
    view = View(path, title, f"{saturation_in_words(found, name)} {quality}".strip())
    size = (3.1 * columns + 0.4, 4.6 * len(rows))
    with picture(
        path,
        title,
        view.caption,
        size,
        nrows=2 * len(rows),
        ncols=columns,
        height_ratios=[2.6, 1] * len(rows),
        squeeze=False,
    ) as panels:
        for row, place in enumerate(rows):
            gates = [shares for shares in found.gates if (shares.layer, shares.depth) == place]
            for column in range(columns):
                above, below = panels[2 * row : 2 * row + 2, column]
                if column < len(gates):
                    _draw_units(above, gates[column], _layer_name(found, *place))
                    _draw_values(below, gates[column])
                else:
                    above.set_visible(False)
                    below.set_visible(False)
    return view


def saturation_in_words(found: Saturation, name: str) -> str:
    """What the shares say: a sentence, and the medians."""
    minutes = found.frames / 2 / found.frame_rate_hz / 60
    figures: dict[str, str] = {}
    for layer, depth in dict.fromkeys((shares.layer, shares.depth) for shares in found.gates):
        gates = [shares for shares in found.gates if (shares.layer, shares.depth) == (layer, depth)]
        figures[f"{_layer_name(found, layer, depth)}, {len(gates[0].left)} units"] = ", ".join(
            map(_in_words, gates)
        )
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
        "the "
        f"state h the same is counted beyond -{STATE} and {STATE}. Below: how all values are "
        "distributed. Medians over units, and in brackets how many are so for "
        f"{MOSTLY * 100:.0f} % of the time or more: {listed(figures)}"
    )


def _in_words(shares: GateShares) -> str:
    sides = (
        f"{_percent(np.median(values))} {side} ({(values >= MOSTLY).sum()})"
        for side, values in (("left", shares.left), ("right", shares.right))
    )
    return f"{shares.gate} {' and '.join(sides)}"


def _percent(share: np.floating) -> str:
    return "under 0.1 %" if 0 < share < 0.001 else f"{share:.1%}".replace("%", " %")


def _layer_name(found: Saturation, layer: str, depth: int) -> str:
    layers = 1 + max(shares.depth for shares in found.gates if shares.layer == layer)
    return f"{layer} ({found.kinds[layer].upper()}" + (
        f", layer {depth + 1} of {layers})" if layers > 1 else ")"
    )


def _count(model: TurnModel, dialogue: Dialogue, of_layers: dict[str, str]) -> Counts:
    """Hear one dialogue."""
    counts: Counts = {"frames": np.zeros((), np.int64)}
    audio = load_sound(dialogue, model.config.features.sample_rate_hz)
    for output, _, inside in listen_inside(model, audio):
        counts["frames"] += 2 * output.vad.shape[2]
        for layer, values in inside.items():
            for gate in (*GATES[of_layers[layer]], *(["h"] if values else [])):
                _add(counts, f"{layer} {gate}", values[gate].flatten(0, 1), gate)
    return counts


def _add(counts: Counts, name: str, values: torch.Tensor, gate: str) -> None:
    """Count values (N, layers, H): (layers, H) for each side, and (layers, BINS)."""
    import torch

    low, left, right = (-1.0, -STATE, STATE) if gate == "h" else (0.0, LEFT, RIGHT)
    sides = {
        "left": (values < left).sum(dim=0).numpy(),
        "right": (values > right).sum(dim=0).numpy(),
    }
    bins = ((values.double() - low) * (BINS / (1 - low))).floor().clamp(0, BINS - 1).long()
    sides["histogram"] = np.stack(
        [torch.bincount(layer.flatten(), minlength=BINS).numpy() for layer in bins.unbind(1)]
    )
    for side, count in sides.items():
        counts[f"{name} {side}"] = counts.get(f"{name} {side}", np.zeros_like(count)) + count


def _draw_units(panel: Any, shares: GateShares, layer: str) -> None:
    panel.plot([0, 1], [1, 0], ":", color=LIGHT.faint, linewidth=1)
    panel.plot(
        shares.left,
        shares.right,
        "o",
        color=LIGHT.first,
        markersize=4,
        alpha=0.45,
        markeredgewidth=0,
        clip_on=False,
    )
    middle = np.median(shares.left), np.median(shares.right)
    panel.plot(
        *middle,
        "D",
        color=LIGHT.second,
        markersize=6,
        markeredgecolor=LIGHT.paper,
        clip_on=False,
        label="median",
    )
    panel.legend(loc="upper right", fontsize=8, edgecolor="none", framealpha=0.8)
    below, above = (
        (f"h < -{STATE}", f"h > {STATE}") if shares.gate == "h" else (f"< {LEFT}", f"> {RIGHT}")
    )
    panel.set(
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
        aspect="equal",
        xlabel=f"share of time {below}",
        ylabel=f"share of time {above}",
    )
    gate = "state h" if shares.gate == "h" else f"{shares.gate} gate"
    heading(panel, f"{layer}\n{gate}")


def _draw_values(panel: Any, shares: GateShares) -> None:
    low, bounds = (-1, (-STATE, STATE)) if shares.gate == "h" else (0, (LEFT, RIGHT))
    panel.stairs(
        shares.histogram, np.linspace(low, 1, BINS + 1), fill=True, color=LIGHT.first, alpha=0.6
    )
    for bound in bounds:
        panel.axvline(bound, color=LIGHT.ink, linewidth=0.8, linestyle="--")
    meaning = MEANINGS.get(shares.gate, "")
    panel.set(
        xlim=(low, 1),
        yticks=[],
        xlabel=("value of h" if shares.gate == "h" else "value of the gate")
        + (f"\n{meaning}" if meaning else ""),
    )
    panel.xaxis.label.set_fontsize(8)
    panel.set_ylabel("how often", fontsize=8)
