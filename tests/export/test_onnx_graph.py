"""The exported step equals the network, for very different configurations."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from turnstream.export.step_input import MEL, PCM, StepInput
from turnstream.export.verify import TOLERANCE, run_frames, run_torch, verification_audio, verify
from turnstream.stream.contract import LABELS, METADATA_KEY
from turnstream.stream.onnx_session import open_session

from ..networks import CONFIGS

GRAPHS: list[tuple[str, StepInput]] = [*((name, PCM) for name in CONFIGS), ("tiny", MEL)]
each_graph = pytest.mark.parametrize(("name", "step_input"), GRAPHS)
Export = Callable[[str, StepInput], Any]


@each_graph
def test_the_graph_stepped_frame_by_frame_equals_torchs_whole_pass(
    exported: Export, name: str, step_input: StepInput
) -> None:
    one = exported(name, step_input)
    x, expected = run_torch(one.model, step_input, verification_audio(one.model))
    found = run_frames(open_session(one.graph), one.model, step_input, x)
    for label in LABELS:
        np.testing.assert_allclose(
            found[label], expected[label], atol=TOLERANCE, rtol=0, err_msg=label
        )
        assert found[label].shape == expected[label].shape


@each_graph
def test_verification_passes_and_its_controls_fail_by_orders_of_magnitude(
    exported: Export, name: str, step_input: StepInput
) -> None:
    one = exported(name, step_input)
    found = verify(one.graph, one.model, step_input)
    assert found.whole_against_frames <= TOLERANCE
    assert (
        min(found.without_conv_caches, found.without_recurrent_state)
        > 1000 * found.whole_against_frames
    )


@each_graph
def test_a_conversation_in_a_batch_gets_the_same_bits_as_alone(
    exported: Export, name: str, step_input: StepInput
) -> None:
    one = exported(name, step_input)
    session = open_session(one.graph)
    x, _ = run_torch(one.model, step_input, verification_audio(one.model))
    x = np.concatenate([x, x[:, ::-1], x[:1]])[:, :, :20]  # seven conversations
    together = run_frames(session, one.model, step_input, x)
    for batch in (slice(0, 1), slice(2, 5), slice(6, 7)):
        alone = run_frames(session, one.model, step_input, x[batch])
        for label in LABELS:
            np.testing.assert_array_equal(alone[label], together[label][batch], err_msg=label)


@each_graph
def test_swapping_the_channels_swaps_every_output_bit_for_bit(
    exported: Export, name: str, step_input: StepInput
) -> None:
    one = exported(name, step_input)
    session = open_session(one.graph)
    x, _ = run_torch(one.model, step_input, verification_audio(one.model))
    straight, swapped = (
        run_frames(session, one.model, step_input, audio)
        for audio in (x, np.ascontiguousarray(x[:, ::-1]))
    )
    for label in LABELS:
        if label == "next_state":
            halves = swapped[label].reshape(len(x), 2, -1)[:, ::-1]
            np.testing.assert_array_equal(halves.reshape(straight[label].shape), straight[label])
        else:
            np.testing.assert_array_equal(
                swapped[label][:, :, ::-1], straight[label], err_msg=label
            )
    assert not np.array_equal(straight["p_next"], swapped["p_next"])


@each_graph
def test_flattening_changes_no_number_and_removes_nodes(
    exported: Export, name: str, step_input: StepInput
) -> None:
    one = exported(name, step_input)
    before, after = (
        len(onnx.load_from_string(graph).graph.node) for graph in (one.unflattened, one.graph)
    )
    if (
        one.model.config.encoder.dims == 1
    ):  # a network over time and frequency has few plain matrices
        assert after < before
    x, _ = run_torch(one.model, step_input, verification_audio(one.model))
    plain, flat = (
        run_frames(open_session(graph, optimize=False), one.model, step_input, x[:, :, :30])
        for graph in (one.unflattened, one.graph)
    )
    for label in LABELS:
        np.testing.assert_allclose(flat[label], plain[label], atol=2e-6, rtol=0, err_msg=label)


@each_graph
def test_the_graph_describes_itself_completely(
    exported: Export, name: str, step_input: StepInput
) -> None:
    one = exported(name, step_input)
    session = open_session(one.graph)
    about = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    (x, state), outputs = session.get_inputs(), session.get_outputs()
    assert (x.name, x.shape[1:]) == (about["input_name"], about["input_shape"])
    assert (state.name, state.shape[1:]) == ("state", [about["state"]["size"]])
    assert isinstance(x.shape[0], str)  # a free batch
    assert x.shape[0] == state.shape[0]
    assert [(o.name, o.shape[1:]) for o in outputs] == [
        (label, about["outputs"][label]["shape"]) for label in LABELS
    ]
    assert (about["input"], about["name"], about["version"]) == (step_input.kind, name, "0")


@each_graph
def test_the_file_tells_nothing_about_the_machine_it_was_made_on(
    exported: Export, name: str, step_input: StepInput
) -> None:
    for trace in (b".py", b"site-packages", b"stack_trace"):
        assert trace not in exported(name, step_input).graph
