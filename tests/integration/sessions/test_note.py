"""What the host says to an agent, also when its session had been closed meanwhile."""

from contextlib import closing
from pathlib import Path

from helpers.central import make_home
from helpers.central_rows import seed

from contract.clock import utc_now
from contract.inbound.reader import read_pending_ids
from nanoclaw.db import sessions
from nanoclaw.sessions import archive
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.note import AgentNote, write_note


def test_note_opens_a_closed_session_again_and_wakes_it(tmp_path: Path) -> None:
    config, conn = make_home(tmp_path)
    with closing(conn):
        session = seed(conn).session
        folder = SessionFolder.of(config.paths, session.agent_group_id, session.id)
        folder.create()
        archive.pack(folder.root)
        archive.remove_folder(folder.root)
        conn.execute("UPDATE sessions SET status = 'closed', archived = 1")

        write_note(conn, config.paths, session, AgentNote("note-1", "approved"), utc_now())

        assert read_pending_ids(folder.inbound_db) == {"note-1"}
        assert [item.id for item in sessions.due(conn, utc_now(), 9)] == [session.id]
