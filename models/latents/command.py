"""`turnstream latents VIEW ...`: looks inside a network.

A view is a module with `add_arguments(parser)` and `main(args)`, imported when it is asked for.
"""

from __future__ import annotations

import argparse
import importlib

_TABLE = """
collect collect collect latents, activity and events of dialogues in Parquet files, for every view
label labels join labels of your own, from a CSV file with times, to a collection
project space.project fit PCA, t-SNE, UMAP, an autoencoder or a plane, and how far to believe it
place space.place where other dialogues lie in a projection that was fitted before, as a table
colour space.colour the space of states coloured by any column, such as a label of your own
explore paths.explore a page to go from points or paths to their sound and back, and to compare
gates cells.saturation how often each unit's gates are shut or wide open: by layer and gate
units cells.units search for units that track something, such as who speaks, with a control
cell cells.cells the signal coloured by one unit's activation, as a picture or a page with sound
words cells.words a transcript in which each word has the colour of one unit
activations cells.activations all units of both layers over a conversation, under its waveform
averages events.averages mean encodings around events, and how far two classes lie apart
probes events.probes linear probes: how well, how early each layer tells what follows a silence
paths paths.paths conversations and events as lines in the plane: grouped, compared, with mistakes
film film.film a film of a conversation, or of one shift or hold, in which both layers light up
export exchange write states and labels of a collection to a CSV file or an .npz archive
import importing make a collection of anyone's representations in a CSV file
intervene interventions.view what p_shift uses: ablate, clamp or patch units, directions or sound
encoder memory.encoder_view what a causal encoder sees: all-ones test, gradient of a step, numbers
connectivity memory.connectivity_view how far back a network looks: gradients of p_shift, half-lives
moment memory.moment_view one moment's sound, and what in it moves p_shift
past memory.past_view quality by the past that is heard, against models that see only so far back
oracles memory.oracles_view which share of the shift/hold errors goes away with which knowledge
classes events.classes where the network beats models that see only so far, by class of moment
seeds cells.seeds which neighbours are there again in networks trained anew, pair by pair
animate training.animate a page in which points move from stage to stage, or between networks
page paths.page a page that takes CSV files of points, one for each stage, by drag and drop
learning training.learning what is learned first, against models that see only so far back
gallery gallery.gallery every view of a network in one folder, and a page of them
"""
VIEWS = {  # name: (module, what it does)
    name: (module, what)
    for name, module, what in (line.split(maxsplit=2) for line in _TABLE.strip().splitlines())
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
    module, what = VIEWS[args.view]
    view = importlib.import_module(f".{module}", __package__)
    parser = argparse.ArgumentParser(prog=f"turnstream latents {args.view}", description=what)
    view.add_arguments(parser)
    return view.main(parser.parse_args(args.options))
