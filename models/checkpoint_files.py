"""The files of a checkpoint, and the refusal of a folder without them. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from ..stream.errors import ConfigError

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


def refuse_missing_files(folder: Path) -> None:
    """Refuse a folder that is no checkpoint.

    Raises:
        ConfigError: the weights or the configuration are missing.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise ConfigError(
                f"expected a checkpoint folder with {CONFIG_FILE} and {WEIGHTS_FILE}, got "
                f"{str(folder)!r} without {name}"
            )
