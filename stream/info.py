"""`turnstream info`: prints the metadata of a model file, and what the pause model is."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from .engine import Engine, ModelMetadata, bundled_file
from .options import add_model_option
from .pause_model import bundled_pause_model, read_head
from .printable import printable
from .recogniser import read_tokens


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream info`."""
    add_model_option(parser)
    parser.add_argument("--json", action="store_true", help="print all metadata, as JSON")


def main(args: argparse.Namespace) -> int:
    """Print the description and return the exit code."""
    engine = Engine(args.model)
    metadata = engine.metadata
    if args.json:
        print(json.dumps(asdict(metadata), indent=1))
        return 0
    pauses = bundled_pause_model()
    parts = [pauses, *(bundled_file(f"recogniser_{part}.onnx") for part in ("encoder", "decoder"))]
    size_mb = sum(part.stat().st_size for part in parts) / 1e6
    judge, words = read_head(pauses).name, read_tokens(bundled_file("recogniser.json")).name
    rows = {
        "model": f"{metadata.name} {metadata.version}, {metadata.precision}, weights "
        f"{metadata.weights_sha256[:12]}",
        "file": f"{printable(str(engine.path))} ({engine.path.stat().st_size / 1e6:.1f} MB)",
        "audio": (
            f"{metadata.sample_rate_hz} Hz, 2 channels, {metadata.frame_samples} samples a frame "
            f"({1000 / metadata.frame_rate_hz:g} ms)"
        ),
        "sees": _sees(metadata),
        "state": (
            f"{metadata.state_size} floats a conversation ({metadata.state_size * 4 / 1024:.1f} KB)"
        ),
        "latents": (
            f"{metadata.latent_size} numbers a speaker (cross-speaker layer), "
            f"{metadata.latent_speaker_size} (per-speaker layer)"
        ),
        "pauses": f"optional pause model ({size_mb:.1f} MB): a judge fitted on {judge}; words by "
        f"{words}",
    }
    for name, text in rows.items():
        if text:
            print(f"{name:8} {text}")
    return 0


def _sees(metadata: ModelMetadata) -> str:
    """Return how far back the encoder sees, in words; "" if the file does not say."""
    samples = metadata.receptive_field_samples
    if samples is None:
        return ""
    return (
        f"{samples / metadata.sample_rate_hz:g} s of past sound at once (the encoder's receptive "
        "field); the recurrent layers keep what came before"
    )
