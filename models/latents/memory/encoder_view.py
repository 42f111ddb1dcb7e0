"""`turnstream latents encoder`: what a causal encoder sees, as one picture and in numbers.

It is measured in two ways: one frame that is not zero through an encoder of ones, and the gradient
of one output step with respect to every input frame. Nothing may flow back from the future, and
both must say what `receptive_field` computes from the configuration alone.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....stream.engine import Engine
from ....stream.errors import ConfigError
from ...checkpoint_files import refuse_missing_files
from ...config import EncoderConfig, FeatureConfig, StackConfig, from_plain
from ...evaluation.measures import Floats
from ...receptive_field import ReceptiveField, receptive_field
from ...state import ShapeTree
from ..collect import name_of
from ..drawing import listed, many
from ..options import add_out, check_files, shown
from ..tables import write_json
from ..views import View, picture
from .drawing import mel_image

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ...encoder import Encoder

MARGIN = 6  # steps shown before the given frame, and after the step whose gradient is taken
NOISES = 8  # random inputs whose gradients are averaged: a ReLU may be shut for one of them
EXAMPLE_BINS = 12  # mel bins of the small encoders
ROW_INCHES, DEPTH_INCHES = 0.75, 0.16  # of the picture, for each encoder and each depth


def _example(*stacks: StackConfig, **settings: Any) -> EncoderConfig:
    plain = {"channels": 8, "out_channels": 8, "first_kernel": 1, "block": "plain"}
    return EncoderConfig(**{**plain, "activation": "tanh", "stacks": stacks, **settings})


_HOLES, _FILLS = StackConfig((3,), (4,)), StackConfig((5, 5), (1, 1))
_DEEP = (StackConfig((3, 2), (4, 1)), StackConfig((2, 3), (1, 4)))
EXAMPLES: dict[str, EncoderConfig] = {
    "a causal convolution, kernel 4": _example(StackConfig((4,), (1,))),
    "dilation 4 leaves holes": _example(_HOLES),
    "stride 2": _example(StackConfig((3,), (1,)), first_kernel=4, stride=2),
    "a residual block: two convolutions": _example(StackConfig((3,), (2,)), block="residual"),
    "two stacks added: the second fills the holes": _example(_HOLES, _FILLS),
    "two stacks concatenated": _example(_HOLES, _FILLS, combine="concat"),
    "two stacks added at every layer": _example(*_DEEP, combine_at="layer"),
    "two stacks concatenated at every layer": _example(
        *_DEEP, combine="concat", combine_at="layer"
    ),
}


@dataclass(frozen=True)
class EncoderReach:
    """What one encoder sees: T input frames, M mel bins, L depths.

    A step stands at the last input frame of its stride; NaN where a depth has no step.
    """

    name: str
    config: EncoderConfig
    field: ReceptiveField  # computed from the configuration
    depths: tuple[str, ...]  # names of the layers, the input first, the output last
    given: int  # the one input frame that is not zero
    heard: Floats  # with all weights 1, the sum over channels at every depth, (L, T)
    end: int  # the last input frame of the output step whose gradient is taken
    gradient: Floats  # mean magnitude of that gradient, (T, M)

    @property
    def is_causal(self) -> bool:
        """Whether nothing comes out before the given frame, and no frame after the step matters."""
        early = np.nan_to_num(self.heard[:, : self.given])
        return not early.any() and not self.gradient[self.end + 1 :].any()

    @property
    def steps_heard(self) -> tuple[int, ...]:
        """Frames from the given one to the end of every output step that it reaches."""
        return tuple((np.flatnonzero(self.heard[-1] > 0) - self.given).tolist())

    @property
    def offsets_with_gradient(self) -> tuple[int, ...]:
        """Input frames with a gradient, counted back from the end of the step, in rising order."""
        seen = self.gradient[self.end :: -1].any(axis=1)
        return tuple(np.flatnonzero(seen).tolist())

    @property
    def agrees(self) -> bool:
        """Whether both measurements say what the configuration says."""
        steps = (np.flatnonzero(~np.isnan(self.heard[-1])) - self.given).tolist()
        expected = tuple(step for step in steps if step in self.field.offsets)
        measured = self.steps_heard, self.offsets_with_gradient
        return self.is_causal and measured == (expected, self.field.offsets)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents encoder`."""
    what = (
        "configuration in JSON of an encoder, a network or a training run, folder of `turnstream "
        "train` or `pretrain`, or .onnx file (default: the bundled network)"
    )
    parser.add_argument("source", type=Path, nargs="?", metavar="CONFIG or RUN", help=what)
    add_out(parser, "encoder.png", json="the numbers, with every offset")


