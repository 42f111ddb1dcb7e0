"""Muon: an optimizer that makes the update of every weight matrix orthogonal.

A distillation from scratch, 250 steps of 32 rows, explains 10 % of the teacher's frames and 59 %
of turn completeness with it (learning rate 0.02), and 4 % and 44 % with AdamW (0.002).

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks". torch's own
Muon accepts neither kernels of convolutions nor the stacked gates of recurrent layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM, BETAS, EPSILON = 0.95, (0.9, 0.99), 1e-8
# Learning rate of the parameters that AdamW updates, as a share of that of the matrices.
ADAM_SHARE = 0.1
# Coefficients of the quintic iteration; five rounds bring all singular values near 1.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Updates hidden weight matrices by Muon, and everything else by AdamW.

    Args:
        network: the network. Weights of linear, convolutional and recurrent layers are matrices; a
            kernel is flattened to (outputs, rest), the gates of a recurrent layer are apart.
        outputs: its output layers, which are left to AdamW.
        learning_rate: of the matrices; AdamW uses ADAM_SHARE of it.
        weight_decay: decoupled weight decay of all parameters.
    """

    def __init__(
        self,
        network: nn.Module,
        outputs: Iterable[nn.Module],
        learning_rate: float,
        weight_decay: float = 0.0,
    ) -> None:
        gates = _gates_of_matrices(network, list(outputs))
        groups: list[dict[str, Any]] = [
            {"params": [p for p in gates if gates[p] == count], "gates": count, "lr": learning_rate}
            for count in sorted(set(gates.values()))
        ]
        rest = [p for p in network.parameters() if p not in gates]
        groups.append({"params": rest, "gates": 0, "lr": learning_rate * ADAM_SHARE})
        super().__init__(groups, {"weight_decay": weight_decay})

    @property
    def learning_rates(self) -> list[float]:
        """Learning rate of each group, as schedules want them."""
        return [group["lr"] for group in self.param_groups]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                update = (
                    _orthogonal(parameter.grad, state, group["gates"])
                    if group["gates"]
                    else _adam(parameter.grad, state)
                )
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"])


def _gates_of_matrices(network: nn.Module, outputs: Sequence[nn.Module]) -> dict[Tensor, int]:
    """Return the number of stacked matrices in each parameter that holds matrices."""
    gates: dict[Tensor, int] = {}
    for module in network.modules():
        if any(module is output for output in outputs):
            continue
        if isinstance(module, nn.RNNBase):
            for part, parameter in module.named_parameters(recurse=False):
                if part.startswith("weight"):
                    gates[parameter] = parameter.shape[0] // module.hidden_size
        elif isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            gates[module.weight] = 1
    return gates


def _orthogonal(gradient: Tensor, state: dict[str, Tensor], gates: int) -> Tensor:
    momentum = state.setdefault("momentum", torch.zeros_like(gradient))
    momentum.mul_(MOMENTUM).add_(gradient)
    matrices = gradient.add(momentum, alpha=MOMENTUM).flatten(1)
    return torch.cat([orthogonalise(matrix) for matrix in matrices.chunk(gates)]).view_as(gradient)


def orthogonalise(matrix: Tensor) -> Tensor:
    """Return a matrix (R, C) with the same singular vectors and all singular values near 1.

    A matrix with more rows than columns is scaled by the square root of their ratio, so that the
    output of its layer changes as much as that of a square one.
    """
    rows, columns = matrix.shape
    x = matrix / (matrix.norm() + 1e-7)
    x = x.T if rows > columns else x
    for _ in range(_ROUNDS):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return (x.T if rows > columns else x) * max(1.0, rows / columns) ** 0.5


def _adam(gradient: Tensor, state: dict[str, Any]) -> Tensor:
    steps = state["steps"] = state.get("steps", 0) + 1
    mean = state.setdefault("mean", torch.zeros_like(gradient))
    square = state.setdefault("square", torch.zeros_like(gradient))
    mean.lerp_(gradient, 1 - BETAS[0])
    square.lerp_(gradient * gradient, 1 - BETAS[1])
    deviation = (square / (1 - BETAS[1] ** steps)).sqrt_().add_(EPSILON)
    return mean / (1 - BETAS[0] ** steps) / deviation
