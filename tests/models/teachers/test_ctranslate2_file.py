from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from turnstream.models.teachers.ctranslate2_file import read_tensors
from turnstream.stream.errors import ConfigError

from .tiny_whisper import TYPE_NUMBERS, model_bytes

TENSORS = {
    "decoder/weight": np.full((2, 2), 7, np.float32),
    "encoder/conv/weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 8,
    "encoder/half": np.array([0.5, -2.0, 1 / 3], np.float16),
    "encoder/small": np.array([[-127, 0, 5]], np.int8),
    "encoder/scalar": np.array(9, np.int32),
    "another/encoder/bias": np.zeros(3, np.int16),
}


def complaint(path: Path) -> str:
    """Return what the message about a file that cannot be read says after the expectation."""
    with pytest.raises(ConfigError) as caught:
        read_tensors(path, "")
    start = f"{path}: expected a CTranslate2 model of binary version 6, got: "
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(start)


def test_tensors_of_every_type_are_read_as_float32(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(model_bytes(TENSORS))
    found = read_tensors(path, "")
    assert list(found) == list(TENSORS)
    for name, values in found.items():
        assert values.dtype == np.float32
        assert values.shape == TENSORS[name].shape
        np.testing.assert_array_equal(values, TENSORS[name].astype(np.float32))


def test_only_the_tensors_with_the_prefix_are_returned_and_without_it(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(model_bytes(TENSORS))
    assert list(read_tensors(path, "encoder/")) == ["conv/weight", "half", "small", "scalar"]
    assert read_tensors(path, "vocoder/") == {}


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(model_bytes(TENSORS, version=5))
    assert complaint(path) == "version 5"


def test_a_file_that_was_cut_anywhere_in_its_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    whole = model_bytes(TENSORS)
    aliases = 4 + (2 + len("another_name") + 1) + (2 + len("decoder/weight") + 1)
    for length in (*range(4, len(whole) - aliases, 7), len(whole) - aliases - 1):
        path.write_bytes(whole[:length])
        assert complaint(path)
    path.write_bytes(whole[: len(whole) - aliases])  # no tensor is cut
    assert list(read_tensors(path, "")) == list(TENSORS)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 an archive", b"no"])
def test_a_file_that_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    assert complaint(path)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(model_bytes(TENSORS).replace(b"encoder/half", b"encoder/\xff\xff\xff\xff"))
    assert complaint(path)


@pytest.mark.parametrize("number", [5, 255])
def test_an_unknown_type_is_refused(number: int, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(model_bytes(TENSORS, type_numbers=TYPE_NUMBERS | {"int8": number}))
    assert complaint(path)


def test_values_that_do_not_fill_their_shape_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(model_bytes(TENSORS, type_numbers=TYPE_NUMBERS | {"float16": 1}))
    assert complaint(path)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    assert "No such file" in complaint(tmp_path / "missing.bin")
    assert "Is a directory" in complaint(tmp_path)
