"""Reads what the routing decision rests on from the central database.

Called by ``routing.apply`` inside its transaction, so that the decision and its effects see the
same rows. Reads only; nothing is cached across events, because setup and administration write
the same tables at any time (H-10). A chat that nobody listens in costs one look-up.
"""

import sqlite3
from datetime import datetime

from nanoclaw.db import agent_groups, engagements, messaging_groups
from nanoclaw.model import EngageMode, WiredChat, Wiring
from nanoclaw.permissions.access import Standing
from nanoclaw.permissions.rights import read_standing
from nanoclaw.routing.arrival import Arrival
from nanoclaw.routing.decide import RoutingFacts, WiredAgent


def read_facts(
    conn: sqlite3.Connection, arrival: Arrival, now: datetime, *, bot_messages: int = 0
) -> RoutingFacts:
    """``bot_messages``: see ``bots.BotMeter``."""
    event = arrival.event
    found = messaging_groups.get_by_address(conn, arrival.channel_type, event.platform_id)
    wirings = () if found is None else _concerned(found, arrival)
    if wirings:
        standing = read_standing(conn, arrival.user_id, is_operator=arrival.is_operator)
    else:
        standing = Standing(arrival.user_id, is_operator=arrival.is_operator)
    return RoutingFacts(
        event=event,
        kind=arrival.channel_kind,
        channel_type=arrival.channel_type,
        supports_threads=arrival.supports_threads,
        messaging_group=found.group if found else None,
        agents=_agents(conn, arrival, wirings, now),
        standing=standing,
        bot_messages=bot_messages,
    )


def _concerned(found: WiredChat, arrival: Arrival) -> tuple[Wiring, ...]:
    if arrival.only_for is None:
        return found.wirings
    return tuple(w for w in found.wirings if w.agent_group_id in arrival.only_for)


def _agents(
    conn: sqlite3.Connection, arrival: Arrival, wirings: tuple[Wiring, ...], now: datetime
) -> tuple[WiredAgent, ...]:
    """Wirings whose agent group is gone are left out (H-71)."""
    in_talk: frozenset[str] = frozenset()
    if any(wiring.engage_mode is EngageMode.MENTION_STICKY for wiring in wirings):
        in_talk = engagements.engaged_agents(
            conn, wirings[0].messaging_group_id, arrival.thread_id, now
        )
    agents: list[WiredAgent] = []
    for wiring in wirings:
        group = agent_groups.get(conn, wiring.agent_group_id)
        if group is not None:
            agents.append(WiredAgent(wiring, group, group.id in in_talk))
    return tuple(agents)
