"""Opens ONNX models on the CPU. ONNX Runtime's options are set here only.

ONNX Runtime has no type stubs, hence `Any`. Imports no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime  # pyright: ignore[reportMissingTypeStubs]

from .errors import ModelError

ort: Any = onnxruntime


def open_model(path: Path, what: str, *, threads: int = 1) -> Any:
    """Return an `onnxruntime.InferenceSession` of a user's file.

    Args:
        path: path of the model.
        what: what the file should be, for the error.
        threads: as of `open_session`.
    Raises:
        ModelError: there is no such file, or ONNX Runtime cannot load it.
        OSError: the file cannot be read.
    """
    if not path.is_file():
        raise ModelError(f"expected {what}, got {str(path)!r}, which is not a file")
    path.open("rb").close()  # ONNX Runtime calls a file that cannot be read a wrong model
    try:
        return open_session(path, threads=threads)
    except Exception as error:  # onnxruntime's own exceptions share no public base class
        raise ModelError(
            f"{path}: expected {what}, but ONNX Runtime cannot load it: "
            f"{str(error).splitlines()[0][:200]}"
        ) from None


def open_session(
    graph: Path | bytes, *, threads: int = 1, optimize: bool = True, profile: Path | None = None
) -> Any:
    """Return an `onnxruntime.InferenceSession` on the CPU.

    Args:
        graph: path of the model, or the serialized model.
        threads: number of threads in one run. They sleep between runs, so that an idle conversation
            costs no CPU time.
        optimize: whether ONNX Runtime may rewrite the graph.
        profile: beginning of the path of a profile to write; `end_profiling` returns the path.
    Raises:
        Exception: ONNX Runtime cannot load the graph. Its errors share no public base class.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    if isinstance(graph, Path) and not _is_utf8(graph):
        graph = graph.read_bytes()  # ONNX Runtime takes no other names
    return ort.InferenceSession(
        graph if isinstance(graph, bytes) else str(graph),
        options,
        providers=["CPUExecutionProvider"],
    )


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
