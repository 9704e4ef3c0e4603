"""Statements on ``services``: which host gets which secret, in which header, for which agents.

Written by ``ncl services``; read by the vault for every request that it looks into. A secret's
value is never here, only its name. Without a row nothing is put into anything.
"""

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contract.clock import to_text
from contract.jsontext import dump
from nanoclaw.db.rows import changed, id_list, many, one, time_of

HTTPS = 443


class ServiceKind(StrEnum):
    """How a secret is written: by the template as it is, or ``user:secret`` in base64."""

    HEADER = "header"
    BASIC = "basic"


@dataclass(frozen=True, slots=True)
class Service:
    """``hosts`` are exact names or ``*.name``; ``methods`` and ``paths`` empty: any.

    ``groups`` None: for every agent group; else for the listed ones only.
    """

    name: str
    kind: ServiceKind
    hosts: tuple[str, ...]
    header: str
    template: str
    secret: str
    created_at: datetime
    updated_at: datetime
    updated_by: str
    ports: tuple[int, ...] = (HTTPS,)
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None


_SELECT = (
    "SELECT s.*, (SELECT json_group_array(host) FROM (SELECT host FROM service_hosts"
    " WHERE service = s.name ORDER BY host)) AS hosts, (SELECT json_group_array(agent_group_id)"
    " FROM (SELECT agent_group_id FROM service_groups WHERE service = s.name"
    " ORDER BY agent_group_id)) AS groups FROM services s"
    " WHERE s.name = coalesce(?, s.name) ORDER BY s.name"
)
"""One by its name, or all: there are few."""


def for_host(conn: sqlite3.Connection, agent_group_id: str, host: str, port: int) -> Service | None:
    """The service of a TLS destination for this group, ``host`` being in lower case.

    An exact name goes before ``*.name``, a longer one before a shorter, a service for listed groups
    before one for all; what is left is ordered by name, so that the answer never changes by itself.
    """
    name = one(
        conn,
        _name_of,
        "SELECT s.name FROM service_hosts h JOIN services s ON s.name = h.service"
        " WHERE h.host IN (SELECT value FROM json_each(?1))"
        " AND EXISTS (SELECT 1 FROM json_each(s.ports) WHERE value = ?2)"
        " AND (s.all_groups = 1 OR EXISTS (SELECT 1 FROM service_groups g"
        " WHERE g.service = s.name AND g.agent_group_id = ?3))"
        " ORDER BY h.host = ?4 DESC, length(h.host) DESC, s.all_groups, s.name LIMIT 1",
        (id_list(_patterns(host)), port, agent_group_id, host),
    )
    return None if name is None else get(conn, name)


def get(conn: sqlite3.Connection, name: str) -> Service | None:
    return one(conn, _service_of, _SELECT, (name,))


def list_all(conn: sqlite3.Connection) -> list[Service]:
    return many(conn, _service_of, _SELECT, (None,))


def put(conn: sqlite3.Connection, service: Service) -> None:
    """Makes or replaces it as a whole, inside the caller's transaction."""
    conn.execute(
        "INSERT INTO services (name, kind, ports, header, template, secret, methods, paths,"
        " all_groups, created_at, updated_at, updated_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
        " kind = excluded.kind, ports = excluded.ports, header = excluded.header,"
        " template = excluded.template, secret = excluded.secret, methods = excluded.methods,"
        " paths = excluded.paths, all_groups = excluded.all_groups,"
        " updated_at = excluded.updated_at, updated_by = excluded.updated_by",
        (
            service.name,
            service.kind,
            dump(list(service.ports)),
            service.header,
            service.template,
            service.secret,
            dump(list(service.methods)),
            dump(list(service.paths)),
            int(service.groups is None),
            to_text(service.created_at),
            to_text(service.updated_at),
            service.updated_by,
        ),
    )
    conn.execute("DELETE FROM service_hosts WHERE service = ?", (service.name,))
    conn.execute("DELETE FROM service_groups WHERE service = ?", (service.name,))
    conn.executemany(
        "INSERT OR IGNORE INTO service_hosts (host, service) VALUES (?, ?)",
        [(host, service.name) for host in service.hosts],
    )
    conn.executemany(
        "INSERT OR IGNORE INTO service_groups (service, agent_group_id) VALUES (?, ?)",
        [(service.name, group) for group in service.groups or ()],
    )


def remove(conn: sqlite3.Connection, name: str) -> bool:
    return bool(changed(conn, "DELETE FROM services WHERE name = ?", (name,)))


def _patterns(host: str) -> list[str]:
    """Every form in which a service may name this host."""
    labels = host.split(".")
    return [host, *("*." + ".".join(labels[start:]) for start in range(1, len(labels)))]


def _service_of(row: sqlite3.Row) -> Service:
    return Service(
        name=row["name"],
        kind=ServiceKind(row["kind"]),
        hosts=_texts(row["hosts"]),
        header=row["header"],
        template=row["template"],
        secret=row["secret"],
        created_at=time_of(row["created_at"]),
        updated_at=time_of(row["updated_at"]),
        updated_by=row["updated_by"],
        ports=tuple(int(port) for port in json.loads(row["ports"])),
        methods=_texts(row["methods"]),
        paths=_texts(row["paths"]),
        groups=None if row["all_groups"] else _texts(row["groups"]),
    )


def _name_of(row: sqlite3.Row) -> str:
    return str(row["name"])


def _texts(column: str) -> tuple[str, ...]:
    return tuple(str(item) for item in json.loads(column))
