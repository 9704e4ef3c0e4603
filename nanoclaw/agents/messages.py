"""Messages between agents: handler of the effect ``agent_message`` (H-241 to H-246).

Carried out in the delivery process. First the decision, with the session it goes to, is committed
as a row of ``agent_traffic``; then files and the inbound row are written under an id made from the
effect's. A crash in between finds the same decision again, and a row that is there stays one row.
What one agent says is foreign to the other: it arrives with the taint of everything that went into
it, under the sender's name and no other.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from contract.clock import to_text
from contract.content import MAX_OUTBOUND_BYTES
from contract.errors import BadContent, SessionFileMissing
from contract.ids import derived_id, new_id
from contract.inbound.row import InboundStatus, MessageKind, NewInbound
from contract.inbound.writer import open_inbound
from contract.jsontext import dump, parse_object
from contract.killpoint import reached
from nanoclaw.agents import files, words
from nanoclaw.agents.decide import (
    PAIR_WINDOW,
    Brake,
    Limit,
    Link,
    Pass,
    PassageFacts,
    Refuse,
    ReturnPath,
    StillBraked,
    decide_passage,
    next_link,
    origin_of,
    taint_on_arrival,
)
from nanoclaw.agents.tell import session_of, tell, tell_sometimes
from nanoclaw.approvals.owner_notice import queue_owner_notice
from nanoclaw.audit import AuditEntry
from nanoclaw.audit import record as audit
from nanoclaw.bell import DELIVERY, SWEEP, ring
from nanoclaw.db import agent_groups, agent_traffic, destinations, sessions
from nanoclaw.db.agent_traffic import Brake as BrakeRow
from nanoclaw.db.agent_traffic import Pair
from nanoclaw.db.agent_traffic import Passage as PassageRow
from nanoclaw.db.connection import transaction
from nanoclaw.db.effects import Effect
from nanoclaw.effects.base import Done, EffectContext, Failed, HandlerResult
from nanoclaw.effects.request import AgentRequest, parse_request
from nanoclaw.model import NewSession, Session, SessionMode, SessionStatus
from nanoclaw.sessions.decide import SessionKey
from nanoclaw.sessions.destinations import answers_to
from nanoclaw.sessions.folder import SessionFolder

KIND = "agent_message"
KEPT = timedelta(days=7)
FORGOTTEN_AT_ONCE = 20
"""A little more than comes in, so that the table stays as large as a week."""
_IDENTITY = ("senderName", "author", "isFromMe", "attachments", "replyTo")
"""Keys by which content could claim to be somebody else's, or to bring files that it does not."""


@dataclass(frozen=True, slots=True)
class _Message:
    """One message on its way."""

    effect: Effect
    request: AgentRequest
    sender: Session
    target_id: str

    @property
    def arrives_as(self) -> str:
        return derived_id("a2a", self.effect.created_at, self.effect.effect_id)

    @property
    def pair(self) -> Pair:
        return Pair.of(self.sender.agent_group_id, self.target_id)


def pass_on(context: EffectContext, effect: Effect) -> HandlerResult:
    """The handler. Raises SessionFileBusy, OSError and BadContent, as handlers may."""
    sender = session_of(context, effect)
    if sender is None:
        return Failed("the session that wrote it is gone")
    request = parse_request(effect.payload)
    message = _Message(effect, request, sender, request.address.platform_id or "")
    content = _content_of(request)
    if isinstance(content, str):
        tell(context, effect, sender, content)
        return Failed(content)
    passage = agent_traffic.get(context.conn, effect.effect_id)
    if passage is None:
        decided = _decide(context, message)
        if isinstance(decided, Failed):
            return decided
        passage = decided
    if passage.refused is not None:
        _tell_refused(context, message, passage)
        return Failed(f"refused: {passage.refused}")
    return _deliver(context, message, passage, content)


# --- the decision ---------------------------------------------------------------------------------


