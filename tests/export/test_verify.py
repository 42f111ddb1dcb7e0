"""Verification must refuse a broken graph: each test breaks something and expects an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest

from turnstream.export import verify as verify_module
from turnstream.export.onnx_graph import build
from turnstream.export.step_input import PCM, StepInput
from turnstream.export.verify import (
    TOLERANCE,
    _largest_difference,
    run_torch,
    verification_audio,
    verify,
)  # pyright: ignore[reportPrivateUsage]
from turnstream.models.config import RecurrentConfig, StackConfig
from turnstream.models.state import StateEntry
from turnstream.models.turn_model import TurnModel
from turnstream.stream.errors import ExportError
from turnstream.stream.onnx_session import open_session

from ..networks import CONFIGS, random_model

Export = Callable[[str, StepInput], Any]


class Forgetful:
    """A session that loses a part of the state at every step."""

    def __init__(self, graph: bytes, entry: StateEntry, speaker_size: int) -> None:
        self._session, self._entry, self._speaker_size = open_session(graph), entry, speaker_size

    def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        outputs = self._session.run(names, feed)
        rows = outputs[-1].reshape(-1, self._speaker_size)
        rows[:, self._entry.offset : self._entry.offset + self._entry.size] = 0
        return outputs


def test_a_graph_with_other_weights_is_refused(exported: Export) -> None:
    other = random_model(CONFIGS["tiny"], seed=8)
    with pytest.raises(
        ExportError,
        match=(
            r"whole against frames: expected differences up to 1e-05, got \d.*; the graph was not "
            "written"
        ),
    ):
        verify(exported("tiny", PCM).graph, other, PCM)


def test_a_slightly_wrong_weight_is_refused(exported: Export) -> None:
    one = exported("tiny", PCM)
    proto = onnx.load_from_string(one.graph)
    weight = max(
        proto.graph.initializer,
        key=lambda tensor: np.prod(tensor.dims) if list(tensor.dims)[-1:] == [3 + 256] else 0,
    )
    changed = onnx.numpy_helper.to_array(weight).copy()
    changed.ravel()[0] += 1e-3
    weight.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
    with pytest.raises(ExportError, match="whole against frames"):
        verify(proto.SerializeToString(), one.model, PCM)


@pytest.mark.parametrize("name", ["tiny", "lstm_2d_gated_stride_concat"])
def test_a_run_that_loses_any_one_cache_or_state_is_refused(
    exported: Export, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = exported(name, PCM)
    for entry in one.model.layout.entries:
        monkeypatch.setattr(
            verify_module,
            "open_session",
            lambda graph, entry=entry: Forgetful(graph, entry, one.model.layout.speaker_size),
        )
        with pytest.raises(ExportError, match="whole against frames"):
            verify(one.graph, one.model, PCM)


def test_a_batch_that_mixes_conversations_is_refused(
    exported: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = exported("tiny", PCM)
    run_frames = verify_module.run_frames

    def one_wrong_when_alone(
        session: Any, model: Any, step_input: Any, x: np.ndarray, forget: Any = None
    ) -> dict[str, np.ndarray]:
        outputs = run_frames(session, model, step_input, x, forget)
        return {name: array + 1e-3 if len(x) == 1 else array for name, array in outputs.items()}

    monkeypatch.setattr(verify_module, "run_frames", one_wrong_when_alone)
    with pytest.raises(
        ExportError, match=r"batch against single: expected differences up to 1e-05, got 0\.001"
    ):
        verify(one.graph, one.model, PCM)


def test_outputs_that_are_not_numbers_are_refused(
    exported: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = exported("tiny", PCM)
    run_frames = verify_module.run_frames
    monkeypatch.setattr(
        verify_module,
        "run_frames",
        lambda *args, **kwargs: {
            name: np.nan * array for name, array in run_frames(*args, **kwargs).items()
        },
    )
    with pytest.raises(
        ExportError, match="whole against frames: expected differences up to 1e-05, got nan"
    ):
        verify(one.graph, one.model, PCM)


@pytest.mark.parametrize(("part", "named"), [("features", "caches"), ("dialogue_rnn", "states")])
def test_a_comparison_that_could_not_see_a_lost_state_is_refused(
    exported: Export, part: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = exported("tiny", PCM)
    run_frames = verify_module.run_frames

    def remembers_everything(
        session: Any,
        model: Any,
        step_input: Any,
        x: np.ndarray,
        forget: list[StateEntry] | None = None,
    ) -> dict[str, np.ndarray]:
        lost = [] if forget and any(entry.name.startswith(part) for entry in forget) else forget
        return run_frames(session, model, step_input, x, lost)

    monkeypatch.setattr(verify_module, "run_frames", remembers_everything)
    with pytest.raises(
        ExportError,
        match=(
            f"losing the {named} changes the output by only .*; a comparison that cannot fail "
            "proves nothing"
        ),
    ):
        verify(one.graph, one.model, PCM)


def test_the_verification_says_all_four_numbers(exported: Export) -> None:
    text = str(verify(exported("tiny", PCM).graph, exported("tiny", PCM).model, PCM))
    for part in (
        "torch whole against ONNX frame by frame",
        "batch against single",
        "without convolution caches",
        "without recurrent state",
    ):
        assert part in text


@pytest.mark.parametrize(("dilation", "frames"), [(3, 60), (100, 2 * 207)])
def test_the_signal_is_longer_than_any_cache(dilation: int, frames: int) -> None:
    encoder = replace(CONFIGS["tiny"].encoder, stacks=(StackConfig((3, 2), (1, dilation)),))
    audio = verify_module.verification_audio(TurnModel(replace(CONFIGS["tiny"], encoder=encoder)))
    assert audio.shape == (3, 2, frames * 320)


def test_large_cells_are_compared_relative_to_their_size() -> None:
    rnn = RecurrentConfig("lstm", 8)
    model = random_model(replace(CONFIGS["tiny"], speaker_rnn=rnn, dialogue_rnn=rnn))
    for layer in (model.speaker_rnn, model.dialogue_rnn):
        for name, bias in layer.cell.named_parameters():
            if name.startswith("bias_ih"):
                bias.data.view(4, -1)[:2] = (
                    9.0  # input and forget gates stay open, so the input adds up
                )
                bias.data.view(4, -1)[2] = 3.0
    _, expected = run_torch(model, PCM, verification_audio(model))
    assert np.abs(expected["next_state"]).max() > 30
    found = verify(build(model, PCM, "large", "1"), model, PCM)
    assert found.whole_against_frames <= TOLERANCE
    off = {**expected, "next_state": expected["next_state"] * np.float32(1 + 1e-4)}
    assert _largest_difference(expected, off) == pytest.approx(1e-4, rel=0.05)
