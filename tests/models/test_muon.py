from __future__ import annotations

import pytest
import torch
from torch import nn

from turnstream.models.muon import ADAM_SHARE, Muon, orthogonalise


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(4, 6, 3)
        self.recurrent = nn.GRU(6, 5, 2, batch_first=True)
        self.head = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.recurrent(self.convolution(x).transpose(1, 2))[0])


def one_step(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return how every parameter changes in a step on random data."""
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    torch.manual_seed(1)
    network(torch.randn(3, 4, 20)).pow(2).mean().backward()
    optimizer.step()
    return {name: p.detach() - before[name] for name, p in network.named_parameters()}


@pytest.mark.parametrize("shape", [(8, 8), (4, 16), (16, 4)])
def test_singular_values_come_near_one_and_singular_vectors_stay(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    scale = max(1.0, shape[0] / shape[1]) ** 0.5
    mapped = left.T @ orthogonalise(matrix) @ right.T / scale
    assert torch.allclose(mapped, torch.diag(torch.diagonal(mapped)), atol=1e-4)
    # Five rounds raise singular values above a hundredth of the norm to about 1.
    large = values > 0.01 * matrix.norm()
    assert large.sum() >= len(values) - 1
    assert (torch.diagonal(mapped)[large] - 1).abs().max() < 0.5


def test_a_step_is_as_large_in_every_direction_of_every_gate() -> None:
    torch.manual_seed(0)
    network = Small()
    change = one_step(network, Muon(network, [network.head], 0.01))
    gates = change["recurrent.weight_hh_l0"].chunk(3)
    for matrix in (*gates, change["convolution.weight"].flatten(1)):
        sizes = torch.linalg.svdvals(matrix) / 0.01
        assert 0.6 < sizes[0] < 1.4
        assert sizes[1] > 0.6  # the plain gradient's is far smaller than its largest


def test_heads_and_biases_are_updated_by_adam() -> None:
    torch.manual_seed(0)
    network = Small()
    optimizer = Muon(network, [network.head], 0.01)
    change = one_step(network, optimizer)
    for name in ("head.weight", "head.bias", "recurrent.bias_hh_l1"):
        # The first step of Adam is as large as the learning rate, whatever the gradient.
        assert change[name].abs().max() == pytest.approx(0.01 * ADAM_SHARE, rel=1e-3)


def test_adam_part_equals_that_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.LayerNorm(6), nn.LayerNorm(6)
    mine = Muon(ours, [], 0.01, 0.1)
    reference = torch.optim.AdamW(
        theirs.parameters(), 0.01 * ADAM_SHARE, betas=(0.9, 0.99), weight_decay=0.1
    )
    for step in range(5):
        for norm, optimizer in ((ours, mine), (theirs, reference)):
            torch.manual_seed(step)
            optimizer.zero_grad()
            (norm(torch.randn(4, 6)) ** 3).sum().backward()
            optimizer.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)
    assert torch.allclose(ours.bias, theirs.bias, atol=1e-6)


def test_a_saved_optimizer_continues_exactly() -> None:
    def run(steps: int, saved: dict[str, object] | None = None) -> tuple[nn.Module, Muon]:
        torch.manual_seed(0)
        network = Small()
        optimizer = Muon(network, [network.head], 0.01)
        if saved is not None:
            network.load_state_dict(saved["network"])  # type: ignore[arg-type]
            optimizer.load_state_dict(saved["optimizer"])  # type: ignore[arg-type]
        for _ in range(steps):
            optimizer.zero_grad()
            one_step(network, optimizer)
        return network, optimizer

    whole, _ = run(4)
    half, optimizer = run(2)
    resumed, _ = run(2, {"network": half.state_dict(), "optimizer": optimizer.state_dict()})
    for ours, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
