"""Folders of what ``ncl`` makes and deletes: a step of its own that survives a crash (N-65, N-66).

The command records the step in the transaction of its rows; the delivery process carries it out as
an effect and repeats it until it is done. Folders of what was deleted are set aside under
``data/trash``, or removed for good. Every step can be repeated; nothing below a folder is followed
through links, because it belongs to an agent.
"""

import shutil
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from contract.errors import BadContent
from contract.jsontext import parse_object
from contract.killpoint import reached
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.effect_wait import leave_to
from nanoclaw.containers.group_folder import ensure_group_folder, ensure_home
from nanoclaw.db import agent_groups
from nanoclaw.db.effects import Effect
from nanoclaw.effects.base import Done, EffectContext, HandlerResult
from nanoclaw.model import AgentGroup
from nanoclaw.paths import PRIVATE_MODE, HostPaths

MAKE = "ncl_make_folders"
REMOVE = "ncl_remove_folders"
TRASH = "trash"
MAX_PAYLOAD_BYTES = 8 * 1024 * 1024


def make_later(context: CommandContext, group: AgentGroup, instructions: str | None) -> str:
    """The folder and the home of a new group. The id of the effect."""
    payload = {"agentGroupId": group.id, "instructions": instructions}
    return leave_to(context, MAKE, payload, group.id)


def remove_later(
    context: CommandContext, name: str, folders: Iterable[Path], *, purges: bool = False
) -> str:
    """To ``data/trash/<time>-<name>``, unless it ``purges``. The id of the effect."""
    home = context.paths.home
    places = [str(folder.relative_to(home)) for folder in folders]
    payload = {"name": name, "folders": places, "purge": purges}
    return leave_to(context, REMOVE, payload, None)


def make(context: EffectContext, effect: Effect) -> HandlerResult:
    """The handler of MAKE."""
    payload = parse_object(effect.payload, max_bytes=MAX_PAYLOAD_BYTES)
    group = agent_groups.get(context.conn, str(payload.get("agentGroupId")))
    if group is None:
        return Done("it was deleted meanwhile")
    instructions = payload.get("instructions")
    ensure_group_folder(
        context.paths, group.folder, instructions if isinstance(instructions, str) else None
    )
    ensure_home(context.paths, group.id)
    reached("admin.folders_made")
    return Done(f"groups/{group.folder}")


def remove(context: EffectContext, effect: Effect) -> HandlerResult:
    """The handler of REMOVE."""
    payload = parse_object(effect.payload, max_bytes=MAX_PAYLOAD_BYTES)
    folders = [
        folder
        for folder in _folders(context.paths, payload.get("folders"))
        if not _is_used_again(context.conn, context.paths, folder)
    ]
    if payload.get("purge") is True:
        purge(folders)
    else:
        set_aside(context.paths, str(payload.get("name")), folders, effect.created_at)
    reached("admin.folders_removed")
    return Done(f"{len(folders)} folders")


def _folders(paths: HostPaths, value: object) -> list[Path]:
    """Raises BadContent; only a payload that ``remove_later`` did not write does that."""
    if not isinstance(value, list):
        raise BadContent("a removal without its folders")
    places = [Path(str(item)) for item in value]
    if any(place.is_absolute() or ".." in place.parts or not place.parts for place in places):
        raise BadContent("a removal of folders that are not of this installation")
    return [paths.home / place for place in places]


def _is_used_again(conn: sqlite3.Connection, paths: HostPaths, folder: Path) -> bool:
    """Somebody has made a group with this folder since."""
    if folder.parent != paths.groups:
        return False
    return any(group.folder == folder.name for group in agent_groups.list_all(conn))


# --- on the disk ----------------------------------------------------------------------------------


def set_aside(paths: HostPaths, name: str, folders: Iterable[Path], now: datetime) -> Path:
    """Moves the folders to ``data/trash/<time>-<name>``; where that is. Raises OSError."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    place = paths.data / TRASH / f"{stamp}-{name}"
    place.mkdir(mode=PRIVATE_MODE, parents=True, exist_ok=True)
    for folder in folders:
        if folder.exists() or folder.is_symlink():
            folder.rename(_free(place / f"{folder.parent.name}-{folder.name}"))
    return place


def purge(folders: Iterable[Path]) -> None:
    """Raises OSError."""
    for folder in folders:
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)


def _free(place: Path) -> Path:
    number, free = 2, place
    while free.exists():
        free = place.with_name(f"{place.name}-{number}")
        number += 1
    return free
