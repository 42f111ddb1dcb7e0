"""A denoising autoencoder, whose narrow middle is a plane or space of latent states.

Five dense layers with a linear bottleneck, Gaussian noise of 0.1 on the input, Adam, mean squared
error, trained on single time steps in random order, without those at the ends of dialogues in which
the state hardly moves: the recipe of an article on an LSTM that reads sign language. States are
centred and scaled by one number, so that distances stay what they are. It needs torch to fit.
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
    """Train it on states, (N >= 20, H); its encoder, of three layers, is the formula.

    In `trust` is which share of the variance of held-out states the bottleneck keeps,
    `reconstructed`, and as many principal components, `reconstructed_by_pca`.
    """
    order = np.random.default_rng(seed).permutation(len(states))
    some = max(2, round(VALIDATION_SHARE * len(states)))
    held_out, kept = np.split(order, [some])
    mean = states[kept].mean(axis=0, dtype=np.float64)
    scale = max(float(np.sqrt(states[kept].var(axis=0, dtype=np.float64).mean())), 1e-12)
    scaled = ((states - mean) / scale).astype(np.float32)
    learned, checked = torch.from_numpy(scaled[kept]), torch.from_numpy(scaled[held_out])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first, second, width = *WIDTHS, states.shape[1]
        network = nn.Sequential(
            *(nn.Linear(width, first), nn.Tanh(), nn.Linear(first, second), nn.Tanh()),
            nn.Linear(second, dims),  # the bottleneck
            *(nn.Linear(dims, second), nn.Tanh(), nn.Linear(second, width)),
        )
        epochs = _train(network, learned, checked)
    with torch.inference_mode():
        error = float(((network(checked) - checked) ** 2).sum())
    shown = scaled[held_out].astype(np.float64)
    _, directions, _ = principal_directions(scaled[kept], dims)
    by_pca = float(((shown - shown @ directions.T @ directions) ** 2).sum())
    variance = max(float((shown**2).sum()), 1e-12)
    reconstructed, of_pca = 1 - error / variance, 1 - by_pca / variance
    return Formula(
        _encoder(network, mean, scale),
        settings={"widths": [first, second, dims, second, width], "noise": NOISE, "epochs": epochs},
        trust={"reconstructed": reconstructed, "reconstructed_by_pca": of_pca},
        about=f"The bottleneck of a denoising autoencoder, which keeps {reconstructed:.0%} of the "
        f"variance of held-out states; {dims} principal components keep {of_pca:.0%}.",
    )


def moving_steps(collection: Collection, layer: str, rows: Columns) -> NDArray[np.bool_]:
    """Which rows lie where their speaker's state still moves, (N,): in the `moving_span`.

    `rows` are `number`, `frame` and `speaker` of each, as `Collection.sample` gives them.
    """
    moving = np.zeros(len(rows["frame"]), bool)
    for number in np.unique(rows["number"]):
        states = collection.frames(int(number), [layer])[layer]
        spans = np.array([moving_span(states[:, speaker]) for speaker in (0, 1)])
        here = rows["number"] == number
        (low, high), frame = spans[rows["speaker"][here]].T, rows["frame"][here]
        moving[here] = (frame >= low) & (frame < high)
    return moving


def moving_span(states: Float32) -> tuple[int, int]:
    """First step, and end, of what lies between the still ends of states (T, H), or all of it."""
    steps = np.linalg.norm(np.diff(states, axis=0), axis=1)
    moves = np.nonzero(steps > HARDLY * np.sqrt((steps**2).mean()))[0] if len(steps) else steps
    return (int(moves[0]), int(moves[-1]) + 2) if len(moves) else (0, len(states))


def _train(network: nn.Sequential, states: Tensor, held_out: Tensor) -> int:
    """Train until the loss on held-out states falls no more; return the epochs to the best."""
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
    """The layers up to the bottleneck; the first takes states that are not yet scaled."""
    found: list[DenseLayer] = []
    for layer in [layer for layer in network if isinstance(layer, nn.Linear)][: len(WIDTHS) + 1]:
        weight = layer.weight.detach().numpy().astype(np.float64)
        bias = layer.bias.detach().numpy().astype(np.float64)
        if not found:
            weight, bias = weight / scale, bias - weight @ mean / scale
        activation = "tanh" if len(found) < len(WIDTHS) else "linear"
        found.append(DenseLayer(weight.astype(np.float32), bias.astype(np.float32), activation))
    return tuple(found)
