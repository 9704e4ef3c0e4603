"""Archives the whole audit trail of a home: ``python -m helpers.crash_archive HOME``.

A process of its own, so that a test can kill it at a named step.
"""

import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from contract.clock import utc_now
from nanoclaw.audit_archive import archive
from nanoclaw.db.connection import open_central
from nanoclaw.paths import HostPaths

if __name__ == "__main__":
    paths = HostPaths(Path(sys.argv[1]))
    with closing(open_central(paths.central_db)) as conn:
        archive(conn, paths.home / "data" / "audit", utc_now() + timedelta(days=1))
