"""Quality against the amount of past: of a network, and of models that can see no further.

The network is started anew, with a zero state, that long before the moment. The fixed-order
baselines are logistic regressions on the last frames of both speakers' log-mel, averaged in windows
that double in length and in a few bands, so that few events can fit them; each is judged on
dialogues that it was not fitted on.

Source: Karpathy, Johnson & Fei-Fei 2016, section 4.3, for turn-taking.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...dialogues.activity import FRAME_RATE_HZ, Samples
from ...evaluation.measures import Estimate, Floats
from ...receptive_field import receptive_field
from ..bars import bar
from ..collection import Collection
from ..parts import Arrays
from .held_out import held_out_log_odds, log_loss
from .readings import Ints, Readings, each_dialogue, in_steps, log_mel, parts_of, sound_at

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
        model, collection: any network, and the dialogues of the E readings, with sound.
        pasts_s: seconds heard; ALL, or more than the dialogue has: from its beginning.
        kept: result beside which parts are kept; None keeps none.
    Returns:
        log-odds of p_next of each moment's speaker, (P, E).
    Raises:
        ConfigError: a past of less than a step.
    """
    lengths = np.array([s if s == ALL else in_steps(model, s, "pasts") for s in pasts_s], float)
    parts = parts_of(kept, collection, model, list(pasts_s), readings.heard_s.tolist())
    found = np.zeros((len(lengths), len(readings)))
    for number in bar(np.unique(readings.number).tolist(), "past", "dialogue"):
        places = readings.of(number)
        make = partial(_score, model, collection, readings.only(places), lengths)
        found[:, places] = parts.of(number, make)["said"]
    return found


def _score(model: TurnModel, collection: Collection, readings: Readings, lengths: Floats) -> Arrays:
    """One dialogue, from the pasts in steps, (P,): what is said, (P, E)."""
    rate_hz = model.config.features.sample_rate_hz
    whole = _Whole(model, sound_at(collection, int(readings.number[0]), rate_hz))
    ends = np.minimum(readings.steps(model.config.frame_rate_hz) + 1, whole.encoded.shape[1])
    found = np.tile(whole.said[readings.speaker, ends - 1], (len(lengths), 1))
    for start in range(0, len(ends), MOMENTS_AT_ONCE):
        # A past that is as long as the dialogue so far begins with it, as the whole does.
        past, place = np.nonzero(lengths[:, None] < ends[start : start + MOMENTS_AT_ONCE])
        if len(past):
            events = start + place
            said = whole.hear_last(ends[events], lengths[past].astype(np.int64))
            found[past, events] = said[np.arange(len(events)), readings.speaker[events]]
    return {"said": found}


