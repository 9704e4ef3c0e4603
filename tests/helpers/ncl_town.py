"""A home whose every row is known: what the transcripts of ``ncl`` are made from.

Two agents, two chats, a few people, one session with a task, messages, an approval and some
spending. Nothing in it depends on the day or on the machine.
"""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from helpers.reading_rows import add_series, chat_row, put_row, receive, say

from contract.address import Address
from contract.config import McpServer
from nanoclaw import audit
from nanoclaw.approvals.options import dump_options, option
from nanoclaw.config import HostConfig
from nanoclaw.db import (
    agent_groups,
    approvals,
    budgets,
    chat_requests,
    container_configs,
    deliveries,
    dms,
    dropped,
    members,
    messaging_groups,
    questions,
    roles,
    sender_requests,
    services,
    sessions,
    tasks,
    usage,
    users,
    wirings,
)
from nanoclaw.db.approvals import Approval
from nanoclaw.db.budgets import Budget, BudgetPeriod, BudgetScope, BudgetUnit
from nanoclaw.db.chat_requests import ChatRequest
from nanoclaw.db.connection import open_central, transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.db.dms import UserDm
from nanoclaw.db.dropped import DroppedMessage
from nanoclaw.db.members import Member
from nanoclaw.db.migrations import migrate
from nanoclaw.db.questions import Question
from nanoclaw.db.sender_requests import SenderRequest
from nanoclaw.db.services import Service, ServiceKind
from nanoclaw.db.tasks import RunStatus, TaskRun
from nanoclaw.db.usage import Cost, Reservation
from nanoclaw.model import (
    AgentGroup,
    ContainerStart,
    MessagingGroup,
    NewSession,
    Role,
    RoleGrant,
    SessionMode,
    User,
    Wiring,
)
from nanoclaw.policy.binding import payload_hash
from nanoclaw.sessions.folder import SessionFolder

THEN = datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)
"""Long ago: a time of today in a transcript is then one that a command has made."""

EVENT = '{"text":"hello"}'
FAR_OFF = datetime(2924, 2, 3, 4, 5, 6, tzinfo=UTC)
ASKED = '{"frame":{"id":"r-1","command":"groups-update","args":{"id":"ag-andy","name":"Andrea"}}}'

OPTIONS = dump_options(
    (option("Approve", "✅ Approved", "approve"), option("Reject", "❌ Rejected", "reject"))
)


def at(minutes: float) -> datetime:
    return THEN + timedelta(minutes=minutes)


def build_town(home: Path) -> HostConfig:
    config = HostConfig(home)
    config.paths.ensure()
    config.paths.config_file.write_text('timezone = "UTC"\n')
    conn = open_central(config.paths.central_db)
    try:
        migrate(conn)
        _add_agents(conn, config)
        _add_people(conn)
        _add_work(conn, config)
        _add_cards(conn)
        _add_money(conn)
        _add_service(conn, config)
    finally:
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        conn.close()
    return config


def _add_agents(conn: sqlite3.Connection, config: HostConfig) -> None:
    for number, (group_id, name) in enumerate((("ag-andy", "Andy"), ("ag-bert", "Bert 世界"))):
        folder = group_id.removeprefix("ag-")
        agent_groups.create(conn, AgentGroup(group_id, name, folder, at(number)))
        container_configs.ensure(conn, group_id, at(number))
        (config.paths.groups / folder).mkdir()
        (config.paths.groups / folder / "CLAUDE.local.md").write_text("")
    servers = {"clock": McpServer(command="uvx", args=("mcp-clock",))}
    change = ContainerConfigChange(model="claude-x", packages_apt=("jq",), mcp_servers=servers)
    container_configs.update(conn, "ag-andy", change, at(2))
    chats = (
        ("mg-family", "telegram", "telegram:-100", "Family \x1b[2J"),
        ("mg-local", "cli", "local", "Terminal"),
    )
    for number, (chat_id, channel, platform_id, name) in enumerate(chats):
        chat = MessagingGroup(chat_id, channel, platform_id, at(3 + number), name=name)
        messaging_groups.create(conn, chat)
    wirings.create(conn, Wiring("mga-1", "mg-family", "ag-andy", at(6)))
    wirings.create(conn, Wiring("mga-2", "mg-local", "ag-bert", at(7)))


def _add_people(conn: sqlite3.Connection) -> None:
    for number, (user_id, name) in enumerate(
        (("cli:local", None), ("telegram:1", "Ann"), ("telegram:2", "Ben"))
    ):
        users.upsert(conn, User(user_id, user_id.partition(":")[0], at(10 + number), name))
    roles.grant(conn, RoleGrant("cli:local", Role.OWNER, at(13)))
    roles.grant(conn, RoleGrant("telegram:1", Role.ADMIN, at(14), "ag-andy", "cli:local"))
    members.add(conn, Member("telegram:2", "ag-andy", at(15), "telegram:1"))
    dms.upsert(conn, UserDm("telegram:1", "telegram", "mg-family", at(16)))
    dropped.record(
        conn,
        DroppedMessage(
            "telegram", "telegram:-200", "no_agent_wired", at(17), "telegram:9", "Stranger"
        ),
    )


