"""A response frame as what ``ncl`` prints, and its exit status (N-28, N-103 to N-107). Pure.

Used by the client on the host and by the one in the container: what an agent learns about the
command is then true for people, and the other way round. Data is for standard output, everything
else for standard error; with ``--json`` the frame is one document on standard output, errors too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from contract.display import safe_text
from contract.ncl_words import Typed
from contract.table import (
    Look,
    NoIdsError,
    NoRowsError,
    render_csv,
    render_data,
    render_ids,
    render_json,
)

DONE, REFUSED, UNANSWERED = 0, 1, 2
"""Exit status: carried out; the host said no; nobody could be asked, or nothing was asked."""
TRANSPORT_ERROR = "transport-error"
INVALID_ARGS = "invalid-args"


@dataclass(frozen=True, slots=True)
class Output:
    """``text`` ends without a newline; the one that prints it adds it."""

    text: str
    status: int = DONE
    to_stderr: bool = False
    nothing: bool = False
    """Not even an empty line: a list for programs that has no rows."""


def render(frame: Mapping[str, object], typed: Typed, look: Look) -> Output:
    """What is printed for a frame; one that is no answer counts as a transport error."""
    done = frame.get("ok") is True
    if not done:
        error = frame.get("error")
        fields = error if isinstance(error, Mapping) else {}
        code = str(fields.get("code") or TRANSPORT_ERROR)
        message = str(fields.get("message") or "the answer is neither data nor an error")
        if typed.json:
            return Output(render_json(frame), REFUSED)
        return Output(error_line(code, message), REFUSED, to_stderr=True)
    if typed.json:
        return Output(render_json(frame))
    return _data(frame.get("data"), typed, look)


def unanswered(code: str, message: str, typed: Typed) -> Output:
    """Nobody was asked, or nobody answered. ``message`` may have several lines."""
    if typed.json:
        frame = {"id": "", "ok": False, "error": {"code": code, "message": message}}
        return Output(render_json(frame), UNANSWERED)
    return Output(safe_text(message, keep="\n"), UNANSWERED, to_stderr=True)


def _wrong_form(message: str) -> Output:
    return Output(error_line(INVALID_ARGS, f"{message}; see --json"), UNANSWERED, to_stderr=True)


def error_line(code: str, message: str) -> str:
    """One line, whatever the message contains."""
    return safe_text(f"error ({code}): {' '.join(message.splitlines())}")


def _data(value: object, typed: Typed, look: Look) -> Output:
    if not typed.csv and not typed.ids:
        return Output(render_data(value, look))
    try:
        text = render_csv(value) if typed.csv else render_ids(value)
    except NoRowsError:
        flag = "--csv" if typed.csv else "--ids"
        return _wrong_form(f"{flag} is for answers that are rows; this one was carried out")
    except NoIdsError:
        return _wrong_form("--ids is for rows with ids, and these have none")
    return Output(text, nothing=not text)
