"""`python -m turnstream.export RUN --out FILE` does the same as `turnstream export`."""

import argparse
import sys

from .command import add_arguments, main

parser = argparse.ArgumentParser(prog="python -m turnstream.export", description=__doc__)
add_arguments(parser)
sys.exit(main(parser.parse_args()))