def _add_work(conn: sqlite3.Connection, config: HostConfig) -> None:
    new = NewSession("sess-1", "ag-andy", "mg-family", None, SessionMode.SHARED, "k-1", at(20))
    session = sessions.create(conn, new)
    _add_session(conn, config, "sess-2", ("ag-andy", "mg-family"))
    _add_session(conn, config, "sess-3", ("ag-bert", "mg-local"))
    sessions.set_running(conn, "sess-2", ContainerStart("c-2", at(23), "1"))
    SessionFolder.of(config.paths, "ag-andy", "sess-1").create()
    add_series(conn, config.paths, session, "plants", "Water the plants", at(21))
    run = TaskRun("sess-1", "plants", "plants", "ag-andy", at(22), RunStatus.FAILED, error="no can")
    assert tasks.add_run(conn, run)
    put_row(config.paths, session, chat_row("in-1", "When do we leave?", at(23)))
    receive(conn, "event-1", at(23), ("sess-1", "ag-andy", "in-1"))
    say(conn, 1, "At eight.", at(24), instance="telegram", platform_id="telegram:-100")
    say(conn, 2, "And bring shoes.", at(25), instance="telegram", platform_id="telegram:-100")
    deliveries.mark_failed(conn, "sess-1/out-1", "the chat is gone", at(26))
    with transaction(conn):
        audit.record(
            conn,
            audit.AuditEntry("approval.decided", "telegram:1", "appr-0", {"by": "telegram:1"}),
            at(26),
        )
    approvals.insert(
        conn,
        Approval(
            "appr-1", "appr-1", "cli_command", ASKED, at(27), "sess-1", "ag-andy",
            title="ncl groups update", question="Andy asks", requested_by="agent:ag-andy",
            payload_hash=payload_hash(ASKED), expires_at=FAR_OFF, options_json=OPTIONS,
        ),
    )  # fmt: skip


def _add_cards(conn: sqlite3.Connection) -> None:
    chat = MessagingGroup("mg-club", "telegram", "telegram:-300", at(28), name="Club")
    messaging_groups.create(conn, chat)
    chat_requests.add(
        conn,
        ChatRequest(
            "mg-club", "ag-andy", EVENT, at(28), "mg-club", sender_identity="telegram:9",
            sender_name="Mallory", title="New group chat", question="Which agent?",
            options_json=OPTIONS, expires_at=FAR_OFF,
        ),
    )  # fmt: skip
    sender_requests.add(
        conn,
        SenderRequest(
            "nsa-1", "mg-family", "ag-andy", "telegram:8", EVENT, at(29), sender_name="Eve",
            title="New sender", question="May they?", options_json=OPTIONS, expires_at=FAR_OFF,
        ),
    )  # fmt: skip
    tea = (option("Green", "Green", "green"), option("Black", "Black", "black"))
    questions.insert(
        conn,
        Question(
            "q-1", "sess-1", "out-9", Address("telegram", "telegram:-100", None), "Tea?",
            dump_options(tea), at(30), expires_at=FAR_OFF,
        ),
    )  # fmt: skip


def _add_session(
    conn: sqlite3.Connection, config: HostConfig, name: str, between: tuple[str, str]
) -> None:
    agent, chat = between
    new = NewSession(name, agent, chat, None, SessionMode.SHARED, f"key of {name}", at(21))
    sessions.create(conn, new)
    SessionFolder.of(config.paths, agent, name).create()


def _add_service(conn: sqlite3.Connection, config: HostConfig) -> None:
    for name in ("github-token", "weather-key"):
        path = config.paths.secrets / name
        path.write_text("marker-of-the-town")
        path.chmod(0o600)
    services.put(conn, Service(
        "weather", ServiceKind.HEADER, ("api.weather.example",), "x-api-key", "{secret}",
        "weather-key", at(33), at(33), "host",
    ))  # fmt: skip


def _add_money(conn: sqlite3.Connection) -> None:
    budget = Budget(
        BudgetScope.INSTALL, "", BudgetPeriod.DAY, BudgetUnit.MICROUSD, 5_000_000, at(30), "host"
    )
    budgets.put(conn, budget)
    reservation = Reservation(
        "req-1", "sess-1", "ag-andy", "claude", "claude-x", "2024-02-03", 1000, 20_000, at(31)
    )
    assert usage.reserve(conn, reservation) is None
    assert usage.settle(conn, "req-1", Cost(700, 200, 50, 50, 12_345), at(32))