class _Whole:
    """A dialogue that a network has heard, to be heard again from later beginnings.

    What the encoder makes of a frame that lies further than its reach behind a later beginning is
    known from the whole dialogue. All runs of a batch end together: the longest is heard alone at
    first, and the others as they begin.
    """

    def __init__(self, model: TurnModel, audio: Samples) -> None:
        import torch

        from ...evaluation.torch_runner import BLOCK_S

        features, self._stride = model.config.features, model.config.encoder.stride
        self._model, self._mel = model, log_mel(model, audio)
        self._audio = torch.from_numpy(audio).to(self._mel)
        encoded: list[Tensor] = []
        said: list[Tensor] = []
        self._zero = state = self._mel.new_zeros(1, model.mel_layout.size)  # S is 0 without memory
        block = round(BLOCK_S * FRAME_RATE_HZ) * self._stride
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
        # Steps that see a frame before the beginning, or one whose window begins before it.
        cut = -(-features.window_samples // features.hop_samples) - 1
        reach = receptive_field(model.config.encoder).size - 1 + cut
        self._new = max(1, -(-reach // self._stride))

    def hear_last(self, ends: Ints, lengths: Ints) -> Floats:
        """Return logits of p_next, (R, 2), of runs of so many steps that begin with a zero state.

        `ends` are the steps after their last ones; both are (R,).
        """
        import torch

        from ..intervene import Given, LastStep, replaced

        model, order = self._model, np.argsort(-lengths, kind="stable")
        ends, lengths = ends[order], lengths[order]
        begins = torch.from_numpy(ends - lengths)
        new = self._encode_new(begins)  # (R, 2, new, C)
        state, said = self._zero.repeat(len(ends), 1), self.encoded
        left = int(lengths[0])
        while left:
            rows = int((lengths >= left).sum())
            until = int(lengths[rows]) if rows < len(lengths) else 0
            steps = min(left - until, max(1, ROWS_AT_ONCE // rows))
            at = torch.from_numpy(ends[:rows] - left)[:, None] + torch.arange(steps)
            x = self.encoded[:, at].transpose(0, 1)  # (rows, 2, steps, C)
            since = at - begins[:rows, None]
            row, step = torch.nonzero(since < self._new, as_tuple=True)
            x[row, :, step] = new[row, :, since[row, step]]
            given, last = Given(model.encoder, x.flatten(0, 1)), LastStep(model.heads)
            # Of the frames only the shape matters: what the encoder makes of them is given.
            mel = self._mel[None, :, : steps * self._stride].expand(rows, -1, -1, -1)
            with torch.inference_mode(), replaced(model, encoder=given, heads=last):
                output, state[:rows] = model.forward_mel(mel, state[:rows])
            said, left = output.next[:, :, -1], left - steps
        logits = np.zeros((len(ends), 2))
        logits[order] = said.cpu().double().numpy()
        return logits

    def _encode_new(self, begins: Tensor) -> Tensor:
        """Return what the encoder makes of the first steps after each beginning, (R, 2, new, C)."""
        import torch

        from ...turn_model import by_conversation, unpack_state

        model, hop = self._model, self._model.config.frame_samples
        padded = torch.nn.functional.pad(self._audio, (0, self._new * hop))
        sound = padded.unfold(1, self._new * hop, hop)[:, begins]  # (2, R, N)
        state = unpack_state(model.init_state(len(begins)), model.state_shapes(), model.layout)
        with torch.inference_mode():
            mel, _ = model.features(sound.transpose(0, 1).flatten(0, 1), state["features"])
            encoded, _ = model.encoder(mel, state["encoder"])
        return by_conversation(encoded)


@dataclass(frozen=True)
class RecentSound:
    """The last frames before E moments, for models that can see no further."""

    edges: tuple[int, ...]  # windows go from edges[w] to edges[w + 1] frames before the newest
    values: Floats  # mean log-mel by window and band, (E, W, 2, BANDS), who is asked about last
    readings: Readings


def recent_sound(
    model: TurnModel, collection: Collection, readings: Readings, frames: Sequence[int] = FRAMES
) -> RecentSound:
    """Return the frames before moments, averaged in windows that end at each of `frames`, rising.

    What is before a dialogue's beginning is silence. The model gives its features, no weights.
    """
    import torch

    features, edges = model.config.features, (0, *frames)
    bands = min(BANDS, features.mel_bins)
    values = np.zeros((len(readings), len(frames), 2, bands))
    heard = np.rint(readings.heard_s * FRAME_RATE_HZ).astype(np.int64)
    nothing = log_mel(model, np.zeros((2, model.config.frame_samples), np.float32))[:, :1]
    for places, audio in each_dialogue(collection, readings, features.sample_rate_hz):
        mel = torch.cat([nothing.expand(-1, edges[-1], -1), log_mel(model, audio)], dim=1)
        pieces = [piece.mean(dim=-1) for piece in mel.tensor_split(bands, dim=-1)]
        banded = torch.stack(pieces, dim=-1).double().numpy()  # (2, T, bands)
        for place in places:
            end = min(int(heard[place]) + edges[-1], banded.shape[1])
            both = banded[::-1] if readings.speaker[place] == 0 else banded
            for window, (newer, older) in enumerate(zip(edges, frames, strict=False)):
                values[place, window] = both[:, end - older : end - newer].mean(axis=1)
    return RecentSound(edges, values, readings)


def fixed_order_baseline(sound: RecentSound, frames: int) -> Floats:
    """Log-odds from the last frames alone, one of the sound's edges, (E,); 0 gives the share.

    They are fitted on the other dialogues, with the errors of `held_out_log_odds`.
    """
    values = sound.values[:, : sound.edges.index(frames)]
    readings = sound.readings
    return held_out_log_odds(values.reshape(len(values), -1), readings.happened, readings.number)


def judge(log_odds: Floats, whole: Floats, readings: Readings) -> dict[str, Estimate]:
    """Return how good log-odds are, (E,), and how much worse than those with all the past.

    `auc` is within dialogue and speaker, `loss` the mean log-loss in nats.
    """
    auc, auc_of_whole = readings.auc(log_odds), readings.auc(whole)
    loss, loss_of_whole = (log_loss(values, readings.happened) for values in (log_odds, whole))
    return {
        "auc": readings.estimate(auc),
        "auc_lost": readings.estimate(lambda weights: auc_of_whole(weights) - auc(weights)),
        "loss": readings.mean(loss),
        "loss_gained": readings.mean(loss - loss_of_whole),
    }


def enough_past(worse: Mapping[float, Estimate], close: float | None = None) -> float | None:
    """Return the least past from which on no longer one differs from all; None if unknown.

    Args:
        worse: by how much each past in seconds, rising, ALL last, is worse than all.
        close: largest difference that counts as none; None: one whose interval includes 0.
    """
    least, *longer_s = worse
    for one, longer in zip(worse.values(), longer_s, strict=False):
        if math.isnan(one.low if close is None else one.value):
            return None
        if not (one.low <= 0 <= one.high if close is None else abs(one.value) <= close):
            least = longer
    return least
