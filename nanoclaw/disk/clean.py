"""What may go now: ``old_logs``. Called by ``nanoclaw disk clean``.

Logs of sessions that nobody has written to for a month. The host's own logs rotate by themselves.
"""

import stat
from datetime import datetime, timedelta
from pathlib import Path

from nanoclaw.paths import HostPaths

LOG_DAYS = 30


def old_logs(paths: HostPaths, now: datetime) -> list[Path]:
    oldest = (now - timedelta(days=LOG_DAYS)).timestamp()
    found = []
    for path in sorted((paths.logs / "sessions").glob("*")):
        try:
            looked = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(looked.st_mode) and looked.st_mtime < oldest:
            found.append(path)
    return found
