"""Moments of dialogues at which a network is asked who holds the floor next, with what happened,
and the sound up to them.

They are found in a collection, but only who spoke when is taken from it: any network can be asked,
whatever its layers or frame rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ...dialogues.activity import FRAME_RATE_HZ, Samples
from ...dialogues.labels import BRIDGED_PAUSE_S, bridge_short_pauses, next_holder
from ...evaluation.predictions import last_frame_at
from ...evaluation.shift_hold import SCORE_S
from ..collect import load_sound
from ..collection import Collection, Event
from ..views import dialogue_of

if TYPE_CHECKING:
    from torch import Tensor

    from ...turn_model import TurnModel


@dataclass(frozen=True)
class Readings:
    """E moments, in order of dialogue; every field is (E,).

    Attributes:
        number: of the dialogue in its collection.
        heard_s: how much of the dialogue has been heard.
        speaker: who is asked about: p_next of this one. Of a mutual silence, who did not speak
            before it, so that p_next is p_shift.
        happened: did this speaker hold the floor next?
    """

    number: NDArray[np.int64]
    heard_s: NDArray[np.float64]
    speaker: NDArray[np.int64]
    happened: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.number)

    @property
    def counted(self) -> str:
        """How many shifts and holds there are of how many dialogues, in words."""
        shifts, dialogues = int(self.happened.sum()), len(np.unique(self.number))
        return (
            f"{shifts} shifts and {len(self) - shifts} holds of {dialogues} "
            f"dialogue{'s' * (dialogues != 1)}"
        )

    def steps(self, frame_rate_hz: float) -> NDArray[np.int64]:
        """The newest step of a network that has been taken at each moment, (E,)."""
        return np.maximum((self.heard_s * frame_rate_hz + 1e-6).astype(np.int64) - 1, 0)

    def of(self, number: int) -> NDArray[np.int64]:
        """Places of the moments of one dialogue."""
        return np.flatnonzero(self.number == number)

    def only(self, places: NDArray[np.int64 | np.bool_]) -> Readings:
        """Some of them."""
        return Readings(*(getattr(self, field.name)[places] for field in fields(self)))


def silence_readings(
    collection: Collection, into_s: float = SCORE_S
) -> tuple[Readings, list[Event]]:
    """Every shift (happened) and hold, read some time into its silence.

    Args:
        collection: with at least one of either.
        into_s: of the silence has been heard; 0: only what comes before it.
    Raises:
        ConfigError: there are no shifts, or no holds.
    """
    events = collection.events("shift", "hold")
    shifts = sum(event.kind == "shift" for event in events)
    if not 0 < shifts < len(events):
        raise ConfigError(
            f"expected dialogues with shifts and holds, got {shifts} shifts and "
            f"{len(events) - shifts} holds"
        )
    frames = [
        round(collection.frame_count(number) * FRAME_RATE_HZ / collection.frame_rate_hz)
        for number in range(len(collection.dialogues))
    ]
    heard = [
        last_frame_at(round(event.start_s * FRAME_RATE_HZ), into_s, frames[event.number]) + 1
        for event in events
    ]
    return Readings(
        np.array([event.number for event in events]),
        np.array(heard) / FRAME_RATE_HZ,
        np.array([1 - event.speaker for event in events]),
        np.array([event.kind == "shift" for event in events]),
    ), events


def decisive_readings(collection: Collection, count: int, seed: int = 0) -> Readings:
    """Moments drawn from all that the training loss of the next holder looks at, as often as it
    weighs them (dialogues/labels.py).

    Args:
        collection: of dialogues.
        count: how many to draw, with replacement.
        seed: of the draw.
    Raises:
        ConfigError: nobody ever speaks next.
    """
    rate_hz, rng = collection.frame_rate_hz, np.random.default_rng(seed)
    labels: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
    for number in range(len(collection.dialogues)):
        columns = collection.frames(number, ["speaking", "backchannel"])
        known = columns["backchannel"] & collection.backchannels_annotated(
            number
        )  # short reactions take the floor in training: it knows of none
        turns = np.ascontiguousarray((columns["speaking"] & ~known).T)
        labels.append(
            next_holder(bridge_short_pauses(turns, round(BRIDGED_PAUSE_S * rate_hz)), rate_hz)
        )
    totals = np.array([weight.sum(dtype=np.float64) for _, weight in labels])
    if not totals.sum():
        raise ConfigError("expected dialogues in which somebody speaks next, got none")
    drawn: list[tuple[int, int, bool]] = []
    for number, amount in enumerate(rng.multinomial(count, totals / totals.sum())):
        holder, weight = labels[number]
        if amount:
            steps = np.sort(
                rng.choice(len(weight), amount, p=weight.astype(np.float64) / totals[number])
            )
            drawn += [(number, int(step), bool(holder[step] == 1)) for step in steps]
    numbers, steps, happened = (np.array(values) for values in zip(*drawn, strict=True))
    return Readings(numbers, (steps + 1) / rate_hz, np.ones(len(drawn), np.int64), happened)


def sound_at(collection: Collection, number: int, sample_rate_hz: int) -> Samples:
    """A dialogue's sound at a network's rate, (2, N).

    Raises:
        ConfigError: the collection has none.
        DialogueError: its files cannot be read any more.
    """
    return load_sound(dialogue_of(collection.dialogues[number]), sample_rate_hz)


def log_mel(model: TurnModel, audio: Samples) -> Tensor:
    """What a network's encoder is given of a dialogue, (2, T, M), T a multiple of its stride; block
    by block.
    """
    import torch

    from ...evaluation.torch_runner import BLOCK_S

    config, parameter = model.config, next(model.parameters())
    block = config.frame_samples * round(BLOCK_S * config.frame_rate_hz)
    whole = audio.shape[1] // config.frame_samples * config.frame_samples
    tail = parameter.new_zeros(2, config.features.window_samples - config.features.hop_samples)
    pieces: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, whole, block):
            piece, tail = model.features(
                torch.from_numpy(audio[:, start : min(start + block, whole)].copy()).to(parameter),
                tail,
            )
            pieces.append(piece)
    return (
        torch.cat(pieces, dim=1) if pieces else parameter.new_zeros(2, 0, config.features.mel_bins)
    )


def floor_logits(model: TurnModel, audio: Samples, readings: Readings) -> NDArray[np.float64]:
    """What a network says at moments of one dialogue, heard from its beginning.

    Args:
        model: in evaluation mode.
        audio: of the dialogue, (2, N).
        readings: all of this dialogue.
    Returns:
        log-odds of p_next of each moment's speaker, (E,).
    """
    from ...evaluation.torch_runner import run_dialogue

    said = np.concatenate(
        [
            output.next[0].cpu().numpy()
            for output, _ in run_dialogue(model, audio, str(next(model.parameters()).device))
        ],
        axis=1,
    )
    return said[
        readings.speaker, np.minimum(readings.steps(model.config.frame_rate_hz), said.shape[1] - 1)
    ].astype(np.float64)


def each_dialogue(
    collection: Collection, readings: Readings, sample_rate_hz: int
) -> Iterator[tuple[NDArray[np.int64], Samples]]:
    """Places of the moments of one dialogue, and its sound, for all dialogues that have any."""
    for number in np.unique(readings.number):
        yield readings.of(int(number)), sound_at(collection, int(number), sample_rate_hz)
