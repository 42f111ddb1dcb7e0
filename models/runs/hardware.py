"""The hardware that a run asks for. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from ...stream.errors import ConfigError

ACCELERATORS = ("auto", "cpu", "cuda")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class Hardware:
    """The devices to train on.

    Attributes:
        accelerator: "cpu", "cuda", or "auto" ("cuda" if there is a GPU, else "cpu").
        devices: processes per machine, one per GPU.
        nodes: number of machines. The command is started on each, in one of three ways: with
            MASTER_ADDR, MASTER_PORT and NODE_RANK set, by torchrun, or by SLURM.
        precision: "32-true", or a mixed precision in which all layers but the features are rounded:
            "bf16-mixed", or "16-mixed" on GPUs.
    """

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: str = "32-true"

    def __post_init__(self) -> None:
        for name, choices in (("accelerator", ACCELERATORS), ("precision", PRECISIONS)):
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"expected {name} to be one of {', '.join(choices)}, "
                    f"got {getattr(self, name)!r}"
                )
        for name in ("devices", "nodes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected {name} >= 1, got {getattr(self, name)}")

    @property
    def processes(self) -> int:
        return self.devices * self.nodes
