"""`turnstream latents encoder`: what a causal encoder sees, as one picture and in numbers.

turnstream latents encoder [CONFIG or RUN] --out encoder.png [--json FILE.json]

CONFIG is a JSON file with the configuration of an encoder, of a network or of a training run; RUN
is a folder of `turnstream train` or `pretrain`, or an exported .onnx file. The picture shows this
encoder and small ones that explain it: a causal convolution, dilation, a stride, a residual block,
and several stacks. encoder_reach.py says how it is measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....stream.engine import Engine
from ....stream.errors import ConfigError
from ...checkpoint_files import refuse_missing_files
from ...config import EncoderConfig, FeatureConfig, StackConfig, from_plain
from ..collect import name_of
from ..options import add_out, check_files, shown
from ..tables import write_json
from ..views import LIGHT, View, picture
from .encoder_reach import EncoderReach, measure_reach

if TYPE_CHECKING:
    from ...encoder import Encoder

EXAMPLE_BINS = 12  # mel bins of the small encoders
ROW_INCHES, DEPTH_INCHES = 0.75, 0.16  # of the picture, for each encoder and each depth


def _example(**settings: Any) -> EncoderConfig:
    common: dict[str, Any] = {
        "channels": 8,
        "out_channels": 8,
        "first_kernel": 1,
        "block": "plain",
        "activation": "tanh",
    }
    return EncoderConfig(**common | settings)


_HOLES, _FILLS = StackConfig((3,), (4,)), StackConfig((5, 5), (1, 1))
_DEEP = (StackConfig((3, 2), (4, 1)), StackConfig((2, 3), (1, 4)))
EXAMPLES: dict[str, EncoderConfig] = {
    "a causal convolution, kernel 4": _example(stacks=(StackConfig((4,), (1,)),)),
    "dilation 4 leaves holes": _example(stacks=(_HOLES,)),
    "stride 2": _example(stacks=(StackConfig((3,), (1,)),), first_kernel=4, stride=2),
    "a residual block: two convolutions": _example(
        stacks=(StackConfig((3,), (2,)),), block="residual"
    ),
    "two stacks added: the second fills the holes": _example(stacks=(_HOLES, _FILLS)),
    "two stacks concatenated": _example(stacks=(_HOLES, _FILLS), combine="concat"),
    "two stacks added at every layer": _example(stacks=_DEEP, combine_at="layer"),
    "two stacks concatenated at every layer": _example(
        stacks=_DEEP, combine="concat", combine_at="layer"
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents encoder`."""
    what = (
        "JSON file with a configuration, folder of a run, or .onnx file (default: the bundled "
        "network)"
    )
    parser.add_argument("source", type=Path, nargs="?", metavar="CONFIG or RUN", help=what)
    add_out(parser, "encoder.png", json="the numbers, with every offset")


def main(args: argparse.Namespace) -> int:
    """Draw it, and print what is seen."""
    check_files(args, ".png")
    return shown(view_encoder(args.source, args.out, numbers=args.json))


def view_encoder(source: Path | None, out: Path, *, numbers: Path | None = None) -> View:
    """Show what an encoder sees.

    Args:
        source: configuration, run or exported file; None is the bundled network.
        out: .png.
        numbers: .json to write, or None.
    Raises:
        ConfigError: the source describes no encoder.
        ModelError: an .onnx file that is no model.
    """
    name = name_of(source) if source is None or source.is_dir() else source.name
    features, config, encoder = read_encoder(source)
    return encoder_picture(name, features, config, encoder, out, numbers=numbers)


def encoder_picture(
    name: str,
    features: FeatureConfig,
    config: EncoderConfig,
    encoder: Encoder | None,
    out: Path,
    *,
    numbers: Path | None = None,
) -> View:
    """Draw what an encoder sees, and small ones that explain it.

    Args:
        name: of the network.
        features, config: of the encoder.
        encoder: with its weights; None takes random ones.
        out: .png.
        numbers: .json to write, or None.
    """
    own = measure_reach(name, config, features.mel_bins, encoder)
    examples = [measure_reach(words, example, EXAMPLE_BINS) for words, example in EXAMPLES.items()]
    title, caption = f"What the encoder of {name} sees", describe(own, features, encoder is None)
    _draw([own, *examples], title, caption, out)
    if numbers is not None:
        described = {
            "encoder": as_numbers(own, features),
            "examples": [as_numbers(example, features) for example in examples],
        }
        write_json(numbers, described)
    return View(out, title, caption)


def read_encoder(source: Path | None) -> tuple[FeatureConfig, EncoderConfig, Encoder | None]:
    """Return the features and the configuration of an encoder, and the encoder if it has weights.

    Raises:
        ConfigError: the source describes no encoder.
        ModelError: an .onnx file that is no model.
    """
    if source is None or source.is_dir():
        if source is not None:
            refuse_missing_files(source)
        from ...checkpoint import bundled_checkpoint, load_encoder
        from ...encoder import Encoder

        found = load_encoder(source or bundled_checkpoint())
        encoder = Encoder(found.config, found.features.mel_bins)
        encoder.load_state_dict(found.weights)
        return found.features, found.config, encoder.eval()
    if source.suffix == ".onnx":
        plain: Any = Engine(source).metadata.config
    else:
        try:
            plain = json.loads(source.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{source}: expected a run, an .onnx file or a configuration in JSON, got: {error}"
            ) from None
    if isinstance(plain, dict) and isinstance(plain.get("model"), dict):
        plain = plain["model"]  # settings of a training run
    if not isinstance(plain, dict):
        raise ConfigError(f"{source}: expected a configuration, got {type(plain).__name__}")
    if "encoder" not in plain:
        return FeatureConfig(), from_plain(EncoderConfig, plain, "encoder"), None
    features = from_plain(FeatureConfig, plain.get("features", {}), "features")
    return features, from_plain(EncoderConfig, plain["encoder"], "encoder"), None


