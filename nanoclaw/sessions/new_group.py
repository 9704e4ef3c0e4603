"""A new agent group: its row, its container configuration, its folder's name.

Used by everything that makes agents after the first one: chats that get an agent of their own,
agents that make agents, ``ncl``. One place, so that the folder rule holds for all of them (H-177,
W-53). The folder itself is made when a container is first started.
"""

import sqlite3
from collections.abc import Container, Iterable
from datetime import datetime

from contract.ids import new_id
from nanoclaw.db import agent_groups, container_configs
from nanoclaw.db.names import normalize_name
from nanoclaw.model import AgentGroup
from nanoclaw.paths import HostPaths

MAX_FOLDER = 64
MAX_NAME = 80
SHARED_FOLDER = "global"
"""The memory that all groups read; never one of them."""


def folder_name(name: str, taken: Container[str]) -> str:
    """A valid folder made from what somebody typed; numbered when it is taken."""
    wanted = normalize_name(name)[:MAX_FOLDER].rstrip("-")
    folder, number = wanted, 2
    while folder in taken or folder == SHARED_FOLDER:
        suffix = f"-{number}"
        folder = wanted[: MAX_FOLDER - len(suffix)].rstrip("-") + suffix
        number += 1
    return folder


def folders_on_disk(paths: HostPaths) -> list[str]:
    """Folders that are there already: an agent never begins with the memory of another."""
    try:
        return [path.name for path in paths.groups.iterdir()]
    except FileNotFoundError:
        return []


def create_agent_group(
    conn: sqlite3.Connection, name: str, now: datetime, on_disk: Iterable[str] = ()
) -> AgentGroup:
    """Call inside a write transaction, so that the folder stays free. The name is kept as typed.

    ``on_disk``: see ``folders_on_disk``.
    """
    taken = {group.folder.lower() for group in agent_groups.list_all(conn)}
    taken |= {folder.lower() for folder in on_disk}
    group = AgentGroup(new_id("ag"), name.strip()[:MAX_NAME], folder_name(name, taken), now)
    agent_groups.create(conn, group)
    container_configs.ensure(conn, group.id, now)
    return group
