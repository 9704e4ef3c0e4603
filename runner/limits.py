"""Limits that the kernel holds this process and its children to.

Called once by ``program``. A bind mount knows no quota, so the size of a single file is
limited here and the sum is watched by the host (design: state on disk). Core dumps would fill the
session's folder and could hold secrets (R-326).
"""

import resource


def apply_limits(file_bytes: int) -> None:
    """Lowers, never raises: the container may already be stricter."""
    _lower(resource.RLIMIT_FSIZE, file_bytes)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(which: int, limit: int) -> None:
    _soft, hard = resource.getrlimit(which)
    wanted = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(which, (wanted, wanted))
