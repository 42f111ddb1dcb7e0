"""Connectivity: how much each earlier frame and mel band moves what a network says of a mutual
silence, as a gradient of the logit of p_shift.

The state before the reach of a gradient is the true one. The gradient of p_shift itself would be
p (1 - p) times as large: a mean would hide every silence of which the network is sure. One unit of
log-mel is 4 nats of power (features.py), about 17 dB. Half-lives are of what lies above the plateau
(decay.py), so they do not depend on how far back is looked.

Source: connectivity after Madsen 2019 (Distill), here of log-mel frames, averaged over silences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ....stream.errors import ConfigError
from ...dialogues.activity import FRAME_RATE_HZ
from ...evaluation.measures import Estimate, Floats
from ...evaluation.shift_hold import SCORE_S
from ...receptive_field import receptive_field
from ..bars import bar
from ..collection import Collection
from ..parts import Arrays
from ..quality import Quality, measure_quality
from .decay import Decay, fit_decay
from .readings import (
    Readings,
    floor_logits,
    in_steps,
    log_mel,
    parts_of,
    silence_readings,
    sound_at,
)

if TYPE_CHECKING:
    from torch import Tensor

    from ...turn_model import TurnModel

KINDS = ("shift", "hold")
CHANNELS = ("speaker before", "other speaker")
INTO_S = (SCORE_S, 0.0)  # of the silence have been heard when the network is asked
REACH_S = 30.0
BATCH_FRAMES = 8_000  # mel frames of each speaker in a backward pass


def logit_gradients(
    model: TurnModel, mel: Tensor, state: Tensor, steps: Tensor, speaker: Tensor
) -> Tensor:
    """Gradients of p_next's logits with respect to log-mel frames, (K, B, 2, T, M).

    Args:
        mel: the frames, (B, 2, T, M), T a multiple of the encoder's stride.
        state: before them, (B, S), from `init_mel_state` or `states_before`.
        steps: at which p_next is read, (K, B), counted from the first frame.
        speaker: whose taking the floor is asked for, (B,).
    """
    import torch

    rows = torch.arange(len(mel))
    with torch.enable_grad():
        heard = mel.detach().requires_grad_()
        said = model.forward_mel(heard, state.detach())[0].next
        scores = [said[rows, speaker, step].sum() for step in steps]
        found = [torch.autograd.grad(score, heard, retain_graph=True)[0] for score in scores]
    return torch.stack(found)


def states_before(model: TurnModel, mel: Tensor, frames: Sequence[int]) -> dict[int, Tensor]:
    """The states, (1, S), before some frames of a dialogue, (2, T, M), heard from its beginning.

    The frames are multiples of the encoder's stride.
    """
    import torch

    from ...evaluation.torch_runner import BLOCK_S

    block = model.config.encoder.stride * round(BLOCK_S * model.config.frame_rate_hz)
    found: dict[int, Tensor] = {}
    state, at = model.init_mel_state(1), 0
    with torch.no_grad():
        for frame in sorted(set(frames)):
            while at < frame:
                end = min(at + block, frame)
                _, state = model.forward_mel(mel[None, :, at:end], state)
                at = end
            found[frame] = state
    return found


def connectivity(
    model: TurnModel, mel: Tensor, step: int, speaker: int, reach_s: float = REACH_S
) -> Tensor:
    """Gradient of what is said of a speaker at the end of one step with respect to the frames
    before it, (R, 2, M), the newest last; R is the reach, or less at the dialogue's start.

    Args:
        mel: of the dialogue from its beginning (`readings.log_mel`), (2, T, M).
        step: of the network.
        speaker: whose taking the floor is asked for.
        reach_s: how far back.
    Raises:
        ConfigError: the dialogue has no such step, or the reach is less than a step.
    """
    import torch

    stride = model.config.encoder.stride
    end = (step + 1) * stride
    if not 0 < end <= mel.shape[1]:
        raise ConfigError(f"expected a step of the dialogue's {mel.shape[1] // stride}, got {step}")
    first = max(0, end - in_steps(model, reach_s, "a reach") * stride)
    state = states_before(model, mel, [first])[first]
    steps, asked = torch.tensor([[step - first // stride]]), torch.tensor([speaker])
    found = logit_gradients(model, mel[None, :, first:end], state, steps, asked)
    return found[0, 0].transpose(0, 1)


@dataclass(frozen=True)
class Connectivity:
    """Magnitudes of gradients of many silences, of 2 KINDS, read at the K moments INTO_S.

    R lags are counted in mel frames at 50 Hz, the newest first; C are the CHANNELS.
    """

    encoder_frames: int  # that the encoder alone reaches
    picture: Floats  # means, (K, 2, R, C, M); NaN where no silence has so much before it
    sums: Floats  # over bands and silences of each dialogue, (D, K, 2, R, C)
    counts: Floats  # silences of each dialogue that have so much before them, (D, K, 2, R)
    silences: Readings  # the E shifts and holds
    half_s: Floats  # half-life of each silence by itself, (E, K)
    quality: Quality

    @property
    def curves(self) -> Floats:
        """Mean magnitude of each frame, summed over bands, (K, 2, R, C)."""
        return _means(self.sums.sum(axis=0), self.counts.sum(axis=0))

    def decay(self, moment: int, kind: int, weights: Floats | None = None) -> Decay:
        """Mean magnitude, both channels together, as it falls beyond the encoder's reach.

        The dialogues weigh as `weights` say, (W, D), or all alike.
        """
        weights = np.ones((1, len(self.sums))) if weights is None else weights
        both = (values[:, moment, kind] for values in (self.sums, self.counts))
        curves = _means(*(np.tensordot(weights, values, 1) for values in both)).sum(axis=-1)
        return fit_decay(curves, FRAME_RATE_HZ, self.encoder_frames)

    def time_within(self, moment: int, kind: int, share: float = 0.5) -> Estimate:
        """Seconds within which a share of what is above the plateau lies, over dialogues."""
        return self.silences.estimate(
            lambda weights: self.decay(moment, kind, weights).time_within(share)
        )

    def longer_for_shifts(self, moment: int) -> Estimate:
        """By how many seconds the half-life is longer for shifts than for holds, over dialogues."""

        def longer(weights: Floats) -> Floats:
            shifts, holds = (self.decay(moment, kind, weights).time_within() for kind in (0, 1))
            return shifts - holds

        return self.silences.estimate(longer)


def connect(
    model: TurnModel,
    collection: Collection,
    reach_s: float = REACH_S,
    kept: Path | None = None,
) -> Connectivity:
    """Connectivity of every shift and hold.

    Args:
        model, collection: any network, and dialogues with sound.
        reach_s: how far back.
        kept: result beside which parts are kept; None keeps none.
    Raises:
        ConfigError: no shifts or no holds, or a network whose only memory is in its features.
    """
    silences, _ = silence_readings(collection)
    readings = [silence_readings(collection, moment)[0] for moment in INTO_S]
    parts = parts_of(kept, collection, model, reach_s, INTO_S)
    picture, rows = np.zeros(()), []
    for number in bar(np.unique(silences.number).tolist(), "connectivity", "dialogue"):
        chosen = [moments.only(moments.of(number)) for moments in (silences, *readings)]
        part = parts.of(number, partial(_connect, model, collection, reach_s, *chosen))
        picture = picture + part["sums"]  # of all dialogues: each is large
        rows.append((part["sums"].sum(axis=-1), part["counts"], part["half_s"], part["said"]))
    sums, counts, half_s, said = zip(*rows, strict=True)
    return Connectivity(
        receptive_field(model.config.encoder).size,
        _means(picture, np.sum(counts, axis=0)[..., None]),
        np.array(sums),
        np.array(counts),
        silences,
        np.concatenate(half_s),
        measure_quality(np.concatenate(said), *silences.asked),
    )


def _connect(
    model: TurnModel,
    collection: Collection,
    reach_s: float,
    silences: Readings,
    *moments: Readings,
) -> Arrays:
    """Sums of one dialogue: its silences, read at K moments; and what is said in them."""
    import torch

    stride, rate_hz = model.config.encoder.stride, model.config.features.sample_rate_hz
    reach = in_steps(model, reach_s, "a reach") * stride
    audio = sound_at(collection, int(silences.number[0]), rate_hz)
    mel, field = log_mel(model, audio), receptive_field(model.config.encoder).size
    read = [moment.steps(model.config.frame_rate_hz) for moment in moments]
    steps = np.minimum(read, mel.shape[1] // stride - 1)  # (K, E)
    first = np.maximum(0, (steps.min(axis=0) + 1) * stride - reach)
    last = (steps.max(axis=0) + 1) * stride
    states = states_before(model, mel, first.tolist())
    speaker, happened = silences.speaker, silences.happened
    counts = np.zeros((len(moments), len(KINDS), reach))
    sums = np.zeros((*counts.shape, 2, mel.shape[2]))
    half_s = np.zeros((len(speaker), len(moments)))
    for length in np.unique(last - first):
        alike = np.flatnonzero(last - first == length)
        per_batch = max(1, BATCH_FRAMES // int(length))
        for batch in np.split(alike, range(per_batch, len(alike), per_batch)):
            windows = torch.stack([mel[:, first[event] : last[event]] for event in batch])
            state = torch.cat([states[first[event]] for event in batch])
            at = torch.from_numpy(steps[:, batch] - first[batch] // stride)
            asked = torch.from_numpy(speaker[batch])
            sizes = logit_gradients(model, windows, state, at, asked).abs().double().numpy()
            for moment, place in np.ndindex(*at.shape):
                event, newest = batch[place], (int(at[moment, place]) + 1) * stride
                by_lag = sizes[moment, place, :, :newest][:, ::-1][:, :reach].transpose(1, 0, 2)
                if speaker[event] == 0:
                    by_lag = by_lag[:, ::-1]  # who spoke before comes first
                kind = int(not happened[event])
                sums[moment, kind, : len(by_lag)] += by_lag
                counts[moment, kind, : len(by_lag)] += 1
                decay = fit_decay(by_lag.sum(axis=(1, 2))[None], FRAME_RATE_HZ, field)
                half_s[event, moment] = decay.time_within()[0]
    said = floor_logits(model, audio, silences)
    return {"sums": sums, "counts": counts, "half_s": half_s, "said": said}


def _means(sums: Floats, counts: Floats) -> Floats:
    """Sums (..., R, *) over counts (..., R); NaN where nothing is counted."""
    below = np.broadcast_to(counts[..., None], sums.shape)
    return np.divide(sums, below, out=np.full(sums.shape, np.nan), where=below > 0)
