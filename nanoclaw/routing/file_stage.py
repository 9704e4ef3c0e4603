"""Places the files of messages in session folders, and unpacks these, on a thread of its own.

Reading and checking 100 MiB takes a good part of a second, and the router answers everybody.
Called by ``routing.writing``, which asks again once ``on_done`` was called. A result is kept in
memory until the row is written; after a crash the files are simply placed again.
"""

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from contract.errors import SessionFileCorrupt, SessionFileError
from contract.killpoint import reached
from nanoclaw.paths import HostPaths
from nanoclaw.routing.incoming_files import PlannedFile
from nanoclaw.routing.plan import PlannedRow
from nanoclaw.routing.taken import TakenFiles
from nanoclaw.sessions.attachments import AttachmentError, SourceFile, place_file
from nanoclaw.sessions.folder import SessionFolder

MAX_TRIES = 5
"""A disk that is full or a folder that is not writable; then the message goes without the file."""

RowKey = tuple[str, str]
Errors = tuple[tuple[int, str], ...]
"""Index of the attachment and why it is not there."""

log = logging.getLogger(__name__)


class FileStage:
    """``on_done`` is called on the thread of the stage; it must only post to the reactor.

    Its argument says whether there is a result; without one the row is to be tried again later.
    """

    def __init__(self, paths: HostPaths, on_done: Callable[[bool], None]) -> None:
        self._paths = paths
        self._files = TakenFiles(paths)
        self._on_done = on_done
        self._thread: ThreadPoolExecutor | None = None
        self._under_way: set[RowKey] = set()
        self._results: dict[RowKey, Errors] = {}
        self._tries: dict[RowKey, int] = {}

    def result(self, instance: str, row: PlannedRow) -> Errors | None:
        """What went wrong, nothing perhaps; None while it is not known, and then it begins."""
        key = (row.session_id, row.row.id)
        if key in self._results:
            return self._results[key]
        if key not in self._under_way:
            self._under_way.add(key)
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="files")
            self._thread.submit(self._place, key, instance, row)
        return None

    def forget(self, keys: Iterable[RowKey]) -> None:
        """These rows are written."""
        for key in keys:
            self._results.pop(key, None)
            self._tries.pop(key, None)

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def _place(self, key: RowKey, instance: str, row: PlannedRow) -> None:
        try:
            self._results[key] = self._place_all(instance, row)
            reached("router.files_placed")
        except SessionFileCorrupt:
            self._results[key] = _without_files(row)  # whoever writes the row meets it again
        except (OSError, SessionFileError) as error:
            self._give_up_some_day(key, row, error)
        finally:
            self._under_way.discard(key)
            self._on_done(key in self._results)

    def _place_all(self, instance: str, row: PlannedRow) -> Errors:
        folder = SessionFolder.of(self._paths, row.agent_group_id, row.session_id)
        folder.create()
        errors: list[tuple[int, str]] = []
        with ExitStack() as stack:
            try:
                taken_fd = stack.enter_context(self._files.open(instance))
            except FileNotFoundError:
                return tuple((file.index, "the file is not there any more") for file in row.files)
            for file in row.files:
                try:
                    place_file(_source(taken_fd, file), folder.in_dir, row.folder, file.name)
                except AttachmentError as error:
                    errors.append((file.index, str(error)))
                    fields = {"session": row.session_id, "reason": str(error)}
                    log.warning("attachment not stored", extra=fields)
        return tuple(errors)

    def _give_up_some_day(
        self, key: RowKey, row: PlannedRow, error: OSError | SessionFileError
    ) -> None:
        self._tries[key] = self._tries.get(key, 0) + 1
        log.warning(
            "attachments not stored yet",
            extra={"session": row.session_id, "attempt": self._tries[key], "reason": str(error)},
        )
        if self._tries[key] >= MAX_TRIES:
            self._results[key] = _without_files(row)


def _without_files(row: PlannedRow) -> Errors:
    return tuple((file.index, "the file could not be stored") for file in row.files)


def _source(folder_fd: int, file: PlannedFile) -> SourceFile:
    return SourceFile(folder_fd, file.spool, file.size, file.sha256)
