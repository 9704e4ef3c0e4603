"""Takes over ``container.json`` of old installations, once per agent group (H-18).

Called by the host at start, after the migrations. A group that has a row is left alone, so that the
file is read at most once; afterwards the row counts and the file is only ever written. Agents can
write their folder, so the file is opened without following links and never waited for.
"""

import logging
import os
import sqlite3
import stat
from datetime import datetime
from pathlib import Path

from contract.clock import to_text
from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from nanoclaw.db.connection import transaction
from nanoclaw.db.container_configs import MAX_JSON_BYTES

FILE_NAME = "container.json"

log = logging.getLogger(__name__)


def backfill_container_configs(conn: sqlite3.Connection, groups_dir: Path, now: datetime) -> int:
    """Rows made now. Safe to repeat and beside other programs: a row that is there wins (N-85)."""
    missing = conn.execute(
        "SELECT g.id, g.folder, g.agent_provider FROM agent_groups g"
        " WHERE NOT EXISTS (SELECT 1 FROM container_configs c WHERE c.agent_group_id = g.id)"
        " ORDER BY g.name"
    ).fetchall()
    made = 0
    for agent_group_id, folder, provider in missing:
        settings = _read_settings(groups_dir, folder)
        with transaction(conn):
            made += _insert(conn, agent_group_id, provider, settings, to_text(now))
    if made:
        log.info("container settings taken over", extra={"count": made})
    return made


def _insert(
    conn: sqlite3.Connection, agent_group_id: str, provider: str | None,
    settings: dict[str, object], now: str,
) -> int:  # fmt: skip
    packages = settings.get("packages")
    packages = packages if isinstance(packages, dict) else {}
    limit = settings.get("maxMessagesPerPrompt")
    return conn.execute(
        "INSERT INTO container_configs (agent_group_id, provider, image_tag, assistant_name,"
        " max_messages_per_prompt, skills, mcp_servers, packages_apt, packages_npm,"
        " additional_mounts, updated_at, cli_scope)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'group')"
        " ON CONFLICT (agent_group_id) DO NOTHING",
        (
            agent_group_id,
            provider or _text(settings.get("provider")),
            _text(settings.get("imageTag")),
            _text(settings.get("assistantName")),
            limit if isinstance(limit, int) and not isinstance(limit, bool) else None,
            dump(settings.get("skills") or "all"),
            dump(settings.get("mcpServers") or {}),
            dump(packages.get("apt") or []),
            dump(packages.get("npm") or []),
            dump(settings.get("additionalMounts") or []),
            now,
        ),
    ).rowcount


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _read_settings(groups_dir: Path, folder: str) -> dict[str, object]:
    """What the file says; empty when there is none or it cannot be used."""
    if not folder or "/" in folder or "\0" in folder or folder in (".", ".."):
        log.warning("agent folder is not inside groups", extra={"group": folder})
        return {}
    try:
        text = _read_file(groups_dir / folder / FILE_NAME)
        return {} if text is None else parse_object(text, max_bytes=MAX_JSON_BYTES)
    except (OSError, UnicodeDecodeError, BadContent) as error:
        log.warning("container.json not usable", extra={"group": folder, "reason": str(error)})
        return {}


def _read_file(path: Path) -> str | None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BadContent(f"{path} is not a regular file")
        return file.read(MAX_JSON_BYTES + 1).decode()
