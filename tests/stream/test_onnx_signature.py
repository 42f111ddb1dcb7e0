"""The inputs and outputs of an ONNX file, read without ONNX Runtime."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from turnstream.stream.engine import INT8, bundled_file, bundled_model
from turnstream.stream.onnx_session import open_session
from turnstream.stream.onnx_signature import read_signature

from .pauses import tiny_pause_model


@pytest.mark.parametrize("path", [bundled_model(), bundled_model(INT8), bundled_file("pause.onnx")])
def test_it_is_what_onnx_runtime_finds(path: Path) -> None:
    session, signature = open_session(path), read_signature(path)
    for nodes, found in (
        (session.get_inputs(), signature.inputs),
        (session.get_outputs(), signature.outputs),
    ):
        assert found == {
            node.name: tuple(size if isinstance(size, int) else None for size in node.shape)
            for node in nodes
        }


def test_a_file_that_was_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = tiny_pause_model(tmp_path, samples=10)
    whole = path.read_bytes()
    signature = read_signature(path)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        try:
            assert read_signature(path) == signature  # only what comes after the graph is gone
            assert size > len(whole) - 20
        except ValueError:
            pass


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "no bytes"),
        (b"\x08\x08", "no inputs or no outputs"),
        (b"\x0b", "a field of kind 3 at 1"),
        (b"\xff" * 20, "a number of more than 64 bits at 10"),
        (b"\x3a\x05abc", "5 bytes of at least 7"),
        (b"\x3a\x04\x5a\x02\x0a\x09", "6 bytes of at least 15"),
        (b"\x3d\x00", "2 bytes of at least 5"),
        (b"\x3a\x05\x5a\x03\x0a\x01\xff", "invalid start byte"),
    ],
)
def test_bytes_that_are_not_onnx_are_an_error(tmp_path: Path, content: bytes, error: str) -> None:
    path = tmp_path / "no.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(error)):
        read_signature(path)
