"""Entry of ``python -m nanoclaw``, of the console scripts and of the zipapp."""

import sys

from nanoclaw.cli.main import main, ncl_main

__all__ = ["main", "ncl_main"]

if __name__ == "__main__":
    sys.exit(main())
