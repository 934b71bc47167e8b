"""``python -m allowance``: the command line."""

import sys

from allowance.cli import main

sys.exit(main())
