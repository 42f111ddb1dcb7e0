"""Opens ONNX models on the CPU. ONNX Runtime's options are set here only.

ONNX Runtime has no type stubs, hence `Any`. Imports no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime  # pyright: ignore[reportMissingTypeStubs]

ort: Any = onnxruntime


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
