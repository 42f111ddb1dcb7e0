"""Change what a network holds in mind while it runs, and see what it says then.

An edit sets the states of one layer along some directions: a unit, any direction, or all of them.
Only the layer's RNN is taken one step at a time, and each state is edited before anything reads it,
the RNN's own next step included. Of an LSTM the output h is edited; its cell c stays.

    from turnstream.models.latents.intervene import run_edited, unit_edit

    edit = unit_edit(model, "latent", 17, value=0.0)
    for output, probabilities in run_edited(model, audio, edit, from_s=12.0):
        probabilities.p_next  # (1, 2, T)

Clamp to any value; ablate with the mean of the states along the direction; patch with the states of
another moment (`TurnOutput.latent` along the direction).

Source: activation patching and mean ablation after Meng et al. 2022 and Wang et al. 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...stream.errors import ConfigError
from ..dialogues.activity import Samples
from ..evaluation.torch_runner import BLOCK_S
from ..recurrent import Recurrent
from ..state import ShapeTree
from ..turn_model import TurnModel, TurnOutput, TurnProbabilities
from .collection import RNNS


@dataclass(frozen=True)
class Edit:
    """Sets the states of a layer along K directions. R = 2 B rows: row 2 b + s is speaker s of b.

    Values are what the states are along the directions, from the first step that is edited on;
    after the last of several steps, the last one stays.
    """

    layer: str  # "latent_speaker" or "latent"
    basis: Tensor  # the directions, orthonormal, (K, H)
    values: Tensor  # (T or 1, R or 1, K)
    rows: Tensor | None = None  # whose states are edited, (R,) of bool; None edits all

    def apply(self, states: Tensor, step: int) -> Tensor:
        """Return the edited states, (R, H)."""
        values = self.values[min(step, len(self.values) - 1)]
        changed = states + (values - states @ self.basis.T) @ self.basis
        return changed if self.rows is None else torch.where(self.rows[:, None], changed, states)

    def only(self, rows: slice) -> Edit:
        """Return the edit of some of the rows."""
        values = self.values if self.values.shape[1] == 1 else self.values[:, rows]
        return Edit(self.layer, self.basis, values, None if self.rows is None else self.rows[rows])


def unit_edit(model: TurnModel, layer: str, unit: int, value: float) -> Edit:
    """Return the edit that clamps one unit of both speakers; ConfigError if there is none such."""
    size = layer_size(model, layer)
    if not 0 <= unit < size:
        raise ConfigError(f"expected a unit of {layer} from 0 to {size - 1}, got {unit}")
    return direction_edit(model, layer, torch.eye(size)[unit], value)


def direction_edit(model: TurnModel, layer: str, direction: Tensor, value: float) -> Edit:
    """Return the edit that clamps both speakers' states along a direction.

    Args:
        model, layer: whose states.
        direction: (H,) of any length above 0; it is scaled to length 1.
        value: in the units of the states.
    Raises:
        ConfigError: the network has no such layer, or the direction does not fit it.
    """
    size, parameter = layer_size(model, layer), next(model.parameters())
    length = float(torch.linalg.vector_norm(direction.double()))
    if direction.shape != (size,) or not 0 < length < float("inf"):
        asked = f"a direction of {size} finite numbers that are not all 0 for {layer}"
        shape = tuple(direction.shape)
        raise ConfigError(f"expected {asked}, got shape {shape} and length {length:g}")
    basis = (direction / length).to(parameter)[None]
    return Edit(layer, basis, parameter.new_full((1, 1, 1), value))


def layer_size(model: TurnModel, layer: str) -> int:
    """Return the width H of a layer; ConfigError if there is none of this name."""
    if layer not in RNNS:
        raise ConfigError(f"expected a layer of {', '.join(RNNS)}, got {layer!r}")
    return getattr(model, RNNS[layer]).config.hidden


def run_edited(
    model: TurnModel, audio: Samples, edit: Edit, from_s: float, to_s: float | None = None
) -> Iterator[tuple[TurnOutput, TurnProbabilities]]:
    """Run a dialogue as `run_dialogue` does, with an edit from a time on.

    Args:
        model, audio: as for `run_dialogue`. The network must not run elsewhere meanwhile.
        edit: of two rows, the speakers.
        from_s, to_s: steps that end after the one time, and not after the other (None: to the
            end), are edited.
    Yields:
        For at most 30 s at once, the outputs and the probabilities, (1, 2, T, ...).
    Raises:
        ConfigError: the end is not after the beginning, or the beginning is not in the dialogue.
    """
    frame, rate_hz = model.config.frame_samples, model.config.frame_rate_hz
    steps = audio.shape[1] // frame
    first = int(from_s * rate_hz + 1e-6)
    last = steps if to_s is None else min(steps, int(to_s * rate_hz + 1e-6))
    if not 0 <= first < last:
        raise ConfigError(
            f"expected an edit within the dialogue's {steps / rate_hz:g} s, got {from_s:g} to "
            f"{'its end' if to_s is None else f'{to_s:g} s'}"
        )
    block, state = round(BLOCK_S * rate_hz), model.init_state(1)
    for low, high, now in ((0, first, False), (first, last, True), (last, steps, False)):
        stepped = edited_layer(model, edit) if now else {}
        for start in range(low, high, block):
            piece = audio[:, start * frame : min(start + block, high) * frame]
            with torch.inference_mode(), replaced(model, **stepped):
                output, state = model(torch.from_numpy(piece.copy()).to(state)[None], state)
                yield output, model.probabilities(output)


def edited_layer(model: TurnModel, edit: Edit) -> dict[str, nn.Module]:
    """Return the module that edits a layer's states, by the name that `replaced` takes."""
    name = RNNS[edit.layer]
    return {name: _Edited(getattr(model, name), edit)}


@contextmanager
def replaced(model: TurnModel, **modules: nn.Module) -> Iterator[None]:
    """Run a network with other modules in the places of some of its own."""
    own = {name: getattr(model, name) for name in modules}
    try:
        for name, module in modules.items():
            setattr(model, name, module)
        yield
    finally:
        for name, module in own.items():
            setattr(model, name, module)


class Given(nn.Module):
    """Stands for a module whose output is known, (R, T, ...); its state is left as it is."""

    def __init__(self, module: Any, output: Tensor) -> None:
        super().__init__()
        self.state_shapes: Callable[[], ShapeTree] = module.state_shapes
        self._output = output

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self._output, state


class LastStep(nn.Module):
    """A read-out of the last step alone, (R, T, H) to (R, 1, ...)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._module = module

    def forward(self, x: Tensor) -> Tensor:
        return self._module(x[:, -1:])


class _Edited(nn.Module):
    """An RNN whose states are edited at every step, counted from its first one."""

    def __init__(self, rnn: Recurrent, edit: Edit) -> None:
        super().__init__()
        self._rnn, self._edit, self._step = rnn, edit, 0
        self.state_shapes = rnn.state_shapes

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        outputs: list[Tensor] = []
        for step in range(x.shape[1]):
            y, state = self._rnn(x[:, step : step + 1], state)
            changed = self._edit.apply(y[:, 0], self._step)
            self._step += 1
            outputs.append(changed)
            if "h" in state:  # its last layer is what was just given out
                h = torch.cat([state["h"][:, :-1], changed[:, None]], dim=1)
                state = {**state, "h": h}
        return torch.stack(outputs, dim=1), state
