"""A denoising autoencoder, whose narrow middle is a plane or space of latent states.

Five dense layers with a linear bottleneck, Gaussian noise of 0.1 on the input, Adam, mean squared
error, trained on single time steps in random order; steps at the ends of dialogues in which the
state hardly moves are left out, or they would outweigh the rest. States are centred and scaled by
one number, so that distances stay what they are and units that never move do not count. This is the
recipe of an article on the states of an LSTM that reads sign language. Needs torch to fit;
the encoder is then a formula.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....stream.saved_embedding import DenseLayer, Formula
from ..collection import Collection, Columns
from .plane import principal_directions

WIDTHS = (64, 32)  # of the hidden layers before the bottleneck; after it only the second
NOISE = 0.1
LEARNING_RATE = 3e-3
BATCHES, BATCH = 40, (32, 512)  # an epoch's batches, of no fewer and no more states than these
MOST_EPOCHS, PATIENCE = 60, 6  # stops after so many epochs without a better validation loss
VALIDATION_SHARE = 0.1
HARDLY = 0.1  # of a dialogue's root mean square step: a state that moves less hardly moves

Float32 = NDArray[np.float32]


def fit_autoencoder(states: Float32, dims: int, seed: int) -> Formula:
    """Train it; the encoder, with the scaling folded into it, is the formula.

    Args:
        states: (N, H), N >= 20.
        dims: of the bottleneck.
        seed: of weights, noise and order.
    Returns:
        Three layers; `reconstructed`, the share of the variance of held-out states that the
        bottleneck keeps, and `reconstructed_by_pca`, what as many principal components keep, in
        `trust`.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(states))
    held_out, kept = np.split(order, [max(2, round(VALIDATION_SHARE * len(states)))])
    mean = states[kept].mean(axis=0, dtype=np.float64)
    scale = max(float(np.sqrt(states[kept].var(axis=0, dtype=np.float64).mean())), 1e-12)
    scaled = torch.from_numpy(((states - mean) / scale).astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(states.shape[1], dims)
        epochs = _train(network, scaled[torch.from_numpy(kept)], scaled[torch.from_numpy(held_out)])
    with torch.inference_mode():
        checked = scaled[torch.from_numpy(held_out)]
        error = float(((network(checked) - checked) ** 2).sum())
    shown = checked.numpy().astype(np.float64)
    _, directions, _ = principal_directions(scaled[torch.from_numpy(kept)].numpy(), dims)
    by_pca = float(((shown - shown @ directions.T @ directions) ** 2).sum())
    variance = max(float((shown**2).sum()), 1e-12)
    reconstructed, reconstructed_by_pca = 1 - error / variance, 1 - by_pca / variance
    return Formula(
        _encoder(network, mean, scale),
        settings={
            "widths": [*WIDTHS, dims, WIDTHS[1], states.shape[1]],
            "noise": NOISE,
            "epochs": epochs,
        },
        trust={"reconstructed": reconstructed, "reconstructed_by_pca": reconstructed_by_pca},
        about=f"The bottleneck of a denoising autoencoder, which keeps {reconstructed:.0%} of the "
        "variance of held-out states; "
        f"{dims} principal components keep {reconstructed_by_pca:.0%}.",
    )


def moving_steps(collection: Collection, layer: str, rows: Columns) -> NDArray[np.bool_]:
    """Which rows lie where their speaker's state still moves, (N,).

    That is between the first and the last step of a dialogue in which it moves.

    Args:
        collection: that the rows are of.
        layer: whose states.
        rows: `number`, `frame` and `speaker` of each, as `Collection.sample` gives them.
    """
    moving = np.zeros(len(rows["frame"]), bool)
    for number in np.unique(rows["number"]):
        states = collection.frames(int(number), [layer])[layer]
        for speaker in (0, 1):
            low, high = moving_span(states[:, speaker])
            moving |= (
                (rows["number"] == number)
                & (rows["speaker"] == speaker)
                & (rows["frame"] >= low)
                & (rows["frame"] < high)
            )
    return moving


def moving_span(states: Float32) -> tuple[int, int]:
    """First step and end of the part of a sequence (T, H) outside of which its state hardly moves.

    It is the whole of a sequence that never moves.
    """
    steps = np.linalg.norm(np.diff(states, axis=0), axis=1)
    moves = np.nonzero(steps > HARDLY * np.sqrt((steps**2).mean()))[0] if len(steps) else steps
    return (int(moves[0]), int(moves[-1]) + 2) if len(moves) else (0, len(states))


def _network(width: int, dims: int) -> nn.Sequential:
    first, second = WIDTHS
    return nn.Sequential(
        nn.Linear(width, first),
        nn.Tanh(),
        nn.Linear(first, second),
        nn.Tanh(),
        nn.Linear(second, dims),  # the bottleneck
        nn.Linear(dims, second),
        nn.Tanh(),
        nn.Linear(second, width),
    )


def _train(network: nn.Sequential, states: Tensor, held_out: Tensor) -> int:
    """Train until the loss on held-out states, without noise, falls no more.

    The best weights stay. Returns the epochs to these.
    """
    adam = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    best, best_epoch, best_weights = np.inf, 0, copy.deepcopy(network.state_dict())
    size = min(max(len(states) // BATCHES, BATCH[0]), BATCH[1])
    for epoch in range(1, MOST_EPOCHS + 1):
        for rows in torch.randperm(len(states)).split(size):
            clean = states[rows]
            loss = nn.functional.mse_loss(network(clean + NOISE * torch.randn_like(clean)), clean)
            adam.zero_grad()
            loss.backward()
            adam.step()
        with torch.inference_mode():
            found = float(nn.functional.mse_loss(network(held_out), held_out))
        if found < best:
            best, best_epoch, best_weights = found, epoch, copy.deepcopy(network.state_dict())
        elif epoch - best_epoch >= PATIENCE:
            break
    network.load_state_dict(best_weights)
    return best_epoch


def _encoder(
    network: nn.Sequential, mean: NDArray[np.float64], scale: float
) -> tuple[DenseLayer, ...]:
    linear = [layer for layer in network if isinstance(layer, nn.Linear)][: len(WIDTHS) + 1]
    weights = [
        (
            layer.weight.detach().numpy().astype(np.float64),
            layer.bias.detach().numpy().astype(np.float64),
        )
        for layer in linear
    ]
    weight, bias = weights[0]
    weights[0] = (weight / scale, bias - weight @ mean / scale)
    activations = ["tanh"] * len(WIDTHS) + ["linear"]
    return tuple(
        DenseLayer(w.astype(np.float32), b.astype(np.float32), a)
        for (w, b), a in zip(weights, activations, strict=True)
    )
