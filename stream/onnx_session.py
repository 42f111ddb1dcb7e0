"""Opens an ONNX file for running on the CPU: the one place that knows ONNX Runtime's options. No torch.

ONNX Runtime has no type stubs, hence `Any`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime  # pyright: ignore[reportMissingTypeStubs]

ort: Any = onnxruntime


def open_session(graph: Path | bytes, *, threads: int = 1, optimize: bool = True) -> Any:
    """An onnxruntime.InferenceSession.

    Args:
        graph: path or serialized model.
        threads: of one run; they sleep between runs, so that an idle conversation costs nothing.
        optimize: let ONNX Runtime rewrite the graph.
    Raises:
        Whatever ONNX Runtime raises for a graph that it cannot load; its errors share no public base class.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(
        graph if isinstance(graph, bytes) else str(graph),
        options,
        providers=["CPUExecutionProvider"],
    )
