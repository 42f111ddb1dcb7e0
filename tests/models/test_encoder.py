from typing import Any

import pytest
import torch

from turnstream.models.config import EncoderConfig, StackConfig
from turnstream.models.encoder import Encoder
from turnstream.models.receptive_field import receptive_field
from turnstream.models.state import StateLayout

from ..networks import chunk_sizes, in_chunks, zero_state

MEL_BINS = 10
TWO_STACKS = (StackConfig((3, 2), (1, 3)), StackConfig((2, 4), (2, 1)))
CONFIGS = {
    "one stack": EncoderConfig(channels=6, out_channels=5, stacks=TWO_STACKS[:1]),
    "two stacks added at the end": EncoderConfig(
        channels=6, out_channels=5, stacks=TWO_STACKS, block="plain"
    ),
    "unequal stacks concatenated at the end": EncoderConfig(
        channels=6, out_channels=5, stacks=(*TWO_STACKS, StackConfig((3,), (5,))), combine="concat"
    ),
    "added at every layer": EncoderConfig(
        channels=6, out_channels=5, stacks=TWO_STACKS, combine_at="layer", block="gated"
    ),
    "concatenated at every layer": EncoderConfig(
        channels=6, out_channels=5, stacks=TWO_STACKS, combine_at="layer", combine="concat"
    ),
    "stride 2": EncoderConfig(
        channels=6, out_channels=5, stacks=TWO_STACKS, stride=2, first_kernel=5
    ),
    "stride beyond the kernel": EncoderConfig(
        channels=6, out_channels=5, stacks=TWO_STACKS, stride=4, first_kernel=2, activation="silu"
    ),
    "2d": EncoderConfig(channels=3, out_channels=5, stacks=TWO_STACKS[:1], dims=2),
    "2d stride 2 concatenated": EncoderConfig(
        channels=3,
        out_channels=5,
        stacks=TWO_STACKS,
        dims=2,
        stride=2,
        combine="concat",
        block="gated",
    ),
    "2d concatenated at every layer": EncoderConfig(
        channels=3, out_channels=5, stacks=TWO_STACKS, dims=2, combine="concat", combine_at="layer"
    ),
}
STEPS = 40


def encoder_and_input(name: str) -> tuple[Encoder, torch.Tensor, Any]:
    torch.manual_seed(5)
    encoder = Encoder(CONFIGS[name], MEL_BINS)
    for parameter in encoder.parameters():
        parameter.data.mul_(1.5)
    return (
        encoder,
        torch.randn(2, STEPS * CONFIGS[name].stride, MEL_BINS),
        zero_state(encoder.state_shapes(), 2),
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_any_chunks_equal_the_whole(name: str) -> None:
    encoder, x, state = encoder_and_input(name)
    whole = in_chunks(encoder, x, state, [STEPS], CONFIGS[name].stride)
    assert whole.shape == (2, STEPS, CONFIGS[name].out_channels)
    for sizes in chunk_sizes(STEPS, longest=receptive_field(CONFIGS[name]).size).values():
        torch.testing.assert_close(
            in_chunks(encoder, x, state, sizes, CONFIGS[name].stride), whole, atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("name", CONFIGS)
def test_losing_any_one_cache_breaks_the_parity_by_orders_of_magnitude(name: str) -> None:
    encoder, x, state = encoder_and_input(name)
    stride = CONFIGS[name].stride
    whole = in_chunks(encoder, x, state, [STEPS], stride)
    caches = StateLayout.of(encoder.state_shapes()).entries
    assert len(caches) >= 2
    for cache in caches:

        def forget(after: Any, path: tuple[str, ...] = tuple(cache.name.split("."))) -> Any:
            *folders, last = path
            owner = after
            for folder in folders:
                owner = owner[folder]
            owner[last] = torch.zeros_like(owner[last])
            return after

        spoiled = in_chunks(encoder, x, state, [1] * STEPS, stride, forget)
        assert (spoiled - whole).abs().max() > 1e-3, cache.name


@pytest.mark.parametrize("name", CONFIGS)
def test_future_input_never_changes_earlier_output(name: str) -> None:
    encoder, x, state = encoder_and_input(name)
    stride = CONFIGS[name].stride
    future = x.clone()
    future[:, 20 * stride :] += torch.randn_like(future[:, 20 * stride :])
    whole, changed = (in_chunks(encoder, audio, state, [STEPS], stride) for audio in (x, future))
    assert torch.equal(changed[:, :20], whole[:, :20])
    assert not torch.equal(changed[:, 20:], whole[:, 20:])


def test_one_stack_needs_no_join_however_it_is_configured() -> None:
    torch.manual_seed(0)
    parameters = {
        name: sum(
            p.numel()
            for p in Encoder(
                EncoderConfig(stacks=TWO_STACKS[:1], combine=combine, combine_at=at), MEL_BINS
            ).parameters()
        )
        for name, combine, at in (
            ("a", "add", "end"),
            ("b", "concat", "end"),
            ("c", "concat", "layer"),
        )
    }
    assert len(set(parameters.values())) == 1
