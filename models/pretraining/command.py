"""`turnstream pretrain METHOD`: from dialogues without labels to an encoder, which `turnstream train --encoder` begins with; or hear what it kept.

turnstream pretrain cpc --manifest dialogues.jsonl --out cpc
turnstream pretrain reconstruct --run vqvae --audio call.wav --out heard
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..config import from_plain
from ..dialogues.manifest import read_manifest
from ..training.command import read_held_out, read_settings, read_training_part
from .settings import METHODS, PretrainingSettings

RECONSTRUCT = "reconstruct"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream pretrain`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    width = max(map(len, [*METHODS, RECONSTRUCT]))
    what = METHODS | {RECONSTRUCT: "hear and see what a trained one of these keeps of a recording"}
    parser.epilog = "methods:\n" + "\n".join(f"  {name:{width}}  {words}" for name, words in what.items())
    methods = parser.add_subparsers(dest="method", metavar="METHOD", required=True)
    defaults = PretrainingSettings("cpc")
    for method, words in METHODS.items():
        own = methods.add_parser(method, help=words, description=words)
        own.add_argument("--manifest", type=Path, required=True, help="dialogues (JSON Lines); those whose split is train or not given are learned from")
        own.add_argument("--out", type=Path, required=True, help="folder of the run")
        own.add_argument("--validation", type=Path, help="manifest of held-out dialogues (default: the val part of --manifest)")
        own.add_argument("--settings", type=Path, help="JSON file of settings, the encoder's configuration among them")
        own.add_argument("--steps", type=int, help=f"(default {defaults.steps})")
        own.add_argument("--lanes", type=int, help=f"conversations side by side (default {defaults.lanes})")
        own.add_argument("--seed", type=int, help=f"(default {defaults.seed})")
        own.add_argument("--resume", action="store_true", help="go on exactly where the last checkpoint in --out was written")
        own.add_argument("--device", default="auto", help="torch device (default auto: a GPU if there is one)")
    listening = methods.add_parser(RECONSTRUCT, help=what[RECONSTRUCT], description=what[RECONSTRUCT])
    listening.add_argument("--run", type=Path, required=True, help="folder of a run of autoencoder, vqvae or vqvae2")
    listening.add_argument("--audio", type=Path, required=True, help="recording, one or two channels")
    listening.add_argument("--out", type=Path, required=True, help="folder: original.wav, reconstruction.wav, reconstruction.png")
    listening.add_argument("--start", type=float, default=0.0, metavar="S", help="(default 0)")
    listening.add_argument("--seconds", type=float, default=20.0, metavar="S", help="at most (default 20)")


def main(args: argparse.Namespace) -> int:
    """Pre-train, or reconstruct; and say where the result is."""
    if args.method == RECONSTRUCT:
        from .reconstruct import reconstruct

        print(reconstruct(args.run, args.audio, args.out, start_s=args.start, seconds=args.seconds))
        return 0
    from .loop import pretrain

    plain = (read_settings(args.settings) if args.settings else {}) | {"method": args.method}
    plain |= {name: getattr(args, name) for name in ("steps", "lanes", "seed") if getattr(args, name) is not None}
    settings = from_plain(PretrainingSettings, plain, "settings")
    training = read_training_part(args.manifest)
    held_out = read_held_out(args.validation) if args.validation else [one for one in read_manifest(args.manifest) if one.split == "val"]
    pretrain(settings, training, args.out, validation=held_out, resume=args.resume, device=args.device)
    print(f"trained encoder in {args.out}; go on with: turnstream train --encoder {args.out} ...")
    return 0
