"""Two programs that decide about the same card at the same moment, as real processes (H 12.3)."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from sqlite3 import Connection

import pytest
from helpers import programs
from helpers.central_rows import NOW
from helpers.people import OWNER, STRANGER, Town, audited, build_town, stranger, unknown_chat

from nanoclaw.approvals import channels, senders
from nanoclaw.approvals.pairing import Intent, create_code
from nanoclaw.db import (
    chat_requests,
    members,
    messaging_groups,
    roles,
    sender_requests,
    wirings,
)
from nanoclaw.db.connection import open_central, transaction
from nanoclaw.db.migrations import migrate
from nanoclaw.events import ActionOutcome
from nanoclaw.model import MessagingGroup

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 60
CARDS = 40
"""Races: so many that both orders happen."""

PREPARE = """
import sys
from datetime import timedelta
from pathlib import Path
from helpers.central_rows import NOW
from helpers.people import OWNER, click, typed
from nanoclaw.approvals import answers, channels, senders
from nanoclaw.approvals.intercept import intercept
from nanoclaw.db.connection import open_central, transaction
conn = open_central(Path(sys.argv[1]))
names, value = sys.argv[2].split(","), sys.argv[3]
print("ready", flush=True)
sys.stdin.readline()
"""

CLICK = """
for name in names:
    with transaction(conn):
        result = answers.answer(conn, click(name, value), NOW)
    print(result.outcome.value)
"""

EXPIRE = """
for number, name in enumerate(names):
    with transaction(conn):
        senders.CARDS.expire(conn, NOW + timedelta(days=7, seconds=number))
    print("expired")
"""

PAIR = """
for name in names:
    with transaction(conn):
        found = intercept(conn, typed(name, f"telegram:{value}", chat=f"chat-{value}"), NOW)
    print("paired" if found else "no")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "v2.db"


@pytest.fixture
def conn(path: Path) -> Iterator[Connection]:
    with closing(open_central(path)) as conn:
        migrate(conn)
        yield conn


@pytest.fixture
def town(conn: Connection) -> Town:
    with transaction(conn):
        return build_town(conn)


def run_together(path: Path, names: list[str], *codes: tuple[str, str]) -> list[list[str]]:
    """What each of the programs (code, argument) printed; all are let loose at once."""
    words = [(PREPARE + code, str(path), ",".join(names), argument) for code, argument in codes]
    return programs.run_together(words, {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"})


def strangers(conn: Connection, town: Town) -> dict[str, str]:
    """Cards by the user they are about; each in a chat of its own, one expiring after the other."""
    found: dict[str, str] = {}
    for number in range(CARDS):
        with transaction(conn):
            chat = messaging_groups.find_or_create(conn, _chat(town, number))
            new = stranger(Town(town.agent, chat, town.owner_chat), user_id=f"telegram:x{number}")
            card = senders.request(conn, new, NOW + timedelta(seconds=number))
        assert card is not None
        found[new.user_id] = card
    return found


def _chat(town: Town, number: int) -> MessagingGroup:
    return replace(town.chat, id=f"mg-x{number}", platform_id=f"x{number}")


def test_two_clicks_at_once_are_one_decision(conn: Connection, path: Path, town: Town) -> None:
    cards = strangers(conn, town)

    allowed, denied = run_together(path, list(cards.values()), (CLICK, "0"), (CLICK, "1"))

    accepted, late = ActionOutcome.ACCEPTED.value, ActionOutcome.ALREADY_ANSWERED.value
    assert [sorted(pair) for pair in zip(allowed, denied, strict=True)] == [
        sorted((accepted, late))
    ] * CARDS
    for (user_id, card), outcome in zip(cards.items(), allowed, strict=True):
        assert members.has_row(conn, user_id, town.agent.id) is (outcome == accepted)
        assert sender_requests.get(conn, card) is None
    assert len(audited(conn)) == CARDS


def test_click_and_expiry_at_once_are_one_end(conn: Connection, path: Path, town: Town) -> None:
    cards = strangers(conn, town)

    clicked, _ = run_together(path, list(cards.values()), (CLICK, "0"), (EXPIRE, ""))

    assert sender_requests.list_all(conn) == []
    accepted = clicked.count(ActionOutcome.ACCEPTED.value)
    assert accepted + clicked.count(ActionOutcome.EXPIRED.value) == CARDS
    assert len(audited(conn)) == CARDS
    admitted = [user for user in cards if members.has_row(conn, user, town.agent.id)]
    assert len(admitted) == accepted


def test_two_decisions_about_a_chat_wire_it_once(conn: Connection, path: Path, town: Town) -> None:
    with transaction(conn):
        card = channels.request(conn, unknown_chat(town.chat), NOW)
    assert card is not None

    first, second = run_together(path, [card], (CLICK, "connect:ag-1"), (CLICK, "reject"))

    assert sorted([*first, *second]) == sorted(
        [ActionOutcome.ACCEPTED.value, ActionOutcome.ALREADY_ANSWERED.value]
    )
    chat = messaging_groups.get(conn, town.chat.id)
    assert chat is not None
    is_wired = len(wirings.of_chat(conn, town.chat.id)) == 1
    assert is_wired is (first == [ActionOutcome.ACCEPTED.value])
    assert (chat.denied_at is None) is is_wired
    assert chat_requests.list_all(conn) == []


def test_code_that_two_chats_send_at_once_pairs_one(
    conn: Connection, path: Path, town: Town
) -> None:
    with transaction(conn):
        code = create_code(conn, Intent("telegram", "owner", OWNER), NOW).code

    first, second = run_together(path, [code], (PAIR, "21"), (PAIR, "22"))

    assert sorted([*first, *second]) == ["no", "paired"]
    assert len(roles.owners(conn)) == 2
    assert not roles.is_owner(conn, STRANGER)
