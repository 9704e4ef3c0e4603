"""Sends one administrative request through the session files and waits for its answer.

Called by the ``ncl`` program, which runs beside the runner and without its memory (R-179): the
request is a row, the answer another one (R-181, R-182). It carries on what the turn has seen. No
lease is asked for, because whoever reads ``session.json`` at this moment always finds the one that
is in force there.
"""

import select
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from contract.clock import utc_now
from contract.errors import BadContent, SessionFileBusy, SessionFileMissing
from contract.ids import new_id
from contract.inbound import lookup, reader
from contract.inbound.row import InboundRow, MessageKind
from contract.jsontext import dump, parse_object
from contract.killpoint import reached
from contract.layout import RunnerPaths
from contract.ncl_words import Typed
from contract.outbound.reader import read_outbound
from contract.outbound.row import NewOutbound
from contract.outbound.writer import OutboundWriter, open_outbound
from contract.watch import Watch
from runner.provenance import TURN_TAINT

TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.5
WRITE_TRIES = 3
MAX_ANSWER_BYTES = 4 * 1024 * 1024


class TimedOutError(Exception):
    """No answer came in time; a late one will stay unread."""


def request_content(request_id: str, typed: Typed) -> str:
    """The row's content; ``positionals`` let the host tell verbs from ids (N-11)."""
    return dump(
        {
            "action": "cli_request",
            "requestId": request_id,
            "command": typed.command,
            "args": dict(typed.args),
            "positionals": list(typed.positionals),
        }
    )


def parse_frame(content: str) -> dict[str, object]:
    """The frame in an answer's row; raises BadContent."""
    frame = parse_object(content, max_bytes=MAX_ANSWER_BYTES).get("frame")
    if not isinstance(frame, dict):
        raise BadContent("the answer of the host has no frame")
    return frame


def ask_host(
    paths: RunnerPaths, typed: Typed, seconds: float = TIMEOUT_SECONDS
) -> Mapping[str, object]:
    """The response frame. Raises TimedOutError, SessionFileError and BadContent."""
    request_id = new_id("cli")
    row = NewOutbound(
        id=request_id,
        kind=MessageKind.SYSTEM,
        timestamp=utc_now(),
        content=request_content(request_id, typed),
    )
    above = reader.read_max_seq(paths.inbound_db)
    _write(
        paths.outbound_db,
        lambda out: out.write_message(replace(row, taint=out.get_state(TURN_TAINT)), above),
    )
    reached("ncl.requested")
    found = _wait(paths, request_id, seconds)
    # Also when nothing came: a late answer must not stay pending for ever.
    answer_id = lookup.RESPONSE_PREFIX + request_id if found is None else found.id
    _write(paths.outbound_db, lambda out: out.complete([answer_id], utc_now()))
    reached("ncl.acknowledged")
    if found is None:
        raise TimedOutError(f"timed out: the host did not answer within {seconds:.0f} seconds")
    return parse_frame(found.content)


def _write(path: Path, work: Callable[[OutboundWriter], object]) -> None:
    for _ in range(WRITE_TRIES - 1):
        try:
            with open_outbound(path) as out:
                work(out)
                return
        except SessionFileBusy:
            continue  # each try has waited five seconds for the lock
    with open_outbound(path) as out:
        work(out)


def _wait(paths: RunnerPaths, request_id: str, seconds: float) -> InboundRow | None:
    deadline = time.monotonic() + seconds
    watch = _open_watch(paths.in_dir)
    try:
        while True:
            row = _look(paths, request_id)
            left = deadline - time.monotonic()
            if row is not None or left <= 0:
                return row
            _pause(watch, min(left, POLL_SECONDS))
    finally:
        if watch is not None:
            watch.close()


def _look(paths: RunnerPaths, request_id: str) -> InboundRow | None:
    """The answer, unless it is acknowledged; a busy file is looked at again."""
    try:
        row = lookup.find_response(paths.inbound_db, request_id)
        if row is None:
            return None
        with read_outbound(paths.outbound_db) as out:
            return None if out.acked_ids([row.id]) else row
    except (SessionFileBusy, SessionFileMissing):
        return None


def _open_watch(folder: Path) -> Watch | None:
    try:
        watch = Watch.open()
        watch.add(folder)
    except OSError:
        return None
    return watch


def _pause(watch: Watch | None, seconds: float) -> None:
    """Until the folder changes, at most so long."""
    fd = None if watch is None else watch.fileno()
    if watch is None or fd is None:
        time.sleep(seconds)
        return
    if select.select([fd], [], [], seconds)[0]:
        watch.read()
