import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from turnstream.models.layers import ACTIVATIONS, BLOCKS, CausalConv1d, CausalConv2d, context_frames

from ..networks import chunk_sizes, in_chunks, zero_state

KERNELS, DILATIONS, STRIDES = st.integers(1, 5), st.integers(1, 4), st.integers(1, 6)


@settings(max_examples=60)
@given(kernel_size=KERNELS, dilation=DILATIONS, stride=STRIDES, steps=st.integers(1, 9))
def test_causal_conv1d_equals_torch_conv1d_with_left_padding(
    kernel_size: int, dilation: int, stride: int, steps: int
) -> None:
    torch.manual_seed(kernel_size + 10 * dilation + 100 * stride + 1000 * steps)
    conv = CausalConv1d(3, 4, kernel_size, dilation, stride)
    x = torch.randn(2, steps * stride, 3)
    y, _ = conv(x, zero_state(conv.state_shapes(), 2))
    # Negative if the stride is longer than the kernel's span, because inputs are skipped.
    left = (kernel_size - 1) * dilation + 1 - stride
    weight = conv.linear.weight.reshape(4, kernel_size, 3).transpose(1, 2)
    expected = F.conv1d(
        F.pad(x.transpose(1, 2), (left, 0)), weight, conv.linear.bias, stride, dilation=dilation
    ).transpose(1, 2)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)


@settings(max_examples=60)
@given(
    kernel_size=KERNELS,
    dilation=DILATIONS,
    stride=STRIDES,
    freq_kernel=st.sampled_from([1, 3, 5]),
    freq_stride=st.integers(1, 4),
    bins=st.integers(1, 9),
    steps=st.integers(1, 5),
)
def test_causal_conv2d_equals_torch_conv2d_with_left_padding(
    kernel_size: int,
    dilation: int,
    stride: int,
    freq_kernel: int,
    freq_stride: int,
    bins: int,
    steps: int,
) -> None:
    torch.manual_seed(kernel_size + 10 * dilation + 100 * stride + 1000 * steps + bins)
    conv = CausalConv2d(2, 4, kernel_size, freq_kernel, bins, dilation, stride, freq_stride)
    x = torch.randn(2, steps * stride, bins, 2)
    y, _ = conv(x, zero_state(conv.state_shapes(), 2))
    margin = freq_kernel // 2
    padded = F.pad(
        x.permute(0, 3, 1, 2), (margin, margin, (kernel_size - 1) * dilation + 1 - stride, 0)
    )
    weight = conv.linear.weight.reshape(4, kernel_size, freq_kernel, 2).permute(0, 3, 1, 2)
    expected = F.conv2d(
        padded, weight, conv.linear.bias, (stride, freq_stride), dilation=(dilation, 1)
    ).permute(0, 2, 3, 1)
    assert y.shape == (2, steps, conv.out_bins, 4)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)


