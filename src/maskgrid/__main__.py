"""``python -m maskgrid``."""

import sys

from maskgrid.cli.main import main

sys.exit(main())
