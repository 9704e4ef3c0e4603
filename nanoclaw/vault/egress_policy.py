"""The policy of egress as it is stored: rules, owners' answers, and the record of each decision.

Asked by ``egress`` and ``intercept`` before anything is sent. One short transaction reads the
rules, decides, and writes the audit row and, for a host that nobody has decided about, the question
to an owner. What cannot be recorded does not pass.
"""

import logging
import sqlite3
from datetime import datetime
from typing import assert_never

from contract.clock import to_text, utc_now
from contract.errors import SchemaMismatch, SessionFileBusy, SessionFileError
from contract.inbound.turn import read_turn
from contract.killpoint import reached
from nanoclaw.approvals import egress as asking
from nanoclaw.approvals.cards import without_secrets
from nanoclaw.approvals.egress import Asked, UnknownHost
from nanoclaw.audit import AuditEntry, record
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.db import egress_counts, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.paths import HostPaths
from nanoclaw.policy.egress.decide import Allow, Decision, Inspect, Refuse, Unknown, Wanted, decide
from nanoclaw.policy.egress.facts import Asking, read_facts
from nanoclaw.policy.egress.hosts import EgressRuleError, normal_host
from nanoclaw.policy.egress.paths import without_query
from nanoclaw.policy.taint import UNREADABLE, unite
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.vault.books import Books
from nanoclaw.vault.egress_types import EgressRequest, Judgement, Verdict

MAX_RECORDED_PER_HOUR = 600
"""Rows of one session in the audit; beyond it everything is refused until the hour is over."""
MAX_SHOWN_PATH = 300
TAKEN_PER_DECISION = 20

_WHY_NOT_ASKED = {
    Asked.NEW: "the owner is being asked; go on without it, or try again later",
    Asked.WAITING: "the owner is being asked; go on without it, or try again later",
    Asked.UNANSWERED: "the owner was asked and has not answered; go on without it",
    Asked.TOO_MANY_OPEN: "questions about other hosts wait for an answer already, so this one "
    "was not asked; go on without it",
    Asked.TOO_MANY_TODAY: "the owner was asked about many hosts today, so this one was not "
    "asked; go on without it",
    Asked.NOBODY: "there is nobody who could be asked; go on without it",
}
_IS_ASKED = (Asked.NEW, Asked.WAITING)

log = logging.getLogger(__name__)


class StoredPolicy:
    """An ``EgressPolicy``. Used from the event loop's thread."""

    def __init__(self, books: Books, paths: HostPaths) -> None:
        self._books = books
        self._paths = paths

    async def judge(self, request: EgressRequest) -> Judgement:
        now = utc_now()
        judgement = await self._books.run(lambda conn: self._on_thread(conn, request, now))
        if judgement.verdict in (Verdict.DENY, Verdict.ASK):
            log.info(
                "egress refused",
                extra={
                    "session": request.door.session_id,
                    "reason": f"{request.destination.authority}: {judgement.rule}",
                },
            )
        return judgement

    def _on_thread(
        self, conn: sqlite3.Connection, request: EgressRequest, now: datetime
    ) -> Judgement:
        """All of it here: whoever asked may have hung up before it is done."""
        judgement, is_new = _judge(conn, self._paths, request, now)
        if is_new:
            reached("vault.egress_asked")
            ring(self._paths, DELIVERY)
        return judgement


def _judge(
    conn: sqlite3.Connection, paths: HostPaths, request: EgressRequest, now: datetime
) -> tuple[Judgement, bool]:
    """Also whether an owner has to be asked now."""
    door, hour = request.door, to_text(now)[:13]
    with transaction(conn):
        _record_left_out(conn, hour, now)
        count = egress_counts.count(conn, door.session_id, door.agent_group_id, hour)
        if count > MAX_RECORDED_PER_HOUR:
            egress_counts.leave_out(conn, door.session_id, hour)
            return _flooded(), False
        decision = _decide(conn, request, now)
        asked = _ask(conn, paths, request, now) if isinstance(decision, Unknown) else None
        judgement = _judgement(request, decision, asked)
        _record(conn, request, judgement, now)
        return judgement, asked is Asked.NEW


