import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.approval_people import add_person
from helpers.central_rows import NOW

from nanoclaw.approvals.direct_messages import (
    Away,
    DirectMessages,
    Found,
    Reach,
    Unreachable,
    forget_chat,
)
from nanoclaw.db import dms, messaging_groups, users
from nanoclaw.events import (
    DeadlinePassed,
    DeliveryKnowledge,
    DeliveryKnown,
    DeliveryStatus,
    Frame,
    LinkDown,
    OpenDm,
    Refused,
    Resolved,
    Unsupported,
)
from nanoclaw.link import Answer
from nanoclaw.model import User
from nanoclaw.paths import HostPaths

USER = "telegram:7"


class Channels:
    """Every channel at once; keeps the questions, answers when told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Frame]] = []
        self.waiting: list[Callable[[Answer], None]] = []

    def to_channel(
        self, instance: str, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]
    ) -> None:
        self.asked.append((instance, frame))
        self.waiting.append(on_answer)

    def to_sweep(self, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]) -> None:
        raise AssertionError("nobody asks the sweep")


@pytest.fixture
def channels() -> Channels:
    return Channels()


@pytest.fixture
def direct(conn: sqlite3.Connection, tmp_path: Path, channels: Channels) -> DirectMessages:
    paths = HostPaths(tmp_path)
    paths.channel("telegram").mkdir(parents=True)
    paths.channel("teams").mkdir()
    return DirectMessages(conn, paths, channels)


def ask(direct: DirectMessages, channels: Channels, answer: Answer, user: str = USER) -> Reach:
    found: list[Reach] = []
    direct.ensure(user, found.append)
    channels.waiting.pop()(answer)
    (reach,) = found
    return reach


def test_unknown_user_is_unreachable_without_asking(
    direct: DirectMessages, channels: Channels
) -> None:
    found: list[Reach] = []

    direct.ensure(USER, found.append)

    assert isinstance(found[0], Unreachable)
    assert channels.asked == []


def test_user_of_a_channel_that_never_ran_here_is_unreachable(
    conn: sqlite3.Connection, direct: DirectMessages, channels: Channels
) -> None:
    add_person(conn, "matrix:@a:b")
    found: list[Reach] = []

    direct.ensure("matrix:@a:b", found.append)

    assert isinstance(found[0], Unreachable)
    assert channels.asked == []


def test_id_whose_channel_is_its_kind_goes_as_a_whole(
    conn: sqlite3.Connection, direct: DirectMessages, channels: Channels
) -> None:
    users.upsert(conn, User("29:abc", "teams", NOW))

    ask(direct, channels, Resolved("a:1"), "29:abc")

    assert channels.asked == [("teams", OpenDm("29:abc"))]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Resolved("D1"), Found),
        (Resolved(None), Unreachable),
        (Resolved(""), Unreachable),
        (Resolved("x" * 1000), Unreachable),
        (Refused("permanent: no such user"), Unreachable),
        (Refused("internal"), Unreachable),
        (Refused("offline: no network"), Away),
        (Refused("transient: try later"), Away),
        (Refused("rate_limited: slowly"), Away),
        (Refused("auth: the token was revoked"), Away),
        (Unsupported("OpenDm"), Unreachable),
        (LinkDown("not connected"), Away),
        (DeadlinePassed(30), Away),
    ],
)
def test_t31_answer_of_the_channel_decides(
    conn: sqlite3.Connection, direct: DirectMessages, channels: Channels,
    answer: Answer, kind: type[Reach],
) -> None:  # fmt: skip
    add_person(conn, USER, name="Olga")

    reach = ask(direct, channels, answer)

    assert isinstance(reach, kind)
    assert len(dms.list_all(conn)) == int(kind is Found)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (DeliveryKnown(DeliveryKnowledge.UNKNOWN), Found),
        (LinkDown("not connected"), Away),
        (DeadlinePassed(5), Away),
    ],
)
def test_kept_chat_is_used_while_its_channel_is_there(
    conn: sqlite3.Connection, direct: DirectMessages, channels: Channels,
    answer: Answer, kind: type[Reach],
) -> None:  # fmt: skip
    add_person(conn, USER)
    ask(direct, channels, Resolved("D1"))

    reach = ask(direct, channels, answer)

    assert isinstance(reach, kind)
    assert [type(frame) for _, frame in channels.asked] == [OpenDm, DeliveryStatus]


def test_w62_forgotten_chat_is_resolved_again(
    conn: sqlite3.Connection, direct: DirectMessages, channels: Channels
) -> None:
    add_person(conn, USER)
    ask(direct, channels, Resolved("D1"))

    assert forget_chat(conn, "telegram", "D1")
    assert not forget_chat(conn, "telegram", "D1")
    assert not forget_chat(conn, "telegram", "nowhere")
    ask(direct, channels, Resolved("D2"))

    assert messaging_groups.find_by_address(conn, "telegram", "D2") is not None
    assert [type(frame) for _, frame in channels.asked] == [OpenDm, OpenDm]


def test_answer_after_the_end_goes_nowhere(
    conn: sqlite3.Connection, direct: DirectMessages, channels: Channels
) -> None:
    add_person(conn, USER)
    found: list[Reach] = []
    direct.ensure(USER, found.append)

    direct.close()
    channels.waiting.pop()(Resolved("D1"))
    direct.ensure(USER, found.append)

    assert found == []
    assert dms.list_all(conn) == []
