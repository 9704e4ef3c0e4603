"""A town whose host is killed at a step, and the books that say whether anything went missing.

Each story is played once undisturbed and once for every kill point that it crosses. What it leaves
in the chats, in the central database and in the session files must be the same every time: nothing
is lost, nothing is there twice, and the audit trail's chain is whole.
"""

import contextlib
import os
import re
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from helpers.kill_points import KillFolder
from helpers.town import Shown, Town, TownChannel
from helpers.waiting import wait_until

from nanoclaw import audit
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.db.connection import transaction
from nanoclaw.events import ActionOutcome, Attachment, Outcome
from nanoclaw.model import AgentGroup, MessagingGroup, UnknownSenderPolicy

OWNER = "owner"
OWNER_CHAT = "dm-owner"
PATIENCE = 30.0
CRASH_HOST = (sys.executable, "-m", "helpers.crash_host", "--runtime", "process")
MARKS = (
    ("event", "SELECT state, outcome, waits_for IS NOT NULL, released FROM inbound_events"),
    ("delivery", "SELECT source, kind, state, failure, projected, told FROM deliveries"),
    ("effect", "SELECT kind, state FROM effects"),
    ("audit", "SELECT kind, subject = '' FROM audit"),
    ("approval", "SELECT action, status, card_state FROM pending_approvals"),
    ("question", "SELECT card_state FROM pending_questions"),
    ("card", "SELECT source, state FROM card_copies"),
    ("notice", "SELECT 1 FROM owner_notices"),
    ("series", "SELECT state, recurrence FROM task_series"),
    ("run", "SELECT status, missed > 0 FROM task_runs"),
    ("passage", "SELECT hop, refused FROM agent_traffic"),
    ("group", "SELECT agent_provider FROM agent_groups"),
    ("destination", "SELECT target_type FROM agent_destinations"),
    ("member", "SELECT 1 FROM agent_group_members"),
    ("session", "SELECT mode, status, quarantine_reason FROM sessions"),
)
"""What counts of each table; ids and times differ from one playing to the next."""
OPEN = (
    "SELECT count(*) FROM inbound_events WHERE state <> 'routed'"
    " OR (released = 1 AND outcome = 'held')",
    "SELECT count(*) FROM deliveries WHERE state IN ('queued', 'sending') OR NOT told"
    " OR (source = 'agent' AND NOT projected)",
    "SELECT count(*) FROM effects WHERE state IN ('pending', 'running')",
    "SELECT count(*) FROM card_copies WHERE state IN ('queued', 'closing')",
)
OPEN_ROWS = (
    "SELECT count(*) FROM messages_in WHERE status = 'pending' AND trigger = 1"
    " AND (process_after IS NULL OR kind <> 'task')"
)

Books = Counter[tuple[object, ...]]


@dataclass
class CrashTown:
    """One town for all stories of a module; use it in a ``with``."""

    folder: Path
    town: Town = field(init=False)
    kill: KillFolder = field(init=False)
    played: int = 0
    calm: dict["Story", Books] = field(default_factory=dict)

    def __enter__(self) -> "CrashTown":
        self.kill = KillFolder(self.folder / "kill")
        self.kill.path.mkdir()
        self.town = Town(
            self.folder / "home",
            environment={"NANOCLAW_KILL_DIR": str(self.kill.path)},
            command=CRASH_HOST,
        )
        self.town.__enter__()
        self.town.open_channel("telegram")
        self.town.make_owner(f"telegram:{OWNER}")
        with transaction(self.town.conn):  # cards are for the owner's telephone only
            self.town.conn.execute("DELETE FROM user_roles WHERE user_id = 'cli:local'")
        return self

    def __exit__(self, *_: object) -> None:
        self.town.__exit__(None, None, None)

    def play(self, story: "Story", step: str = "", point: str | None = None) -> Books:
        """What the story has added to the books; at ``point`` somebody dies."""
        self._settle()
        before = self.books()
        self.played += 1
        scene = Scene(self, self.played, step, point)
        scene.step("")
        try:
            story(scene)
            if point is not None:
                wait_until(
                    lambda: self.kill.was_reached(point),
                    within=PATIENCE,
                    what=f"{point} is reached",
                )
            self._settle()
        finally:
            if point is not None:
                self.kill.clear(point)
        return self.books() - before

    def calm_books(self, story: "Story") -> Books:
        """What it leaves when nobody dies."""
        if story not in self.calm:
            self.calm[story] = self.play(story)
        return self.calm[story]

    # --- the books --------------------------------------------------------------------------------

    def books(self) -> Books:
        found: Books = Counter()
        for name, query in MARKS:
            found.update((name, *row) for row in self.town.conn.execute(query).fetchall())
        for file in self._inboxes():
            rows = _read(file, "SELECT kind, status, trigger, taint FROM messages_in")
            found.update(("row", *row) for row in rows or ())
        for channel in self.town.channels.values():
            found.update(
                ("shown", _plain(shown.chat), shown.part.operation, _plain(shown.text))
                for shown in list(channel.platform.shown)
            )
        return found

    def _settle(self) -> None:
        try:
            wait_until(lambda: not any(self._open()), within=PATIENCE)
        except AssertionError:
            raise AssertionError(f"still open, by kind: {self._open()}") from None

    def _open(self) -> list[int]:
        """How much of each kind is under way."""
        central = [self.town.conn.execute(query).fetchone()[0] for query in OPEN]
        return [*central, sum(_open_rows(file) for file in self._inboxes())]

    def _inboxes(self) -> list[Path]:
        return sorted(self.town.host.paths.sessions.glob("*/*/in/inbound.db"))

    def assert_chain_is_whole(self) -> None:
        verified = audit.verify(self.town.conn)
        assert verified.first_bad is None, verified


