"""``python -m allowance.cli``."""

import sys

from allowance.cli import main

sys.exit(main())
