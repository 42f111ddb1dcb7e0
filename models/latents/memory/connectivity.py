"""Connectivity: how much each earlier frame and mel band moves what a network says of a mutual
silence.

It is the gradient of the shift's score, 0.25 s into the silence or just before it, with respect to
every log-mel value of both speakers before that. What the network holds in mind from before the
reach of a gradient is the real thing: its state is carried on from the dialogue's beginning. The
score is the logit of p_shift: the gradient of p_shift itself is p (1 - p) times that, the same
picture for one silence, but in an average it would hide every silence of which the network is sure.

One unit of log-mel is 4 nats of power (features.py), about 17 dB. Half-life is the time within
which half of the summed magnitude lies that is above the plateau (decay.py), so it does not depend
on how far back is looked.

Source: connectivity after "Visualizing memorization in RNNs" (Madsen, Distill 2019), here of log-
mel frames and averaged over silences.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ...dialogues.activity import FRAME_RATE_HZ, Samples
from ...evaluation.measures import Estimate, estimate
from ...evaluation.shift_hold import SCORE_S
from ...receptive_field import receptive_field
from ..bars import bar
from ..collection import Collection
from ..parts import Arrays, Parts, parts_beside
from ..quality import Quality, measure_quality
from .decay import Decay, fit_decay
from .readings import Readings, floor_logits, log_mel, silence_readings, sound_at

if TYPE_CHECKING:
    from torch import Tensor

    from ...turn_model import TurnModel

Score = Literal["logit", "p_shift"]
SCORES: tuple[Score, ...] = ("logit", "p_shift")
KINDS = ("shift", "hold")
CHANNELS = ("speaker before", "other speaker")
INTO_S = (SCORE_S, 0.0)  # of the silence have been heard when the network is asked
REACH_S = 30.0
BATCH_FRAMES = 8_000  # mel frames of each speaker in a backward pass
STRAIGHT = 0.95  # R squared from which a tail counts as one exponential on a plateau

Floats = NDArray[np.float64]


def add_of(parser: argparse.ArgumentParser) -> None:
    """Add --of."""
    what = "what the gradient is of: the logit of p_shift, or p_shift itself (default logit)"
    parser.add_argument("--of", choices=SCORES, default="logit", help=what)


def score_gradients(
    model: TurnModel,
    mel: Tensor,
    state: Tensor,
    steps: Tensor,
    speaker: Tensor,
    of: Score = "logit",
) -> Tensor:
    """Gradients of what a network says at some steps with respect to the frames that it is given.

    Args:
        model: in evaluation mode.
        mel: log-mel frames, (B, 2, T, M), T a multiple of the encoder's stride.
        state: before them, (B, S), from `init_mel_state` or `states_before`.
        steps: of the network at which it is read, (K, B), counted from the first frame.
        speaker: whose taking the floor is asked for, (B,).
        of: "logit" of p_next or "p_shift", its sigmoid.
    Returns:
        (K, B, 2, T, M).
    """
    import torch

    rows = torch.arange(len(mel))
    with torch.enable_grad():
        heard = mel.detach().requires_grad_()
        output, _ = model.forward_mel(heard, state.detach())
        gradients = []
        for step in steps:
            logit = output.next[rows, speaker, step]
            score = logit if of == "logit" else torch.sigmoid(logit)
            gradients.append(torch.autograd.grad(score.sum(), heard, retain_graph=True)[0])
    return torch.stack(gradients)


def states_before(model: TurnModel, mel: Tensor, frames: Sequence[int]) -> dict[int, Tensor]:
    """The state of a network before some frames of a dialogue, heard from its beginning; no
    gradient.

    Args:
        model: in evaluation mode.
        mel: log-mel frames of the dialogue, (2, T, M).
        frames: multiples of the encoder's stride.
    Returns:
        (1, S) by frame.
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
    model: TurnModel,
    mel: Tensor,
    step: int,
    speaker: int,
    reach_s: float = REACH_S,
    of: Score = "logit",
) -> Tensor:
    """Gradient of what a network says at one moment with respect to the frames before it.

    Args:
        model: in evaluation mode.
        mel: log-mel frames of the dialogue from its beginning (`readings.log_mel`), (2, T, M).
        step: of the network, at whose end it is read.
        speaker: whose taking the floor is asked for: at a mutual silence, who did not speak before
            it.
        reach_s: how far back; further back is in the network's state, which is taken as it is.
        of: see `score_gradients`.
    Returns:
        (R, 2, M) in order of time, the last row the newest frame; R is the reach, or less at the
        dialogue's start.
    Raises:
        ConfigError: the dialogue has no such step.
    """
    import torch

    stride = model.config.encoder.stride
    end = (step + 1) * stride
    if not 0 < end <= mel.shape[1]:
        raise ConfigError(f"expected a step of the dialogue's {mel.shape[1] // stride}, got {step}")
    first = max(0, end - _reach_frames(model, reach_s))
    state = states_before(model, mel, [first])[first]
    steps, asked = torch.tensor([[step - first // stride]]), torch.tensor([speaker])
    return score_gradients(model, mel[None, :, first:end], state, steps, asked, of)[0, 0].transpose(
        0, 1
    )


@dataclass(frozen=True)
class Connectivity:
    """Magnitudes of gradients of many silences. Lag 0 is the newest frame heard; of K moments into
    the silence, of KINDS and CHANNELS.

    Attributes:
        into_s: the K moments.
        rate_hz: mel frames a second.
        encoder_frames: how many frames the encoder alone reaches.
        picture: mean magnitude, (K, 2 kinds, R lags, 2 channels, M); NaN where no silence has so
            much before it.
        sums: of magnitudes over bands and silences of each dialogue, (D, K, 2 kinds, R, 2
            channels).
        counts: silences of each dialogue that have so much before them, (D, K, 2 kinds, R).
        shift: which silences are shifts, (E,).
        half_s: half-life of each silence by itself, (E, K).
        quality: how good the network is.
    """

    into_s: tuple[float, ...]
    rate_hz: float
    encoder_frames: int
    picture: Floats
    sums: Floats
    counts: Floats
    shift: NDArray[np.bool_]
    half_s: Floats
    quality: Quality

    @property
    def curves(self) -> Floats:
        """Mean magnitude of each frame, summed over bands, (K, 2 kinds, R, 2 channels)."""
        return _means(np.ones((1, len(self.sums))), self.sums, self.counts)[0]

    def decay(self, moment: int, kind: int, weights: Floats | None = None) -> Decay:
        """Mean magnitude, both channels together, as it falls beyond the encoder's reach.

        Args:
            moment, kind: which.
            weights: of the dialogues, (W, D); None: 1 of each.
        """
        drawn = np.ones((1, len(self.sums))) if weights is None else weights
        curves = _means(drawn, self.sums[:, moment, kind], self.counts[:, moment, kind])
        return fit_decay(curves.sum(axis=-1), self.rate_hz, self.encoder_frames)

    def time_within(self, moment: int, kind: int, share: float = 0.5) -> Estimate:
        """Seconds within which a share of what is above the plateau lies, over dialogues."""
        return estimate(
            lambda weights: self.decay(moment, kind, weights).time_within(share), len(self.sums)
        )

    def longer_for_shifts(self, moment: int, share: float = 0.5) -> Estimate:
        """By how many seconds that time is longer for shifts than for holds."""
        return estimate(
            lambda weights: (
                self.decay(moment, 0, weights).time_within(share)
                - self.decay(moment, 1, weights).time_within(share)
            ),
            len(self.sums),
        )


def connect(
    model: TurnModel,
    collection: Collection,
    reach_s: float = REACH_S,
    into_s: tuple[float, ...] = INTO_S,
    of: Score = "logit",
    kept: Path | None = None,
) -> Connectivity:
    """Connectivity of every shift and hold.

    Args:
        model: in evaluation mode; any, not only the collection's.
        collection: of dialogues whose sound is there.
        reach_s: how far back.
        into_s: moments, from the silence's start.
        of: see `score_gradients`.
        kept: result beside which parts are kept; None keeps none.
    Raises:
        ConfigError: no shifts or no holds, or a network whose only memory is in its features.
    """
    from ...checkpoint import weights_sha256

    silences, _ = silence_readings(collection)
    readings = [silence_readings(collection, moment)[0] for moment in into_s]
    sha256 = [weights_sha256(model), *(dialogue.id for dialogue in collection.dialogues)]
    parts = Parts(parts_beside(kept), json.dumps([sha256, reach_s, into_s, of]))
    numbers = np.unique(readings[0].number).tolist()
    picture: Floats | None = None
    sums, counts, halves, said = [], [], [], []
    for number in bar(numbers, "connectivity", "dialogue"):
        chosen = [moment.only(moment.of(number)) for moment in readings]
        part = parts.of(
            number,
            lambda number=number, chosen=chosen: _connect(
                model,
                sound_at(collection, number, _rate(model)),
                chosen,
                silences.only(silences.of(number)),
                reach_s,
                of,
            ),
        )
        picture = part["sums"] if picture is None else picture + part["sums"]
        sums.append(part["sums"].sum(axis=-1))
        counts.append(part["counts"])
        halves.append(part["half_s"])
        said.append(part["said"])
    assert picture is not None  # there is a shift, so there is a dialogue
    counted = np.sum(counts, axis=0)[..., None, None]
    mean = np.divide(picture, counted, out=np.full(picture.shape, np.nan), where=counted > 0)
    field = receptive_field(model.config.encoder).size
    return Connectivity(
        into_s,
        FRAME_RATE_HZ,
        field,
        mean,
        np.array(sums),
        np.array(counts),
        readings[0].happened,
        np.concatenate(halves),
        measure_quality(
            np.concatenate(said),
            silences.happened,
            silences.number,
            silences.speaker,
        ),
    )


def _connect(
    model: TurnModel,
    audio: Samples,
    readings: Sequence[Readings],
    silences: Readings,
    reach_s: float,
    of: Score,
) -> Arrays:
    """Sums of one dialogue: its silences, read at K moments; and what is said SCORE_S into them."""
    import torch

    stride, reach = model.config.encoder.stride, _reach_frames(model, reach_s)
    mel, field = log_mel(model, audio), receptive_field(model.config.encoder).size
    steps = np.minimum(
        [moment.steps(model.config.frame_rate_hz) for moment in readings],
        mel.shape[1] // stride - 1,
    )  # (K, E)
    first = np.maximum(0, (steps.min(axis=0) + 1) * stride - reach)
    last = (steps.max(axis=0) + 1) * stride
    states = states_before(model, mel, first.tolist())
    speaker, shift = readings[0].speaker, readings[0].happened
    shape = (len(readings), len(KINDS), reach)
    sums, counts, half_s = (
        np.zeros((*shape, 2, mel.shape[2])),
        np.zeros(shape),
        np.zeros((len(speaker), len(readings))),
    )
    for length in np.unique(last - first):
        alike = np.flatnonzero(last - first == length)
        per_batch = max(1, BATCH_FRAMES // int(length))
        for batch in np.split(alike, range(per_batch, len(alike), per_batch)):
            windows = torch.stack([mel[:, first[event] : last[event]] for event in batch])
            state = torch.cat([states[first[event]] for event in batch])
            asked = torch.from_numpy(steps[:, batch] - first[batch] // stride)
            gradients = (
                score_gradients(model, windows, state, asked, torch.from_numpy(speaker[batch]), of)
                .abs()
                .double()
                .numpy()
            )
            for moment, place in np.ndindex(len(readings), len(batch)):
                event = batch[place]
                newest = (asked[moment, place].item() + 1) * stride
                by_lag = gradients[moment, place, :, :newest][:, ::-1][:, :reach].transpose(
                    1, 0, 2
                )  # (R', 2, M)
                if speaker[event] == 0:
                    by_lag = by_lag[:, ::-1]  # who spoke before comes first
                kind = int(not shift[event])
                sums[moment, kind, : len(by_lag)] += by_lag
                counts[moment, kind, : len(by_lag)] += 1
                decay = fit_decay(by_lag.sum(axis=(1, 2))[None], FRAME_RATE_HZ, field)
                half_s[event, moment] = decay.time_within()[0]
    said = floor_logits(model, audio, silences)
    return {"sums": sums, "counts": counts, "half_s": half_s, "said": said}


def _means(weights: Floats, sums: Floats, counts: Floats) -> Floats:
    """Mean curves for each row of dialogue weights, (W, D): sums (D, ..., R, 2) and counts (D, ...,
    R) to (W, ..., R, 2).
    """
    above, below = np.tensordot(weights, sums, 1), np.tensordot(weights, counts, 1)[..., None]
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def _reach_frames(model: TurnModel, reach_s: float) -> int:
    """The reach in mel frames, in whole steps of the network.

    Raises:
        ConfigError: not even a step.
    """
    steps = round(reach_s * model.config.frame_rate_hz) if np.isfinite(reach_s) else 0
    if steps < 1:
        raise ConfigError(
            "expected a reach of at least a step of the network, "
            f"{1 / model.config.frame_rate_hz:g} s, got {reach_s:g}"
        )
    return steps * model.config.encoder.stride


def _rate(model: TurnModel) -> int:
    return model.config.features.sample_rate_hz
