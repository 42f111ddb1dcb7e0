"""What an edit changes in p_shift at shifts and holds, and which units of a layer matter most.

Means are within speaker: of each speaker of a dialogue first, then over these, so that one who
pauses often counts no more than others. The 95 % interval is a bootstrap over dialogues; of a
single dialogue, over BLOCKS stretches of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ...evaluation.measures import Estimate, consecutive, estimate, sums_by_dialogue
from ..bars import bar
from ..collection import Collection
from .silence_windows import SilenceWindows, p_shift_with

if TYPE_CHECKING:
    from torch import Tensor

    from ...turn_model import TurnModel

Do = Literal["ablate", "clamp", "patch"]
DOES: tuple[Do, ...] = ("ablate", "clamp", "patch")
BLOCKS = 10
CONTROLS = 20  # random directions that are ablated, to compare units with
LEVEL = 0.95  # of these, how many change p_shift by less than the level
MEAN_OF = 20_000  # frames of single speakers from which means are taken

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """What one edit changed; E silences."""

    windows: SilenceWindows
    p_shift: Floats  # with the edit, (E,)

    @property
    def change(self) -> Floats:
        """Of p_shift by the edit, at each silence, (E,)."""
        return self.p_shift - self.windows.p_shift

    def at(self, kind: Literal["shift", "hold"]) -> Estimate:
        """Mean change of p_shift at shifts or at holds, within speaker."""
        chosen = self.windows.readings.happened == (kind == "shift")
        return mean_within_speaker(self.change, self.windows, chosen)

    @property
    def magnitude(self) -> Estimate:
        """Mean absolute change of p_shift, within speaker."""
        return mean_within_speaker(np.abs(self.change), self.windows)


@dataclass(frozen=True)
class UnitEffects:
    """What the ablation of each of H units of a layer changes."""

    layer: str
    effects: tuple[Effect, ...]  # of each unit
    control: Floats  # mean absolute change by random directions of the layer, (CONTROLS,)

    @property
    def level(self) -> float:
        """Mean absolute change that a random direction seldom exceeds."""
        return float(np.quantile(self.control, LEVEL))

    def ranked(self) -> list[int]:
        """The units, the one with the largest mean absolute change first."""
        sizes = np.array([effect.magnitude.value for effect in self.effects])
        return [int(unit) for unit in np.argsort(-sizes, kind="stable")]


def bootstrap_units(windows: SilenceWindows) -> NDArray[np.int64]:
    """Return what is drawn in a bootstrap: dialogues, or blocks of a single one, (E,)."""
    numbers = windows.readings.number
    if len(np.unique(numbers)) > 1:
        return consecutive(numbers)[0]
    return np.arange(len(windows)) * min(BLOCKS, len(windows)) // len(windows)


def mean_within_speaker(
    values: Floats, windows: SilenceWindows, chosen: NDArray[np.bool_] | None = None
) -> Estimate:
    """Return the mean over speakers of each one's mean of values, (E,), at chosen silences."""
    some = np.arange(len(values)) if chosen is None else np.flatnonzero(chosen)
    units, count = consecutive(bootstrap_units(windows)[some])
    speaker, speakers = consecutive((2 * windows.readings.number + windows.before)[some])
    of = np.eye(speakers)[speaker]  # (N, G)
    sums = sums_by_dialogue(values[some, None] * of, units, count)  # (U, G)
    counts = sums_by_dialogue(of, units, count)
    present = (counts > 0).astype(np.float64)

    def statistic(weights: Floats) -> Floats:
        drawn = weights @ counts  # (R, G)
        means = np.divide(weights @ sums, drawn, out=np.zeros_like(drawn), where=drawn > 0)
        # a speaker counts as often as the units were drawn in which he paused
        times = weights @ present / present.sum(axis=0)
        total, mean = times.sum(axis=1), (times * means).sum(axis=1)
        return np.divide(mean, total, out=np.full(len(total), np.nan), where=total > 0)

    return estimate(statistic, count)


def mean_state(collection: Collection, layer: str) -> Tensor:
    """Return the mean of a layer over the frames of both speakers, (H,)."""
    import torch

    sample = collection.sample(MEAN_OF, [layer], spare=0.0)
    return torch.from_numpy(sample[layer].mean(axis=0, dtype=np.float64).astype(np.float32))


