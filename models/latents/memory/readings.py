"""Moments of dialogues at which a network is asked who holds the floor next, with what happened,
and the sound up to them. Only who spoke when is taken from a collection: any network can be asked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ...dialogues.activity import FRAME_RATE_HZ, Samples
from ...dialogues.labels import BRIDGED_PAUSE_S, bridge_short_pauses, next_holder
from ...evaluation import measures
from ...evaluation.measures import Estimate, Floats, Statistic, consecutive
from ...evaluation.predictions import last_frame_at
from ...evaluation.shift_hold import SCORE_S
from ..collect import load_sound
from ..collection import Collection, Event
from ..drawing import many
from ..parts import Parts, parts_beside
from ..views import dialogue_of

if TYPE_CHECKING:
    from torch import Tensor

    from ...turn_model import TurnModel

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Readings:
    """E moments, in order of dialogue; every field is (E,).

    Of a mutual silence, who did not speak before it is asked about, so that p_next is p_shift.
    """

    number: Ints  # of the dialogue in its collection
    heard_s: Floats  # how much of the dialogue has been heard
    speaker: Ints  # who is asked about: p_next of this one
    happened: NDArray[np.bool_]  # did this speaker hold the floor next?

    def __len__(self) -> int:
        return len(self.number)

    @property
    def dialogues(self) -> int:
        return len(np.unique(self.number))

    @property
    def counted(self) -> str:
        """How many shifts and holds there are of how many dialogues, in words."""
        shifts, holds = int(self.happened.sum()), int((~self.happened).sum())
        return f"{shifts} shifts and {holds} holds of {many(self.dialogues, 'dialogue')}"

    @property
    def asked(self) -> tuple[NDArray[np.bool_], Ints, Ints]:
        """What happened, the dialogue and the speaker, as the measures of quality.py take them."""
        return self.happened, self.number, self.speaker

    def steps(self, frame_rate_hz: float) -> Ints:
        """The newest step of a network that has been taken at each moment, (E,)."""
        return np.maximum((self.heard_s * frame_rate_hz + 1e-6).astype(np.int64) - 1, 0)

    def of(self, number: int) -> Ints:
        """Places of the moments of one dialogue."""
        return np.flatnonzero(self.number == number)

    def only(self, places: NDArray[np.int64 | np.bool_]) -> Readings:
        """Some of them."""
        return Readings(*(values[places] for values in vars(self).values()))

    def sums(self, values: NDArray[Any]) -> Floats:
        """Sums over the moments of each dialogue, (E, ...) to (D, ...)."""
        return measures.sums_by_dialogue(values, *consecutive(self.number))

    def auc(self, scores: Floats) -> Statistic:
        """The AUC of scores, (E,), within dialogue and speaker."""
        of = self.happened, self.speaker, *consecutive(self.number)
        return measures.auc_within_statistic(scores, *of)

    def estimate(self, statistic: Statistic) -> Estimate:
        """A statistic of the dialogues' weights, with its interval."""
        return measures.estimate(statistic, self.dialogues)

    def mean(self, values: Floats) -> Estimate:
        """The mean of values, (E,), with its interval."""
        sums = self.sums(np.stack([values, np.ones(len(self))], axis=1))
        return self.estimate(lambda weights: np.divide(*(weights @ sums).T))


def silence_readings(
    collection: Collection, into_s: float = SCORE_S
) -> tuple[Readings, list[Event]]:
    """Every shift (happened) and hold, read `into_s` seconds into its silence.

    No shifts, or no holds, are a ConfigError.
    """
    events = collection.events("shift", "hold")
    happened = np.array([event.kind == "shift" for event in events], bool)
    if not 0 < happened.sum() < len(events):
        raise ConfigError(
            f"expected dialogues with shifts and holds, got {happened.sum()} shifts and "
            f"{(~happened).sum()} holds"
        )
    rate = FRAME_RATE_HZ / collection.frame_rate_hz
    frames = [round(collection.frame_count(n) * rate) for n in range(len(collection.dialogues))]
    heard = [
        last_frame_at(round(event.start_s * FRAME_RATE_HZ), into_s, frames[event.number]) + 1
        for event in events
    ]
    number, speaker = np.array([(event.number, 1 - event.speaker) for event in events]).T
    return Readings(number, np.array(heard) / FRAME_RATE_HZ, speaker, happened), events


