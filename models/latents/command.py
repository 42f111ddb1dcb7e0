"""`turnstream latents VIEW ...`: looks inside a network. Each view lives in its own module, imported only when it is asked for.

A view's module has `add_arguments(parser)` and `main(args) -> int`, as the commands of `turnstream` have.
"""

from __future__ import annotations

import argparse
import importlib

VIEWS: dict[str, tuple[str, str]] = {  # name: (module, what it does)
    "collect": ("collect", "collect latents, activity and events of dialogues into Parquet files, which every view reads"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    width = max(map(len, VIEWS))
    listing = "\n".join(f"  {name:{width}}  {what}" for name, (_, what) in VIEWS.items())
    parser.epilog = f"views:\n{listing}\n\n`turnstream latents VIEW --help` describes a view."
    parser.add_argument("view", choices=VIEWS, metavar="VIEW", help="one of those below")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="of the view")


def main(args: argparse.Namespace) -> int:
    """Make one view."""
    module = importlib.import_module(f".{VIEWS[args.view][0]}", __package__)
    parser = argparse.ArgumentParser(prog=f"turnstream latents {args.view}", description=VIEWS[args.view][1])
    module.add_arguments(parser)
    return module.main(parser.parse_args(args.options))
