"""Wake-up hints between host processes.

``ring`` touches a small file below ``run/bell``; the loop of that name watches the folder with
inotify, or looks at the file's time when it polls. A lost or doubled ring is harmless: what is to
be done always stands in the databases, a bell only says "look now".
"""

import os
from pathlib import Path

from nanoclaw.paths import HostPaths

DELIVERY = "delivery"
SWEEP = "sweep"
ROUTER = "router"
VAULT = "vault"
"""Answered by the supervisor: it starts the vault with the first door."""


def ring(paths: HostPaths, name: str) -> None:
    """Tells the loop ``name`` to look now. Never raises: the loop's own timer is the fallback."""
    try:
        fd = os.open(bell_file(paths, name), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        os.utime(fd)
    except OSError:
        pass
    finally:
        os.close(fd)  # IN_CLOSE_WRITE is what the watcher waits for


def bell_file(paths: HostPaths, name: str) -> Path:
    return paths.bells / name