@settings(max_examples=40)
@given(kernel_size=KERNELS, dilation=DILATIONS, stride=STRIDES, two_d=st.booleans())
def test_any_chunks_of_a_convolution_equal_the_whole(
    kernel_size: int, dilation: int, stride: int, two_d: bool
) -> None:
    torch.manual_seed(kernel_size + 10 * dilation + 100 * stride)
    conv = (
        CausalConv2d(3, 4, kernel_size, 3, 5, dilation, stride)
        if two_d
        else CausalConv1d(3, 4, kernel_size, dilation, stride)
    )
    steps = 25
    x = torch.randn(2, steps * stride, 5, 3) if two_d else torch.randn(2, steps * stride, 3)
    state = zero_state(conv.state_shapes(), 2)
    with torch.inference_mode():
        whole, _ = conv(x, state)
    for name, sizes in chunk_sizes(steps, longest=(kernel_size - 1) * dilation + 1).items():
        torch.testing.assert_close(
            in_chunks(conv, x, state, sizes, stride),
            whole,
            atol=1e-6,
            rtol=1e-5,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("two_d", [False, True], ids=["1d", "2d"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("block", BLOCKS)
def test_any_chunks_of_a_block_equal_the_whole_and_the_future_changes_nothing(
    block: str, activation: str, two_d: bool
) -> None:
    torch.manual_seed(3)

    def conv(
        inputs: int, outputs: int, kernel_size: int, dilation: int
    ) -> CausalConv1d | CausalConv2d:
        return (
            CausalConv2d(inputs, outputs, kernel_size, 3, 5, dilation)
            if two_d
            else CausalConv1d(inputs, outputs, kernel_size, dilation)
        )

    layer = BLOCKS[block](conv, 6, 3, 2, activation)
    x = torch.randn(2, 30, 5, 6) if two_d else torch.randn(2, 30, 6)
    state = zero_state(layer.state_shapes(), 2)
    with torch.inference_mode():
        whole, _ = layer(x, state)
        future = x.clone()
        future[:, 17:] += torch.randn_like(future[:, 17:])
        changed, _ = layer(future, state)
    for sizes in chunk_sizes(30, longest=9).values():
        torch.testing.assert_close(in_chunks(layer, x, state, sizes), whole, atol=1e-6, rtol=1e-5)
    assert torch.equal(changed[:, :17], whole[:, :17])
    assert not torch.equal(changed[:, 17], whole[:, 17])


@pytest.mark.parametrize(("kernel_size", "dilation", "stride"), [(3, 2, 1), (4, 1, 2), (2, 1, 5)])
def test_future_input_never_changes_a_convolutions_earlier_output(
    kernel_size: int, dilation: int, stride: int
) -> None:
    torch.manual_seed(0)
    conv = CausalConv1d(3, 4, kernel_size, dilation, stride)
    x = torch.randn(1, 12 * stride, 3)
    state = zero_state(conv.state_shapes(), 1)
    whole, _ = conv(x, state)
    for step in range(12):
        future = x.clone()
        future[:, (step + 1) * stride :] = 100.0
        assert torch.equal(conv(future, state)[0][:, : step + 1], whole[:, : step + 1])


def test_a_residual_block_is_two_convolutions_and_a_skip() -> None:
    torch.manual_seed(1)
    block = BLOCKS["residual"](CausalConv1d, 4, 3, 2, "relu")
    x = torch.randn(1, 9, 4)
    zero = zero_state(block.state_shapes(), 1)
    inner, _ = block.first(x, zero["first"])  # pyright: ignore[reportCallIssue]
    outer, _ = block.second(torch.relu(inner), zero["second"])  # pyright: ignore[reportCallIssue]
    assert torch.equal(block(x, zero)[0], torch.relu(x + outer))


def test_a_gated_block_is_filter_times_gate_projected_and_a_skip() -> None:
    torch.manual_seed(1)
    block = BLOCKS["gated"](CausalConv1d, 4, 3, 2, "relu")
    x = torch.randn(1, 9, 4)
    zero = zero_state(block.state_shapes(), 1)
    both, _ = block.conv(x, zero)  # pyright: ignore[reportCallIssue]
    expected = x + F.linear(
        torch.tanh(both[..., :4]) * torch.sigmoid(both[..., 4:]),
        block.project.weight,
        block.project.bias,
    )  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
    torch.testing.assert_close(block(x, zero)[0], expected, atol=1e-6, rtol=1e-5)


def test_a_lost_cache_changes_the_output_by_orders_of_magnitude_more_than_rounding() -> None:
    torch.manual_seed(0)
    conv = CausalConv1d(3, 4, 3, 2)
    x = torch.randn(2, 20, 3)
    state = zero_state(conv.state_shapes(), 2)
    whole = in_chunks(conv, x, state, [20])
    spoiled = in_chunks(conv, x, state, [1] * 20, forget=torch.zeros_like)
    assert (spoiled - whole).abs().max() > 1e-2


def test_context_is_the_span_less_the_stride_and_never_negative() -> None:
    assert [
        context_frames(3, 2, 1),
        context_frames(3, 2, 2),
        context_frames(1, 1, 1),
        context_frames(2, 1, 5),
    ] == [4, 3, 0, 0]
