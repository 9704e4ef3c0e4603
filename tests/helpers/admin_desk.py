"""The whole of ``ncl`` without sockets: a home, every command there is, and whoever asks."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.central import make_home
from helpers.ncl_hands import carry_out

from contract.clock import utc_now
from contract.ids import new_id
from nanoclaw.admin.caller import HOST, AgentCaller, Caller
from nanoclaw.admin.commands import host_registry
from nanoclaw.admin.context import Approved
from nanoclaw.admin.dispatch import Call, Dispatcher, Surroundings
from nanoclaw.admin.frames import Failure, Request, Response, Success
from nanoclaw.admin.registry import Registry
from nanoclaw.bell import bell_file
from nanoclaw.config import HostConfig
from nanoclaw.db import (
    agent_groups,
    audit,
    container_configs,
    messaging_groups,
    sessions,
    users,
)
from nanoclaw.db.audit import AuditRow
from nanoclaw.events import Frame, Ok, StopContainers
from nanoclaw.link import Answer
from nanoclaw.model import (
    AgentGroup,
    CliScope,
    ContainerStart,
    MessagingGroup,
    NewSession,
    Session,
    SessionMode,
    User,
)
from nanoclaw.routing.pattern.search import problem_of
from nanoclaw.sessions.folder import SessionFolder

MAX_TICKS = 100
NOW = utc_now().replace(microsecond=0)


class FakeServices:
    """The sweep says yes to everything, and stops what it is asked to stop in ``conn``.

    Timers are called by ``tick``.
    """

    def __init__(self, conn: sqlite3.Connection | None = None) -> None:
        self.conn = conn
        self.frames: list[Frame] = []
        self.says: Answer = Ok()
        self.timers: list[Callable[[], None]] = []
        self.before_tick: Callable[[], None] = lambda: None

    def to_sweep(self, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]) -> None:
        self.frames.append(frame)
        if isinstance(frame, StopContainers) and isinstance(self.says, Ok) and self.conn:
            for session_id in frame.session_ids:
                sessions.set_stopped(self.conn, session_id)
        on_answer(self.says)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        self.timers.append(callback)
        return None

    def to_channel(
        self, instance: str, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]
    ) -> None:
        raise AssertionError("no command asks a channel")

    def tick(self) -> None:
        self.before_tick()
        due, self.timers = self.timers, []
        for callback in due:
            callback()


class AdminDesk:
    """The first agent is wired to the terminal, as after the first start of a host."""

    def __init__(self, folder: Path, registry: Registry | None = None) -> None:
        self.config: HostConfig
        self.conn: sqlite3.Connection
        self.config, self.conn = make_home(folder)
        self.services = FakeServices(self.conn)
        around = Surroundings(self.config, lambda: self.conn, self.services, problem_of)
        self.dispatcher = Dispatcher(registry or host_registry(), around)
        self.services.before_tick = self.carry_out
        (group,) = agent_groups.list_all(self.conn)
        self.group_id = group.id
        chat = messaging_groups.find_by_address(self.conn, "cli", "local")
        assert chat is not None
        self.chat_id = chat.id
        self.answers: list[Response] = []
        self._asked = 0

    def close(self) -> None:
        self.conn.close()

    # --- asking -----------------------------------------------------------------------------------

    def handle(
        self,
        words: str,
        args: dict[str, str | bool] | None = None,
        caller: Caller = HOST,
        approved: Approved | None = None,
    ) -> list[Response]:
        """What came at once; later answers are added to the same list."""
        self._asked += 1
        positionals = tuple(words.split(" "))
        request = Request(f"r-{self._asked}", "-".join(positionals), args or {}, positionals)
        answers: list[Response] = []
        call = Call(request, caller, utc_now(), new_id("ncl"), approved)
        self.dispatcher.handle(call, answers.append)
        return answers

    def ask(self, words: str, caller: Caller = HOST, /, **args: str | bool) -> Response:
        """The answer, also one that comes later; timers are due at once."""
        answers = self.handle(words, dict(args), caller)
        for _ in range(MAX_TICKS):
            if answers:
                break
            self.services.tick()
        (answer,) = answers
        return answer

    def get(self, words: str, caller: Caller = HOST, /, **args: str | bool) -> Any:
        """The data of a success."""
        answer = self.ask(words, caller, **args)
        assert isinstance(answer, Success), answer
        json.dumps(answer.data)  # whatever it is, JSON can say it
        return answer.data

    def fail(self, words: str, caller: Caller = HOST, /, **args: str | bool) -> tuple[str, str]:
        answer = self.ask(words, caller, **args)
        assert isinstance(answer, Failure), answer
        return str(answer.code), answer.message

    def carry_out(self) -> None:
        """One attempt at each effect that commands have left to the delivery process."""
        carry_out(self.conn, self.config, self.services)

    # --- what there is ----------------------------------------------------------------------------

    def agent(
        self,
        scope: CliScope = CliScope.GROUP,
        *,
        group_id: str | None = None,
        session_id: str = "sess-1",
    ) -> AgentCaller:
        return AgentCaller(session_id, group_id or self.group_id, self.chat_id, scope)

    def add_group(self, name: str = "Other", group_id: str = "ag-other") -> str:
        agent_groups.create(self.conn, AgentGroup(group_id, name, name.lower(), NOW))
        container_configs.ensure(self.conn, group_id, NOW)
        return group_id

    def add_chat(self, chat_id: str = "mg-2", name: str | None = "Family") -> str:
        chat = MessagingGroup(chat_id, "telegram", f"telegram:{chat_id}", NOW, name=name)
        messaging_groups.create(self.conn, chat)
        return chat_id

    def add_user(self, user_id: str = "telegram:1") -> str:
        users.add_if_new(self.conn, User(user_id, user_id.partition(":")[0], NOW))
        return user_id

    def add_session(
        self,
        session_id: str = "sess-1",
        group_id: str | None = None,
        chat_id: str | None = None,
        *,
        running: bool = False,
    ) -> Session:
        new = NewSession(
            session_id, group_id or self.group_id, chat_id or self.chat_id, None,
            SessionMode.SHARED, session_id, NOW,
        )  # fmt: skip
        session = sessions.create(self.conn, new)
        self.folder(session).create()
        if running:
            start = ContainerStart(f"c-{session_id}", NOW, "1")
            sessions.set_running(self.conn, session_id, start)
        return session

    def folder(self, session: Session) -> SessionFolder:
        return SessionFolder.of(self.config.paths, session.agent_group_id, session.id)

    # --- what became of it ------------------------------------------------------------------------

    def rows_in(self, session: Session, table: str = "messages_in") -> list[dict[str, Any]]:
        conn = sqlite3.connect(f"file:{self.folder(session).inbound_db}?mode=ro", uri=True)
        conn.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in conn.execute(f"SELECT * FROM {table}")]
        finally:
            conn.close()

    def count(self, table: str) -> int:
        return int(self.conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def audited(self) -> list[AuditRow]:
        return audit.recent(self.conn, None, 100)

    def has_rung(self, name: str) -> bool:
        return bell_file(self.config.paths, name).exists()

    def dump(self) -> list[str]:
        """Everything in the central database."""
        return list(self.conn.iterdump())
