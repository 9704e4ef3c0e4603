"""The transcript of a sub-agent: a file of messages beside the conversation (R-257).

For people who want to know what it did; nothing reads it back. Bounded, best effort: when it cannot
be written the sub-agent goes on without.
"""

import json
import logging
import os
from io import BufferedWriter
from pathlib import Path

from contract.clock import to_text, utc_now
from contract.jsontext import storable
from runner.log import fields
from runner.providers.claude.records import Message

_log = logging.getLogger(__name__)

MAX_BYTES = 20 * 1024 * 1024
MAX_FILES = 1000


class Transcript:
    def __init__(self, file: BufferedWriter | None) -> None:
        self._file = file
        self._left = MAX_BYTES

    def add(self, message: Message) -> None:
        if self._file is None:
            return
        record = {"t": message.get("role"), "ts": to_text(utc_now()), "message": message}
        line = storable(json.dumps(record, ensure_ascii=False, separators=(",", ":"))).encode()
        self._left -= len(line)
        if self._left < 0:
            self.close()
            return
        try:
            self._file.write(line + b"\n")
            self._file.flush()
        except OSError as error:
            _log.warning("transcript cannot be written", extra=fields(reason=error))
            self.close()

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                _log.warning("transcript cannot be written", extra=fields(reason=error))


def open_transcript(folder: Path, conversation: str) -> Transcript:
    """The next free ``<conversation>.sub-<n>.jsonl``."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    for number in range(1, MAX_FILES + 1):
        try:
            descriptor = os.open(folder / f"{conversation}.sub-{number}.jsonl", flags, 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            _log.warning("transcript cannot be made", extra=fields(reason=error))
            break
        return Transcript(os.fdopen(descriptor, "wb"))
    return Transcript(None)
