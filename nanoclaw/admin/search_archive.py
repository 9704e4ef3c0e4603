"""The inbound file of a closed session, out of its archive, for a moment of reading.

Used by the indexer where a session was closed before it was ever read. The archive is our own file;
only the one plain member is taken, up to a size.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.layout import IN_DIR, INBOUND_DB
from nanoclaw.sessions.archive import archive_of

MAX_BYTES = 256 * 1024 * 1024


@contextmanager
def unpacked_inbound(root: Path, scratch: Path) -> Iterator[Path | None]:
    """A copy in the folder ``scratch``, gone afterwards; None where there is no archive.

    Raises OSError.
    """
    packed = archive_of(root)
    if not packed.exists():
        yield None
        return
    import tarfile

    shutil.rmtree(scratch, ignore_errors=True)  # of an earlier process that was killed
    scratch.mkdir(mode=0o700)
    path = scratch / INBOUND_DB
    try:
        try:
            with tarfile.open(packed, mode="r:gz") as archive:
                member = archive.getmember(f"{IN_DIR}/{INBOUND_DB}")
                source = archive.extractfile(member) if member.size <= MAX_BYTES else None
                if source is None:
                    raise OSError(f"{packed}: its {INBOUND_DB} is no file that can be read")
                with path.open("wb") as target:
                    shutil.copyfileobj(source, target)
        except (tarfile.TarError, KeyError, EOFError) as error:
            raise OSError(f"{packed}: {error}") from error
        yield path
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