def decisive_readings(collection: Collection, count: int, seed: int = 0) -> Readings:
    """Moments drawn, with replacement, from all that the training loss of the next holder looks at,
    as often as it weighs them (dialogues/labels.py); if nobody ever speaks next, a ConfigError.
    """
    rate_hz, rng = collection.frame_rate_hz, np.random.default_rng(seed)
    labels: list[tuple[Ints, NDArray[np.float32]]] = []
    for number in range(len(collection.dialogues)):
        columns = collection.frames(number, ["speaking", "backchannel"])
        # Short reactions take the floor in training, which knows of annotated backchannels only.
        known = columns["backchannel"] & collection.backchannels_annotated(number)
        turns = np.ascontiguousarray((columns["speaking"] & ~known).T)
        bridged = bridge_short_pauses(turns, round(BRIDGED_PAUSE_S * rate_hz))
        labels.append(next_holder(bridged, rate_hz))
    totals = np.array([weight.sum(dtype=np.float64) for _, weight in labels])
    if not totals.sum():
        raise ConfigError("expected dialogues in which somebody speaks next, got none")
    drawn: list[tuple[Ints, Ints, NDArray[np.bool_]]] = []
    for number, amount in enumerate(rng.multinomial(count, totals / totals.sum())):
        if amount:
            holder, weight = labels[number]
            chance = weight.astype(np.float64) / totals[number]
            steps = np.sort(rng.choice(len(weight), amount, p=chance))
            drawn.append((np.full(amount, number), steps, holder[steps] == 1))
    numbers, steps, happened = map(np.concatenate, zip(*drawn, strict=True))
    return Readings(numbers, (steps + 1) / rate_hz, np.ones(count, np.int64), happened)


def in_steps(model: TurnModel, seconds: float, what: str) -> int:
    """Seconds in steps of a network; less than one, or no end, is a ConfigError."""
    rate_hz = model.config.frame_rate_hz
    if not 0.5 <= seconds * rate_hz < math.inf:
        raise ConfigError(
            f"expected {what} of at least a step of the network, {1 / rate_hz:g} s, got {seconds:g}"
        )
    return max(1, round(seconds * rate_hz))


def parts_of(kept: Path | None, collection: Collection, model: TurnModel, *settings: Any) -> Parts:
    """Parts of a result, for the same network, dialogues and settings alone."""
    from ...checkpoint import weights_sha256

    key = [weights_sha256(model), [dialogue.id for dialogue in collection.dialogues], *settings]
    return Parts(parts_beside(kept), json.dumps(key))


def sound_at(collection: Collection, number: int, sample_rate_hz: int) -> Samples:
    """A dialogue's sound at a network's rate, (2, N); without any, see `dialogue_of`."""
    return load_sound(dialogue_of(collection.dialogues[number]), sample_rate_hz)


def log_mel(model: TurnModel, audio: Samples) -> Tensor:
    """What a network's encoder is given of sound, (2, N) to (2, T, M); T in whole strides."""
    import torch

    from ...evaluation.torch_runner import BLOCK_S

    config, parameter = model.config, next(model.parameters())
    block = config.frame_samples * round(BLOCK_S * config.frame_rate_hz)
    whole = audio.shape[1] // config.frame_samples * config.frame_samples
    tail = parameter.new_zeros(2, config.features.window_samples - config.features.hop_samples)
    pieces = [parameter.new_zeros(2, 0, config.features.mel_bins)]
    with torch.no_grad():
        for start in range(0, whole, block):
            samples = torch.from_numpy(audio[:, start : min(start + block, whole)].copy())
            piece, tail = model.features(samples.to(parameter), tail)
            pieces.append(piece)
    return torch.cat(pieces, dim=1)


def floor_logits(model: TurnModel, audio: Samples, readings: Readings) -> Floats:
    """Log-odds of p_next of each moment's speaker, (E,), of a network that hears one dialogue,
    (2, N), from its beginning.
    """
    from ...evaluation.torch_runner import run_dialogue

    outputs = run_dialogue(model, audio, str(next(model.parameters()).device))
    said = np.concatenate([output.next[0].cpu().numpy() for output, _ in outputs], axis=1)
    steps = np.minimum(readings.steps(model.config.frame_rate_hz), said.shape[1] - 1)
    return said[readings.speaker, steps].astype(np.float64)


def each_dialogue(
    collection: Collection, readings: Readings, sample_rate_hz: int
) -> Iterator[tuple[Ints, Samples]]:
    """Places of the moments of one dialogue, and its sound, for all dialogues that have any."""
    for number in np.unique(readings.number):
        yield readings.of(int(number)), sound_at(collection, int(number), sample_rate_hz)
