import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from turnstream.models.config import EncoderConfig, FeatureConfig, StackConfig
from turnstream.models.encoder import Encoder
from turnstream.models.receptive_field import receptive_field

from ..networks import zero_state

MEL_BINS = 3


@st.composite
def encoder_configs(draw: st.DrawFn) -> EncoderConfig:
    combine_at = draw(st.sampled_from(["end", "layer"]))
    depth = draw(st.integers(1, 3))
    stacks = []
    for _ in range(draw(st.integers(1, 3))):
        blocks = depth if combine_at == "layer" else draw(st.integers(1, 3))
        stacks.append(
            StackConfig(
                tuple(draw(st.lists(st.integers(1, 4), min_size=blocks, max_size=blocks))),
                tuple(draw(st.lists(st.integers(1, 5), min_size=blocks, max_size=blocks))),
            )
        )
    return EncoderConfig(
        channels=2,
        out_channels=2,
        first_kernel=draw(st.integers(1, 4)),
        stride=draw(st.integers(1, 3)),
        stacks=tuple(stacks),
        block=draw(st.sampled_from(["plain", "residual", "gated"])),
        activation="tanh",
        combine=draw(st.sampled_from(["add", "concat"])),
        combine_at=combine_at,
        dims=draw(st.sampled_from([1, 2])),
    )


def run(encoder: Encoder, x: Tensor) -> Tensor:
    state = zero_state(encoder.state_shapes(), 1)
    return encoder.to(x.dtype)(x, {name: _to(child, x.dtype) for name, child in state.items()})[0]


def _to(state: object, dtype: torch.dtype) -> object:
    return (
        {name: _to(child, dtype) for name, child in state.items()}
        if isinstance(state, dict)
        else state.to(dtype)
    )  # pyright: ignore[reportAttributeAccessIssue]


@settings(max_examples=60)
@given(config=encoder_configs(), seed=st.integers(0, 1000))
def test_offsets_are_exactly_the_inputs_with_a_gradient(config: EncoderConfig, seed: int) -> None:
    torch.manual_seed(seed)
    encoder = Encoder(config, MEL_BINS)
    field = receptive_field(config)
    steps = -(-field.size // config.stride) + 1
    x = (
        0.3 * torch.randn(1, steps * config.stride, MEL_BINS, dtype=torch.float64)
    ).requires_grad_()
    run(encoder, x)[0, -1].sum().backward()
    assert x.grad is not None
    reached = x.grad[0].abs().sum(dim=-1).flip(0).nonzero()[:, 0].tolist()
    assert reached == list(field.offsets)


@settings(max_examples=60)
@given(config=encoder_configs(), place=st.integers(0, 8))
def test_one_frame_through_a_network_of_ones_comes_out_where_the_offsets_say(
    config: EncoderConfig, place: int
) -> None:
    config = EncoderConfig(
        **{
            **{name: getattr(config, name) for name in config.__dataclass_fields__},
            "activation": "relu",
        }
    )
    encoder = Encoder(config, MEL_BINS)
    for name, parameter in encoder.named_parameters():
        parameter.data.fill_(0.0 if name.endswith("bias") else 1.0)
    field = receptive_field(config)
    steps = (place + field.size) // config.stride + 3
    x = torch.zeros(1, steps * config.stride, MEL_BINS, dtype=torch.float64)
    x[:, place] = 1.0
    heard = run(encoder, x)[0].abs().sum(dim=-1) > 0
    expected = [(step + 1) * config.stride - 1 - place in field.offsets for step in range(steps)]
    assert heard.tolist() == expected
    assert not any(expected[: place // config.stride])  # no frame before it changes


def test_dilation_leaves_holes_and_a_second_stack_fills_them() -> None:
    dilated = StackConfig((3,), (2,))
    one = receptive_field(EncoderConfig(first_kernel=1, block="plain", stacks=(dilated,)))
    assert (one.offsets, one.holes, one.size) == ((0, 2, 4), (1, 3), 5)
    two = receptive_field(
        EncoderConfig(first_kernel=1, block="plain", stacks=(dilated, StackConfig((4,), (1,))))
    )
    assert (two.offsets, two.holes, two.size) == ((0, 1, 2, 3, 4), (), 5)


def test_a_residual_block_looks_back_twice() -> None:
    assert receptive_field(
        EncoderConfig(first_kernel=1, block="residual", stacks=(StackConfig((3,), (2,)),))
    ).offsets == (0, 2, 4, 6, 8)


def test_stacks_joined_at_every_layer_mix_their_offsets() -> None:
    stacks = (StackConfig((2, 1), (1, 1)), StackConfig((1, 2), (1, 10)))
    apart = EncoderConfig(first_kernel=1, block="plain", stacks=stacks)
    joined = EncoderConfig(first_kernel=1, block="plain", stacks=stacks, combine_at="layer")
    assert receptive_field(apart).offsets == (0, 1, 10)
    assert receptive_field(joined).offsets == (0, 1, 10, 11)


@pytest.mark.parametrize(
    ("first_kernel", "stride", "offsets"),
    [(3, 2, (0, 1, 2, 3, 4)), (1, 2, (0, 2)), (2, 3, (0, 1, 3, 4))],
)
def test_after_a_stride_offsets_are_still_counted_in_input_frames(
    first_kernel: int, stride: int, offsets: tuple[int, ...]
) -> None:
    assert (
        receptive_field(
            EncoderConfig(
                first_kernel=first_kernel,
                stride=stride,
                block="plain",
                stacks=(StackConfig((2,), (1,)),),
            )
        ).offsets
        == offsets
    )


def test_reach_in_samples_includes_the_oldest_frames_window() -> None:
    field = receptive_field(
        EncoderConfig(first_kernel=1, block="plain", stacks=(StackConfig((3,), (2,)),))
    )
    assert field.size_samples(FeatureConfig(hop_samples=320, window_samples=640)) == 4 * 320 + 640
