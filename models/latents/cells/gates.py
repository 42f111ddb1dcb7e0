"""Gates and cells of the network's RNNs, recomputed from the weights: PyTorch gives only what comes
out of them. Hooks keep what each RNN was given, and its steps are taken again, one by one.

GRU: `reset` and `update` in (0, 1), the proposed state `new` and the state `h` in (-1, 1). LSTM:
`input`, `forget` and `output` in (0, 1), the cell `c`, unbounded, `tanh_c` and `h` in (-1, 1). A
plain RNN has only `h`; a linear read-out (kind "none") has nothing of the kind.

Source: Cho et al. 2014 and Hochreiter & Schmidhuber 1997, as in PyTorch's nn.GRU and nn.LSTM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...dialogues.activity import Samples
from ..collection import RNNS

if TYPE_CHECKING:
    from torch import Tensor

    from ...recurrent import Recurrent
    from ...turn_model import TurnModel, TurnOutput, TurnProbabilities

    Values = dict[str, Tensor]  # name of a gate or state: (T, R, layers, H)

GATES = {"gru": ("reset", "update"), "lstm": ("input", "forget", "output"), "rnn": (), "none": ()}


def kinds(model: TurnModel) -> dict[str, str]:
    """Which kind of RNN makes each layer of a collection."""
    return {layer: getattr(model, name).config.kind for layer, name in RNNS.items()}


def unrolled(rnn: Recurrent, x: Tensor, state: dict[str, Tensor]) -> Values:
    """Take an RNN's steps again, and keep everything that it goes through.

    Args:
        rnn, state: of any depth, before the first step, as `Recurrent.forward` takes it.
        x: its input, (R, T, inputs).
    Returns:
        Every gate and state by name (see above), each (T, R, layers, H), the lowest layer first;
        nothing for kind "none".
    """
    import torch

    if rnn.config.kind == "none":
        return {}
    step = {"gru": _gru_step, "lstm": _lstm_step, "rnn": _rnn_step}[rnn.config.kind]
    cell: Any = rnn.cell
    layers: list[Values] = []
    with torch.inference_mode():
        for number in range(rnn.config.layers):
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            w_x, w_h, b_x, b_h = (getattr(cell, f"{name}_l{number}") for name in names)
            now = {name: tensor[:, number] for name, tensor in state.items()}
            taken: list[Values] = []
            for given in (x @ w_x.T + b_x).unbind(1):  # (R, gates * H)
                now = step(given, now["h"] @ w_h.T + b_h, now)
                taken.append(now)
            layers.append(_stacked(taken, 0))  # (T, R, H)
            x = layers[-1]["h"].transpose(0, 1)
    return _stacked(layers, 2)


def _stacked(values: list[Values], dim: int) -> Values:
    import torch

    return {name: torch.stack([one[name] for one in values], dim) for name in values[0]}


@contextmanager
def recorded(model: TurnModel) -> Iterator[Callable[[], dict[str, Values]]]:
    """Watch both RNNs of a network while the context lasts.

    Yields:
        A function that gives, by layer of a collection, the gates and states of the last call of
        `forward` or `forward_mel`; R counts rows as in turn_model.py, so of a single conversation
        it is the speakers.
    """
    given: dict[str, tuple[Tensor, dict[str, Tensor]]] = {}
    rnns: dict[str, Recurrent] = {layer: getattr(model, name) for layer, name in RNNS.items()}

    def keep(layer: str) -> Callable[[Any, Any], None]:
        return lambda _, inputs: given.__setitem__(layer, inputs)

    hooks = [rnn.register_forward_pre_hook(keep(layer)) for layer, rnn in rnns.items()]
    try:
        yield lambda: {layer: unrolled(rnns[layer], *inputs) for layer, inputs in given.items()}
    finally:
        for hook in hooks:
            hook.remove()


def listen_inside(
    model: TurnModel, audio: Samples
) -> Iterator[tuple[TurnOutput, TurnProbabilities, dict[str, Values]]]:
    """`run_dialogue`, with the gates and states of both RNNs in every block: by layer of a
    collection and by name, each (T, 2, layers, H).
    """
    from ...evaluation.torch_runner import run_dialogue

    with recorded(model) as last:
        for output, probabilities in run_dialogue(model, audio):
            yield output, probabilities, last()


def _gru_step(from_input: Tensor, from_state: Tensor, before: Values) -> Values:
    (reset_x, update_x, new_x), (reset_h, update_h, new_h) = (
        gates.chunk(3, -1) for gates in (from_input, from_state)
    )
    reset, update = (reset_x + reset_h).sigmoid(), (update_x + update_h).sigmoid()
    new = (new_x + reset * new_h).tanh()
    h = (1 - update) * new + update * before["h"]
    return {"reset": reset, "update": update, "new": new, "h": h}


def _lstm_step(from_input: Tensor, from_state: Tensor, before: Values) -> Values:
    into, forget, proposed, out = (from_input + from_state).chunk(4, -1)
    into, forget, out = into.sigmoid(), forget.sigmoid(), out.sigmoid()
    c = forget * before["c"] + into * proposed.tanh()
    states = {"c": c, "tanh_c": c.tanh(), "h": out * c.tanh()}
    return {"input": into, "forget": forget, "output": out, **states}


def _rnn_step(from_input: Tensor, from_state: Tensor, _: Values) -> Values:
    return {"h": (from_input + from_state).tanh()}
