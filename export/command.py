"""`turnstream export`: from a checkpoint to verified ONNX."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream export`."""
    parser.add_argument("checkpoint", type=Path, help="folder with model.safetensors and config.json, as `turnstream train` writes it")
    parser.add_argument("out", type=Path, help="the .onnx file to write")
    parser.add_argument("--mel", action="store_true", help="take log-mel frames instead of audio")
    parser.add_argument("--golden", type=Path, help="also write inputs and outputs, .npz, for tests in other languages")
    parser.add_argument("--name", default="turnstream", help="name of the model, for the metadata (default turnstream)")
    parser.add_argument("--model-version", default="1", help="version of the model, for the metadata (default 1)")


def main(args: argparse.Namespace) -> int:
    """Export, and print what the verification found."""
    from .export import export

    kind = "mel" if args.mel else "pcm"
    found = export(args.checkpoint, args.out, kind=kind, name=args.name, version=args.model_version, golden=args.golden)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, verified: {found}")
    if args.golden:
        print(f"{args.golden}: golden inputs and outputs")
    return 0
