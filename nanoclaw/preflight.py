"""What must be right before the host starts its children.

Called by ``daemon``. Afterwards either everything is as it should be, or a NanoclawError says in
one line what is wrong, what that means and what to do. What needs the database is looked at by a
child of its own (``process/preflight``), so that the supervisor never carries code for it. Imports
little: the children's start waits for it.
"""

import errno
import os

from nanoclaw.config import HostConfig
from nanoclaw.errors import ConfigError, ExitCode, NanoclawError
from nanoclaw.supervise.instance import InstanceLock, take_instance_lock
from nanoclaw.switchover import finish

PRIVATE_UMASK = 0o077
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class TryLaterError(NanoclawError):
    """Nothing has to be corrected for a later try to succeed."""

    retryable = True
    exit_code = ExitCode.TEMPFAIL


def check_home(config: HostConfig) -> InstanceLock:
    """Folders, and the lock against a second host. Raises NanoclawError."""
    os.umask(PRIVATE_UMASK)
    try:
        config.paths.ensure()
        lock = take_instance_lock(config.paths)
    except ConfigError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in NO_SPACE:
            raise TryLaterError(str(error)) from error
        raise
    if finish(config.paths):
        lock.release()
        raise TryLaterError(
            "a restore that had been interrupted is complete now; start the host once more, "
            "so that it reads the restored settings"
        )
    return lock


def open_log(config: HostConfig) -> None:
    """Sends the supervisor's lines to the log and to standard error. Raises ConfigError."""
    from nanoclaw.log import setup_logging

    try:
        setup_logging(config, "supervisor", to_stderr=True)
    except OSError as error:
        raise ConfigError(
            f"cannot write {config.paths.logs}: {error.strerror or error}; "
            "correct owner and rights, or choose another folder with --home"
        ) from error
