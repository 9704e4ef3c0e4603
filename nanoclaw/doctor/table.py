"""All checks, in the order in which they are done and shown.

Read by ``run``, by ``nanoclaw doctor --list`` and by the test of the documentation.
"""

from nanoclaw.doctor.base import Check
from nanoclaw.doctor.checks import (
    channels,
    databases,
    disk,
    engine,
    home,
    host,
    service,
    sessions,
    vault,
)

CHECKS: tuple[Check, ...] = (
    *host.CHECKS, *home.CHECKS, *engine.CHECKS, *vault.CHECKS, *databases.CHECKS,
    *sessions.CHECKS, *channels.CHECKS, *service.CHECKS, *disk.CHECKS,
)  # fmt: skip
BY_ID = {check.id: check for check in CHECKS}
"""Ids stay as they are: people and programs name them."""
