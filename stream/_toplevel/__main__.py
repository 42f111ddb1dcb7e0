"""`python -m turnstream` runs the same command line as `turnstream`."""

import sys

from turnstream.cli import main

sys.exit(main())