def main(args: argparse.Namespace) -> int:
    """Draw it, and print what is seen."""
    check_files(args, ".png")
    source: Path | None = args.source
    name = name_of(source) if source is None or source.is_dir() else source.name
    return shown(encoder_picture(name, *read_encoder(source), args.out, numbers=args.json))


def encoder_picture(
    name: str,
    features: FeatureConfig,
    config: EncoderConfig,
    encoder: Encoder | None,
    out: Path,
    *,
    numbers: Path | None = None,
) -> View:
    """Draw what an encoder sees (None has random weights), and small ones that explain it.

    The picture `out` is a .png file; `numbers` is a .json file.
    """
    own = measure_reach(name, config, features.mel_bins, encoder)
    examples = [measure_reach(words, example, EXAMPLE_BINS) for words, example in EXAMPLES.items()]
    title, caption = f"What the encoder of {name} sees", describe(own, features, encoder is None)
    reaches = [own, *examples]
    heights = [ROW_INCHES + DEPTH_INCHES * len(reach.depths) for reach in reaches]
    grid = {"nrows": len(reaches), "ncols": 2, "height_ratios": heights}
    with picture(out, title, caption, (11.0, sum(heights)), **grid) as panels:
        for reach, (left, right) in zip(reaches, panels, strict=True):
            _draw_ones(reach, left)
            _draw_gradient(reach, right)
            for panel in (left, right):
                panel.axvline(0, color="black", linewidth=1)
                panel.tick_params(labelsize=7.5)
                panel.xaxis.get_major_locator().set_params(integer=True)
        panels[-1][0].set_xlabel("input frames from the one that is not zero", fontsize=8.5)
        panels[-1][1].set_xlabel("input frames from the end of the step", fontsize=8.5)
    if numbers is not None:
        found, *others = (as_numbers(reach, features) for reach in reaches)
        write_json(numbers, {"encoder": found, "examples": others})
    return View(out, title, caption)


