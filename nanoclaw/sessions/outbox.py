"""The last committed state of an agent's ``outbound.db``, also when its runner was killed writing.

Used by delivery for messages and by the sweep for claims. Where a killed runner left a transaction
half done, and perhaps nobody is due to roll it back, what had been committed before must not wait
for the next runner (design section 3).
"""

from pathlib import Path

from contract.errors import RefusalReason, SnapshotRefused
from contract.outbound.snapshot import OutboundSnapshot, read_snapshot, repair_private_copy


def read_committed(out_fd: int, scratch: Path) -> OutboundSnapshot:
    """``out_fd`` is a handle on ``out``; use the result in a ``with``. Raises SnapshotError."""
    try:
        return read_snapshot(out_fd)
    except SnapshotRefused as error:
        if error.reason is not RefusalReason.HOT_JOURNAL:
            raise
    return repair_private_copy(out_fd, scratch)
