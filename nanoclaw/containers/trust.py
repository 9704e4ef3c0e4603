"""Gives a container the certificates of our own authority, and never its key.

Called by ``sweep.starter`` before each start, before ``materialize`` writes ``session.json``.
Without a door, or before the vault has made an authority, there is no file and the runner trusts
what its image trusts.
"""

import logging
from pathlib import Path

from contract.layout import CA_FILE
from nanoclaw.containers.files import write_file
from nanoclaw.paths import HostPaths
from nanoclaw.secret_store.entries import SecretError
from nanoclaw.secret_store.private_file import read_private

MAX_BYTES = 256 * 1024

log = logging.getLogger(__name__)


def materialize_trust(paths: HostPaths, in_dir: Path, *, has_door: bool) -> None:
    """Raises OSError; safe to repeat."""
    certificates = _certificates(paths) if has_door else None
    if certificates is None:
        (in_dir / CA_FILE).unlink(missing_ok=True)
    else:
        write_file(in_dir / CA_FILE, certificates)


def _certificates(paths: HostPaths) -> str | None:
    try:
        return read_private(paths.authority / CA_FILE, MAX_BYTES)
    except SecretError as error:
        log.warning("agents do not get our certificates", extra={"reason": str(error)})
        return None
