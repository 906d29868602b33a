"""`python -m flows.cli` is `agent-r`."""

import sys

from flows.cli.main import main

sys.exit(main())
