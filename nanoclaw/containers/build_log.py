"""``logs/build.log``: every line of the last image builds.

Written by whoever builds, the ``builder`` process or the command line; the file of the build before
is kept beside it. A log that cannot be written never stops a build.
"""

from contextlib import suppress
from types import TracebackType
from typing import IO, Self

from contract.clock import to_text, utc_now
from nanoclaw.paths import HostPaths

NAME = "build.log"


class BuildLog:
    """One build. Use it in a ``with``."""

    def __init__(self, paths: HostPaths) -> None:
        self._path = paths.logs / NAME
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        with suppress(OSError):
            if self._path.exists():
                self._path.replace(self._path.with_name(NAME + ".1"))
            self._file = self._path.open("w", encoding="utf-8", errors="replace")
        self.add("build started")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.add(f"build failed: {error}" if error is not None else "build finished")
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def add(self, line: str) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.write(f"{to_text(utc_now())} {line}\n")
                self._file.flush()
