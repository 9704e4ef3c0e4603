"""A whole installation for stories: the real host, several chats, agents that follow a script.

The host runs as its own processes. Channels besides the terminal are real workers in threads of the
test, around a platform that only remembers what it was sent: what a user of that platform would
see. Settings are written to the central database the way other programs do.
"""

import itertools
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from helpers.channel_worker import ReactorThread
from helpers.host import Host
from helpers.waiting import wait_until

from contract.clock import to_text, utc_now
from contract.ids import new_id
from contract.jsontext import dump
from nanoclaw.capabilities import Buttons, Capabilities
from nanoclaw.channels.adapter import ChannelHost, Identity, Stop
from nanoclaw.channels.failure import ChannelFailure
from nanoclaw.channels.part import Operation, Part
from nanoclaw.channels.registry import ChannelKind
from nanoclaw.channels.worker import Worker, WorkerSpec
from nanoclaw.db import agent_groups, container_configs, messaging_groups, roles, users, wirings
from nanoclaw.db.connection import open_central, transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.events import (
    Action,
    ActionResult,
    Attachment,
    Committed,
    FailureClass,
    InboundEvent,
    Quoted,
)
from nanoclaw.model import (
    AgentGroup,
    EngageMode,
    MessagingGroup,
    Role,
    RoleGrant,
    UnknownSenderPolicy,
    User,
    Wiring,
)
from nanoclaw.paths import HostPaths

PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Shown:
    """Something that appeared in a chat; ``thread`` and ``target`` as the platform knows them."""

    chat: str
    part: Part
    message_id: str
    thread: str | None = None

    @property
    def text(self) -> str:
        return self.part.text


