"""Requests of a credential gateway: a person allows each use of a credential (H-233 to H-237).

The vault asks, waits for the row's status, answers the gateway and removes the row; the desk brings
the card, and ``answer`` takes the click. Whoever is in doubt denies: nobody to ask, nobody
reachable, too many at once, too late. What is shown is cut and harmless, headers never are.
"""

import logging
import secrets
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from contract.content import EditOut, dump
from contract.ids import derived_id
from contract.jsontext import dump as dump_json
from nanoclaw.approvals import closed, closing
from nanoclaw.approvals.card_sources import CardToSend
from nanoclaw.approvals.cards import body, code, without_secrets
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.closed import OpenCard
from nanoclaw.approvals.credential_use import CredentialUse
from nanoclaw.approvals.decide import CLOSING_GIVEN_UP_AFTER
from nanoclaw.approvals.entitlement import is_entitled, read_approvers
from nanoclaw.approvals.options import choose, dump_options, parse_options
from nanoclaw.approvals.requests import APPROVE, HOST, OPTIONS
from nanoclaw.audit import AuditEntry, record
from nanoclaw.db import agent_groups, approvals, deliveries, gateway
from nanoclaw.db.approvals import CREDENTIAL_ACTION, Approval, ApprovalStatus
from nanoclaw.events import ActionOutcome, ActionResult
from nanoclaw.model import DeliverySource, NewDelivery
from nanoclaw.policy.binding import payload_hash

TITLE: Final = "Use of a credential"
PREFIX: Final = "oa-"
"""With eight characters: some platforms allow 64 bytes on a button (H-237)."""
MAX_PENDING_PER_AGENT = 5
"""An agent that asks for more is denied, and nobody is bothered."""
EXPIRED_PER_TRANSACTION = 50
MAX_NAME, MAX_METHOD, MAX_PATH = 100, 20, 300
MAX_PREVIEW_LINES, MAX_PREVIEW_LINE = 10, 200
MAX_PREVIEW = 1000

RESTARTED: Final = "expired, the host was restarted"
TOO_LATE: Final = "expired, nobody answered in time"

log = logging.getLogger(__name__)


def ask(conn: sqlite3.Connection, use: CredentialUse, now: datetime) -> str | None:
    """Inside the vault's transaction; the card's id. Ring DELIVERY afterwards. None: denied."""
    group = agent_groups.get(conn, use.agent_group_id) if use.agent_group_id else None
    group_id = group.id if group is not None else None
    approvers = read_approvers(conn, group_id)
    if not approvers:
        _denied(use, "there is nobody who may decide")
        return None
    if gateway.count_pending(conn, group_id) >= MAX_PENDING_PER_AGENT:
        _denied(use, f"{MAX_PENDING_PER_AGENT} requests of this agent are waiting already")
        return None
    payload = _payload(use, approvers[0])
    approval = Approval(
        approval_id=PREFIX + secrets.token_hex(4),
        request_id=use.request_id,
        action=CREDENTIAL_ACTION,
        payload=payload,
        created_at=now,
        agent_group_id=group_id,
        expires_at=use.expires_at,
        title=TITLE,
        question=_question(use, group.name if group is not None else None),
        options_json=dump_options(OPTIONS),
        payload_hash=payload_hash(payload),
        requested_by=f"agent:{group_id}" if group_id else HOST,
    )
    if not approvals.insert(conn, approval):
        _denied(use, "a request of this id is stored already")
        return None
    _audit(conn, approval, ("credential.requested", approval.requested_by), now)
    return approval.approval_id


