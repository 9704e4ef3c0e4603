"""Reads a conversation file back into a history.

Called by the conversation when it opens. Records before the last compaction are skipped by a small
index beside the file, which is only a hint: wrong or missing, everything is read (R-290). A broken
end is cut off, because a kill can leave one; a broken middle makes the file unusable (R-289).
"""

import contextlib
import logging
import os
from collections.abc import Iterator

from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from runner.log import fields
from runner.providers.claude.epoch import epoch_of
from runner.providers.claude.recordfile import RecordFile
from runner.providers.claude.records import (
    FORMAT,
    Json,
    Message,
    RecordType,
    UnusableError,
    decode,
)
from runner.providers.claude.replay import History

INDEX_SUFFIX = ".idx"
MAX_INDEX_BYTES = 4096
MAX_HEADER_BYTES = 4096

_log = logging.getLogger(__name__)


def load(file: RecordFile) -> History:
    """Raises UnusableError; the file is then as it was, except for a broken end."""
    header = _read_header(file)
    start = _read_index(file)
    if start is not None:
        try:
            return _replay(file, header, start)
        except UnusableError as error:
            _log.info("conversation index is wrong, reading all", extra=fields(reason=error))
    return _replay(file, header, {})


def stored_messages(file: RecordFile) -> Iterator[Message]:
    """The messages of all records, whether they are still in the active list or not."""
    for line in file.read_from(0).split(b"\n"):
        if b'"message":' not in line:
            continue
        try:
            message = decode(line).get("message")
        except UnusableError:
            continue
        if isinstance(message, dict):
            yield message


def write_index(file: RecordFile, history: History) -> None:
    """Best effort: the index can be made again from the file."""
    offset, length = history.epoch_at
    value = {"from": history.replay_from, "epoch_at": offset, "epoch_length": length}
    path = file.path.with_suffix(INDEX_SUFFIX)
    temporary = file.path.with_suffix(f"{INDEX_SUFFIX}.new")
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600)
        try:
            os.write(fd, dump(value).encode())
        finally:
            os.close(fd)
        temporary.replace(path)


def _read_header(file: RecordFile) -> Json:
    line, end, _ = file.read_from(0, MAX_HEADER_BYTES).partition(b"\n")
    header = decode(line) if end else {}
    if header.get("t") != RecordType.HEADER or header.get("id") != file.path.stem:
        raise UnusableError(f"{file.path.name} does not begin with its header")
    if header.get("format") != FORMAT:
        raise UnusableError(f"{file.path.name} is of format {header.get('format')}, not {FORMAT}")
    return header


def _read_index(file: RecordFile) -> dict[str, int] | None:
    path = file.path.with_suffix(INDEX_SUFFIX)
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(path, flags)
        try:
            text = os.read(fd, MAX_INDEX_BYTES).decode()
        finally:
            os.close(fd)
        value = parse_object(text, max_bytes=MAX_INDEX_BYTES)
    except (OSError, UnicodeDecodeError, BadContent):
        return None
    numbers = {key: item for key, item in value.items() if isinstance(item, int)}
    if not {"from", "epoch_at", "epoch_length"} <= set(numbers):
        return None
    inside = 0 < numbers["from"] < file.size and numbers["epoch_at"] >= 0
    return numbers if inside and 0 < numbers["epoch_length"] <= file.size else None


def _replay(file: RecordFile, header: Json, start: dict[str, int]) -> History:
    history = History(header=header)
    offset = start.get("from", 0)
    if start and start["epoch_at"] < offset:
        record = decode(file.read_from(start["epoch_at"], start["epoch_length"]))
        if record["t"] != RecordType.EPOCH:
            raise UnusableError("the index names no epoch")
        history.epoch = epoch_of(record)
        history.epoch_at = (start["epoch_at"], start["epoch_length"])
    if offset and file.read_from(offset - 1, 1) != b"\n":
        raise UnusableError("the index points into a line")
    data = file.read_from(offset)
    position = 0
    while position < len(data):
        end = data.find(b"\n", position)
        line = data[position : end if end >= 0 else len(data)]
        try:
            if end < 0:
                raise UnusableError("the last line is incomplete")
            history.apply(decode(line), offset + position, len(line) + 1)
        except UnusableError:
            if 0 <= end < len(data) - 1 or (position == 0 and offset):
                raise
            _log.warning("broken end of conversation cut off", extra=fields(count=len(line)))
            file.cut(offset + position)
            break
        position = end + 1
    if history.last_n == 0:
        raise UnusableError(f"{file.path.name} holds no records")
    if start:
        history.replay_from = max(history.replay_from, offset)
    return history
