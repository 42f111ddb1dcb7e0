"""`turnstream compare`: the comparison of networks, given the exporter that it measures their cost with."""

import argparse

from turnstream.models.comparison import command

add_arguments = command.add_arguments


def main(args: argparse.Namespace) -> int:
    """Train what is missing, measure, and write the page."""
    from turnstream.export.export import export

    return command.main(args, export)
