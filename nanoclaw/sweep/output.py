"""Reads what an agent's file says about its claims, with the care that a hostile file needs.

Called by ``health`` while a container runs and by ``settle`` when it has ended. Every look stands
in the work marker, so that a file that kills its reader is found out. Nothing the agent did to its
folder comes out of here as an exception, except that a writer is busy just now.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from contract import layout
from contract.errors import SnapshotBusy, SnapshotError, SnapshotRefused
from contract.outbound.row import Ack, ContainerState
from contract.outbound.snapshot import ChangeToken, change_token
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.outbox import read_committed
from nanoclaw.sessions.quarantine import WorkMarker

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Output:
    """``readable`` False: there is no file yet, or none that a runner would write."""

    acks: tuple[Ack, ...] = ()
    state: ContainerState | None = None
    max_seq: int = 0
    token: ChangeToken | None = None
    readable: bool = False


class OutputReader:
    """Looks at sessions, one at a time."""

    def __init__(self, marker: WorkMarker, scratch: Path) -> None:
        self._marker = marker
        self._scratch = scratch

    def token(self, folder: SessionFolder) -> ChangeToken | None:
        """Differs when the file was written; None when there is none."""
        try:
            out_fd = folder.open_out()
        except OSError:
            return None
        try:
            return change_token(out_fd)
        except SnapshotError:
            return None
        finally:
            os.close(out_fd)

    def read(self, session_id: str, folder: SessionFolder) -> Output:
        """Raises SnapshotBusy while the runner is committing."""
        try:
            out_fd = folder.open_out()
        except OSError as error:
            log.warning("no out folder", extra={"session": session_id, "reason": str(error)})
            return Output()
        try:
            with self._marker.reading(session_id):
                return self._read(session_id, out_fd)
        finally:
            os.close(out_fd)

    def _read(self, session_id: str, out_fd: int) -> Output:
        try:
            with read_committed(out_fd, self._scratch) as snapshot:
                return Output(
                    acks=tuple(snapshot.acks()),
                    state=snapshot.container_state(),
                    max_seq=snapshot.max_seq,
                    token=snapshot.token,
                    readable=True,
                )
        except SnapshotBusy:
            raise
        except SnapshotRefused as error:
            log.warning("outbound refused", extra={"session": session_id, "reason": str(error)})
        except SnapshotError:
            pass  # not there yet
        return Output()


def heartbeat_time(folder: SessionFolder) -> float | None:
    """When the runner last gave a sign of life, as seconds since the epoch."""
    try:
        out_fd = folder.open_out()
    except OSError:
        return None
    try:
        return os.stat(layout.HEARTBEAT, dir_fd=out_fd, follow_symlinks=False).st_mtime
    except OSError:
        return None
    finally:
        os.close(out_fd)


def forget_heartbeat(folder: SessionFolder) -> None:
    """A new container must not be judged by its predecessor's sign of life (H-163)."""
    try:
        out_fd = folder.open_out()
    except OSError:
        return
    try:
        os.unlink(layout.HEARTBEAT, dir_fd=out_fd)
    except OSError:
        pass  # there is none, or the agent made something else of that name: then it is no sign
    finally:
        os.close(out_fd)
