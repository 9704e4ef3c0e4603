"""What a command raises when it cannot do what was asked, each with its error code (N-15, N-16).

Raised by argument checks, resources and general commands; turned into answers by ``dispatch``. The
text is for whoever asked: what is wrong and what to do next. Everything else that is raised
becomes ``handler-error``.
"""

from nanoclaw.admin.frames import ErrorCode
from nanoclaw.errors import NanoclawError


class CommandError(NanoclawError):
    """It was understood, and cannot be done now."""

    code = ErrorCode.HANDLER_ERROR


class InvalidArgsError(CommandError):
    """A flag is missing, unknown or has a value that it cannot have."""

    code = ErrorCode.INVALID_ARGS


class NotFoundError(CommandError):
    """No such row."""

    code = ErrorCode.NOT_FOUND


class NotAllowedError(CommandError):
    """The caller may not do this, whatever its arguments."""

    code = ErrorCode.FORBIDDEN
