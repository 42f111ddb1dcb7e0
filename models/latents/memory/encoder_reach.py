"""What an encoder sees, measured in two ways: one frame through a network of ones, and a gradient.

- All ones: every weight is 1, there is no bias, and one input frame is not zero. Whatever comes out
  at any depth was reached by this frame. Nothing may come out before it.
- Gradient: of one output step, with respect to every input frame. It is zero after the step, and
  dilation leaves holes in it.

Both must say what `receptive_field` computes from the configuration alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...config import EncoderConfig
from ...receptive_field import ReceptiveField, receptive_field
from ...state import StateLayout

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ...encoder import Encoder

MARGIN = 6  # steps shown before the given frame, and after the step whose gradient is taken
NOISES = 8  # random inputs whose gradients are averaged: a ReLU may be shut for one of them

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EncoderReach:
    """What one encoder sees: T input frames, M mel bins, L depths.

    Attributes:
        name: of the encoder.
        config: of the encoder.
        field: computed from the configuration.
        depths: names of the layers, the input first, the output last.
        given: the one input frame that is not zero.
        heard: with all weights 1, the sum over channels at every depth, (L, T). A step stands at
            the last input frame of its stride; NaN where a depth has no step.
        end: the last input frame of the output step whose gradient is taken.
        gradient: mean magnitude of that gradient, (T, M).
    """

    name: str
    config: EncoderConfig
    field: ReceptiveField
    depths: tuple[str, ...]
    given: int
    heard: Floats
    end: int
    gradient: Floats

    @property
    def is_causal(self) -> bool:
        """Whether nothing comes out before the given frame, and no frame after the step matters."""
        early = np.nan_to_num(self.heard[:, : self.given])
        return not early.any() and not self.gradient[self.end + 1 :].any()

    @property
    def steps_heard(self) -> tuple[int, ...]:
        """Frames from the given one to the end of every output step that it reaches."""
        return tuple(
            int(frame) for frame in np.flatnonzero(self.heard[-1] > 0) - self.given
        )  # NaN > 0 is false

    @property
    def offsets_with_gradient(self) -> tuple[int, ...]:
        """Input frames with a gradient, counted back from the end of the step, in rising order."""
        frames = np.flatnonzero(self.gradient[: self.end + 1].any(axis=1))
        return tuple(int(offset) for offset in (self.end - frames)[::-1])

    @property
    def agrees(self) -> bool:
        """Whether both measurements say what the configuration says."""
        steps = np.flatnonzero(~np.isnan(self.heard[-1])) - self.given
        expected = tuple(int(step) for step in steps if step in set(self.field.offsets))
        return (
            self.is_causal
            and self.steps_heard == expected
            and self.offsets_with_gradient == self.field.offsets
        )


def measure_reach(
    name: str, config: EncoderConfig, mel_bins: int, encoder: Encoder | None = None
) -> EncoderReach:
    """Measure what an encoder sees.

    Args:
        name: of the encoder, for people.
        config: of the encoder.
        mel_bins: M.
        encoder: with trained weights, of which the gradient is taken; None takes random weights.
    """
    import torch

    from ...encoder import Encoder

    field, stride = receptive_field(config), config.stride
    if encoder is None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            encoder = Encoder(config, mel_bins)
    before = MARGIN * stride
    steps = -(-field.size // stride) + 2 * MARGIN
    depths, heard = all_ones(config, mel_bins, before, steps)
    step = steps - MARGIN - 1
    gradient = encoder_gradient(encoder, mel_bins, step, steps)
    end = (step + 1) * stride - 1
    return EncoderReach(name, config, field, depths, before, heard, end, gradient)


def all_ones(
    config: EncoderConfig, mel_bins: int, given: int, steps: int
) -> tuple[tuple[str, ...], Floats]:
    """Run one frame that is not zero through an encoder whose weights are all 1, without biases.

    Args:
        config: of the encoder.
        mel_bins: M.
        given: the input frame that is not zero.
        steps: how many output steps to run; there are steps * stride input frames.
    Returns:
        The names of the depths, and the sums over channels, as EncoderReach has them.
    """
    import torch

    from ...encoder import Encoder

    encoder = Encoder(config, mel_bins).double()
    for name, parameter in encoder.named_parameters():
        parameter.data.fill_(0.0 if name.endswith("bias") else 1.0)
    mel = torch.zeros(1, steps * config.stride, mel_bins, dtype=torch.float64)
    mel[:, given] = 1.0
    heard = {"input": mel}
    hooks = [
        layer.register_forward_hook(_keep(heard, name)) for name, layer in _layers(encoder).items()
    ]
    try:
        with torch.inference_mode():
            heard["output"], _ = encoder(mel, _zero_state(encoder, mel))
    finally:
        for hook in hooks:
            hook.remove()
    sums = np.full((len(heard), mel.shape[1]), np.nan)
    for depth, values in enumerate(heard.values()):
        every = mel.shape[1] // values.shape[1]
        sums[depth, every - 1 :: every] = values[0].flatten(1).sum(dim=1).numpy()
    return tuple(heard), sums


def encoder_gradient(encoder: Encoder, mel_bins: int, step: int, steps: int) -> Floats:
    """Return the magnitude of the gradient of one output step, (T, M), T = steps * stride.

    It is the gradient of the sum over channels, averaged over random inputs, from a zero state.

    Args:
        encoder: as it is; nothing in it is changed.
        mel_bins: M.
        step: the output step.
        steps: how many there are.
    """
    import torch

    frames = steps * encoder.config.stride
    kind = next(encoder.parameters())
    noise = torch.randn(NOISES, frames, mel_bins, generator=torch.Generator().manual_seed(0))
    with torch.enable_grad():
        mel = noise.to(kind).requires_grad_()
        output, _ = encoder(mel, _zero_state(encoder, mel))
        (gradient,) = torch.autograd.grad(output[:, step].sum(), mel)
    return gradient.abs().double().mean(dim=0).numpy()


def _layers(encoder: Encoder) -> dict[str, nn.Module]:
    """The first layer and all blocks by name, in the order in which they run."""
    of_encoder: Any = encoder.stacks
    stacks: list[list[nn.Module]] = [list(stack) for stack in of_encoder]
    named: dict[str, nn.Module] = {"first layer": encoder.first}
    for depth in range(max(map(len, stacks))):
        for number, stack in enumerate(stacks):
            if depth < len(stack):
                of_stack = f"stack {number + 1}, " if len(stacks) > 1 else ""
                named[f"{of_stack}block {depth + 1}"] = stack[depth]
    return named


def _keep(kept: dict[str, Tensor], name: str) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: Any, result: tuple[Tensor, Any]) -> None:
        kept[name] = result[0]

    return hook


def _zero_state(encoder: Encoder, mel: Tensor) -> Any:
    """Return the encoder's state before any input, for every row of mel (B, T, M)."""
    from ...turn_model import unpack_rows

    shapes = {"encoder": encoder.state_shapes()}
    layout = StateLayout.of(shapes)
    return unpack_rows(mel.new_zeros(len(mel), layout.speaker_size), shapes, layout)["encoder"]