def _decide(conn: sqlite3.Connection, request: EgressRequest, now: datetime) -> Decision:
    place, door = request.destination, request.door
    try:
        is_normal = normal_host(place.host) == place.host
    except EgressRuleError:
        is_normal = False
    if not is_normal:
        return Refuse("host", "it is no host's name that everybody reads in the same way")
    asker = Asking(door.agent_group_id, door.session_id, door.lease)
    # A CONNECT says nothing of what is inside; services are for what is encrypted.
    tls = place.tls or request.method is None
    facts = read_facts(conn, asker, (place.host, place.port, tls), now)
    wanted = Wanted(place.host, place.port, request.method, request.path)
    return decide(facts.mode, facts.rules, wanted)


def _ask(
    conn: sqlite3.Connection, paths: HostPaths, request: EgressRequest, now: datetime
) -> Asked:
    session = sessions.get(conn, request.door.session_id)
    if session is None:
        return Asked.NOBODY
    folder = SessionFolder.of(paths, session.agent_group_id, session.id)
    try:
        taint = unite(*(row.taint for row in read_turn(folder.inbound_db, (), now).open))
    except (SessionFileBusy, SessionFileError, SchemaMismatch):
        taint = UNREADABLE
    place = request.destination
    unknown = UnknownHost(request.door.agent_group_id, session, place.host, place.port, taint)
    return asking.request(conn, unknown, now)


def _judgement(request: EgressRequest, decision: Decision, asked: Asked | None) -> Judgement:
    where = request.destination.authority
    match decision:
        case Allow(rule, local, service):
            return Judgement(Verdict.ALLOW, f"{where} is allowed.", rule, local, service)
        case Inspect(rule, local, service):
            return Judgement(Verdict.INSPECT, f"{where} is allowed.", rule, local, service)
        case Refuse(rule, why):
            return Judgement(Verdict.DENY, f"{where} was refused: {why}.", rule)
        case Unknown():
            reason = asked or Asked.NOBODY
            verdict = Verdict.ASK if reason in _IS_ASKED else Verdict.DENY
            text = f"{where} is not on this agent's list: {_WHY_NOT_ASKED[reason]}."
            return Judgement(verdict, text, f"no rule ({reason})")
        case _:
            assert_never(decision)


def _flooded() -> Judgement:
    return Judgement(
        Verdict.DENY,
        f"This conversation has made {MAX_RECORDED_PER_HOUR} connections and requests in this "
        "hour; more are refused until the next full hour.",
        "hourly limit",
    )


def _record(
    conn: sqlite3.Connection, request: EgressRequest, judgement: Judgement, now: datetime
) -> None:
    detail: dict[str, object] = {"rule": judgement.rule}
    if request.method is not None:
        detail["method"] = request.method[:20]
    if request.path is not None:
        path = without_query(request.path)
        detail["path"] = "/".join(map(without_secrets, path[:MAX_SHOWN_PATH].split("/")))
    if judgement.service is not None:
        detail["service"] = judgement.service
    if judgement.verdict is Verdict.INSPECT:
        detail["inspect"] = True
    word = "allow" if judgement.verdict is Verdict.INSPECT else judgement.verdict.value
    entry = AuditEntry(
        f"egress.{word}",
        f"agent:{request.door.agent_group_id}",
        request.destination.authority,
        detail,
        agent_group_id=request.door.agent_group_id,
        session_id=request.door.session_id,
    )
    record(conn, entry, now)


def _record_left_out(conn: sqlite3.Connection, hour: str, now: datetime) -> None:
    """One row for all that earlier hours have left out."""
    for item in egress_counts.take_unrecorded(conn, hour, TAKEN_PER_DECISION):
        entry = AuditEntry(
            "egress.deny",
            f"agent:{item.agent_group_id}",
            "many",
            {"rule": "hourly limit", "hour": item.hour, "not_recorded_one_by_one": item.count},
            agent_group_id=item.agent_group_id,
            session_id=item.session_id,
        )
        record(conn, entry, now)