@dataclass
class Scene:
    """One playing of a story: its own people, chats and agents."""

    crash: CrashTown
    number: int
    armed_step: str
    point: str | None

    def step(self, name: str) -> None:
        """From here on somebody may die, if this is the step."""
        if self.point is not None and name == self.armed_step:
            self.crash.kill.arm(self.point, "self")

    @property
    def town(self) -> Town:
        return self.crash.town

    @property
    def telegram(self) -> TownChannel:
        return self.crash.town.channels["telegram"]

    def called(self, name: str) -> str:
        """Unique, and the same in the books."""
        return f"{name}{self.number:04}"

    def agent(self, name: str, *rules: tuple[str, list[object]]) -> AgentGroup:
        script = {"rules": [{"match": match, "steps": steps} for match, steps in rules]}
        return self.town.add_agent(self.called(name), script=script)

    def chat(
        self, agent: AgentGroup, name: str = "family",
        policy: UnknownSenderPolicy = UnknownSenderPolicy.PUBLIC, *, group: bool = False,
    ) -> MessagingGroup:  # fmt: skip
        chat = self.place(name, policy=policy, group=group)
        self.town.wire(chat, agent)
        return chat

    def place(
        self, name: str, channel: str = "telegram", *,
        policy: UnknownSenderPolicy = UnknownSenderPolicy.PUBLIC, group: bool = False,
    ) -> MessagingGroup:  # fmt: skip
        return self.town.add_chat(channel, self.called(name), policy=policy, group=group)

    def say(
        self, chat: MessagingGroup, text: str, sender: str = OWNER,
        attachments: tuple[Attachment, ...] = (),
    ) -> Outcome:  # fmt: skip
        committed = self.telegram.say(
            chat.platform_id, text, sender, group=bool(chat.is_group), attachments=attachments
        )
        return committed.outcome

    def hear(self, chat: MessagingGroup, words: str) -> Shown:
        return self._wait(
            lambda shown: shown.chat == chat.platform_id and words in shown.text,
            f"{words!r} in {chat.platform_id}: {self.telegram.texts(chat.platform_id)}",
        )

    def file(self, chat: MessagingGroup) -> Shown:
        return self._wait(
            lambda shown: shown.chat == chat.platform_id and bool(shown.part.files),
            f"a file in {chat.platform_id}",
        )

    def card(self, words: str, chat: str = OWNER_CHAT) -> Shown:
        """The card that was shown to the owner, or in a chat."""
        return self._wait(
            lambda shown: (
                shown.chat == chat
                and shown.part.question is not None
                and words in f"{shown.part.question.title} {shown.text}"
            ),
            f"a card with {words!r} in {chat}",
        )

    def _wait(self, fits: Callable[[Shown], bool], what: str) -> Shown:
        def look() -> Shown | None:
            return next((one for one in list(self.telegram.platform.shown) if fits(one)), None)

        found = wait_until(look, within=PATIENCE, what=what)
        assert found is not None
        return found

    def press(self, card: Shown, option: int, user: str = OWNER) -> None:
        """As people do: once more where nothing happened."""
        wanted = (ActionOutcome.ACCEPTED, ActionOutcome.ALREADY_ANSWERED)
        wait_until(
            lambda: self.telegram.press(card, option, user).outcome in wanted,
            within=PATIENCE,
            what="the press counts",
        )

    def wait(self, query: str, *values: object) -> None:
        """Until the query finds something."""
        wait_until(lambda: self.town.rows(query, *values), within=PATIENCE, what=query)

    def wait_for_row(self, agent: AgentGroup, condition: str) -> None:
        """Until such a row is in the inbox of one of the agent's sessions."""
        query = f"SELECT id FROM messages_in WHERE {condition}"
        folder = self.town.host.paths.sessions / agent.id
        wait_until(
            lambda: any(_read(file, query) for file in folder.glob("*/in/inbound.db")),
            within=PATIENCE,
            what=condition,
        )

    def kill_runner(self, agent: AgentGroup) -> None:
        """As the kernel would; the host is not asked."""
        wait_until(lambda: self._kill_runner(agent), within=PATIENCE, what="its process is there")

    def _kill_runner(self, agent: AgentGroup) -> int:
        folder = str(self.town.host.paths.sessions / agent.id).encode()
        killed = 0
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                runs = b"process_start.py" in (process / "cmdline").read_bytes()
                if runs and folder in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
                    killed += 1
        return killed

    def change(self, statement: str, *values: object) -> None:
        """What time or another program would do to the central database."""
        with transaction(self.town.conn):
            self.town.conn.execute(statement, values)
        ring(self.town.host.paths, DELIVERY)


Story = Callable[[Scene], None]


def _plain(text: str) -> str:
    """Without what is different each time: numbers of scenes, ids, moments."""
    text = re.sub(r"\b(ag|sess|mg|task|eff|msg)-[\w-]+", r"\1-ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+(Z|[+-]\d\d:\d\d)?", "TIME", text)
    return re.sub(r"\d{4}", "#", text)


def _open_rows(file: Path) -> int:
    rows = _read(file, OPEN_ROWS)
    return 1 if rows is None else int(str(rows[0][0]))


def _read(file: Path, query: str) -> list[tuple[object, ...]] | None:
    """None: locked, or rolled back just now."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as conn:
        try:
            return conn.execute(query).fetchall()
        except sqlite3.OperationalError:
            return None