def as_numbers(reach: EncoderReach, features: FeatureConfig) -> dict[str, Any]:
    """Return what was computed and what was measured, as JSON values.

    Offsets are input frames, counted back from the end of an output step.
    """
    field = reach.field
    rate_hz = features.sample_rate_hz / features.hop_samples
    return {
        "name": reach.name,
        "config": dataclasses.asdict(reach.config),
        "frames": field.size,
        "frames_seen": len(field.offsets),
        "samples": field.size_samples(features),
        "seconds": field.size_samples(features) / features.sample_rate_hz,
        "steps_per_second": rate_hz / reach.config.stride,
        "offsets": list(field.offsets),
        "holes": list(field.holes),
        "offsets_with_gradient": list(reach.offsets_with_gradient),
        "all_ones": {
            "non_zero_at": list(reach.steps_heard),
            "first_non_zero_by_depth": dict(zip(reach.depths, _first_heard(reach), strict=True)),
        },
        "is_causal": reach.is_causal,
        "measurements_agree": reach.agrees,
    }


def describe(reach: EncoderReach, features: FeatureConfig, random_weights: bool) -> str:
    """Return what is seen, in words."""
    field = reach.field
    seconds = field.size_samples(features) / features.sample_rate_hz
    holes = (
        "without a hole"
        if not field.holes
        else f"of which {len(field.holes)} are holes that it never sees"
    )
    stride = (
        f" A stride of {reach.config.stride} gives one step for every {reach.config.stride} frames."
        if reach.config.stride > 1
        else ""
    )
    agreement = (
        "Both measurements agree with what the configuration says"
        if reach.agrees
        else f"The gradient reaches {len(reach.offsets_with_gradient)} of the "
        f"{len(field.offsets)} frames that the configuration says it can reach"
    )
    causal = (
        "nothing flows back from the future"
        if reach.is_causal
        else "SOMETHING FLOWS BACK FROM THE FUTURE"
    )
    weights = "random weights, since there are no trained ones" if random_weights else "its weights"
    return (
        f"One output step of {reach.name} sees {field.size} input frames ({seconds:g} s with the "
        f"window of the oldest), {holes}.{stride} {agreement}, and {causal}. Left: one frame that "
        "is not zero (black line) runs through the encoder with all weights 1 and no bias; at "
        "every depth, what is not zero is blue, zero is white, and grey is where a stride leaves "
        "no step. Right: the magnitude of the gradient of one output step (its end is the black "
        f"line) in every input frame and mel bin, with {weights}; white is exactly zero. Below are "
        "small encoders, each with one property."
    )


def _first_heard(reach: EncoderReach) -> list[int]:
    """Frames from the given one to the first value that is not zero, by depth."""
    return [int(np.flatnonzero(row > 0)[0]) - reach.given for row in np.nan_to_num(reach.heard)]


def _draw(reaches: Sequence[EncoderReach], title: str, caption: str, out: Path) -> None:
    heights = [ROW_INCHES + DEPTH_INCHES * len(reach.depths) for reach in reaches]
    size = (11.0, sum(heights))
    with picture(
        out, title, caption, size, nrows=len(reaches), ncols=2, height_ratios=heights
    ) as panels:
        for reach, (left, right) in zip(reaches, panels, strict=True):
            _draw_ones(reach, left)
            _draw_gradient(reach, right)
        panels[-1][0].set_xlabel("input frames from the one that is not zero", fontsize=8.5)
        panels[-1][1].set_xlabel("input frames from the end of the step", fontsize=8.5)


def _draw_ones(reach: EncoderReach, panel: Any) -> None:
    shown = np.ma.masked_invalid(reach.heard)
    tops = np.nan_to_num(reach.heard).max(axis=1, keepdims=True)
    edges = np.arange(reach.heard.shape[1] + 1) - reach.given - 0.5
    panel.grid(visible=False)
    panel.set_facecolor("#dddddd")
    panel.pcolormesh(
        edges,
        np.arange(len(reach.depths) + 1),
        np.ma.where(shown > 0, 0.35 + 0.65 * shown / tops, 0),
        cmap="Blues",
        vmin=0,
        vmax=1.2,
        edgecolors="#eeeeee",
        linewidth=0.2,
    )
    panel.axvline(0, color="black", linewidth=1)
    panel.set_yticks(np.arange(len(reach.depths)) + 0.5, reach.depths, fontsize=7)
    panel.invert_yaxis()
    panel.tick_params(axis="x", labelsize=7.5)
    panel.xaxis.get_major_locator().set_params(integer=True)
    panel.set_title(f"{reach.name}: all ones", fontsize=9, color=LIGHT.ink, loc="left")


def _draw_gradient(reach: EncoderReach, panel: Any) -> None:
    frames, bins = reach.gradient.shape
    panel.grid(visible=False)
    panel.pcolormesh(
        np.arange(frames + 1) - reach.end - 0.5,
        np.arange(bins + 1),
        np.ma.masked_equal(np.sqrt(reach.gradient.T / reach.gradient.max()), 0),
        cmap="magma_r",
        vmin=0,
        vmax=1,
        rasterized=True,
    )
    panel.axvline(0, color="black", linewidth=1)
    panel.set_ylabel("mel bin", fontsize=7.5)
    panel.tick_params(labelsize=7.5)
    panel.xaxis.get_major_locator().set_params(integer=True)
    size, holes = reach.field.size, len(reach.field.holes)
    words = f"gradient: {size} frame{'s' * (size != 1)}, {holes} hole{'s' * (holes != 1)}"
    panel.set_title(words, fontsize=9, color=LIGHT.ink, loc="left")
