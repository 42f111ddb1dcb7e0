"""folds.json: which model was not trained on which dialogue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from turnstream.models.evaluation.folds import read_folds
from turnstream.stream.errors import DialogueError


def test_files_are_relative_to_the_folder_and_only_what_is_asked_for_is_given(
    tmp_path: Path,
) -> None:
    (tmp_path / "folds.json").write_text(
        json.dumps({"c": "1/model.onnx", "b": "0/model.onnx", "a": "0/model.onnx"})
    )
    found = read_folds(tmp_path, ["a", "c"])
    assert list(found.items()) == [
        ("a", tmp_path / "0/model.onnx"),
        ("c", tmp_path / "1/model.onnx"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            None,
            (
                "folds.json: expected the model of each dialogue .JSON., got: No such file or "
                "directory"
            ),
        ),
        (
            "{",
            "folds.json: expected the model of each dialogue .JSON., got: Expecting property name",
        ),
        ('["a"]', r"folds.json: expected an object of dialogue ids and model files, got .'a'."),
        (
            '{"a": 3}',
            "folds.json: expected an object of dialogue ids and model files, got .'a': 3.",
        ),
        ('{"a": "a.onnx"}', "folds.json: expected a model for every dialogue, got none for 'b'$"),
        (
            '{"d": "a.onnx"}',
            "folds.json: expected a model for every dialogue, got none for 'a' and 1 more$",
        ),
    ],
)
def test_what_is_no_list_of_folds_is_refused(
    text: str | None, expected: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "folds.json").write_text(text)
    with pytest.raises(DialogueError, match=expected):
        read_folds(tmp_path, ["a", "b"])


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folds.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(DialogueError, match=r"folds\.json: expected the model of each dialogue"):
        read_folds(tmp_path, ["a"])
