"""`turnstream export`: from a checkpoint to verified ONNX."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..stream.errors import ExportError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream export`."""
    parser.add_argument(
        "checkpoint",
        type=Path,
        help="folder with model.safetensors and config.json, as `turnstream train` writes it; or folds.json of `turnstream cross-validate`",
    )
    parser.add_argument(
        "out",
        type=Path,
        nargs="?",
        help="the .onnx file to write (not with folds.json, which names them)",
    )
    parser.add_argument("--mel", action="store_true", help="take log-mel frames instead of audio")
    parser.add_argument(
        "--golden",
        type=Path,
        help="also write inputs and outputs, .npz, for tests in other languages",
    )
    parser.add_argument(
        "--name",
        default="turnstream",
        help="name of the model, for the metadata (default turnstream)",
    )
    parser.add_argument(
        "--model-version", default="1", help="version of the model, for the metadata (default 1)"
    )


def main(args: argparse.Namespace) -> int:
    """Export, and print what the verification found."""
    from .export import export

    kind = "mel" if args.mel else "pcm"
    if args.checkpoint.suffix == ".json":
        for path in _read_folds(args.checkpoint):
            found = export(
                path.parent / "run", path, kind=kind, name=args.name, version=args.model_version
            )
            print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, verified: {found}")
        return 0
    if args.out is None:
        raise ExportError("expected the .onnx file to write, got none")
    found = export(
        args.checkpoint,
        args.out,
        kind=kind,
        name=args.name,
        version=args.model_version,
        golden=args.golden,
    )
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, verified: {found}")
    if args.golden:
        print(f"{args.golden}: golden inputs and outputs")
    return 0


def _read_folds(path: Path) -> list[Path]:
    """The .onnx files that folds.json names, each once."""
    try:
        named = json.loads(path.read_text())
        return [path.parent / name for name in dict.fromkeys(named.values())]
    except (OSError, json.JSONDecodeError, AttributeError, TypeError) as error:
        raise ExportError(
            f"{path}: expected folds.json of `turnstream cross-validate`, got: {error}"
        ) from None