class _Platform:
    """The adapter of one channel and the memory of its platform."""

    def __init__(self, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self.host: ChannelHost | None = None
        self.shown: list[Shown] = []
        self.typing: list[tuple[str, str | None]] = []
        self.subscribed: list[tuple[str, str]] = []
        self.resolved: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.is_down = threading.Event()
        self.shows_outcomes = True
        self.opens_chats = True
        self._numbers = itertools.count(1)

    def setup(self, host: ChannelHost) -> Identity:
        self.host = host
        return Identity("bot", "Bot")

    def listen(self, stop: Stop) -> None:
        while not stop.wait(0.05):
            pass

    def deliver(self, platform_id: str, thread_id: str | None, part: Part) -> str | None:
        message_id = f"p{next(self._numbers)}"
        self.shown.append(Shown(platform_id, part, message_id, thread_id))
        return message_id

    def edit(self, platform_id: str, message_id: str, part: Part) -> None:
        self.shown.append(Shown(platform_id, part, message_id))

    def react(self, platform_id: str, message_id: str, emoji: str) -> None:
        part = Part(key="", operation=Operation.REACT, target_id=message_id, emoji=emoji)
        self.shown.append(Shown(platform_id, part, message_id))

    def resolve_card(self, platform_id: str, message_id: str, text: str) -> None:
        if not self.shows_outcomes:
            raise ChannelFailure(FailureClass.PERMANENT, "cards stay as they are")
        self.resolved[message_id] = text

    def set_typing(self, platform_id: str, thread_id: str | None) -> None:
        self.typing.append((platform_id, thread_id))

    def subscribe(self, platform_id: str, thread_id: str) -> None:
        self.subscribed.append((platform_id, thread_id))

    def open_dm(self, handle: str) -> str:
        if not self.opens_chats:
            raise ChannelFailure(FailureClass.PERMANENT, "this user reads nothing")
        return f"dm-{handle}"

    def resolve_name(self, platform_id: str) -> str | None:
        return self.names.get(platform_id)

    def probe(self) -> None:
        pass

    def teardown(self) -> None:
        self.host = None


class TownChannel:
    """A channel as its users know it."""

    def __init__(self, home: Path, name: str, capabilities: Capabilities) -> None:
        self.name = name
        self.platform = _Platform(capabilities)
        self._numbers = itertools.count(1)
        self._thread = ReactorThread()
        self._stopped = threading.Event()
        self._workers: list[Worker] = []
        kind = ChannelKind(name, "none:None", name.title(), "for tests")
        spec = WorkerSpec(name, kind, self.platform, HostPaths(home))

        def start() -> None:
            worker = Worker(self._thread.reactor, spec)
            worker.start(lambda: None)
            self._workers.append(worker)

        self._thread.call(start)
        wait_until(lambda: self.platform.host, what=f"{name} is connected")

    def close(self) -> None:
        self._thread.call(lambda: self._workers[0].stop(self._stopped.set))
        assert self._stopped.wait(10)
        self._thread.call(self._workers[0].close)
        self._thread.close()

    @property
    def host(self) -> ChannelHost:
        assert self.platform.host is not None
        return self.platform.host

    def say(
        self,
        chat: str,
        text: str,
        sender: str,
        *,
        mention: bool | None = None,
        group: bool = False,
        thread: str | None = None,
        attachments: tuple[Attachment, ...] = (),
        quoting: str | None = None,
        key: str | None = None,
    ) -> Committed:
        """A user writes; returns what the router made of it."""
        number = next(self._numbers)
        message_id = key or f"{self.name}-{number}"
        event = InboundEvent(
            event_key=message_id,
            message_id=message_id,
            platform_id=chat,
            sender_id=sender,
            sender_name=sender.title(),
            timestamp=to_text(utc_now()),
            thread_id=thread,
            is_mention=mention,
            is_group=group,
            text=text,
            attachments=attachments,
            reply_to=Quoted(quoting) if quoting else None,
        )
        return self.host.inbound(event)

    def press(self, card: Shown, option: int, user: str) -> ActionResult:
        """A user presses a button of a card."""
        assert card.part.question is not None
        done = threading.Event()
        results: list[ActionResult] = []

        def on_result(result: ActionResult) -> None:
            results.append(result)
            done.set()

        number = next(self._numbers)
        question_id = card.part.question.question_id
        self.host.action(
            Action(f"a{number}", question_id, str(option), user, card.chat, card.message_id),
            on_result,
        )
        assert done.wait(10)
        return results[0]

    def texts(self, chat: str) -> list[str]:
        return [shown.text for shown in self.platform.shown if shown.chat == chat]

    def wait_for(self, chat: str, words: str, *, after: int = 0) -> Shown:
        """The first thing shown in ``chat`` that contains ``words``."""

        def find() -> Shown | None:
            for shown in self.platform.shown[after:]:
                if shown.chat == chat and (words in shown.text or _in_card(shown, words)):
                    return shown
            return None

        found = wait_until(find, within=PATIENCE, what=f"{words!r} in {chat}: {self.texts(chat)}")
        assert found is not None
        return found

    def wait_for_card(self, chat: str, words: str = "") -> Shown:
        def find() -> Shown | None:
            for shown in self.platform.shown:
                if shown.chat == chat and shown.part.question and _in_card(shown, words):
                    return shown
            return None

        found = wait_until(find, within=PATIENCE, what=f"a card with {words!r} in {chat}")
        assert found is not None
        return found


def _in_card(shown: Shown, words: str) -> bool:
    question = shown.part.question
    if question is None:
        return False
    return any(words in text for text in (shown.text, question.title, *question.options))


@dataclass
class Town:
    """Use it in a ``with``."""

    home: Path
    host: Host = field(init=False)
    conn: sqlite3.Connection = field(init=False)
    channels: dict[str, TownChannel] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] | None = None

    def __enter__(self) -> "Town":
        self.host = Host(self.home, environment=dict(self.environment), command=self.command)
        self.host.__enter__()
        self.conn = open_central(self.host.paths.central_db)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for channel in self.channels.values():
            channel.close()
        self.conn.close()
        self.host.stop()

    def open_channel(self, name: str, *, threads: bool = False) -> TownChannel:
        capabilities = Capabilities(
            supports_threads=threads,
            buttons=Buttons.CALLBACK,
            max_buttons=8,
            max_label=64,
            max_callback_bytes=256,
            edits=True,
            reactions=True,
            typing=True,
            cold_dm=True,
            max_files=10,
            max_file_bytes=25 * 1024 * 1024,
        )
        self.channels[name] = TownChannel(self.home, name, capabilities)
        return self.channels[name]

    def add_agent(self, name: str, *, script: object = None) -> AgentGroup:
        now = utc_now()
        folder = name.lower()
        group = AgentGroup(new_id("ag"), name, folder, now)
        with transaction(self.conn):
            agent_groups.create(self.conn, group)
            container_configs.ensure(self.conn, group.id, now)
            text = dump(script) if script is not None else None
            change = ContainerConfigChange(provider="scripted", script=text)
            container_configs.update(self.conn, group.id, change, now)
        return group

    def add_chat(
        self,
        channel: str,
        platform_id: str,
        *,
        group: bool = False,
        policy: UnknownSenderPolicy = UnknownSenderPolicy.PUBLIC,
    ) -> MessagingGroup:
        chat = MessagingGroup(
            new_id("mg"),
            channel,
            platform_id,
            utc_now(),
            name=platform_id.title(),
            is_group=group,
            unknown_sender_policy=policy,
        )
        with transaction(self.conn):
            messaging_groups.create(self.conn, chat)
        return chat

    def wire(self, chat: MessagingGroup, agent: AgentGroup, **rules: object) -> Wiring:
        settings: dict[str, object] = {
            "engage_mode": EngageMode.PATTERN,
            "engage_pattern": ".",
            **rules,
        }
        wiring = Wiring(new_id("mga"), chat.id, agent.id, utc_now(), **settings)  # type: ignore[arg-type]
        with transaction(self.conn):
            wirings.create(self.conn, wiring)
        return wiring

    def make_owner(self, user_id: str) -> None:
        now = utc_now()
        with transaction(self.conn):
            users.upsert(self.conn, User(user_id, user_id.partition(":")[0], now))
            roles.grant(self.conn, RoleGrant(user_id, Role.OWNER, now))

    def rows(self, query: str, *values: object) -> list[dict[str, object]]:
        """What the central database says."""
        cursor = self.conn.execute(query, values)
        return [dict(row) for row in cursor.fetchall()]
