"""The host's error tree.

    NanoclawError
    ├── ConfigError       a setting, path or right is wrong; a restart cannot cure it
    ├── StateError        a database or state file is unreadable, or written by a newer version
    ├── ContainerError    the engine, an image or a container failed
    └── ChannelError      a platform or its worker failed

Loops look only at the class attribute ``retryable`` to choose between trying again and giving up.
Arguments are positional, so that every error survives pickling between processes.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a host process tells the supervisor by its exit code (sysexits.h numbers)."""

    DONE = 0
    CRASH = 1
    TEMPFAIL = 75
    CONFIG = 78


class NanoclawError(Exception):
    """Root of everything the host raises on purpose; the text is written for the user."""

    retryable = False
    exit_code = ExitCode.CRASH


class ConfigError(NanoclawError):
    """A setting, path or permission is wrong; the text names it and the next step."""

    exit_code = ExitCode.CONFIG


class StateError(NanoclawError):
    """A database or state file cannot be used as it is; nothing was changed."""

    exit_code = ExitCode.CONFIG


class ContainerError(NanoclawError):
    """The container engine, an image or a container failed."""

    retryable = True
    exit_code = ExitCode.TEMPFAIL


class ChannelError(NanoclawError):
    """A chat platform or the worker that talks to it failed."""

    retryable = True
    exit_code = ExitCode.TEMPFAIL
