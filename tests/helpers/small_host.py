"""A host with the small children of ``helpers.small_children`` instead of the product's.

Run as ``python -m helpers.small_host --home FOLDER --table NAME``.
"""

import argparse
import sys
from pathlib import Path

from helpers.small_children import TABLES

from nanoclaw import daemon
from nanoclaw.config import load_config, read_service_manager
from nanoclaw.errors import NanoclawError
from nanoclaw.supervise.state import RestartPolicy

QUICK = RestartPolicy(
    delays_seconds=(0.05, 0.1, 0.2),
    crashes_until_fatal=4,
    start_limit_seconds=1,
    kill_limit_seconds=1,
)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--table", choices=TABLES, required=True)
    arguments = parser.parse_args()
    config = load_config(home=arguments.home)
    manager = read_service_manager()
    try:
        return daemon.run_host(config, manager, children=TABLES[arguments.table], policy=QUICK)
    except NanoclawError as error:
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
