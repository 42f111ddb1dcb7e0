"""The input frames that an encoder sees, computed from its configuration alone. No torch.

An offset counts input frames back from the last input frame of an output step; 0 is the newest.
Dilation leaves holes, which a second stack may fill. So the set of offsets matters as much as its
size.
"""

from __future__ import annotations

from dataclasses import dataclass

from .config import EncoderConfig, FeatureConfig

Offsets = frozenset[int]


@dataclass(frozen=True)
class ReceptiveField:
    """The input frames that reach one output.

    Attributes:
        offsets: every offset seen, in rising order.
    """

    offsets: tuple[int, ...]

    @property
    def size(self) -> int:
        """Frames from the newest to the oldest that is seen, holes included."""
        return self.offsets[-1] + 1

    @property
    def holes(self) -> tuple[int, ...]:
        """Offsets within the size that are never seen."""
        seen = set(self.offsets)
        return tuple(offset for offset in range(self.size) if offset not in seen)

    def size_samples(self, features: FeatureConfig) -> int:
        """Return the same span in samples, including the window of the oldest frame."""
        return (self.size - 1) * features.hop_samples + features.window_samples


def receptive_field(config: EncoderConfig) -> ReceptiveField:
    """Return the receptive field of an encoder, from its configuration alone."""
    first = _conv(config.first_kernel, 1)
    # per stack, counted in frames of the first layer's output
    batch_rows: list[Offsets] = [frozenset({0})] * len(config.stacks)
    depth = max(len(stack.kernel_sizes) for stack in config.stacks)
    for layer in range(depth):
        for s, stack in enumerate(config.stacks):
            if layer < len(stack.kernel_sizes):
                batch_rows[s] = _then(
                    batch_rows[s],
                    _block(config.block, stack.kernel_sizes[layer], stack.dilations[layer]),
                )
        if config.combine_at == "layer":
            batch_rows = [frozenset().union(*batch_rows)] * len(batch_rows)
    blocks: Offsets = frozenset().union(*batch_rows)
    return ReceptiveField(
        tuple(sorted({config.stride * outer + inner for outer in blocks for inner in first}))
    )


def _conv(kernel_size: int, dilation: int) -> Offsets:
    return frozenset(tap * dilation for tap in range(kernel_size))


def _then(inner: Offsets, outer: Offsets) -> Offsets:
    """Return the offsets of two layers in sequence."""
    return frozenset(a + b for a in inner for b in outer)


def _block(kind: str, kernel_size: int, dilation: int) -> Offsets:
    conv = _conv(kernel_size, dilation)
    # A skip connection adds offset 0, which every kernel has.
    return _then(conv, conv) if kind == "residual" else conv