def _decide(context: EffectContext, message: _Message) -> PassageRow | Failed:
    """Committed before anything is written."""
    conn, sender = context.conn, message.sender
    path = _return_path(context, message)
    request = message.request
    link = next_link(request.chain_id, request.hop, path.answered, message.arrives_as)
    with transaction(conn):
        brake = agent_traffic.get_brake(conn, message.pair)
        facts = PassageFacts(
            now=context.now,
            target_id=message.target_id,
            target_exists=agent_groups.get(conn, message.target_id) is not None,
            is_self=message.target_id == sender.agent_group_id,
            has_destination=destinations.has_agent(conn, sender.agent_group_id, message.target_id),
            hop=link.hop,
            recent=agent_traffic.count_since(conn, message.pair, context.now - PAIR_WINDOW),
            tried_at=brake.tried_at if brake is not None else None,
        )
        decision = decide_passage(facts)
        match decision:
            case Refuse(reason):
                refusal = reason
            case Pass(opens):
                if opens:
                    agent_traffic.release_brake(conn, message.pair)
                return _record(context, message, link, target=_target(context, message, path))
            case Brake(limit):
                _brake(context, message, limit)
                return _record(context, message, link, refused=limit)
            case StillBraked():
                agent_traffic.note_try(conn, message.pair, context.now)
                return _record(context, message, link, refused=Limit.BRAKED)
            case _:
                assert_never(decision)
    occasion = f"{refusal.value}/{message.target_id[:100]}"
    tell_sometimes(context, message.effect, sender, words.REFUSALS[refusal], occasion)
    return Failed(refusal.value)


def _record(
    context: EffectContext,
    message: _Message,
    link: Link,
    *,
    target: Session | None = None,
    refused: Limit | None = None,
) -> PassageRow:
    passage = PassageRow(
        effect_id=message.effect.effect_id,
        pair=message.pair,
        sender_id=message.sender.agent_group_id,
        chain_id=link.chain_id,
        hop=link.hop,
        target_session_id=target.id if target is not None else None,
        refused=refused.value if refused is not None else None,
        at=context.now,
    )
    agent_traffic.record(context.conn, passage)
    agent_traffic.forget_before(context.conn, context.now - KEPT, FORGOTTEN_AT_ONCE)
    return passage


def _brake(context: EffectContext, message: _Message, limit: Limit) -> None:
    """One notice to the owner; the agent is told by ``_tell_refused``."""
    conn, now, pair = context.conn, context.now, message.pair
    agent_traffic.put_brake(conn, BrakeRow(pair, limit.value, now, now))
    names = [_name(context, message.sender.agent_group_id), _name(context, message.target_id)]
    occasion = f"agents/{pair.first_id}/{pair.second_id}/{to_text(now)}"
    queue_owner_notice(conn, occasion, words.storm(limit, *names), now)
    entry = AuditEntry(
        kind="agents.braked",
        actor="host",
        subject=f"{pair.first_id} {pair.second_id}",
        detail={"limit": limit.value, "sender": message.sender.agent_group_id},
        agent_group_id=message.sender.agent_group_id,
        session_id=message.sender.id,
    )
    audit(conn, entry, now)


def _tell_refused(context: EffectContext, message: _Message, passage: PassageRow) -> None:
    """The one that ran into the limit is told; later attempts in the same storm are not."""
    if passage.refused == Limit.BRAKED:
        return
    text = words.braked(Limit(passage.refused or ""), _name(context, message.target_id))
    tell(context, message.effect, message.sender, text)
    ring(context.paths, DELIVERY)


def _name(context: EffectContext, agent_group_id: str) -> str:
    group = agent_groups.get(context.conn, agent_group_id)
    return group.name if group is not None else agent_group_id


# --- where it goes --------------------------------------------------------------------------------


def _return_path(context: EffectContext, message: _Message) -> ReturnPath:
    """From the sender's own inbox, which it cannot write."""
    sender = message.sender
    folder = SessionFolder.of(context.paths, sender.agent_group_id, sender.id)
    answers = message.request.in_reply_to
    try:
        with open_inbound(folder.inbound_db) as writer:
            return ReturnPath(
                answered=writer.find(answers) if answers else None,
                newest=writer.find_newest_from_agent(message.target_id),
            )
    except SessionFileMissing:
        return ReturnPath(None, None)


