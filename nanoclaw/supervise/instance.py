"""The lock that keeps a second host away from the same home.

Taken by ``preflight`` for the life of the process, looked at by ``nanoclaw status``. A lock of
the kernel, not a file that says so: whoever is killed lets go of it, and no stale one can remain.
"""

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

from nanoclaw.errors import ConfigError
from nanoclaw.paths import HostPaths

LOCK_NAME = "host"
ATTEMPTS = 10
ATTEMPT_SECONDS = 0.02
"""Somebody who asks for the status holds the lock for a moment, which is no second host."""


@dataclass(frozen=True, slots=True)
class InstanceLock:
    """Held until ``release`` or the end of the process."""

    fd: int

    def release(self) -> None:
        os.close(self.fd)


def take_instance_lock(paths: HostPaths) -> InstanceLock:
    """Raises ConfigError naming the process that holds the lock."""
    path = _lock_path(paths)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot open {path}: {error.strerror or error}") from error
    try:
        _lock(fd, paths)
    except BaseException:
        os.close(fd)
        raise
    _write_holder(fd)
    return InstanceLock(fd)


def _lock(fd: int, paths: HostPaths) -> None:
    for _ in range(ATTEMPTS):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(ATTEMPT_SECONDS)
        except OSError as error:
            raise ConfigError(
                f"cannot lock {_lock_path(paths)}: {error.strerror or error}; "
                "choose a folder on a file system with locks with --home"
            ) from error
        else:
            return
    raise ConfigError(
        f"a host (pid {_holder(fd) or 'unknown'}) is already running on {paths.home}; "
        "look with `nanoclaw status`, or choose another folder with --home"
    )


def running_host_pid(paths: HostPaths) -> int | None:
    """Process id of the host that runs on this home, or None. Changes nothing."""
    try:
        fd = os.open(_lock_path(paths), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        holder = _holder(fd)
        return int(holder) if holder.isdigit() else 0
    finally:
        os.close(fd)
    return None


def _lock_path(paths: HostPaths) -> Path:
    return paths.lock_file(LOCK_NAME)


def _holder(fd: int) -> str:
    return os.pread(fd, 20, 0).decode(errors="replace").strip()


def _write_holder(fd: int) -> None:
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except OSError:
        pass  # a full disk: the lock counts, the number is for people
