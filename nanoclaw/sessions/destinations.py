"""What an agent may reach, as its running sessions see it: the projection in ``inbound.db``.

``materialize`` writes it at each start; whoever changes destinations while agents run asks for a
refresh in the same transaction (``request_refresh``), which the delivery process carries out
(H-30, H-50, H-51). A session that no container works for learns of a change at its next start.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from datetime import datetime

from contract.address import AGENT_CHANNEL, NOWHERE, Address, Destination, DestinationType
from contract.errors import SessionFileBusy, SessionFileMissing
from contract.inbound.writer import InboundWriter, open_inbound
from contract.jsontext import dump
from contract.killpoint import reached
from nanoclaw.db import agent_groups, destinations, effects, messaging_groups, sessions
from nanoclaw.db.effects import NewEffect
from nanoclaw.model import DestinationRow, Session, TargetType
from nanoclaw.paths import HostPaths
from nanoclaw.policy.binding import payload_hash
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.notice import chat_of

REFRESH = "refresh_destinations"
"""Kind of the effect; ``agents.refresh`` carries it out."""


def request_refresh(
    conn: sqlite3.Connection, agent_group_ids: Iterable[str], cause: str, now: datetime
) -> None:
    """Inside the transaction that changed the destinations; ring DELIVERY afterwards.

    ``cause`` is the id of what changed them, so that a repeated step asks once.
    """
    for agent_group_id in sorted(set(agent_group_ids)):
        payload = dump({"agentGroupId": agent_group_id})
        effects.record(
            conn,
            NewEffect(
                effect_id=f"refresh/{agent_group_id}/{cause}",
                kind=REFRESH,
                requested_by="host",
                payload=payload,
                payload_hash=payload_hash(payload),
                created_at=now,
                agent_group_id=agent_group_id,
            ),
        )


def refresh(conn: sqlite3.Connection, paths: HostPaths, agent_group_id: str) -> int:
    """Rewrites the projection of every session that a container works for; how many.

    Not inside a transaction of the central database. Goes on after a busy file and raises
    SessionFileBusy at the end, so that the caller tries the whole step again.
    """
    targets = tuple(destinations_of(conn, agent_group_id))
    done = 0
    busy: SessionFileBusy | None = None
    for session in sessions.active_of_group(conn, agent_group_id):
        if not (session.is_running or session.lease_owner):
            continue
        folder = SessionFolder.of(paths, agent_group_id, session.id)
        try:
            with open_inbound(folder.inbound_db) as writer:
                project(writer, targets, own_address(conn, session, targets, writer))
            done += 1
        except SessionFileMissing:
            continue
        except SessionFileBusy as error:
            busy = error
    reached("host.destinations_refreshed")
    if busy is not None:
        raise busy
    return done


def project(writer: InboundWriter, targets: Iterable[Destination], own: Address) -> None:
    """Both projections at once."""
    writer.replace_destinations(tuple(targets))
    writer.set_session_routing(own)


def own_address(
    conn: sqlite3.Connection,
    session: Session,
    targets: Iterable[Destination],
    writer: InboundWriter,
) -> Address:
    """Where the session's answers go by default (H-49).

    One without a chat talks to other agents: the default is whoever wrote last, else the agent
    that it has known longest, else the chat it has known longest (H-246).
    """
    chat = chat_of(conn, session)
    if not chat.is_empty or session.messaging_group_id is not None:
        return chat
    known = tuple(targets)
    peers = [target for target in known if target.type is DestinationType.AGENT]
    heard = [
        (row.seq, peer)
        for peer in peers
        if (row := writer.find_newest_from_agent(peer.agent_group_id or "")) is not None
    ]
    if heard:
        return max(heard, key=lambda found: found[0])[1].address
    first = next(iter((*peers, *known)), None)
    return NOWHERE if first is None else first.address


def answers_to(agent_group_id: str) -> Address:
    """The address of another agent."""
    return Address(AGENT_CHANNEL, agent_group_id)


def destinations_of(conn: sqlite3.Connection, agent_group_id: str) -> Iterator[Destination]:
    """The agent's permitted targets, oldest first; those whose target is gone are left out."""
    for row in destinations.of_agent_group(conn, agent_group_id):
        destination = _destination(conn, row)
        if destination is not None:
            yield destination


def _destination(conn: sqlite3.Connection, row: DestinationRow) -> Destination | None:
    if row.target_type is TargetType.AGENT:
        group = agent_groups.get(conn, row.target_id)
        if group is None:
            return None
        return Destination(
            row.local_name, group.name, DestinationType.AGENT, agent_group_id=group.id
        )
    chat = messaging_groups.get(conn, row.target_id)
    if chat is None:
        return None
    return Destination(
        row.local_name,
        chat.name or row.local_name,
        DestinationType.CHANNEL,
        channel_type=chat.channel_type,
        platform_id=chat.platform_id,
    )