def direction_effect(
    model: TurnModel,
    windows: SilenceWindows,
    layer: str,
    direction: Tensor,
    to: Tensor | float | None,
    *,
    whose: str = "both",
    seed: int = 0,
) -> Effect:
    """Return what changes when the states are edited along a direction.

    Args:
        model, windows: the edit holds from the windows' beginning to the reading.
        layer: "latent_speaker" or "latent".
        direction: (H,) of any length above 0; it is scaled to length 1.
        to: what the states are set to along it: a number (clamp), a mean state, (H,) (ablate), or
            None, step by step what they are around a silence of the other kind (patch).
        whose: states are edited: "both", or only of "speaker" (before the silence) or "listener".
        seed: of the draw of the other silences.
    Raises:
        ConfigError: the direction does not fit the layer.
    """
    from ..intervene import Edit, direction_edit

    basis = direction_edit(model, layer, direction, 0.0).basis
    if to is None:
        along = (windows.layers[layer] @ basis.T).unflatten(0, (-1, 2))  # (E, 2, T, 1)
        values = _from_donors(along, windows, seed).flatten(0, 1).transpose(0, 1)
    else:
        values = basis.new_full(
            (1, 1, 1), to if isinstance(to, int | float) else float(to @ basis[0])
        )
    edit = Edit(layer, basis, values, windows.rows_of(whose))
    return Effect(windows, p_shift_with(model, windows, edit))


def sound_effect(
    model: TurnModel,
    windows: SilenceWindows,
    stretch_s: tuple[float, float],
    do: Do,
    *,
    whose: str = "both",
    seed: int = 0,
) -> Effect:
    """Return what changes when a stretch of sound is heard as something else.

    Args:
        model, windows, whose, seed: as in `direction_effect`.
        stretch_s: its beginning and end, in seconds from the start of the silence.
        do: "ablate" puts the mean log-mel frame there, "clamp" digital silence, "patch" the same
            stretch around a silence of the other kind.
    Raises:
        ConfigError: the stretch is empty, or not in the windows.
    """
    rate_hz = model.config.frame_rate_hz * model.config.encoder.stride
    zero = windows.silence_step * model.config.encoder.stride
    low, high = (zero + round(second * rate_hz) for second in stretch_s)
    frames = windows.mel.shape[2]
    if not 0 <= low < high <= frames:
        begin_s, end_s = -zero / rate_hz, (frames - zero) / rate_hz
        raise ConfigError(
            f"expected a stretch of sound between {begin_s:g} and {end_s:g} s from the silence's "
            f"start, got {stretch_s[0]:g} to {stretch_s[1]:g} s"
        )
    if do == "patch":
        other = _from_donors(windows.mel[:, :, low:high], windows, seed)
    else:
        other = windows.mel.mean(dim=(0, 1, 2)) if do == "ablate" else _silence(model)
    mel, rows = windows.mel.clone(), windows.rows_of(whose)
    mel[:, :, low:high] = other
    if rows is not None:
        unchanged = ~rows.reshape(-1, 2)
        mel[unchanged] = windows.mel[unchanged]
    return Effect(windows, p_shift_with(model, windows, mel=mel))


def rank_units(
    model: TurnModel,
    windows: SilenceWindows,
    layer: str,
    mean: Tensor,
    *,
    whose: str = "both",
    controls: int = CONTROLS,
    seed: int = 0,
) -> UnitEffects:
    """Ablate every unit of a layer alone, and `controls` random directions, drawn with `seed`.

    The other arguments are those of `direction_effect`.
    """
    import torch

    from ..intervene import layer_size

    size = layer_size(model, layer)
    drawn = torch.randn(controls, size, generator=torch.Generator().manual_seed(seed))
    directions = torch.cat([torch.eye(size), drawn])
    found = [
        direction_effect(model, windows, layer, direction, mean, whose=whose)
        for direction in bar(directions, "ablate", "unit")
    ]
    control = np.array([effect.magnitude.value for effect in found[size:]])
    return UnitEffects(layer, tuple(found[:size]), control)


def _from_donors(values: Tensor, windows: SilenceWindows, seed: int) -> Tensor:
    """Return what a silence of the other kind has, (E, 2, ...), who spoke before in his place."""
    donors, before = windows.donors(seed), windows.before
    speakers = np.arange(2) ^ (before[donors] != before)[:, None]
    return values[donors[:, None], speakers]


def _silence(model: TurnModel) -> Tensor:
    """Return the log-mel frame of digital silence, (M,)."""
    config, parameter = model.config.features, next(model.parameters())
    tail = parameter.new_zeros(1, config.window_samples - config.hop_samples)
    mel, _ = model.features(parameter.new_zeros(1, config.hop_samples), tail)
    return mel[0, 0].detach()
