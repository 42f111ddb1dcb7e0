"""Devices, processes, precision and threads of a run, by Lightning Fabric."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from ...stream.errors import ConfigError
from .hardware import Hardware

# The other processes wait this long for the one that validates.
VALIDATION_TIMEOUT = timedelta(hours=3)


def open_fabric(hardware: Hardware, batch_rows: int) -> Fabric:
    """Return a Fabric that is not launched yet.

    Args:
        hardware: the devices to train on.
        batch_rows: batch rows of all processes together.
    Raises:
        ConfigError: the machine does not have this hardware, or the batch rows cannot be divided
            evenly among the processes.
    """
    gpus = torch.cuda.device_count()
    accelerator = (
        hardware.accelerator if hardware.accelerator != "auto" else "cuda" if gpus else "cpu"
    )
    if accelerator == "cuda" and not gpus:
        raise ConfigError(
            "expected a CUDA GPU that torch can use, got none on this machine; train with "
            "--accelerator cpu"
        )
    if accelerator == "cuda" and hardware.devices > gpus:
        raise ConfigError(
            f"expected at most {gpus} devices, as many as there are GPUs, got {hardware.devices}"
        )
    if accelerator == "cpu" and hardware.precision == "16-mixed":
        raise ConfigError("expected precision 32-true or bf16-mixed on a CPU, got '16-mixed'")
    if batch_rows % hardware.processes:
        raise ConfigError(
            f"expected batch rows in multiples of the {hardware.processes} processes, "
            f"got {batch_rows}"
        )
    precision: Any = hardware.precision
    mixed: Any = None if precision == "32-true" else _Autocast(precision, accelerator)
    return Fabric(
        accelerator=accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        strategy="auto" if hardware.processes == 1 else DDPStrategy(timeout=VALIDATION_TIMEOUT),
        plugins=mixed,
    )


def own_rows(fabric: Fabric, batch_rows: int) -> slice:
    """Return which of the batch rows of all processes belong to this one."""
    shared = batch_rows // fabric.world_size
    return slice(fabric.global_rank * shared, (fabric.global_rank + 1) * shared)


class _Autocast(MixedPrecision):
    """Mixed precision that does not round the inputs.

    Audio and carried state with 8 bits of precision would be a different signal.
    """

    def convert_input(self, data: Any) -> Any:
        return data


def keep_precise(layer: nn.Module, device: torch.device) -> None:
    """Let a layer, `forward(x, state)`, compute in full precision in every run."""
    forward = layer.forward

    def precise(x: Tensor, state: Any) -> Any:
        with torch.autocast(device.type, enabled=False):
            return forward(x.float(), state)

    layer.forward = precise


@contextmanager
def launched(fabric: Fabric, hardware: Hardware, workers: int) -> Iterator[None]:
    """Start the other processes, and share the CPU cores among all processes of a machine.

    On CPUs, each training process uses as many threads as its share of the cores, less one per
    worker. If OMP_NUM_THREADS is set, it decides instead. At the end, the number of threads is
    restored.

    Args:
        fabric: not launched yet.
        hardware: the hardware that `fabric` was opened with.
        workers: processes that each training process keeps busy besides itself.
    """
    shared = (
        fabric.device.type == "cpu"
        and (hardware.devices > 1 or workers > 0)
        and "OMP_NUM_THREADS" not in os.environ
    )
    threads = torch.get_num_threads()  # one per core
    fabric.launch()
    if shared:
        torch.set_num_threads(max(1, threads // hardware.devices - workers))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
