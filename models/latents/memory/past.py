"""Quality against the amount of past: of a network, and of models that can see no further.

The network is started anew, with a zero state, that long before the moment, as it starts at a
dialogue's beginning. It is asked 0.25 s into every shift and hold (AUC, log-loss), and at moments
drawn from all that the loss of the next holder looks at in training. The fixed-order baselines are
logistic regressions on the last frames of both speakers' log-mel, averaged in windows that double
in length and in a few bands, so that few events can fit them; each is judged on dialogues that it
was not fitted on.

Source: "Visualizing and understanding recurrent networks" (Karpathy, Johnson, Fei-Fei 2016),
section 4.3, for turn-taking.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ...dialogues.activity import FRAME_RATE_HZ, Samples
from ...evaluation.measures import (
    Estimate,
    auc_within_statistic,
    consecutive,
    estimate,
    sums_by_dialogue,
)
from ...receptive_field import receptive_field
from ..bars import bar
from ..collection import Collection
from ..parts import Parts, parts_beside
from .held_out import Floats, fitted_log_odds, held_out_log_odds, log_loss
from .readings import Readings, each_dialogue, log_mel, sound_at

if TYPE_CHECKING:
    from torch import Tensor

    from ...turn_model import TurnModel

ALL = math.inf
PASTS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, ALL)
FRAMES = (1, 2, 4, 8, 16, 32, 64, 128)  # of the fixed-order baselines, at 50 Hz
BANDS = 8
MOMENTS_AT_ONCE = 100
ROWS_AT_ONCE = 3_000  # steps of a conversation in one forward pass, over all runs together


def score_with_past(
    model: TurnModel,
    collection: Collection,
    readings: Readings,
    pasts_s: Sequence[float] = PASTS_S,
    kept: Path | None = None,
) -> Floats:
    """Return what a network says at moments when it has heard only so much before them.

    Args:
        model: in evaluation mode; any, not only the collection's.
        collection: that the readings are of, with sound.
        readings: E moments.
        pasts_s: seconds heard, at least a step of the network; ALL from the dialogue's beginning.
        kept: result beside which parts are kept; None keeps none.
    Returns:
        log-odds of p_next of each moment's speaker, (P, E). Where a dialogue has less before the
        moment, all of it is heard.
    Raises:
        ConfigError: a past of less than a step.
    """
    from ...checkpoint import weights_sha256

    lengths = np.array([_steps(model, past_s) for past_s in pasts_s])
    ids = [dialogue.id for dialogue in collection.dialogues]
    key = [weights_sha256(model), ids, list(pasts_s), readings.heard_s.tolist()]
    parts = Parts(parts_beside(kept), json.dumps(key))
    found = np.zeros((len(lengths), len(readings)))
    rate_hz = model.config.features.sample_rate_hz
    with bar(None, "past", "moment", len(readings)) as progress:
        for number in np.unique(readings.number).tolist():
            places = readings.of(number)
            chosen = readings.only(places)
            made = parts.of(
                number,
                lambda number=number, chosen=chosen: {
                    "said": _score(model, sound_at(collection, number, rate_hz), chosen, lengths)
                },
            )
            found[:, places] = made["said"]
            progress.update(len(places))
    return found


def _score(model: TurnModel, audio: Samples, readings: Readings, lengths: Floats) -> Floats:
    """One dialogue, from the pasts in steps: (P, E)."""
    whole = _Whole(model, audio)
    ends = np.minimum(readings.steps(model.config.frame_rate_hz) + 1, whole.encoded.shape[1])
    found = np.tile(whole.said[readings.speaker, ends - 1], (len(lengths), 1))
    for start in range(0, len(ends), MOMENTS_AT_ONCE):
        some = np.arange(start, min(start + MOMENTS_AT_ONCE, len(ends)))
        # A past that is as long as the dialogue so far begins with it, as the whole does.
        past, place = np.nonzero(lengths[:, None] < ends[some])
        if len(past):
            length = lengths[past].astype(np.int64)
            events = some[place]
            said = whole.hear_last(ends[events], length)
            found[past, events] = said[np.arange(len(events)), readings.speaker[events]]
    return found


class _Whole:
    """A dialogue that a network has heard, to be heard again from later beginnings.

    The encoder sees only so far back: what it makes of a frame that lies further than that behind
    a later beginning is known from the whole dialogue. All beginnings of a batch are heard
    together, so that they end together: the longest alone at first, and the others as they begin.
    """

    def __init__(self, model: TurnModel, audio: Samples) -> None:
        import torch

        from ...evaluation.torch_runner import BLOCK_S

        features, self._stride = model.config.features, model.config.encoder.stride
        self._model, self._audio = model, audio
        self._mel = log_mel(model, audio)
        encoded: list[Tensor] = []
        said: list[Tensor] = []
        state, block = _zero_state(model, 1), round(BLOCK_S * FRAME_RATE_HZ) * self._stride
        hook = model.encoder.register_forward_hook(lambda *call: encoded.append(call[2][0]))
        try:
            with torch.inference_mode():
                for piece in self._mel.split(block, dim=1):
                    output, state = model.forward_mel(piece[None], state)
                    said.append(output.next[0])
        finally:
            hook.remove()
        self.encoded = torch.cat(encoded, dim=1)  # (2, T, C)
        self.said = torch.cat(said, dim=1).cpu().double().numpy()  # logits of p_next, (2, T)
        # Frames whose window begins before the beginning, and steps that see such frames.
        self._cut = -(-features.window_samples // features.hop_samples) - 1
        reach = receptive_field(model.config.encoder).size - 1 + self._cut
        self._new = -(-reach // self._stride)

    def hear_last(self, ends: NDArray[np.int64], lengths: NDArray[np.int64]) -> Floats:
        """Return logits of p_next, (R, 2), of R runs that begin with a zero state.

        Args:
            ends: the step after the last one, (R,).
            lengths: in steps, (R,).
        """
        import torch

        from ..intervene import Given, LastStep, replaced

        order = np.argsort(-lengths, kind="stable")
        ends, lengths = ends[order], lengths[order]
        begins = torch.from_numpy(ends - lengths)
        new = self._encode_new(begins)  # (R, 2, new, C)
        state, said = _zero_state(self._model, len(ends)), self.encoded
        left = int(lengths[0])
        while left:
            rows = int((lengths >= left).sum())
            until = int(lengths[rows]) if rows < len(lengths) else 0
            steps = min(left - until, max(1, ROWS_AT_ONCE // rows))
            at = torch.from_numpy(ends[:rows] - left)[:, None] + torch.arange(
                steps
            )  # (rows, steps)
            x = self.encoded[:, at].transpose(0, 1)  # (rows, 2, steps, C)
            since = at - begins[:rows, None]
            row, step = torch.nonzero(since < self._new, as_tuple=True)
            x[row, :, step] = new[row, :, since[row, step]]
            modules = {
                "encoder": Given(self._model.encoder, x.flatten(0, 1)),
                "heads": LastStep(self._model.heads),
            }
            mel = self._mel[None, :, : steps * self._stride].expand(
                rows, -1, -1, -1
            )  # not looked at
            with torch.inference_mode(), replaced(self._model, **modules):
                output, state[:rows] = self._model.forward_mel(mel, state[:rows])
            said, left = output.next[:, :, -1], left - steps
        logits = np.zeros((len(ends), 2))
        logits[order] = said.cpu().double().numpy()
        return logits

    def _encode_new(self, begins: Tensor) -> Tensor:
        """Return what the encoder makes of the first steps after each beginning, (R, 2, new, C)."""
        import torch

        from ...turn_model import by_conversation, unpack_state

        model, frames = self._model, self._new * self._stride
        hop = model.config.features.hop_samples
        mel = torch.nn.functional.pad(self._mel, (0, 0, 0, frames))
        first = begins * self._stride
        pieces = mel[:, first[:, None] + torch.arange(frames)].transpose(0, 1).flatten(0, 1)
        samples = first.numpy()[:, None] * hop + np.arange(self._cut * hop)
        sound = torch.from_numpy(self._audio[:, np.minimum(samples, self._audio.shape[1] - 1)])
        shapes = model.state_shapes()
        state = unpack_state(model.init_state(len(begins)), shapes, model.layout)
        with torch.inference_mode():
            if self._cut:
                sound = sound.transpose(0, 1).flatten(0, 1).to(pieces)
                pieces[:, : self._cut], _ = model.features(sound, state["features"])
            encoded, _ = model.encoder(pieces, state["encoder"])
        return by_conversation(encoded)


def _zero_state(model: TurnModel, batch: int) -> Tensor:
    """Return the state before any log-mel frame, (batch, S); S is 0 if nothing is kept."""
    return next(model.parameters()).new_zeros(batch, model.mel_layout.size)


def _steps(model: TurnModel, past_s: float) -> float:
    """Return a past in steps of the network.

    Raises:
        ConfigError: less than one.
    """
    steps = past_s if past_s == ALL else past_s * model.config.frame_rate_hz
    if not steps >= 0.5:
        raise ConfigError(
            f"expected pasts of at least a step of the network, {1 / model.config.frame_rate_hz:g} "
            f"s, got {past_s:g}"
        )
    return steps if steps == ALL else max(1, round(steps))


@dataclass(frozen=True)
class RecentSound:
    """The last frames before moments, for models that can see no further.

    Attributes:
        edges: windows go from edges[w] to edges[w + 1] frames before the newest, (W + 1,), from 0.
        values: log-mel averaged over each window and band, (E, W, 2, BANDS), the one asked about
            last.
        readings: the moments.
    """

    edges: tuple[int, ...]
    values: Floats
    readings: Readings


def recent_sound(
    model: TurnModel, collection: Collection, readings: Readings, frames: Sequence[int] = FRAMES
) -> RecentSound:
    """Return the frames before moments, averaged in windows that end at each of `frames`.

    What is before a dialogue's beginning is silence.

    Args:
        model: whose features are taken; nothing of its weights.
        collection: that the readings are of, with sound.
        readings: E moments.
        frames: rising.
    """
    import torch

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
    """How good log-odds are, and by how much worse than those with all the past; NaN if unknown.

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
    """Return the quality of log-odds, (E,), beside those with all the past.

    The intervals are over dialogues, of both and of the paired difference.
    """
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
    """Return the least past from which on no longer one is measurably different from all.

    Every interval of the difference then includes 0.

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
