"""Files of replies, put where a client on this machine can read them (C-77).

Used by the adapter on pool threads. A file is copied from the spool after its size and hash were
checked; a second attempt finds the first one's copy. A file that cannot be had never stops the
text: it becomes a remark (C-62).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from nanoclaw.channels.cli.lines import FileRef
from nanoclaw.channels.cli.names import safe_name
from nanoclaw.channels.part import Part, PartFile
from nanoclaw.channels.spool import SpoolError, Stored, copy_outbound

KEPT_FOR = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class FileShelf:
    """``files/<part key>/<name>`` below the channel's folder."""

    folder: Path

    def take(self, part: Part) -> tuple[tuple[FileRef, ...], tuple[str, ...]]:
        """The part's files by path, and a remark for each that could not be had."""
        files: list[FileRef] = []
        remarks: list[str] = []
        for number, file in enumerate(part.files, start=1):
            try:
                files.append(self._take_one(part.key, number, file))
            except SpoolError as error:
                remarks.append(f"[{file.name} could not be handed over: {error}]")
        return tuple(files), tuple(remarks)

    def sweep(self, now: datetime) -> None:
        """Removes what is older than a month."""
        oldest = (now - KEPT_FOR).timestamp()
        for folder in (self.folder / "files").glob("*"):
            if folder.lstat().st_mtime < oldest:
                import shutil  # drags in every compression library, for something this rare

                shutil.rmtree(folder, ignore_errors=True)

    def _take_one(self, key: str, number: int, file: PartFile) -> FileRef:
        name = safe_name(file.name) or f"file-{number}"
        target = self.folder / "files" / key / str(number) / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not target.exists():
            copy_outbound(self.folder, Stored(file.spool, file.size, file.sha256), target)
        return FileRef(name, str(target), file.size)
