"""Devices, processes, precision and threads of a run. Lightning Fabric does the work."""

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

VALIDATION_TIMEOUT = timedelta(
    hours=3
)  # the other processes wait this long for the one that validates


def open_fabric(hardware: Hardware, lanes: int) -> Fabric:
    """A Fabric that has not been launched yet.

    Raises:
        ConfigError: the machine lacks what is asked for, or the lanes cannot be shared out evenly.
    """
    gpus = torch.cuda.device_count()
    accelerator = (
        hardware.accelerator if hardware.accelerator != "auto" else "cuda" if gpus else "cpu"
    )
    if accelerator == "cuda" and not gpus:
        raise ConfigError(
            "expected a CUDA GPU that torch can use, got none on this machine; train with --accelerator cpu"
        )
    if accelerator == "cuda" and hardware.devices > gpus:
        raise ConfigError(
            f"expected at most {gpus} devices, as many as there are GPUs, got {hardware.devices}"
        )
    if accelerator == "cpu" and hardware.precision == "16-mixed":
        raise ConfigError("expected precision 32-true or bf16-mixed on a CPU, got '16-mixed'")
    if lanes % hardware.processes:
        raise ConfigError(
            f"expected lanes in multiples of the {hardware.processes} processes, got {lanes} lanes"
        )
    mixed: Any = (
        None if hardware.precision == "32-true" else _Autocast(hardware.precision, accelerator)
    )  # pyright: ignore[reportArgumentType]
    return Fabric(
        accelerator=accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        strategy="auto" if hardware.processes == 1 else DDPStrategy(timeout=VALIDATION_TIMEOUT),
        plugins=mixed,
    )


class _Autocast(MixedPrecision):
    """Mixed precision that leaves what goes in alone: audio and carried state rounded to 8 bits would be another signal."""

    def convert_input(self, data: Any) -> Any:
        return data


def keep_precise(layer: nn.Module, device: torch.device) -> None:
    """Compute this layer, `forward(x, state)`, in full precision even where the rest is not."""
    forward = layer.forward

    def precise(x: Tensor, state: Any) -> Any:
        with torch.autocast(device.type, enabled=False):
            return forward(x.float(), state)

    layer.forward = precise


@contextmanager
def launched(fabric: Fabric, hardware: Hardware, workers: int) -> Iterator[None]:
    """Start the other processes; on CPUs the processes of a machine share its cores, less those of workers, as their numbers of threads.

    OMP_NUM_THREADS, where it is set, decides instead.

    Args:
        fabric: not launched yet.
        hardware: that it was opened with.
        workers: processes that each process keeps busy beside it.
    """
    shared = (
        fabric.device.type == "cpu"
        and (hardware.devices > 1 or workers > 0)
        and "OMP_NUM_THREADS" not in os.environ
    )
    threads = torch.get_num_threads()  # as many as cores
    fabric.launch()
    if shared:
        torch.set_num_threads(max(1, threads // hardware.devices - workers))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
