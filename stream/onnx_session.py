"""Opens ONNX models on the CPU. ONNX Runtime's options are set here only.

ONNX Runtime has no type stubs, hence `Any`. Imports no torch.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import onnxruntime  # pyright: ignore[reportMissingTypeStubs]

from .errors import ModelError
from .onnx_signature import read_signature

ort: Any = onnxruntime


def open_model(path: Path, what: str, *, threads: int = 1, keep_memory: bool = True) -> Any:
    """Return an `onnxruntime.InferenceSession` of a user's file.

    Args:
        path: path of the model.
        what: what the file should be, for the error.
        threads, keep_memory: as of `open_session`.
    Raises:
        ModelError: there is no such file, or ONNX Runtime cannot load it.
        OSError: the file cannot be read.
    """
    _check_file(path, what)
    try:
        return open_session(path, threads=threads, keep_memory=keep_memory)
    except Exception as error:  # onnxruntime's own exceptions share no public base class
        raise ModelError(
            f"{path}: expected {what}, but ONNX Runtime cannot load it: "
            f"{str(error).splitlines()[0][:200]}"
        ) from None


class LateSession:
    """A user's file whose graph is loaded when it is first needed. Threads can share it.

    Args:
        path, what, threads, keep_memory: as for `open_model`.
    Raises:
        ModelError: there is no such file, or its structure is not that of a whole ONNX file.
        OSError: the file cannot be read.
    Attributes:
        signature: the inputs and outputs.
    """

    def __init__(
        self, path: Path, what: str, *, threads: int = 1, keep_memory: bool = True
    ) -> None:
        _check_file(path, what)
        try:
            self.signature = read_signature(path)
        except ValueError as error:
            raise ModelError(
                f"{path}: expected {what}, got a file that is not a whole one: {error}"
            ) from None
        self._path, self._what = path, what
        self._threads, self._keep_memory = threads, keep_memory
        self._lock = threading.Lock()
        self._session: Any = None
        self._begun = False

    def load(self) -> Any:
        """Return the `onnxruntime.InferenceSession`. The first call loads it; others wait for that.

        Raises:
            ModelError: ONNX Runtime cannot load it.
            OSError: the file cannot be read any more.
        """
        with self._lock:
            if self._session is None:
                self._session = open_model(
                    self._path, self._what, threads=self._threads, keep_memory=self._keep_memory
                )
            return self._session

    def load_soon(self) -> None:
        """Load the graph in a thread. Any call but the first does nothing."""
        if not self._begun:
            self._begun = True
            with suppress(RuntimeError):  # no thread can be started: `load` does the work later
                threading.Thread(target=self._try_to_load, name="load-model").start()

    def _try_to_load(self) -> None:
        with suppress(ModelError, OSError):  # `load` raises it again, for those who need the graph
            self.load()


def _check_file(path: Path, what: str) -> None:
    """Raise ModelError if there is no such file, and OSError if it cannot be read."""
    if not path.is_file():
        raise ModelError(f"expected {what}, got {str(path)!r}, which is not a file")
    path.open("rb").close()  # ONNX Runtime calls a file that cannot be read a wrong model


def open_session(
    graph: Path | bytes,
    *,
    threads: int = 1,
    keep_memory: bool = True,
    optimize: bool = True,
    profile: Path | None = None,
) -> Any:
    """Return an `onnxruntime.InferenceSession` on the CPU.

    Args:
        graph: path of the model, or the serialized model.
        threads: number of threads in one run. They sleep between runs, so that an idle conversation
            costs no CPU time.
        keep_memory: whether the memory of a run is kept for the next one. For inputs of many sizes,
            keeping it is slower and takes more memory.
        optimize: whether ONNX Runtime may rewrite the graph.
        profile: beginning of the path of a profile to write; `end_profiling` returns the path.
    Raises:
        Exception: ONNX Runtime cannot load the graph. Its errors share no public base class.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = options.enable_mem_pattern = keep_memory
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
