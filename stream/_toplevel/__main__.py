"""`python -m turnstream` is the command line."""

import sys

from turnstream.stream.cli import main

sys.exit(main())