def answer(conn: sqlite3.Connection, click: Click, now: datetime) -> ActionResult | None:
    """See ``clicks.Answerer``. The vault sees the row's status and tells the gateway."""
    approval = _find(conn, click.card_id)
    if approval is None or approval.status is not ApprovalStatus.PENDING:
        return None  # ``closed`` knows what became of it
    card = OpenCard(approval.approval_id, approval.title)
    if not is_entitled(conn, click.user_id, approval.agent_group_id):
        log.warning(
            "click without right to decide",
            extra={"channel": click.instance, "reason": f"{click.user_id} on {click.card_id}"},
        )
        return closed.not_allowed(card)
    if approval.payload_hash is None or closing.is_over(approval.expires_at, now):
        return _end(conn, approval, TOO_LATE, now)
    if payload_hash(approval.payload) != approval.payload_hash:
        log.error("approval was altered", extra={"reason": click.card_id})
        return _end(conn, approval, "closed, the stored request is not the one shown", now)
    chosen = choose(parse_options(approval.options_json), click.value)
    if chosen is None:
        return ActionResult(ActionOutcome.UNKNOWN, approval.title)
    approved = chosen.value == APPROVE.value
    status = ApprovalStatus.APPROVED if approved else ApprovalStatus.REJECTED
    approvals.decide(conn, approval.approval_id, status, click.user_id, now)
    _audit(conn, approval, ("credential.decided", click.user_id), now, decision=status.value)
    return closing.decide(conn, card, chosen, click, now)


def end_late(conn: sqlite3.Connection, card_id: str, now: datetime) -> ApprovalStatus:
    """What it came to, now that the time is over: a click may have been a moment earlier."""
    approval = _find(conn, card_id)
    if approval is None:
        return ApprovalStatus.EXPIRED
    if approval.status is ApprovalStatus.PENDING:
        _end(conn, approval, TOO_LATE, now)
        return ApprovalStatus.EXPIRED
    return approval.status


def end_open(conn: sqlite3.Connection, now: datetime) -> list[Approval]:
    """At the vault's start (H-230): nobody waits for what an earlier one asked, so its cards end.

    Returns those that a person had decided meanwhile: the gateway has to be told still.
    """
    kept = []
    for approval in gateway.every(conn):
        if approval.status is ApprovalStatus.PENDING:
            _end(conn, approval, RESTARTED, now)
        elif approval.payload_hash is not None and approval.decided_by not in (None, HOST):
            kept.append(approval)
            continue
        gateway.remove(conn, approval.approval_id)
    return kept


class CredentialCards:
    """A ``card_sources.CardSource``."""

    name = "credential"

    def created(self, conn: sqlite3.Connection, limit: int) -> Sequence[CardToSend]:
        return [_card(approval) for approval in gateway.with_new_card(conn, limit)]

    def find(self, conn: sqlite3.Connection, card_id: str) -> CardToSend | None:
        approval = _find(conn, card_id)
        if approval is None or approval.status is not ApprovalStatus.PENDING:
            return None
        return _card(approval)

    def mark_sent(
        self, conn: sqlite3.Connection, card_id: str, user_id: str, now: datetime
    ) -> bool:
        return approvals.mark_sent(conn, card_id, user_id)

    def nobody_reachable(
        self, conn: sqlite3.Connection, card_id: str, reason: str, now: datetime
    ) -> None:
        approval = _find(conn, card_id)
        if approval is not None and approval.status is ApprovalStatus.PENDING:
            log.warning("a credential's card reached nobody", extra={"reason": reason})
            _end(conn, approval, f"closed, {reason}", now)

    def expire(self, conn: sqlite3.Connection, now: datetime) -> None:
        for approval in gateway.expired(conn, now, EXPIRED_PER_TRANSACTION):
            _end(conn, approval, TOO_LATE, now)

    def next_expiry(self, conn: sqlite3.Connection) -> datetime | None:
        return gateway.next_expiry(conn)


CARDS = CredentialCards()


def _find(conn: sqlite3.Connection, card_id: str) -> Approval | None:
    approval = approvals.get(conn, card_id)
    return approval if approval is not None and approval.action == CREDENTIAL_ACTION else None


