"""The engine: what a step returns and refuses.

Each file that it cannot load gives one clear line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from turnstream.stream.contract import FORMAT_VERSION, LABELS, METADATA_KEY, PROBABILITIES
from turnstream.stream.engine import INT8, Engine, Float32, StepOutput, bundled_model
from turnstream.stream.errors import ModelError, ShapeError

from .broken_models import broken_model

HEADS = ("vad", "p_now", "p_future", "p_next", "p_backchannel")
OUTPUTS = [field.name for field in fields(StepOutput)]
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def engine(tiny_model_path: Path) -> Engine:
    return Engine(tiny_model_path)


def random_inputs(engine: Engine, batch: int, seed: int = 0) -> tuple[Float32, Float32]:
    generator = np.random.default_rng(seed)
    audio = 0.1 * generator.standard_normal((batch, 2, engine.metadata.frame_samples))
    return audio.astype(np.float32), (
        0.3 * generator.standard_normal((batch, engine.metadata.state_size))
    ).astype(np.float32)


def assert_same(left: StepOutput, right: StepOutput) -> None:
    for name in OUTPUTS:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        Engine(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.fixture
def altered(tiny_model_path: Path, tmp_path: Path) -> Callable[[Change], Path]:
    """Return the tiny model with its metadata changed."""

    def alter(change: Change) -> Path:
        model = onnx.load(str(tiny_model_path))
        described = json.loads(model.metadata_props[0].value)
        change(described)
        return save(model, tmp_path, json.dumps(described))

    return alter


def save(model: onnx.ModelProto, folder: Path, description: str | None) -> Path:
    onnx.helper.set_model_props(model, {} if description is None else {METADATA_KEY: description})
    path = folder / "altered.onnx"
    onnx.save(model, str(path))
    return path


def test_the_probabilities_are_plain_numbers_of_each_conversation(engine: Engine) -> None:
    output, _ = engine.step(*random_inputs(engine, 3))
    assert len(output.probabilities) == 3
    for row, pairs in enumerate(output.probabilities):
        assert pairs == tuple(
            (float(values[row, 0]), float(values[row, 1]))
            for values in (getattr(output, head) for head in HEADS)
        )
        assert {type(value) for pair in pairs for value in pair} == {float}
    assert output.probabilities is output.probabilities


def test_metadata_describes_the_model(engine: Engine, tiny_model_path: Path) -> None:
    metadata = engine.metadata
    assert engine.path == tiny_model_path
    assert (metadata.name, metadata.version) == ("tiny", "0")
    assert (metadata.sample_rate_hz, metadata.frame_samples, metadata.frame_rate_hz) == (
        16000,
        320,
        50.0,
    )
    assert (metadata.latent_size, metadata.latent_speaker_size) == (10, 12)
    assert len(metadata.weights_sha256) == 64
    assert metadata.config["features"]["mel_bins"] == 16


def test_a_step_has_the_outputs_of_the_contract_in_their_order() -> None:
    assert [*OUTPUTS, "next_state"] == list(LABELS)
    assert HEADS == PROBABILITIES


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_a_step_gives_float32_of_the_promised_shapes(engine: Engine, batch: int) -> None:
    output, state = engine.step(*random_inputs(engine, batch))
    for name in HEADS:
        assert getattr(output, name).shape == (batch, 2)
        assert np.all((getattr(output, name) >= 0) & (getattr(output, name) <= 1))
    for name in ("p_now", "p_future", "p_next"):
        np.testing.assert_allclose(getattr(output, name).sum(axis=1), 1, atol=1e-5)
    assert output.latent.shape == (batch, 2, 10)
    assert output.latent_speaker.shape == (batch, 2, 12)
    assert state.shape == (batch, engine.metadata.state_size)
    assert {getattr(output, name).dtype for name in OUTPUTS} | {state.dtype} == {
        np.dtype(np.float32)
    }


def test_init_state_is_silence(engine: Engine) -> None:
    state = engine.init_state(3)
    assert state.shape == (3, engine.metadata.state_size)
    assert state.dtype == np.float32
    assert not state.any()


def test_other_conversations_in_the_batch_change_no_bit(engine: Engine) -> None:
    audio, state = random_inputs(engine, 5)
    output, after = engine.step(audio, state)
    other_audio, other_state = random_inputs(engine, 5, seed=1)
    other_audio[2], other_state[2] = audio[2], state[2]
    mixed, mixed_after = engine.step(other_audio, other_state)
    for name in OUTPUTS:
        np.testing.assert_array_equal(
            getattr(mixed, name)[2], getattr(output, name)[2], err_msg=name
        )
        assert not np.array_equal(getattr(mixed, name)[1], getattr(output, name)[1])
    np.testing.assert_array_equal(mixed_after[2], after[2])


def test_rows_may_stand_in_any_order(engine: Engine) -> None:
    audio, state = random_inputs(engine, 6)
    order = np.array([3, 0, 5, 1, 4, 2])
    output, after = engine.step(audio, state)
    shuffled, shuffled_after = engine.step(audio[order], state[order])
    assert_same(shuffled, StepOutput(*(getattr(output, name)[order] for name in OUTPUTS)))
    np.testing.assert_array_equal(shuffled_after, after[order])


def test_a_conversation_alone_equals_its_row_in_a_batch(engine: Engine) -> None:
    audio, state = random_inputs(engine, 4)
    output, after = engine.step(audio, state)
    alone, alone_after = engine.step(audio[1:2], state[1:2])
    for name in OUTPUTS:
        np.testing.assert_allclose(
            getattr(alone, name)[0], getattr(output, name)[1], atol=1e-6, err_msg=name
        )
    np.testing.assert_allclose(alone_after[0], after[1], atol=1e-6)


def test_nothing_is_kept_between_steps(engine: Engine) -> None:
    audio, state = random_inputs(engine, 2)
    audio_before, state_before = audio.copy(), state.copy()
    first, first_after = engine.step(audio, state)
    for seed in range(3):
        engine.step(*random_inputs(engine, seed + 1, seed))
    second, second_after = engine.step(audio, state)
    assert_same(second, first)
    np.testing.assert_array_equal(second_after, first_after)
    np.testing.assert_array_equal(audio, audio_before)
    np.testing.assert_array_equal(state, state_before)


def test_the_state_carries_the_past(engine: Engine) -> None:
    audio, state = random_inputs(engine, 1)
    remembered, _ = engine.step(audio, state)
    forgotten, _ = engine.step(audio, engine.init_state())
    assert not np.array_equal(remembered.latent, forgotten.latent)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((0, 2, 320), np.float32),
        ((1, 1, 320), np.float32),
        ((1, 3, 320), np.float32),
        ((1, 2, 319), np.float32),
        ((1, 2, 640), np.float32),
        ((2, 320), np.float32),
        ((), np.float32),
        ((1, 2, 320), np.float64),
        ((1, 2, 320), np.int16),
    ],
)
def test_audio_that_does_not_fit_is_refused(
    engine: Engine, shape: tuple[int, ...], dtype: type
) -> None:
    with pytest.raises(ShapeError) as caught:
        engine.step(np.zeros(shape, dtype), engine.init_state())
    assert "expected float32 audio of shape (B >= 1, 2, 320)" in str(caught.value)
    assert f"got {np.dtype(dtype)} {shape}" in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "extra", "dtype"),
    [
        (1, 0, np.float32),
        (3, 0, np.float32),
        (2, 1, np.float32),
        (2, -1, np.float32),
        (2, 0, np.float64),
    ],
)
def test_a_state_that_does_not_fit_is_refused(
    engine: Engine, rows: int, extra: int, dtype: type
) -> None:
    size = engine.metadata.state_size
    with pytest.raises(ShapeError) as caught:
        engine.step(np.zeros((2, 2, 320), np.float32), np.zeros((rows, size + extra), dtype))
    assert f"expected a float32 state of shape (2, {size})" in str(caught.value)
    assert f"got {np.dtype(dtype)} {(rows, size + extra)}" in str(caught.value)


def test_bundled_model_is_named_in_the_package() -> None:
    assert bundled_model().name == "turnstream.onnx"
    assert bundled_model().parent.name == "weights"
    assert bundled_model(INT8).name == "turnstream.int8.onnx"


def test_int8_names_the_bundled_model_in_int8() -> None:
    assert Engine(INT8).path == Engine(Path(INT8)).path == bundled_model(INT8)
    assert Engine(INT8).metadata.precision == "int8"
    assert Engine().metadata.precision == "float32"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "is not a file" in refusal(tmp_path / "missing.onnx")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "is not a file" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"RIFF and so on", bytes(range(256)) * 20])
def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "noise.onnx"
    path.write_bytes(content)
    assert "expected an ONNX model" in refusal(path)


def test_a_truncated_model_is_refused(tiny_model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(tiny_model_path.read_bytes()[:-5000])
    assert "expected an ONNX model" in refusal(path)


def test_a_foreign_onnx_file_is_refused(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "foreign", [value("x", 1, [1])], [value("y", 1, [1])])
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    message = refusal(save(model, tmp_path, None))
    assert "expected metadata 'turnstream'" in message
    assert "got none" in message


def test_another_format_version_is_refused_with_both_numbers(
    altered: Callable[[Change], Path],
) -> None:
    message = refusal(
        altered(lambda described: described.update(format_version=FORMAT_VERSION + 1))
    )
    assert f"expected model format {FORMAT_VERSION}, got {FORMAT_VERSION + 1}" in message


def test_a_mel_model_is_refused(altered: Callable[[Change], Path]) -> None:
    assert "input is 'pcm', got 'mel'" in refusal(
        altered(lambda described: described.update(input="mel"))
    )


@pytest.mark.parametrize("label", [*LABELS])
def test_a_description_without_an_output_is_refused(
    altered: Callable[[Change], Path], label: str
) -> None:
    assert f"missing {label}" in refusal(altered(lambda described: described["outputs"].pop(label)))


def test_a_graph_without_a_promised_output_is_refused(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    model = onnx.load(str(tiny_model_path))
    description = model.metadata_props[0].value
    kept = [output for output in model.graph.output if output.name != "p_backchannel"]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    assert "its graph lacks p_backchannel" in refusal(save(model, tmp_path, description))


@pytest.mark.parametrize(
    "change",
    [
        lambda described: described.update(frame_samples=160, frame_rate_hz=100.0),
        lambda described: described["state"].update(size=described["state"]["size"] + 1),
    ],
)
def test_a_description_that_disagrees_with_the_graph_is_refused(
    altered: Callable[[Change], Path], change: Change
) -> None:
    assert "its metadata promises the inputs" in refusal(altered(change))


@pytest.mark.parametrize(
    "change",
    [
        lambda described: described.clear(),
        lambda described: described.pop("weights_sha256"),
        lambda described: described.pop("state"),
        lambda described: described.update(state=5),
        lambda described: described.update(outputs=list(LABELS)),
        lambda described: described["outputs"]["latent"].update(shape=[]),
        lambda described: described["outputs"]["latent"].update(shape=[2, "10"]),
        lambda described: described["outputs"]["latent"].update(shape=[2, -1]),
        lambda described: described.update(frame_samples="320"),
        lambda described: described.update(frame_samples=160),
        lambda described: described.update(sample_rate_hz=7999, frame_rate_hz=7999 / 320),
        lambda described: described.update(sample_rate_hz=None),
        lambda described: described.update(frame_rate_hz=0.0),
        lambda described: described.update(frame_rate_hz=float("nan")),
        lambda described: described.update(name=3),
        lambda described: described.update(version=None),
        lambda described: described.update(version="1" * 300),
        lambda described: described.update(weights_sha256="short"),
        lambda described: described.update(config=[]),
    ],
)
def test_an_incomplete_description_is_refused(
    altered: Callable[[Change], Path], change: Change
) -> None:
    assert "its metadata is damaged" in refusal(altered(change))


@pytest.mark.parametrize("description", ["", "{", "null", "[1]", '"text"', "{'single': 'quotes'}"])
def test_a_description_that_is_no_json_object_is_refused(
    tiny_model_path: Path, tmp_path: Path, description: str
) -> None:
    assert "its metadata is damaged" in refusal(
        save(onnx.load(str(tiny_model_path)), tmp_path, description)
    )


@pytest.mark.parametrize("name", ["latent", "latent_speaker"])
def test_latents_of_another_size_than_promised_are_refused(
    altered: Callable[[Change], Path], name: str
) -> None:
    message = refusal(altered(lambda described: described["outputs"][name].update(shape=[2, 11])))
    assert f"its metadata promises {name} as float32 of shape (1, 2, 11)" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("output", [*LABELS])
def test_a_model_that_gives_nan_or_infinity_is_refused(
    tiny_model_path: Path, tmp_path: Path, output: str, value: float
) -> None:
    path = broken_model(tiny_model_path, tmp_path / "broken.onnx", output, value, when_loud=False)
    assert f"expected finite outputs, got NaN or infinity in {output}" in refusal(path)


def test_control_codes_in_name_and_version_are_escaped(altered: Callable[[Change], Path]) -> None:
    metadata = Engine(
        altered(lambda described: described.update(name="\x1b[31mred\n", version="\u202e1"))
    ).metadata
    assert (metadata.name, metadata.version) == (r"\x1b[31mred\n", r"\u202e1")


def test_a_name_in_bytes_that_are_not_utf_8_is_opened(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/\xff.onnx"))
    path.write_bytes(tiny_model_path.read_bytes())
    assert Engine(path).metadata.name == "tiny"