def read_encoder(source: Path | None) -> tuple[FeatureConfig, EncoderConfig, Encoder | None]:
    """Return the features and the configuration of an encoder, and the encoder if it has weights.

    A source that describes none is a ConfigError; an .onnx file that is no model, a ModelError.
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
    if not isinstance(plain, dict):
        raise ConfigError(f"{source}: expected a configuration, got {type(plain).__name__}")
    if isinstance(plain.get("model"), dict):
        plain = plain["model"]  # settings of a training run
    if "encoder" not in plain:
        return FeatureConfig(), from_plain(EncoderConfig, plain, "encoder"), None
    features = from_plain(FeatureConfig, plain.get("features", {}), "features")
    return features, from_plain(EncoderConfig, plain["encoder"], "encoder"), None


def measure_reach(
    name: str, config: EncoderConfig, mel_bins: int, encoder: Encoder | None = None
) -> EncoderReach:
    """Measure what an encoder sees; its gradient with its weights, or random ones for None."""
    import torch

    from ...encoder import Encoder

    field, stride = receptive_field(config), config.stride
    if encoder is None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            encoder = Encoder(config, mel_bins)
    given = MARGIN * stride
    steps = -(-field.size // stride) + 2 * MARGIN
    depths, heard = all_ones(config, mel_bins, given, steps)
    gradient = encoder_gradient(encoder, mel_bins, steps - MARGIN - 1, steps)
    end = (steps - MARGIN) * stride - 1
    return EncoderReach(name, config, field, depths, given, heard, end, gradient)


def all_ones(
    config: EncoderConfig, mel_bins: int, given: int, steps: int
) -> tuple[tuple[str, ...], Floats]:
    """Return `depths` and `heard` of an EncoderReach, with T = steps * stride."""
    import torch

    from ...encoder import Encoder

    encoder = Encoder(config, mel_bins).double()
    for name, parameter in encoder.named_parameters():
        parameter.data.fill_(0.0 if name.endswith("bias") else 1.0)
    mel = torch.zeros(1, steps * config.stride, mel_bins, dtype=torch.float64)
    mel[:, given] = 1.0
    heard, stacks = {"input": mel}, encoder.stacks

    def keep(name: str, layer: nn.Module) -> None:
        layer.register_forward_hook(lambda *call: heard.update({name: call[2][0]}))

    keep("first layer", encoder.first)
    for number, stack in enumerate(stacks.children(), 1):
        of_stack = f"stack {number}, " if len(stacks) > 1 else ""
        for depth, block in enumerate(stack.children(), 1):
            keep(f"{of_stack}block {depth}", block)
    with torch.inference_mode():
        heard["output"], _ = encoder(mel, _zeros(encoder.state_shapes(), mel))
    sums = np.full((len(heard), mel.shape[1]), np.nan)
    for depth, values in enumerate(heard.values()):
        every = mel.shape[1] // values.shape[1]
        sums[depth, every - 1 :: every] = values[0].flatten(1).sum(dim=1).numpy()
    return tuple(heard), sums


def encoder_gradient(encoder: Encoder, mel_bins: int, step: int, steps: int) -> Floats:
    """Return the magnitude of the gradient of one of some output steps, (T, M), T = steps * stride.

    It is that of the sum over channels, averaged over random inputs, from a zero state.
    """
    import torch

    frames = steps * encoder.config.stride
    noise = torch.randn(NOISES, frames, mel_bins, generator=torch.Generator().manual_seed(0))
    with torch.enable_grad():
        mel = noise.to(next(encoder.parameters())).requires_grad_()
        output, _ = encoder(mel, _zeros(encoder.state_shapes(), mel))
        (gradient,) = torch.autograd.grad(output[:, step].sum(), mel)
    return gradient.abs().double().mean(dim=0).numpy()


def _zeros(shapes: ShapeTree, mel: Tensor) -> Any:
    """Return a state before any input, for every row of mel, (B, T, M)."""
    if isinstance(shapes, dict):
        return {name: _zeros(shape, mel) for name, shape in shapes.items()}
    return mel.new_zeros(len(mel), *shapes)


def as_numbers(reach: EncoderReach, features: FeatureConfig) -> dict[str, Any]:
    """Return all as JSON; offsets are input frames, counted back from the end of a step."""
    field, rate_hz = reach.field, features.sample_rate_hz / features.hop_samples
    first = (np.nan_to_num(reach.heard) > 0).argmax(axis=1) - reach.given
    return {
        "name": reach.name,
        "config": asdict(reach.config),
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
            "first_non_zero_by_depth": dict(zip(reach.depths, first.tolist(), strict=True)),
        },
        "is_causal": reach.is_causal,
        "measurements_agree": reach.agrees,
    }


def describe(reach: EncoderReach, features: FeatureConfig, random_weights: bool) -> str:
    """Return what is seen: fixed sentences, and the figures."""
    field, stride, seen = reach.field, reach.config.stride, len(reach.offsets_with_gradient)
    seconds = field.size_samples(features) / features.sample_rate_hz
    figures = {
        f"One output step of {reach.name} sees": f"{many(field.size, 'input frame')} ({seconds:g} "
        f"s with the window of the oldest), of which {many(len(field.holes), 'hole')}",
        "frames for each step": str(stride) if stride > 1 else "",
        "frames with a gradient": f"{seen} of the {len(field.offsets)} that the configuration says",
        "both measurements agree with the configuration": "yes" if reach.agrees else "NO",
        "from the future flows back": "nothing" if reach.is_causal else "SOMETHING",
        "weights": "random weights, since there are no trained ones" if random_weights else "",
    }
    return (
        "Left: one frame that is not zero (black line) runs through the encoder with all weights 1 "
        "and no bias; at every depth, what is not zero is blue, zero is white, and grey is where a "
        "stride leaves no step. Right: the magnitude of the gradient of one output step (its end "
        "is the black line) in every input frame and mel bin; white is exactly zero. Below are "
        f"small encoders, each with one property. {listed(figures)}"
    )


def _draw_ones(reach: EncoderReach, panel: Any) -> None:
    shown = np.ma.masked_invalid(reach.heard.T)  # (T, L)
    values = np.ma.where(shown > 0, 0.35 + 0.65 * shown / shown.max(axis=0), 0)
    edges = np.arange(len(values) + 1) - reach.given - 0.5
    look = {"cmap": "Blues", "vmin": 0, "vmax": 1.2, "edgecolors": "#eeeeee", "linewidth": 0.2}
    mel_image(panel, edges, values, f"{reach.name}: all ones", **look)
    panel.set_facecolor("#dddddd")
    panel.set_yticks(np.arange(len(reach.depths)) + 0.5, reach.depths)
    panel.invert_yaxis()


def _draw_gradient(reach: EncoderReach, panel: Any) -> None:
    edges = np.arange(len(reach.gradient) + 1) - reach.end - 0.5
    values = np.ma.masked_equal(np.sqrt(reach.gradient / reach.gradient.max()), 0)
    counts = f"{many(reach.field.size, 'frame')}, {many(len(reach.field.holes), 'hole')}"
    mel_image(panel, edges, values, f"gradient: {counts}", cmap="magma_r", vmin=0, vmax=1)
    panel.set_ylabel("mel bin", fontsize=7.5)
