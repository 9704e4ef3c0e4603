"""Approvals: an agent, or a rule, wants something that a person has to allow (H-222 to H-227).

``request`` writes the pending row, ``desk`` brings its card to somebody entitled, ``answer`` takes
the decision and records the effect that carries it out. What is approved is bound by its hash to
what was shown; every step stands in the audit with that hash. Exactly one decision counts.
"""

import hashlib
import logging
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from contract.content import Option
from contract.ids import derived_id
from contract.jsontext import dump
from nanoclaw import audit
from nanoclaw.approvals.cards import shown
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.closed import name_of
from nanoclaw.approvals.closing import MAX_NAME, close_card, outcome_text
from nanoclaw.approvals.entitlement import is_entitled
from nanoclaw.approvals.options import choose, dump_options, option, parse_options
from nanoclaw.audit import AuditEntry
from nanoclaw.db import approvals, effects
from nanoclaw.db.approvals import Approval, ApprovalStatus
from nanoclaw.db.effects import NewEffect
from nanoclaw.events import ActionOutcome, ActionResult
from nanoclaw.model import Session
from nanoclaw.policy.binding import payload_hash

EXPIRES_AFTER = timedelta(hours=24)
EXPIRED_PER_TRANSACTION = 50
MAX_PENDING_PER_AGENT = 20
"""An agent that asks for more is answered with a refusal, and nobody is bothered."""
MAX_TITLE = 200
MAX_QUESTION = 16_000
PREFIX = "appr"
HOST = "host"

REJECTED = "approval_rejected"
EXPIRED = "approval_expired"
"""Kinds of the effects that tell the agent; see ``outcomes``."""

APPROVE = option("Approve", "Approved", "approve")
REJECT = option("Reject", "Rejected", "reject")
OPTIONS = (APPROVE, REJECT)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewRequest:
    """``request_id`` makes the approval's id: requesting twice is one request.

    ``action`` is also the kind of the effect that is recorded on approval, with ``payload``
    (compact JSON) as its payload. ``title`` and ``question`` are what the approver sees; secrets
    in them are masked by whoever requests (``cards``).
    """

    request_id: str
    action: str
    payload: str
    title: str
    question: str
    session: Session | None
    agent_group_id: str
    requested_by: str


def request(conn: sqlite3.Connection, new: NewRequest, now: datetime) -> str:
    """Inside the caller's transaction; returns the approval's id. Ring DELIVERY afterwards.

    That nobody can be asked is found out by the desk, which then tells the agent and rejects.
    """
    known = approvals.find_request(conn, new.request_id)
    if known is not None:
        return known.approval_id
    too_many = approvals.count_pending(conn, new.agent_group_id) >= MAX_PENDING_PER_AGENT
    approval = Approval(
        approval_id=derived_id(PREFIX, now, new.request_id),
        request_id=new.request_id,
        action=new.action,
        payload=new.payload,
        created_at=now,
        session_id=new.session.id if new.session is not None else None,
        agent_group_id=new.agent_group_id,
        expires_at=now + EXPIRES_AFTER,
        title=shown(new.title, MAX_TITLE),
        question=_bounded(new.question),
        options_json=dump_options(OPTIONS),
        payload_hash=payload_hash(new.payload),
        requested_by=new.requested_by,
    )
    approvals.insert(conn, approval)
    _record(conn, "approval.requested", approval, (new.requested_by, now), shown=_seen(approval))
    if too_many:
        reason = f"{MAX_PENDING_PER_AGENT} requests of this agent are waiting already"
        _refuse(conn, approval, reason, now)
    return approval.approval_id


def cancel(conn: sqlite3.Connection, approval_id: str, by: str, now: datetime) -> bool:
    """Takes a request back before anybody decided; its cards are shown as closed."""
    approval = approvals.get(conn, approval_id)
    if approval is None or not approvals.decide(
        conn, approval_id, ApprovalStatus.CANCELLED, by, now
    ):
        return False
    _record(conn, "approval.cancelled", approval, (by, now))
    close_card(conn, approval_id, f"{approval.title}: withdrawn", now)
    return True


def answer(conn: sqlite3.Connection, click: Click, now: datetime) -> ActionResult | None:
    """See ``clicks.Answerer``."""
    approval = approvals.get(conn, click.card_id)
    if approval is None or approval.action == approvals.CREDENTIAL_ACTION:
        return None
    if not is_entitled(conn, click.user_id, approval.agent_group_id):
        log.warning(
            "click without right to decide",
            extra={"channel": click.instance, "reason": f"{click.user_id} on {click.card_id}"},
        )
        return ActionResult(ActionOutcome.NOT_ALLOWED, approval.title)
    if approval.status is not ApprovalStatus.PENDING:
        return _ended(conn, approval)
    if approval.payload_hash is None or (approval.expires_at or now) <= now:
        return _expire_now(conn, approval, now)
    chosen = choose(parse_options(approval.options_json), click.value)
    if chosen is None:
        log.warning("card has no such option", extra={"reason": f"{click.card_id} {click.value!r}"})
        return ActionResult(ActionOutcome.UNKNOWN, approval.title)
    if payload_hash(approval.payload) != approval.payload_hash:
        # Somebody has changed the row: what would run is not what was shown.
        log.error("approval was altered", extra={"reason": click.card_id})
        _refuse(conn, approval, "the stored request is not the one that was shown", now)
        return ActionResult(ActionOutcome.EXPIRED, approval.title)
    return _decide(conn, approval, chosen, click, now)


def nobody_reachable(
    conn: sqlite3.Connection, approval_id: str, reason: str, now: datetime
) -> None:
    """The desk's last word: nobody could be asked."""
    approval = approvals.get(conn, approval_id)
    if approval is not None:
        _refuse(conn, approval, reason, now)


