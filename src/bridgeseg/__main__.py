"""`python -m bridgeseg`: the same as the command `bridgeseg`."""

import sys

from bridgeseg.cli import main

sys.exit(main())
