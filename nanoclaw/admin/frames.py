"""Requests and answers of the administration socket: one JSON object per line (N-13 to N-15).

Used by ``server`` and by the client in ``cli/ncl``. Pure. Who asks is never read from a frame;
the socket's peer says it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

MAX_LINE_BYTES = 1024 * 1024


class ErrorCode(StrEnum):
    UNKNOWN_COMMAND = "unknown-command"
    INVALID_ARGS = "invalid-args"
    HANDLER_ERROR = "handler-error"
    TRANSPORT_ERROR = "transport-error"
    NOT_FOUND = "not-found"
    APPROVAL_PENDING = "approval-pending"
    PERMISSION_DENIED = "permission-denied"
    FORBIDDEN = "forbidden"


class BadFrameError(Exception):
    """A line that is no frame; the text is for whoever sent it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One command with its flags; values of flags are text or true (N-7).

    ``positionals`` are the words as they were typed (N-11); None: a client that sends only the
    joined command.
    """

    id: str
    command: str
    args: Mapping[str, str | bool] = field(default_factory=dict)
    positionals: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Success:
    """``data`` is whatever the command yields as JSON."""

    id: str
    data: object


@dataclass(frozen=True, slots=True)
class Failure:
    id: str
    code: str
    message: str


Response = Success | Failure


def dump_request(request: Request) -> bytes:
    frame: dict[str, object] = {
        "id": request.id,
        "command": request.command,
        "args": dict(request.args),
    }
    if request.positionals is not None:
        frame["positionals"] = list(request.positionals)
    return json.dumps(frame).encode() + b"\n"


def parse_request(line: bytes) -> Request:
    """Raises BadFrameError. Unknown keys are ignored."""
    frame = _object(line, "bad frame")
    request_id, command, args = frame.get("id"), frame.get("command"), frame.get("args")
    if not isinstance(request_id, str) or not isinstance(command, str):
        raise BadFrameError("bad frame: id and command must be text")
    if not isinstance(args, dict):
        raise BadFrameError("bad frame: args must be an object")
    flags = {key: value for key, value in args.items() if isinstance(value, str | bool)}
    return Request(request_id, command, flags, parse_positionals(frame.get("positionals")))


def parse_positionals(value: object) -> tuple[str, ...] | None:
    """None for what is no list of texts: the command's name then has to do."""
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        return None
    return tuple(value)


def dump_response(response: Response) -> bytes:
    """Whatever is in there: what JSON or UTF-8 cannot say becomes text that they can."""
    text = json.dumps(response_frame(response), ensure_ascii=False, default=str)
    return text.encode("utf-8", "replace") + b"\n"


def response_frame(response: Response) -> dict[str, object]:
    """N-14, as JSON's values."""
    frame: dict[str, object] = {"id": response.id}
    match response:
        case Success(data=data):
            frame |= {"ok": True, "data": data}
        case Failure(code=code, message=message):
            frame |= {"ok": False, "error": {"code": code, "message": message}}
    return frame


def parse_response(line: bytes) -> Response:
    """Raises BadFrameError."""
    frame = _object(line, "malformed response from host")
    request_id = str(frame.get("id", ""))
    if frame.get("ok") is True:
        return Success(request_id, frame.get("data"))
    error = frame.get("error")
    if not isinstance(error, dict):
        raise BadFrameError("malformed response from host: neither data nor error")
    return Failure(request_id, str(error.get("code", "")), str(error.get("message", "")))


def _object(line: bytes, complaint: str) -> dict[str, object]:
    try:
        frame = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadFrameError(f"{complaint}: not JSON") from error
    if not isinstance(frame, dict):
        raise BadFrameError(f"{complaint}: not an object")
    return frame