def expire_unbound(conn: sqlite3.Connection, now: datetime) -> None:
    """At start: what the earlier program asked for is bound to nothing, so it ends (H-230)."""
    if approvals.let_unbound_expire(conn, now):
        expire(conn, now)


def expire(conn: sqlite3.Connection, now: datetime) -> None:
    """Some of what is too old; the rest at the next call (H-227)."""
    for approval in approvals.expire(conn, now, EXPIRED_PER_TRANSACTION):
        _tell_expired(conn, approval, now)


def _decide(
    conn: sqlite3.Connection, approval: Approval, chosen: Option, click: Click, now: datetime
) -> ActionResult:
    approved = chosen.value == APPROVE.value
    status = ApprovalStatus.APPROVED if approved else ApprovalStatus.REJECTED
    approvals.decide(conn, approval.approval_id, status, click.user_id, now)
    raw_name = name_of(conn, click.user_id)
    who = shown(raw_name, MAX_NAME)
    if approved:
        _carry_out(conn, approval, now)
    else:
        _tell(conn, approval, REJECTED, f"{who} said no", now)
    _record(conn, "approval.decided", approval, (click.user_id, now), decision=status.value)
    text = outcome_text(approval.title, chosen.selected_label, raw_name, now)
    close_card(conn, approval.approval_id, text, now, click)
    log.info(
        "approval decided",
        extra={"session": approval.session_id, "reason": f"{approval.approval_id} {status.value}"},
    )
    return ActionResult(ActionOutcome.ACCEPTED, approval.title, chosen.selected_label, who)


def _carry_out(conn: sqlite3.Connection, approval: Approval, now: datetime) -> None:
    """Exactly what was shown, with the hash that it was shown under."""
    effects.record(
        conn,
        NewEffect(
            effect_id=f"approval/{approval.approval_id}",
            kind=approval.action,
            requested_by=approval.requested_by,
            payload=approval.payload,
            payload_hash=approval.payload_hash or "",
            created_at=now,
            session_id=approval.session_id,
            agent_group_id=approval.agent_group_id,
            approval_id=approval.approval_id,
        ),
    )


def _tell(
    conn: sqlite3.Connection, approval: Approval, kind: str, reason: str, now: datetime
) -> None:
    """An effect of ours, for ``outcomes``."""
    payload = dump({"approval_id": approval.approval_id, "reason": reason})
    effects.record(
        conn,
        NewEffect(
            effect_id=f"approval/{approval.approval_id}",
            kind=kind,
            requested_by=HOST,
            payload=payload,
            payload_hash=payload_hash(payload),
            created_at=now,
            session_id=approval.session_id,
            agent_group_id=approval.agent_group_id,
            approval_id=approval.approval_id,
        ),
    )


def _refuse(conn: sqlite3.Connection, approval: Approval, reason: str, now: datetime) -> None:
    if not approvals.decide(conn, approval.approval_id, ApprovalStatus.REJECTED, HOST, now):
        return
    _tell(conn, approval, REJECTED, reason, now)
    _record(
        conn, "approval.decided", approval, (HOST, now),
        decision=ApprovalStatus.REJECTED.value, reason=reason,
    )  # fmt: skip
    close_card(conn, approval.approval_id, f"{approval.title}: closed, {reason}", now)
    log.warning(
        "approval refused by the host",
        extra={"session": approval.session_id, "reason": f"{approval.approval_id}: {reason}"},
    )


def _expire_now(conn: sqlite3.Connection, approval: Approval, now: datetime) -> ActionResult:
    """A click came before the desk's timer, or the row is one that nobody can be shown."""
    if approvals.decide(conn, approval.approval_id, ApprovalStatus.EXPIRED, HOST, now):
        _tell_expired(conn, approval, now)
    return ActionResult(ActionOutcome.EXPIRED, approval.title)


def _tell_expired(conn: sqlite3.Connection, approval: Approval, now: datetime) -> None:
    _tell(conn, approval, EXPIRED, "nobody answered in time", now)
    _record(conn, "approval.expired", approval, (HOST, now))
    close_card(conn, approval.approval_id, f"{approval.title}: expired, nobody answered", now)


def _ended(conn: sqlite3.Connection, approval: Approval) -> ActionResult:
    """What a click on a closed card is told."""
    if approval.status not in (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED):
        return ActionResult(ActionOutcome.EXPIRED, approval.title)
    label = (APPROVE if approval.status is ApprovalStatus.APPROVED else REJECT).selected_label
    who = "" if approval.decided_by == HOST else name_of(conn, approval.decided_by or "")
    return ActionResult(ActionOutcome.ALREADY_ANSWERED, approval.title, label, shown(who, MAX_NAME))


def _bounded(question: str) -> str:
    """Nobody approves what they were not shown without being told that there is more."""
    left = len(question) - MAX_QUESTION
    if left <= 0:
        return question
    return f"{question[:MAX_QUESTION]}\n… (+{left} characters). Reject if in doubt."


def _seen(approval: Approval) -> str:
    """Hash of the text that the person is shown."""
    return hashlib.sha256(f"{approval.title}\n{approval.question}".encode()).hexdigest()


def _record(
    conn: sqlite3.Connection, kind: str, approval: Approval, by: tuple[str, datetime],
    **more: str,
) -> None:  # fmt: skip
    actor, now = by
    detail = {"action": approval.action, "payload_hash": approval.payload_hash or "", **more}
    entry = AuditEntry(
        kind=kind,
        actor=actor,
        subject=approval.approval_id,
        detail=detail,
        agent_group_id=approval.agent_group_id,
        session_id=approval.session_id,
    )
    audit.record(conn, entry, now)
