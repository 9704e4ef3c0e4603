"""Reads what the routing decision rests on from the central database.

Called by ``routing.apply`` inside its transaction, so that the decision and its effects see the
same rows. Reads only; nothing is cached across events, because setup and administration write
the same tables at any time (H-10).
"""

import sqlite3

from nanoclaw.db import agent_groups, messaging_groups
from nanoclaw.events import InboundEvent
from nanoclaw.routing.decide import RoutingFacts, WiredAgent


def read_facts(
    conn: sqlite3.Connection, instance: str, event: InboundEvent, *, supports_threads: bool
) -> RoutingFacts:
    """``instance`` names the channel worker; operator transports may name another chat (H-269)."""
    channel_type = event.channel_type or instance
    found = messaging_groups.get_by_address(conn, channel_type, event.platform_id)
    agents: list[WiredAgent] = []
    for wiring in found.wirings if found else ():
        agent_group = agent_groups.get(conn, wiring.agent_group_id)
        if agent_group is not None:
            agents.append(WiredAgent(wiring, agent_group))
    return RoutingFacts(
        event=event,
        channel_type=channel_type,
        supports_threads=supports_threads,
        messaging_group=found.group if found else None,
        agents=tuple(agents),
    )
