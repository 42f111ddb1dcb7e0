"""`python -m turnstream` is the command line."""

import sys

from turnstream.cli import main

sys.exit(main())
