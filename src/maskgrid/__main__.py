"""``python -m maskgrid``."""

import sys

from maskgrid.cli import main

sys.exit(main())
