"""`turnstream compare`: compare networks.

This module passes the exporter to the comparison, which needs it to measure each network's cost.
"""

import argparse

from turnstream.models.comparison import command

add_arguments = command.add_arguments


def main(args: argparse.Namespace) -> int:
    """Train the missing networks, measure all of them, write the page, and return the exit code."""
    from turnstream.export.export import export

    return command.main(args, export)
