from typing import Any, Literal

import pytest
import torch

from turnstream.models.config import RecurrentConfig
from turnstream.models.recurrent import Recurrent

from ..networks import chunk_sizes, in_chunks, zero_state

Kind = Literal["rnn", "gru", "lstm", "none"]
FRAMES = 30


def forget(state: Any) -> Any:
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm", "none"])
def test_any_chunks_equal_the_whole(kind: Kind, layers: int) -> None:
    torch.manual_seed(2)
    layer = Recurrent(RecurrentConfig(kind, 7, layers), 5)
    x = torch.randn(3, FRAMES, 5)
    state = zero_state(layer.state_shapes(), 3)
    whole = in_chunks(layer, x, state, [FRAMES])
    assert whole.shape == (3, FRAMES, 7)
    for sizes in chunk_sizes(FRAMES, longest=8).values():
        torch.testing.assert_close(in_chunks(layer, x, state, sizes), whole, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(
    ("kind", "names"), [("rnn", {"h"}), ("gru", {"h"}), ("lstm", {"h", "c"}), ("none", set())]
)
def test_the_state_has_the_shapes_it_promises(kind: Kind, names: set[str], layers: int) -> None:
    layer = Recurrent(RecurrentConfig(kind, 7, layers), 5)
    assert layer.state_shapes() == dict.fromkeys(names, (layers, 7))
    _, after = layer(torch.randn(3, 4, 5), zero_state(layer.state_shapes(), 3))
    assert {name: tuple(tensor.shape) for name, tensor in after.items()} == dict.fromkeys(
        names, (3, layers, 7)
    )


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_losing_the_state_breaks_the_parity_by_orders_of_magnitude(kind: Kind) -> None:
    torch.manual_seed(2)
    layer = Recurrent(RecurrentConfig(kind, 7, 2), 5)
    x = torch.randn(3, FRAMES, 5)
    state = zero_state(layer.state_shapes(), 3)
    assert (
        in_chunks(layer, x, state, [1] * FRAMES, forget=forget)
        - in_chunks(layer, x, state, [FRAMES])
    ).abs().max() > 1e-2


def test_none_is_a_linear_read_out_without_memory() -> None:
    torch.manual_seed(2)
    layer = Recurrent(RecurrentConfig("none", 7, 2), 5)
    x, y = torch.randn(1, 4, 5, dtype=torch.float64), torch.randn(1, 4, 5, dtype=torch.float64)
    layer = layer.double()

    def read(frames: torch.Tensor) -> torch.Tensor:
        return layer(frames, {})[0]

    origin = read(torch.zeros_like(x))
    torch.testing.assert_close(read(x + y) - origin, (read(x) - origin) + (read(y) - origin))
    torch.testing.assert_close(read(x)[:, 2:], read(x[:, 2:]))
