"""The recogniser's files, made from those of a tiny Moonshine: the logits stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

from turnstream.cli import main
from turnstream.stream.onnx_session import open_session, ort
from turnstream.stream.recogniser import Recogniser, Tokens

from .tiny_moonshine import CACHE, TEXTS, moonshine


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """The command's own work; the path is that of the encoder."""
    words = [
        "export",
        str(moonshine(tmp_path / "tiny-en")),
        "--out",
        str(tmp_path / "new" / "mine"),
    ]
    assert main(words) == 0
    return tmp_path / "new" / "mine_encoder.onnx"


def test_the_command_writes_what_the_runtime_takes(
    capsys: pytest.CaptureFixture[str], exported: Path
) -> None:
    said = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in said] == [
        str(exported.with_name(f"mine{ending}"))
        for ending in ("_encoder.onnx", "_decoder.onnx", ".json")
    ]
    tokens = msgspec.json.decode(exported.with_name("mine.json").read_bytes(), type=Tokens)
    assert (tokens.begin, tokens.end) == (1, 2)
    assert [TEXTS[token] for token in tokens.complete] == [".", "?"]
    assert [TEXTS[token] for token in tokens.incomplete] == [",", "..."]
    text = Recogniser(exported).transcribe(np.ones(8, np.float32))
    assert text.tokens
    assert np.isfinite(text.logit)


def test_the_logits_are_those_of_moonshines_files(exported: Path, tmp_path: Path) -> None:
    audio = np.random.default_rng(1).normal(0, 1, (1, 40)).astype(np.float32)
    before = [
        ort.InferenceSession(str(tmp_path / "tiny-en" / f"{name}.ort"))
        for name in ("encoder_model", "decoder_model_merged")
    ]
    after = [open_session(exported), open_session(exported.with_name("mine_decoder.onnx"))]
    mask = np.ones((1, 40), np.int64)
    (heard,) = before[0].run(None, {"input_values": audio, "attention_mask": mask})
    np.testing.assert_array_equal(after[0].run(None, {"input_values": audio})[0], heard)
    for token in range(len(TEXTS)):
        for cached in (False, True):
            inputs = {
                "input_ids": np.array([[token]]),
                "encoder_hidden_states": heard,
                "use_cache_branch": np.array([cached]),
                **{name: np.ones((1, 1, 2, 1), np.float32) for name in CACHE},
            }
            expected = before[1].run(None, {**inputs, "encoder_attention_mask": mask[:, :10]})
            for wanted, found in zip(expected, after[1].run(None, inputs), strict=True):
                np.testing.assert_array_equal(found, wanted)
    decoder = onnx.load(exported.with_name("mine_decoder.onnx"))
    assert {opset.domain for opset in decoder.opset_import} <= {"", "com.microsoft"}
    names = {tensor.name for tensor in decoder.graph.initializer}
    assert "matrix_quantized" in names
    assert "embedding_quantized" not in names


@pytest.mark.parametrize(
    ("settings", "complaint_part"),
    [
        ({"tied": False}, "expected a decoder whose embedding is its last matrix, got another one"),
        (
            {"mask": "other"},
            "expected a model of Moonshine, with an input attention_mask, got none",
        ),
    ],
)
def test_another_model_is_refused(
    settings: dict[str, Any], complaint_part: str, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    folder = moonshine(tmp_path / "other", **settings)
    assert complaint_part in complaint("export", str(folder), "--out", str(tmp_path / "mine"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]


@pytest.mark.parametrize("name", ["encoder_model.ort", "decoder_model_merged.ort"])
def test_a_file_that_is_no_model_is_refused(
    name: str, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    folder = moonshine(tmp_path / "tiny-en")
    (folder / name).write_bytes(b"once upon a time")
    said = complaint("export", str(folder), "--out", str(tmp_path / "mine"))
    assert f"{name}: expected a model of Moonshine in ONNX Runtime's format, got: " in said


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "expected the tokens of Moonshine"),
        (b"\x01.", "with <s>, got none of that text"),
        (b"\x03<s>\x80", "got a file that was cut off"),
        (b"\x03<s", "got a file that was cut off"),
    ],
)
def test_missing_tokens_are_refused(
    content: bytes | None, expected: str, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    folder = moonshine(tmp_path / "tiny-en")
    (folder / "tokenizer.bin").unlink()
    if content is not None:
        (folder / "tokenizer.bin").write_bytes(content)
    assert expected in complaint("export", str(folder), "--out", str(tmp_path / "mine"))


def test_a_name_with_a_suffix_is_refused(tmp_path: Path, complaint: Callable[..., str]) -> None:
    folder = moonshine(tmp_path / "tiny-en")
    said = complaint("export", str(folder), "--out", str(tmp_path / "mine.onnx"))
    assert "expected the beginning of the names of three files to write, got" in said


def test_options_of_a_network_are_refused(tmp_path: Path, complaint: Callable[..., str]) -> None:
    folder = moonshine(tmp_path / "tiny-en")
    said = complaint("export", str(folder), "--out", str(tmp_path / "mine"), "--mel")
    assert "expected --out alone for a recogniser, got another option" in said