def _end(conn: sqlite3.Connection, approval: Approval, why: str, now: datetime) -> ActionResult:
    """Over without a decision: expired in the row, on every card, and for late clicks."""
    approvals.decide(conn, approval.approval_id, ApprovalStatus.EXPIRED, HOST, now)
    _audit(conn, approval, ("credential.expired", HOST), now, reason=why)
    text = f"{approval.title}: {why}"
    closing.close_card(conn, approval.approval_id, text, now)
    if approval.payload_hash is None:
        _edit_card(conn, approval, text, now)
    return closed.expired(conn, OpenCard(approval.approval_id, approval.title), now)


def _edit_card(conn: sqlite3.Connection, approval: Approval, text: str, now: datetime) -> None:
    """The earlier program kept in the row itself where its card is."""
    if not (approval.channel_type and approval.platform_id and approval.platform_message_id):
        return
    edit_id = derived_id("oa-edit", approval.created_at, approval.approval_id)
    deliveries.queue(
        conn,
        NewDelivery(
            delivery_id=edit_id,
            message_out_id=edit_id,
            instance=approval.channel_type,
            platform_id=approval.platform_id,
            kind="chat",
            content=dump(EditOut(message_id=approval.platform_message_id, text=text)),
            source=DeliverySource.HOST,
            created_at=now,
            next_attempt_at=now,
            expires_at=now + CLOSING_GIVEN_UP_AFTER,
        ),
    )


def _card(approval: Approval) -> CardToSend:
    return CardToSend(
        card_id=approval.approval_id,
        title=approval.title,
        question=approval.question,
        options=parse_options(approval.options_json),
        expires_at=approval.expires_at or approval.created_at,
        agent_group_id=approval.agent_group_id,
    )


def _question(use: CredentialUse, known_name: str | None) -> str:
    name = code(known_name or use.agent_name or "without a name", MAX_NAME)
    who = f"The agent {name}" if known_name else f"An agent of another host, {name},"
    lines = [
        f"{who} wants to send a request with one of your credentials.",
        f"request: {code(use.method, MAX_METHOD)} {code(place_of(use), MAX_PATH)}",
    ]
    if use.body_preview:
        lines += ["it begins with:", *_preview(use.body_preview)]
    return body(lines)


def _preview(text: str) -> list[str]:
    """Each line in a code span, so that none is markup, a mention or a line of ours."""
    kept = text[:MAX_PREVIEW].split("\n")
    lines = [code(without_secrets(line), MAX_PREVIEW_LINE) for line in kept[:MAX_PREVIEW_LINES]]
    left = len(text) - len("\n".join(kept[:MAX_PREVIEW_LINES]))
    return [*lines, f"… (+{left} characters)"] if left > 0 else lines


def place_of(use: CredentialUse) -> str:
    return without_secrets(f"{use.host}{use.path}")


def _payload(use: CredentialUse, approver: str) -> str:
    return dump_json(
        {
            "oneCliRequestId": use.request_id,
            "method": use.method[:MAX_METHOD],
            "host": use.host,
            "path": without_secrets(use.path)[: 4 * MAX_PATH],
            "bodyPreview": use.body_preview and without_secrets(use.body_preview[:MAX_PREVIEW]),
            "agent": {"name": use.agent_name[:MAX_NAME], "externalId": use.agent_group_id},
            "approver": approver,
        }
    )


def _denied(use: CredentialUse, reason: str) -> None:
    log.warning(
        "credential denied",
        extra={"group": use.agent_group_id, "reason": f"{use.request_id}: {reason}"},
    )


def _audit(
    conn: sqlite3.Connection, approval: Approval, step: tuple[str, str], now: datetime, **more: str
) -> None:
    kind, actor = step
    detail = {
        "action": approval.action,
        "payload_hash": approval.payload_hash or "",
        "request": approval.request_id,
        **more,
    }
    entry = AuditEntry(
        kind, actor, approval.approval_id, detail, agent_group_id=approval.agent_group_id
    )
    record(conn, entry, now)
