"""Gates and cells of the network's RNNs, recomputed from the weights: PyTorch gives only what comes
out of them.

A network is run as always (`run_dialogue`, `forward`, `forward_mel`); hooks keep what each RNN was
given, and its steps are taken again here, one by one.

GRU: reset and update gates in (0, 1), the proposed state `new` in (-1, 1), the state `h` in (-1,
1). LSTM: input, forget and output gates in (0, 1), the cell `c`, unbounded, `tanh_c` in (-1, 1),
the state `h` in (-1, 1). A plain RNN has only its state `h`; a linear read-out (kind "none") has
nothing of the kind.

Source: Cho et al. 2014 and Hochreiter & Schmidhuber 1997, in the form of the formulas in PyTorch's
documentation of nn.GRU and nn.LSTM.
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

GATES: dict[str, tuple[str, ...]] = {
    "gru": ("reset", "update"),
    "lstm": ("input", "forget", "output"),
    "rnn": (),
    "none": (),
}


def kinds(model: TurnModel) -> dict[str, str]:
    """Which kind of RNN makes each layer of a collection."""
    return {layer: getattr(model, name).config.kind for layer, name in RNNS.items()}


def unrolled(rnn: Recurrent, x: Tensor, state: dict[str, Tensor]) -> Values:
    """Take an RNN's steps again, and keep everything that it goes through.

    Args:
        rnn: of any depth.
        x: its input, (R, T, inputs).
        state: before the first step, as `Recurrent.forward` takes it.
    Returns:
        Every gate and state by name (see above), each (T, R, layers, H), the lowest layer first;
        nothing for kind "none".
    """
    import torch

    kind = rnn.config.kind
    if kind == "none":
        return {}
    step = {"gru": _gru_step, "lstm": _lstm_step, "rnn": _rnn_step}[kind]
    cell: Any = rnn.cell
    layers: list[Values] = []
    with torch.inference_mode():
        for number in range(rnn.config.layers):
            w_x, w_h, b_x, b_h = (
                getattr(cell, f"{name}_l{number}")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            from_input = x @ w_x.T + b_x  # (R, T, gates * H)
            now = {name: tensor[:, number] for name, tensor in state.items()}
            taken: list[Values] = []
            for given in from_input.unbind(1):
                now = step(given, now["h"] @ w_h.T + b_h, now)
                taken.append(now)
            layers.append(
                {name: torch.stack([values[name] for values in taken]) for name in taken[0]}
            )  # (T, R, H)
            x = layers[-1]["h"].transpose(0, 1)
    return {name: torch.stack([values[name] for values in layers], dim=2) for name in layers[0]}


@contextmanager
def recorded(model: TurnModel) -> Iterator[Callable[[], dict[str, Values]]]:
    """Watch both RNNs of a network while the context lasts.

    Yields:
        A function that gives, by layer of a collection, the gates and states of the last call of
        `forward` or `forward_mel`; R counts rows as in turn_model.py, so of a single conversation
        it is the speakers.
    """
    given: dict[str, tuple[Tensor, dict[str, Tensor]]] = {}

    def keep(layer: str) -> Callable[[Any, Any], None]:
        return lambda _, inputs: given.__setitem__(layer, inputs)

    hooks = [
        getattr(model, name).register_forward_pre_hook(keep(layer)) for layer, name in RNNS.items()
    ]
    try:
        yield lambda: {
            layer: unrolled(getattr(model, RNNS[layer]), *inputs) for layer, inputs in given.items()
        }
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
        from_input.chunk(3, -1),
        from_state.chunk(3, -1),
    )
    reset, update = (reset_x + reset_h).sigmoid(), (update_x + update_h).sigmoid()
    new = (new_x + reset * new_h).tanh()
    return {
        "reset": reset,
        "update": update,
        "new": new,
        "h": (1 - update) * new + update * before["h"],
    }


def _lstm_step(from_input: Tensor, from_state: Tensor, before: Values) -> Values:
    into, forget, proposed, out = (from_input + from_state).chunk(4, -1)
    into, forget, out = into.sigmoid(), forget.sigmoid(), out.sigmoid()
    c = forget * before["c"] + into * proposed.tanh()
    tanh_c = c.tanh()
    return {
        "input": into,
        "forget": forget,
        "output": out,
        "c": c,
        "tanh_c": tanh_c,
        "h": out * tanh_c,
    }


def _rnn_step(from_input: Tensor, from_state: Tensor, _: Values) -> Values:
    return {"h": (from_input + from_state).tanh()}
