"""Makes the recogniser of the pause model from the files of Moonshine's tiny English model.

They come in the package moonshine-voice, up to version 0.0.73, in ONNX Runtime's own format, int8
already. The graphs stay as they are, with three changes: they are ONNX files; the decoder's
embedding is its last matrix, of which there were two copies; and the masks, all ones for a single
conversation, are made inside. So the logits do not change.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..stream.errors import ExportError, MissingExtraError
from ..stream.onnx_session import ort
from ..stream.recogniser import AUDIO, Tokens
from .write_file import write_file

COMPLETE = (".", "!", "?", '."', '!"', '?"')
INCOMPLETE = (",", ";", ":", "-", "..", "...", "\N{EM DASH}", "\N{HORIZONTAL ELLIPSIS}")
BEGIN, END = "<s>", "</s>"
DOMAINS = ("", "com.microsoft")  # of the operators in Moonshine
ENCODER_MASK, DECODER_MASK = "attention_mask", "encoder_attention_mask"


def export_recogniser(moonshine: Path, out: Path) -> list[Path]:
    """Write OUT_encoder.onnx, OUT_decoder.onnx and OUT.json; return their paths.

    Args:
        moonshine: folder with encoder_model.ort, decoder_model_merged.ort and tokenizer.bin.
        out: beginning of the paths of the files to write.
    Raises:
        ExportError: the folder holds no such model; out has a suffix; or a file cannot be
            written.
        MissingExtraError: onnx is not installed.
    """
    if out.suffix:
        raise ExportError(
            f"expected the beginning of the names of three files to write, got {str(out)!r}"
        )
    encoder, decoder = (
        _as_onnx(moonshine / f"{name}.ort") for name in ("encoder_model", "decoder_model_merged")
    )
    _make_encoder_mask(encoder)
    _make_decoder_mask(decoder)
    _tie_embedding(decoder)
    texts = _read_tokens(moonshine / "tokenizer.bin")
    tokens = Tokens(
        "Moonshine tiny, English",
        begin=_number(texts, BEGIN),
        end=_number(texts, END),
        complete=tuple(token for token, text in enumerate(texts) if text in COMPLETE),
        incomplete=tuple(token for token, text in enumerate(texts) if text in INCOMPLETE),
    )
    contents = {
        "_encoder.onnx": encoder.SerializeToString(),
        "_decoder.onnx": decoder.SerializeToString(),
        ".json": msgspec.json.encode(tokens) + b"\n",
    }
    for ending, content in contents.items():
        write_file(out.with_name(out.name + ending), content)
    return [out.with_name(out.name + ending) for ending in contents]


def _as_onnx(path: Path) -> Any:
    """Return a file in ONNX Runtime's format as an ONNX model."""
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("onnx", "export") from None
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "model.onnx")
        options.add_session_config_entry("session.save_model_format", "ONNX")
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            ort.InferenceSession(str(path), options)
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise ExportError(
                f"{path}: expected a model of Moonshine in ONNX Runtime's format, got: "
                f"{str(error).splitlines()[0][:200]}"
            ) from None
        model = onnx.load_model_from_string(Path(options.optimized_model_filepath).read_bytes())
    # ONNX Runtime names all domains that it knows; another version of it may not know them.
    used = [opset for opset in model.opset_import if opset.domain in DOMAINS]
    del model.opset_import[:]
    model.opset_import.extend(used)
    return model


def _make_encoder_mask(model: Any) -> None:
    """Replace the mask of the samples by ones of the input's shape."""
    from onnx import helper, numpy_helper

    _remove_input(model, ENCODER_MASK)
    ones = numpy_helper.from_array(np.ones(1, np.int64))
    shape = helper.make_node("Shape", [AUDIO], ["audio_shape"])
    mask = helper.make_node("ConstantOfShape", ["audio_shape"], [ENCODER_MASK], value=ones)
    model.graph.node.insert(0, shape)
    model.graph.node.insert(1, mask)


def _make_decoder_mask(model: Any) -> None:
    """Replace the mask of what was heard by a single one, which stands for any number of frames."""
    from onnx import numpy_helper

    _remove_input(model, DECODER_MASK)
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 1), np.int64), DECODER_MASK))


def _remove_input(model: Any, name: str) -> None:
    inputs = [value for value in model.graph.input if value.name != name]
    if len(inputs) == len(model.graph.input):
        raise ExportError(f"expected a model of Moonshine, with an input {name}, got none")
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _tie_embedding(model: Any) -> None:
    """Read the embedding of a token, (V, C), out of the matrix of the logits, (C, V)."""
    from onnx import helper, numpy_helper

    quantised = {
        tensor.name: tensor
        for tensor in model.graph.initializer
        if len(tensor.dims) == 2 and tensor.name.endswith("_quantized")
    }
    largest = sorted(quantised.values(), key=lambda tensor: -len(tensor.raw_data))[:2]
    by_rows = sorted(largest, key=lambda tensor: -tensor.dims[0])
    values = [numpy_helper.to_array(tensor) for tensor in by_rows]
    if len(values) < 2 or not np.array_equal(values[0], values[1].T):
        raise ExportError("expected a decoder whose embedding is its last matrix, got another one")
    embedding, matrix = by_rows
    model.graph.initializer.remove(embedding)
    for branch in (b for node in model.graph.node if node.op_type == "If" for b in node.attribute):
        branch.g.name = branch.name  # ONNX Runtime leaves it empty, and refuses that
        for number, node in enumerate(branch.g.node):
            if node.op_type == "Gather" and node.input[0] == embedding.name:
                columns, (rows,) = f"{node.output[0]}_columns", node.output
                branch.g.node.insert(
                    number + 1, helper.make_node("Transpose", [columns], [rows], perm=[1, 2, 0])
                )
                node.CopyFrom(
                    helper.make_node("Gather", [matrix.name, node.input[1]], [columns], axis=1)
                )
                break


def _read_tokens(path: Path) -> list[str]:
    """Return the text of every token.

    Each is preceded by its length in bytes: one byte, or, from 128 on, 128 plus the remainder of a
    division by 128, then the quotient.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path}: expected the tokens of Moonshine, got: {error}") from None
    tokens: list[str] = []
    rest = iter(content)
    for length in rest:
        size = length if length < 128 else length - 128 + 128 * next(rest, 1)
        token = bytes(itertools.islice(rest, size))
        if len(token) < size:
            raise ExportError(
                f"{path}: expected the tokens of Moonshine, got a file that was cut off"
            )
        tokens.append(token.decode(errors="replace"))
    return tokens


def _number(texts: list[str], wanted: str) -> int:
    if wanted not in texts:
        raise ExportError(f"expected the tokens of Moonshine, with {wanted}, got none of that text")
    return texts.index(wanted)
