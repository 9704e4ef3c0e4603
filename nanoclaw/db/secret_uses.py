"""Statements that tell who uses a secret by its name: agents, and services.

Read by ``nanoclaw secrets``; writes nothing.
"""

import sqlite3


def of_agents(conn: sqlite3.Connection) -> list[tuple[str, str]]:
    """Secret and name of the agent whose model requests it pays for."""
    rows = conn.execute(
        "SELECT c.credential, g.name FROM container_configs c"
        " JOIN agent_groups g ON g.id = c.agent_group_id"
        " WHERE c.credential IS NOT NULL AND c.credential <> '' ORDER BY g.name"
    )
    return [(row[0], row[1]) for row in rows]


def of_services(conn: sqlite3.Connection) -> list[tuple[str, str]]:
    """Secret and name of the service."""
    rows = conn.execute("SELECT secret, name FROM services ORDER BY name")
    return [(row[0], row[1]) for row in rows]
