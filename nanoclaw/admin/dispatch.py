"""From a command's name to its result: the same for every way a command comes in.

Called by ``server`` with parsed requests. The table is filled by the composition root. A command
that raises answers with an error and harms nobody else; the trace goes to the log only (N-17).
"""

import dataclasses
import logging
from collections.abc import Callable, Mapping

from nanoclaw.admin.frames import ErrorCode, Failure, Request, Response, Success
from nanoclaw.errors import NanoclawError

Command = Callable[[Request], object]
"""Takes the request, returns a dataclass of plain values."""

log = logging.getLogger(__name__)


class Dispatcher:
    """Looks commands up by name and runs them."""

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = commands

    def handle(self, request: Request) -> Response:
        command = self._commands.get(request.command)
        if command is None:
            known = ", ".join(sorted(self._commands))
            message = f"unknown command {request.command[:100]!r}; there are: {known}"
            return Failure(request.id, ErrorCode.UNKNOWN_COMMAND, message)
        try:
            result = command(request)
        except NanoclawError as error:
            return Failure(request.id, ErrorCode.HANDLER_ERROR, str(error))
        except Exception as error:
            log.exception("admin command failed", extra={"reason": request.command})
            message = f"{type(error).__name__}: {error}"
            return Failure(request.id, ErrorCode.HANDLER_ERROR, message)
        return Success(request.id, _plain(result))


def _plain(result: object) -> object:
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return dataclasses.asdict(result)
    return result
