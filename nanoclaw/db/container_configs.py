"""Statements on ``container_configs``: how the containers of each agent group are made.

Written by setup, approved requests and ``ncl``; read by the sweep at each start of a container. The
row is the source of truth; ``container.json`` files of old installations are taken over once, by
``container_imports``. Lists are stored as JSON text and leave this module as values.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from contract.config import AdditionalMount, McpServer
from contract.errors import BadContent
from contract.jsontext import dump, parse_value
from contract.shape import Shape
from nanoclaw.db.connection import joined
from nanoclaw.db.rows import (
    UNSET,
    Unset,
    changed,
    many,
    one,
    set_columns,
    stored_value,
    time_of,
    word_of,
)
from nanoclaw.model import CliScope, ContainerConfig, EgressMode

MAX_JSON_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ContainerConfigChange:
    """What may change; UNSET stays as it is, lists are replaced whole."""

    provider: str | Unset | None = UNSET
    model: str | Unset | None = UNSET
    effort: str | Unset | None = UNSET
    image_tag: str | Unset | None = UNSET
    assistant_name: str | Unset | None = UNSET
    max_messages_per_prompt: int | Unset | None = UNSET
    cli_scope: CliScope | Unset = UNSET
    skills: tuple[str, ...] | Unset | None = UNSET
    mcp_servers: Mapping[str, McpServer] | Unset = UNSET
    packages_apt: tuple[str, ...] | Unset = UNSET
    packages_npm: tuple[str, ...] | Unset = UNSET
    packages_pip: tuple[str, ...] | Unset = UNSET
    additional_mounts: tuple[AdditionalMount, ...] | Unset = UNSET
    memory_mb: int | Unset | None = UNSET
    cpus: float | Unset | None = UNSET
    pids_limit: int | Unset | None = UNSET
    disk_mb: int | Unset | None = UNSET
    max_containers: int | Unset | None = UNSET
    max_turn_seconds: int | Unset | None = UNSET
    idle_exit_seconds: int | Unset | None = UNSET
    close_after_days: int | Unset | None = UNSET
    egress_mode: EgressMode | Unset | None = UNSET
    egress_allow: tuple[str, ...] | Unset = UNSET
    credential: str | Unset | None = UNSET
    endpoint: str | Unset | None = UNSET
    allowed_models: tuple[str, ...] | Unset = UNSET
    taint_guard: bool | Unset = UNSET
    script: str | Unset | None = UNSET
    agents_quota: int | Unset = UNSET
    fallback_model: str | Unset | None = UNSET
    max_cost_per_turn_usd: float | Unset | None = UNSET
    max_cost_per_day_usd: float | Unset | None = UNSET
    native_attachments: bool | Unset = UNSET
    compat: Mapping[str, object] | Unset = UNSET
    prices: Mapping[str, object] | Unset = UNSET
    web_tools: str | Unset | None = UNSET
    tool_timeouts: Mapping[str, float] | Unset = UNSET
    disabled_tools: tuple[str, ...] | Unset = UNSET


_SET = {
    "provider": "UPDATE container_configs SET provider = ? WHERE agent_group_id = ?",
    "model": "UPDATE container_configs SET model = ? WHERE agent_group_id = ?",
    "effort": "UPDATE container_configs SET effort = ? WHERE agent_group_id = ?",
    "image_tag": "UPDATE container_configs SET image_tag = ? WHERE agent_group_id = ?",
    "assistant_name": "UPDATE container_configs SET assistant_name = ? WHERE agent_group_id = ?",
    "max_messages_per_prompt": (
        "UPDATE container_configs SET max_messages_per_prompt = ? WHERE agent_group_id = ?"
    ),
    "cli_scope": "UPDATE container_configs SET cli_scope = ? WHERE agent_group_id = ?",
    "skills": "UPDATE container_configs SET skills = ? WHERE agent_group_id = ?",
    "mcp_servers": "UPDATE container_configs SET mcp_servers = ? WHERE agent_group_id = ?",
    "packages_apt": "UPDATE container_configs SET packages_apt = ? WHERE agent_group_id = ?",
    "packages_npm": "UPDATE container_configs SET packages_npm = ? WHERE agent_group_id = ?",
    "packages_pip": "UPDATE container_configs SET packages_pip = ? WHERE agent_group_id = ?",
    "additional_mounts": (
        "UPDATE container_configs SET additional_mounts = ? WHERE agent_group_id = ?"
    ),
    "memory_mb": "UPDATE container_configs SET memory_mb = ? WHERE agent_group_id = ?",
    "cpus": "UPDATE container_configs SET cpus = ? WHERE agent_group_id = ?",
    "pids_limit": "UPDATE container_configs SET pids_limit = ? WHERE agent_group_id = ?",
    "disk_mb": "UPDATE container_configs SET disk_mb = ? WHERE agent_group_id = ?",
    "max_containers": "UPDATE container_configs SET max_containers = ? WHERE agent_group_id = ?",
    "max_turn_seconds": (
        "UPDATE container_configs SET max_turn_seconds = ? WHERE agent_group_id = ?"
    ),
    "idle_exit_seconds": (
        "UPDATE container_configs SET idle_exit_seconds = ? WHERE agent_group_id = ?"
    ),
    "close_after_days": (
        "UPDATE container_configs SET close_after_days = ? WHERE agent_group_id = ?"
    ),
    "egress_mode": "UPDATE container_configs SET egress_mode = ? WHERE agent_group_id = ?",
    "egress_allow": "UPDATE container_configs SET egress_allow = ? WHERE agent_group_id = ?",
    "credential": "UPDATE container_configs SET credential = ? WHERE agent_group_id = ?",
    "endpoint": "UPDATE container_configs SET endpoint = ? WHERE agent_group_id = ?",
    "allowed_models": "UPDATE container_configs SET allowed_models = ? WHERE agent_group_id = ?",
    "taint_guard": "UPDATE container_configs SET taint_guard = ? WHERE agent_group_id = ?",
    "script": "UPDATE container_configs SET script = ? WHERE agent_group_id = ?",
    "agents_quota": "UPDATE container_configs SET agents_quota = ? WHERE agent_group_id = ?",
    "fallback_model": "UPDATE container_configs SET fallback_model = ? WHERE agent_group_id = ?",
    "max_cost_per_turn_usd": (
        "UPDATE container_configs SET max_cost_per_turn_usd = ? WHERE agent_group_id = ?"
    ),
    "max_cost_per_day_usd": (
        "UPDATE container_configs SET max_cost_per_day_usd = ? WHERE agent_group_id = ?"
    ),
    "native_attachments": (
        "UPDATE container_configs SET native_attachments = ? WHERE agent_group_id = ?"
    ),
    "compat": "UPDATE container_configs SET compat = ? WHERE agent_group_id = ?",
    "prices": "UPDATE container_configs SET prices = ? WHERE agent_group_id = ?",
    "web_tools": "UPDATE container_configs SET web_tools = ? WHERE agent_group_id = ?",
    "tool_timeouts": "UPDATE container_configs SET tool_timeouts = ? WHERE agent_group_id = ?",
    "disabled_tools": "UPDATE container_configs SET disabled_tools = ? WHERE agent_group_id = ?",
}


def ensure(conn: sqlite3.Connection, agent_group_id: str, now: datetime) -> bool:
    """A row with defaults, unless there is one (N-84); True when it was missing."""
    return bool(
        changed(
            conn,
            "INSERT OR IGNORE INTO container_configs (agent_group_id, updated_at) VALUES (?, ?)",
            (agent_group_id, to_text(now)),
        )
    )


def get(conn: sqlite3.Connection, agent_group_id: str) -> ContainerConfig | None:
    return one(
        conn,
        _config_of,
        "SELECT * FROM container_configs WHERE agent_group_id = ?",
        (agent_group_id,),
    )


def list_all(conn: sqlite3.Connection) -> list[ContainerConfig]:
    return many(conn, _config_of, "SELECT * FROM container_configs ORDER BY agent_group_id")


def update(
    conn: sqlite3.Connection, agent_group_id: str, change: ContainerConfigChange, now: datetime
) -> bool:
    """Writes the fields that are set and the time; False when there were none."""
    with joined(conn):
        if not set_columns(conn, _SET, agent_group_id, change, _stored):
            return False
        conn.execute(
            "UPDATE container_configs SET updated_at = ? WHERE agent_group_id = ?",
            (to_text(now), agent_group_id),
        )
        return True


def _stored(column: str, value: object) -> str | int | float | None:
    if column == "skills":
        return dump("all" if value is None else value)
    if isinstance(value, Mapping):
        return dump({key: _plain(item) for key, item in value.items()})
    if isinstance(value, tuple):
        return dump([_plain(item) for item in value])
    return stored_value(column, value)


def _plain(value: object) -> object:
    return value.plain() if isinstance(value, Shape) else value


def _config_of(row: sqlite3.Row) -> ContainerConfig:
    return ContainerConfig(
        agent_group_id=row["agent_group_id"],
        updated_at=time_of(row["updated_at"]),
        provider=row["provider"],
        model=row["model"],
        effort=row["effort"],
        image_tag=row["image_tag"],
        assistant_name=row["assistant_name"],
        max_messages_per_prompt=row["max_messages_per_prompt"],
        cli_scope=word_of(CliScope, row["cli_scope"]) or CliScope.GROUP,
        skills=_skills(row["skills"]),
        mcp_servers=_servers(row["mcp_servers"]),
        packages_apt=_texts(row["packages_apt"]),
        packages_npm=_texts(row["packages_npm"]),
        packages_pip=_texts(row["packages_pip"]),
        additional_mounts=_mounts(row["additional_mounts"]),
        memory_mb=row["memory_mb"],
        cpus=row["cpus"],
        pids_limit=row["pids_limit"],
        disk_mb=row["disk_mb"],
        max_containers=row["max_containers"],
        max_turn_seconds=row["max_turn_seconds"],
        idle_exit_seconds=row["idle_exit_seconds"],
        close_after_days=row["close_after_days"],
        egress_mode=word_of(EgressMode, row["egress_mode"]),
        egress_allow=_texts(row["egress_allow"]),
        credential=row["credential"],
        endpoint=row["endpoint"],
        allowed_models=_texts(row["allowed_models"]),
        taint_guard=bool(row["taint_guard"]),
        script=row["script"],
        agents_quota=row["agents_quota"],
        fallback_model=row["fallback_model"],
        max_cost_per_turn_usd=row["max_cost_per_turn_usd"],
        max_cost_per_day_usd=row["max_cost_per_day_usd"],
        native_attachments=bool(row["native_attachments"]),
        compat=_object(row["compat"]),
        prices=_object(row["prices"]),
        web_tools=row["web_tools"],
        tool_timeouts=_seconds(row["tool_timeouts"]),
        disabled_tools=_texts(row["disabled_tools"]),
    )


def _parsed(text: object) -> object:
    try:
        return parse_value(text, max_bytes=MAX_JSON_BYTES)
    except BadContent:
        return None


def _skills(text: object) -> tuple[str, ...] | None:
    value = _parsed(text)
    return _texts(text) if isinstance(value, list) else None


def _texts(text: object) -> tuple[str, ...]:
    value = _parsed(text)
    if not isinstance(value, list):
        return ()
    return tuple(item for item in value if isinstance(item, str))


def _object(text: object) -> dict[str, object]:
    value = _parsed(text)
    return value if isinstance(value, dict) else {}


def _seconds(text: object) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in _object(text).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _servers(text: object) -> dict[str, McpServer]:
    value = _parsed(text)
    if not isinstance(value, dict):
        return {}
    return {name: McpServer.read(entry) for name, entry in value.items() if isinstance(entry, dict)}


def _mounts(text: object) -> tuple[AdditionalMount, ...]:
    value = _parsed(text)
    if not isinstance(value, list):
        return ()
    mounts: list[AdditionalMount] = []
    for entry in value:
        try:
            mounts.append(AdditionalMount.read(entry))
        except BadContent:
            continue  # names no host path, so there is nothing to mount
    return tuple(mounts)