def _target(context: EffectContext, message: _Message, path: ReturnPath) -> Session:
    """Back to where the answered message came from, else the agent's own session (H-242)."""
    origin = origin_of(path)
    session = sessions.get(context.conn, origin) if origin else None
    if (
        session is not None
        and session.agent_group_id == message.target_id
        and session.status is SessionStatus.ACTIVE
    ):
        return session
    key = SessionKey(SessionMode.AGENT_SHARED, message.target_id, None, None).text
    active = sessions.find_active(context.conn, key)
    if active is not None:
        return active
    closed = sessions.find_closed(context.conn, key)
    if closed is not None and sessions.reopen(context.conn, closed.id):
        return closed
    return sessions.create(
        context.conn,
        NewSession(
            id=new_id("sess"),
            agent_group_id=message.target_id,
            messaging_group_id=None,
            thread_id=None,
            mode=SessionMode.AGENT_SHARED,
            session_key=key,
            created_at=context.now,
        ),
    )


# --- delivery -------------------------------------------------------------------------------------


def _content_of(request: AgentRequest) -> dict[str, object] | str:
    """The message as an object, or why it cannot go to an agent."""
    try:
        content = parse_object(request.content, max_bytes=MAX_OUTBOUND_BYTES)
    except BadContent as error:
        return f"Your message to an agent was not delivered: {error}."
    operation = content.get("operation")
    if operation in ("edit", "reaction"):
        return words.not_for_agents(str(operation))
    return content


def _deliver(
    context: EffectContext, message: _Message, passage: PassageRow, content: dict[str, object]
) -> HandlerResult:
    target = sessions.get(context.conn, passage.target_session_id or "")
    if target is None:
        return Failed("the session that it was for is gone")
    folder = SessionFolder.of(context.paths, target.agent_group_id, target.id)
    folder.create()
    order = files.FileOrder(message.sender, folder, message.request.id, message.arrives_as)
    brought = files.bring(context.paths, order, content.get("files"))
    if brought.more:
        return files.GO_ON
    reached("host.agent_files_copied")
    arriving = _arriving(context, message, content, brought)
    if _write(context, message, _Arrival(target, folder, passage, arriving)):
        sessions.mark_due(context.conn, target.id, context.now)
        ring(context.paths, SWEEP)
    reached("host.agent_message_marked")
    if brought.problems:
        text = words.files_left_out(_name(context, message.target_id), list(brought.problems))
        tell(context, message.effect, message.sender, text)
    files.clear(context.paths, order)
    return Done(f"{message.arrives_as} in {target.id}")


@dataclass(frozen=True, slots=True)
class _Arrival:
    """Where the message is written, and what."""

    target: Session
    folder: SessionFolder
    passage: PassageRow
    content: dict[str, object]


def _write(context: EffectContext, message: _Message, arrival: _Arrival) -> bool:
    """Whether the row waits for the agent: it may have been taken before a repeated step."""
    peer_id, target = message.sender.agent_group_id, arrival.target
    row = NewInbound(
        id=message.arrives_as,
        kind=MessageKind.CHAT,
        timestamp=message.effect.created_at,
        content=dump(arrival.content),
        address=answers_to(peer_id),
        source_session_id=message.sender.id,
        taint=taint_on_arrival(message.request.taint, files="attachments" in arrival.content),
        chain_id=arrival.passage.chain_id,
        hop=arrival.passage.hop,
    )
    may_answer = destinations.has_agent(context.conn, target.agent_group_id, peer_id)
    with open_inbound(arrival.folder.inbound_db) as writer:
        is_new = writer.insert_message(row) is not None
        if is_new and may_answer and target.messaging_group_id is None:
            writer.set_session_routing(row.address)  # H-246: whoever wrote last is answered
        written = writer.find(row.id)
    reached("host.agent_message_written")
    return written is not None and written.status is InboundStatus.PENDING


def _arriving(
    context: EffectContext, message: _Message, content: dict[str, object], brought: files.Brought
) -> dict[str, object]:
    """Unchanged but for files and for who says it, which is ours to say (W-5)."""
    kept = {key: value for key, value in content.items() if key not in _IDENTITY}
    kept["sender"] = _name(context, message.sender.agent_group_id)
    kept["senderId"] = f"agent:{message.sender.agent_group_id}"
    if brought.attachments:
        kept["attachments"] = list(brought.attachments)
    return kept
