"""``python -m scbtheory`` is the command ``scbtheory``."""

import sys

from scbtheory.cli import main

sys.exit(main())
