import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from helpers.central_rows import NOW, add_chat
from helpers.people import Town, unknown_chat

from nanoclaw.approvals import channels
from nanoclaw.approvals.chat_names import EFFECT, carry_out
from nanoclaw.config import HostConfig
from nanoclaw.db import effects, messaging_groups
from nanoclaw.effects.base import Done, EffectContext, Outcome, UnderWay
from nanoclaw.events import Frame, LinkDown, Refused, Resolved, ResolveName
from nanoclaw.link import Answer


@dataclass
class Channel:
    """Answers at once with ``answer``."""

    answer: Answer
    asked: list[tuple[str, Frame]] = field(default_factory=list)

    def to_channel(
        self, instance: str, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]
    ) -> None:
        self.asked.append((instance, frame))
        on_answer(self.answer)

    def to_sweep(
        self, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]
    ) -> None:  # pragma: no cover - nobody asks
        raise AssertionError(frame)


def ask(conn: sqlite3.Connection, channel: Channel) -> tuple[object, list[tuple[str, Outcome]]]:
    [effect] = effects.due(conn, NOW, 10)
    assert effect.kind == EFFECT
    ended: list[tuple[str, Outcome]] = []
    context = EffectContext(
        conn,
        HostConfig(Path("/nowhere")),
        channel,
        NOW,
        complete=lambda *end: ended.append(end),
        go_on=lambda effect_id, step: ended.append((effect_id, step())),  # type: ignore[arg-type]
    )
    return carry_out(context, effect), ended


@pytest.mark.parametrize(
    ("answer", "name", "result"),
    [
        pytest.param(Resolved(" Chess club "), "Chess club", "named", id="name"),
        pytest.param(Resolved("x" * 300), "x" * 200, "named", id="long name"),
        pytest.param(Resolved(""), None, "the channel does not say", id="empty"),
        pytest.param(Resolved(None), None, "the channel does not say", id="none"),
        pytest.param(Refused("no"), None, "the channel does not say", id="refused"),
        pytest.param(LinkDown(), None, "the channel does not say", id="down"),
    ],
)
def test_nameless_chat_is_named_by_its_channel(
    conn: sqlite3.Connection, town: Town, answer: Answer, name: str | None, result: str
) -> None:
    chat = add_chat(conn, "mg-2", name=None)
    channels.request(conn, unknown_chat(chat), NOW)
    channel = Channel(answer)

    returned, ended = ask(conn, channel)

    assert returned == UnderWay()
    assert [outcome for _, outcome in ended] == [Done(result)]
    assert channel.asked == [("telegram", ResolveName("platform-mg-2"))]
    found = messaging_groups.get(conn, "mg-2")
    assert found is not None
    assert found.name == name


def test_chat_with_a_name_is_not_asked_about(conn: sqlite3.Connection, town: Town) -> None:
    channels.request(conn, unknown_chat(town.chat), NOW)

    assert effects.due(conn, NOW, 10) == []


def test_name_that_came_meanwhile_is_kept(conn: sqlite3.Connection, town: Town) -> None:
    chat = add_chat(conn, "mg-2", name=None)
    channels.request(conn, unknown_chat(chat), NOW)
    conn.execute("UPDATE messaging_groups SET name = 'Club' WHERE id = 'mg-2'")

    returned, ended = ask(conn, Channel(Resolved("Other")))

    assert returned == Done("nothing to ask")
    assert ended == []
