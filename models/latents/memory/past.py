"""Quality against the amount of past: a network that hears only the last seconds before it is asked, and models that can see no further.

The network is started anew, with a zero state, that long before the moment, as it starts at a dialogue's beginning. It is asked 0.25 s
into every shift and hold (AUC, log-loss), and at moments drawn from all that the loss of the next holder looks at in training. The
fixed-order baselines are logistic regressions on the last frames of both speakers' log-mel, averaged in windows that double in length
and in a few bands, so that few events can fit them; each is judged on dialogues that it was not fitted on.

Source: "Visualizing and understanding recurrent networks" (Karpathy, Johnson, Fei-Fei 2016), section 4.3, for turn-taking.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ....stream.errors import ConfigError
from ...checkpoint import weights_sha256
from ...dialogues.activity import FRAME_RATE_HZ, Samples
from ...evaluation.measures import (
    Estimate,
    auc_within_statistic,
    consecutive,
    estimate,
    sums_by_dialogue,
)
from ...turn_model import TurnModel
from ..collection import Collection
from ..parts import Parts, parts_beside
from .held_out import Floats, fitted_log_odds, held_out_log_odds, log_loss
from .readings import Readings, each_dialogue, floor_logits, log_mel

ALL = math.inf
PASTS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, ALL)
FRAMES = (1, 2, 4, 8, 16, 32, 64, 128)  # of the fixed-order baselines, at 50 Hz
BANDS = 8
BATCH_S = 240.0  # of audio in one forward pass


def score_with_past(
    model: TurnModel,
    collection: Collection,
    readings: Readings,
    pasts_s: Sequence[float] = PASTS_S,
    kept: Path | None = None,
) -> Floats:
    """What a network says at moments when it has heard only so much before them.

    Args:
        model: in evaluation mode; any, not only the collection's.
        collection: that the readings are of, with sound.
        readings: E moments.
        pasts_s: seconds heard, at least a step of the network; ALL from the dialogue's beginning.
        kept: result beside which parts are kept; None keeps none.
    Returns:
        log-odds of p_next of each moment's speaker, (P, E). Where a dialogue has less before the moment, all of it is heard.
    Raises:
        ConfigError: a past of less than a step.
    """
    lengths = [_steps(model, past_s) for past_s in pasts_s]
    parts = Parts(
        parts_beside(kept),
        json.dumps(
            [
                weights_sha256(model),
                [d.id for d in collection.dialogues],
                list(pasts_s),
                readings.heard_s.tolist(),
            ]
        ),
    )
    found = np.zeros((len(lengths), len(readings)))
    rate_hz = model.config.features.sample_rate_hz
    with tqdm(total=len(readings), desc="past", unit="moment", disable=None) as bar:
        for number in np.unique(readings.number).tolist():
            places = readings.of(number)
            chosen = readings.only(places)
            found[:, places] = parts.of(
                number,
                lambda number=number, chosen=chosen: {
                    "said": _score(model, collection, chosen, rate_hz, lengths)
                },
            )["said"]
            bar.update(len(places))
    return found


def _score(
    model: TurnModel,
    collection: Collection,
    readings: Readings,
    rate_hz: int,
    lengths: Sequence[int | None],
) -> Floats:
    """One dialogue: (P, E)."""
    ((_, audio),) = each_dialogue(collection, readings, rate_hz)
    whole = floor_logits(model, audio, readings)
    steps = np.minimum(
        readings.steps(model.config.frame_rate_hz), audio.shape[1] // model.config.frame_samples - 1
    )
    rows: list[Floats] = []
    for length in lengths:
        said = whole.copy()
        if length is not None:
            short = np.flatnonzero(steps + 1 > length)  # the others begin with the dialogue anyway
            per_batch = max(1, int(BATCH_S * model.config.frame_rate_hz / length))
            for batch in np.split(short, range(per_batch, len(short), per_batch)):
                if len(batch):
                    said[batch] = _hear(
                        model, audio, steps[batch] + 1, length, readings.speaker[batch]
                    )
        rows.append(said)
    return np.array(rows)


def _hear(
    model: TurnModel,
    audio: Samples,
    ends: NDArray[np.int64],
    length: int,
    speaker: NDArray[np.int64],
) -> Floats:
    """Log-odds at the end of pieces of `length` steps, each from a zero state."""
    frame, parameter = model.config.frame_samples, next(model.parameters())
    pieces = np.stack([audio[:, (end - length) * frame : end * frame] for end in ends])
    with torch.inference_mode():
        output, _ = model(torch.from_numpy(pieces).to(parameter), model.init_state(len(ends)))
    return (
        output.next[torch.arange(len(ends)), torch.from_numpy(speaker), -1].cpu().double().numpy()
    )


def _steps(model: TurnModel, past_s: float) -> int | None:
    """A past in steps of the network, None for all.

    Raises:
        ConfigError: less than one.
    """
    if past_s == ALL:
        return None
    steps = round(past_s * model.config.frame_rate_hz) if math.isfinite(past_s) else 0
    if steps < 1:
        raise ConfigError(
            f"expected pasts of at least a step of the network, {1 / model.config.frame_rate_hz:g} s, got {past_s:g}"
        )
    return steps


@dataclass(frozen=True)
class RecentSound:
    """The last frames before moments, for models that can see no further.

    Attributes:
        edges: windows go from edges[w] to edges[w + 1] frames before the newest, (W + 1,), from 0.
        values: log-mel averaged over each window and band, (E, W, 2, BANDS): the one asked about last.
        readings: the moments.
    """

    edges: tuple[int, ...]
    values: Floats
    readings: Readings


def recent_sound(
    model: TurnModel, collection: Collection, readings: Readings, frames: Sequence[int] = FRAMES
) -> RecentSound:
    """Frames before moments, averaged in windows that end at each of `frames`; what is before a dialogue's beginning is silence.

    Args:
        model: whose features are taken; nothing of its weights.
        collection: that the readings are of, with sound.
        readings: E moments.
        frames: rising.
    """
    edges = (0, *frames)
    bands = min(BANDS, model.config.features.mel_bins)
    values = np.zeros((len(readings), len(frames), 2, bands))
    heard = np.rint(readings.heard_s * FRAME_RATE_HZ).astype(np.int64)
    nothing = log_mel(model, np.zeros((2, model.config.frame_samples), np.float32))[:, :1]
    for places, audio in each_dialogue(collection, readings, model.config.features.sample_rate_hz):
        mel = torch.cat([nothing.expand(-1, edges[-1], -1), log_mel(model, audio)], dim=1)
        banded = (
            torch.stack([piece.mean(dim=-1) for piece in mel.tensor_split(bands, dim=-1)], dim=-1)
            .double()
            .numpy()
        )  # (2, T, bands)
        for place in places:
            end = min(int(heard[place]) + edges[-1], banded.shape[1])
            both = banded[::-1] if readings.speaker[place] == 0 else banded
            for window, (newer, older) in enumerate(zip(edges, edges[1:], strict=False)):
                values[place, window] = both[:, end - older : end - newer].mean(axis=1)
    return RecentSound(edges, values, readings)


def fixed_order_baseline(
    sound: RecentSound, frames: int, fit_on: RecentSound | None = None
) -> Floats:
    """Log-odds from the last frames alone, (E,).

    Args:
        sound: of the moments.
        frames: how many may be seen, one of the sound's edges; 0 gives the share that happens.
        fit_on: other dialogues to fit on; None fits on this sound's other dialogues.
    Raises:
        ConfigError: no such edge, or nothing to fit on.
    """
    if frames not in sound.edges:
        raise ConfigError(
            f"expected one of {', '.join(map(str, sound.edges))} frames, got {frames}"
        )
    windows = sound.edges.index(frames)
    features = _flat(sound, windows)
    if fit_on is None:
        return held_out_log_odds(features, sound.readings.happened, sound.readings.number)
    return fitted_log_odds(
        _flat(fit_on, windows), fit_on.readings.happened, fit_on.readings.number, features
    )


def _flat(sound: RecentSound, windows: int) -> Floats:
    return sound.values[:, :windows].reshape(len(sound.values), -1)


@dataclass(frozen=True)
class Quality:
    """How good log-odds are, and by how much worse than those with all the past; NaN where it cannot be had.

    Attributes:
        auc: of shifts against holds of the same dialogue and speaker.
        auc_lost: the AUC with all of it minus this one.
        loss: mean log-loss in nats.
        loss_gained: this one minus the loss with all of it.
    """

    auc: Estimate
    auc_lost: Estimate
    loss: Estimate
    loss_gained: Estimate


def judge(log_odds: Floats, whole: Floats, readings: Readings) -> Quality:
    """Quality of log-odds, (E,), beside those with all the past, with intervals over dialogues of both and of the paired difference."""
    numbers, dialogues = consecutive(readings.number)
    happened = readings.happened
    aucs = [
        auc_within_statistic(values, happened, readings.speaker, numbers, dialogues)
        for values in (log_odds, whole)
    ]
    losses = np.stack([log_loss(values, happened) for values in (log_odds, whole)], axis=1)
    sums = sums_by_dialogue(
        np.concatenate([losses, np.ones((len(losses), 1))], axis=1), numbers, dialogues
    )

    def mean(weights: Floats, column: int) -> Floats:
        summed = weights @ sums
        return summed[:, column] / summed[:, 2]

    return Quality(
        estimate(aucs[0], dialogues),
        estimate(lambda weights: aucs[1](weights) - aucs[0](weights), dialogues),
        estimate(lambda weights: mean(weights, 0), dialogues),
        estimate(lambda weights: mean(weights, 0) - mean(weights, 1), dialogues),
    )


def enough_past(pasts_s: Sequence[float], worse: Sequence[Estimate]) -> float | None:
    """The least past from which on no longer one is measurably different from all: every interval of the difference includes 0.

    Args:
        pasts_s: rising, ALL last.
        worse: by how much each is worse than all.
    Returns:
        seconds; ALL: only all of it; None: the intervals cannot be had.
    """
    if any(math.isnan(difference.low) for difference in worse[:-1]):
        return None
    least = ALL
    for past_s, difference in list(zip(pasts_s, worse, strict=True))[-2::-1]:
        if not difference.low <= 0 <= difference.high:
            break
        least = past_s
    return least
