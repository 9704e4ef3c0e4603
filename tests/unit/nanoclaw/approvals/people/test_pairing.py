import secrets
import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest
from helpers.central_rows import NOW, add_chat
from helpers.people import (
    GLOBAL,
    OWNER,
    STRANGER,
    Town,
    audited,
    grant,
    hold,
    released,
    said,
    typed,
    unknown_chat,
)

from nanoclaw.approvals import answers, channels
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.incoming import Intercepted
from nanoclaw.approvals.intercept import intercept
from nanoclaw.approvals.pairing import LIFETIME, TRIES_WINDOW, Intent, create_code
from nanoclaw.db import dms, inbound_events, members, messaging_groups, roles, wirings
from nanoclaw.db.pairing import MAX_WRONG_TRIES
from nanoclaw.events import ActionOutcome
from nanoclaw.model import EngageMode, MessagingGroup, Role, UnknownSenderPolicy, Wiring

NEW_CHAT = "chat-of-9"
OWNER_INTENT = Intent("telegram", "owner", OWNER)
CHAT_INTENT = Intent("telegram", "chat:ag-1", OWNER)


def new_code(conn: sqlite3.Connection, intent: Intent = OWNER_INTENT) -> str:
    return create_code(conn, intent, NOW).code


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10_000:04d}"


def send(
    conn: sqlite3.Connection, text: str, chat: str = NEW_CHAT, is_group: bool | None = False
) -> Intercepted | None:
    return intercept(conn, typed(text, STRANGER, chat=chat, is_group=is_group), NOW)


def chat_of(conn: sqlite3.Connection, platform_id: str = NEW_CHAT) -> MessagingGroup:
    chat = messaging_groups.find_by_address(conn, "telegram", platform_id)
    assert chat is not None
    return chat


def test_code_is_four_digits_of_which_only_a_hash_is_stored(
    conn: sqlite3.Connection, town: Town
) -> None:
    new = create_code(conn, OWNER_INTENT, NOW)

    assert new.code.isdigit()
    assert len(new.code) == 4
    assert new.expires_at == NOW + LIFETIME
    stored = conn.execute("SELECT * FROM pairing_codes").fetchone()
    assert new.code not in {str(stored[column]) for column in stored.keys()}  # noqa: SIM118


@pytest.mark.parametrize("intent", ["", "main", "chat:", "chat:ag-9", "owner:x"])
def test_intent_that_means_nothing_is_refused(
    conn: sqlite3.Connection, town: Town, intent: str
) -> None:
    with pytest.raises(ValueError, match=r"pairing intent|agent group"):
        create_code(conn, Intent("telegram", intent), NOW)


def test_code_of_an_owner_makes_an_owner_and_knows_the_chat(
    conn: sqlite3.Connection, town: Town
) -> None:
    code = new_code(conn)

    assert send(conn, f" {code} ") == Intercepted("pairing")

    assert roles.is_owner(conn, STRANGER)
    chat = chat_of(conn)
    assert chat.unknown_sender_policy is UnknownSenderPolicy.STRICT
    assert not chat.is_group
    dm = dms.get(conn, STRANGER, "telegram")
    assert dm is not None
    assert dm.messaging_group_id == chat.id
    [confirmation] = said(conn)
    assert confirmation.platform_id == NEW_CHAT
    assert "you are an owner" in confirmation.content
    assert audited(conn) == [("role.granted", OWNER), ("chat.paired", STRANGER)]


@pytest.mark.parametrize(
    ("created_by", "owners", "expected"),
    [
        pytest.param(OWNER, True, True, id="an owner made it"),
        pytest.param(None, True, False, id="nobody known made it"),
        pytest.param(GLOBAL, True, False, id="an administrator made it"),
        pytest.param(None, False, True, id="there is no owner yet"),
    ],
)
def test_owner_is_made_by_owners_or_while_there_is_none(
    conn: sqlite3.Connection, town: Town, created_by: str | None, owners: bool, expected: bool
) -> None:
    grant(conn, GLOBAL, Role.ADMIN)
    if not owners:
        roles.revoke(conn, OWNER, Role.OWNER, None)
    code = new_code(conn, Intent("telegram", "owner", created_by))

    assert send(conn, code) == Intercepted("pairing")

    assert roles.is_owner(conn, STRANGER) is expected
    assert ("owner already" in said(conn)[0].content) is not expected


def test_w54_owner_who_pairs_again_is_one_owner(conn: sqlite3.Connection, town: Town) -> None:
    send(conn, new_code(conn))
    send(conn, new_code(conn))

    assert [grant.user_id for grant in roles.owners(conn)] == [OWNER, STRANGER]


@pytest.mark.parametrize(
    ("is_group", "mode"),
    [(False, EngageMode.PATTERN), (True, EngageMode.MENTION)],
    ids=["direct", "group"],
)
def test_code_for_an_agent_wires_the_chat(
    conn: sqlite3.Connection, town: Town, is_group: bool, mode: EngageMode
) -> None:
    send(conn, new_code(conn, CHAT_INTENT), is_group=is_group)

    chat = chat_of(conn)
    [wiring] = wirings.of_chat(conn, chat.id)
    assert (wiring.agent_group_id, wiring.engage_mode) == (town.agent.id, mode)
    assert chat.is_group is is_group
    assert members.has_row(conn, STRANGER, town.agent.id)
    assert not roles.is_owner(conn, STRANGER)


def test_code_settles_what_somebody_was_asked_about_the_chat(
    conn: sqlite3.Connection, town: Town
) -> None:
    waits_for = channels.request(conn, unknown_chat(town.chat), NOW)
    assert waits_for is not None
    hold(conn, waits_for)

    send(conn, new_code(conn, CHAT_INTENT), chat=town.chat.platform_id, is_group=True)

    assert released(conn) == ["e-1"]
    late = answers.answer(conn, Click(waits_for, "2", OWNER, "telegram", "dm"), NOW)
    assert late.outcome is ActionOutcome.ALREADY_ANSWERED
    assert late.chosen_label == "Paired with a code"


def test_refused_chat_is_heard_again_after_pairing(conn: sqlite3.Connection, town: Town) -> None:
    messaging_groups.set_denied(conn, town.chat.id, NOW)

    send(conn, new_code(conn, CHAT_INTENT), chat=town.chat.platform_id, is_group=True)

    assert chat_of(conn, town.chat.platform_id).denied_at is None


@pytest.mark.parametrize(
    "text", ["my pin is {}", "{}5", "{}.", "#{}", "@bot is {}", "x" * 200 + " {}"]
)
def test_text_around_the_code_makes_it_an_ordinary_message(
    conn: sqlite3.Connection, town: Town, text: str
) -> None:
    code = new_code(conn)

    assert send(conn, text.format(code)) is None
    assert send(conn, f"@Bot {code}") == Intercepted("pairing")


def test_code_counts_once(conn: sqlite3.Connection, town: Town) -> None:
    code = new_code(conn)
    send(conn, code)

    assert intercept(conn, typed(code, "telegram:10", chat="other", key="t-2"), NOW) is None
    assert not roles.is_owner(conn, "telegram:10")


def test_code_fits_the_channel_account_it_was_made_for(
    conn: sqlite3.Connection, town: Town
) -> None:
    code = new_code(conn)
    elsewhere = replace(typed(code, STRANGER), instance="telegram-work")

    assert intercept(conn, elsewhere, NOW) is None
    assert send(conn, code) is not None


def test_code_runs_out(conn: sqlite3.Connection, town: Town) -> None:
    code = new_code(conn)

    assert intercept(conn, typed(code, STRANGER), NOW + LIFETIME) is None
    assert not roles.is_owner(conn, STRANGER)


def test_code_dies_after_five_wrong_tries_from_anywhere(
    conn: sqlite3.Connection, town: Town
) -> None:
    code = new_code(conn)

    for number in range(MAX_WRONG_TRIES):
        assert send(conn, wrong(code), chat=f"chat-{number}") is None

    assert send(conn, code) is None


def test_one_wrong_try_of_a_stranger_does_not_stop_the_pairing(
    conn: sqlite3.Connection, town: Town
) -> None:
    code = new_code(conn)
    send(conn, wrong(code), chat="stranger")

    assert send(conn, code) == Intercepted("pairing")


def test_chat_that_guessed_five_times_is_not_listened_to_for_a_while(
    conn: sqlite3.Connection, town: Town
) -> None:
    code = new_code(conn)
    for _ in range(MAX_WRONG_TRIES):
        send(conn, wrong(code))
    code = new_code(conn)

    assert send(conn, code) is None
    later = NOW + TRIES_WINDOW + timedelta(seconds=1)
    assert intercept(conn, typed(code, STRANGER, chat=NEW_CHAT), later) is not None


def test_four_digits_are_an_ordinary_message_while_no_code_waits(
    conn: sqlite3.Connection, town: Town
) -> None:
    assert send(conn, "1234") is None
    assert conn.execute("SELECT count(*) FROM pairing_attempts").fetchone()[0] == 0


def test_new_code_for_the_same_purpose_ends_the_one_before(
    conn: sqlite3.Connection, town: Town
) -> None:
    first = new_code(conn)
    second = new_code(conn)

    if first != second:
        assert send(conn, first) is None
    assert send(conn, second) == Intercepted("pairing")


def test_consumed_code_leaves_no_trace_of_the_message(conn: sqlite3.Connection, town: Town) -> None:
    code = new_code(conn)
    send(conn, code)

    stored = "\n".join(line for line in conn.iterdump() if "pairing_codes" not in line)
    assert f'"{code}"' not in stored
    assert f"'{code}'" not in stored
    assert inbound_events.unrouted(conn, 10) == []


def test_agent_that_is_gone_is_said(conn: sqlite3.Connection, town: Town) -> None:
    code = new_code(conn, CHAT_INTENT)
    conn.execute("DELETE FROM agent_groups WHERE id = 'ag-1'")

    send(conn, code)

    assert "is gone" in said(conn)[0].content


@pytest.mark.parametrize("change", ["edited", "bot", "reaction"])
def test_edits_bots_and_reactions_pair_nothing(
    conn: sqlite3.Connection, town: Town, change: str
) -> None:
    incoming = typed(new_code(conn), STRANGER)
    event = replace(
        incoming.event,
        edited=change == "edited",
        sender_is_bot=change == "bot",
        reaction="thumbs_up" if change == "reaction" else None,
    )

    assert intercept(conn, replace(incoming, event=event), NOW) is None


def test_code_of_a_chat_that_is_known_keeps_its_name(conn: sqlite3.Connection, town: Town) -> None:
    chat = add_chat(conn, "mg-2", name="Club")

    send(conn, new_code(conn, CHAT_INTENT), chat=chat.platform_id, is_group=True)

    assert chat_of(conn, chat.platform_id).name == "Club"


def test_code_that_is_in_use_is_not_given_twice(
    conn: sqlite3.Connection, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "randbelow", lambda _: 7)
    assert new_code(conn) == "0007"

    with pytest.raises(ValueError, match="too many"):
        new_code(conn, CHAT_INTENT)


def test_chat_that_was_wired_before_keeps_its_wiring(conn: sqlite3.Connection, town: Town) -> None:
    wirings.create(conn, Wiring("mga-1", town.chat.id, town.agent.id, NOW))

    send(conn, new_code(conn, CHAT_INTENT), chat=town.chat.platform_id, is_group=True)

    assert [wiring.id for wiring in wirings.of_chat(conn, town.chat.id)] == ["mga-1"]


def test_chat_known_as_direct_that_is_a_group_is_corrected(
    conn: sqlite3.Connection, town: Town
) -> None:
    chat = add_chat(conn, "mg-2")

    send(conn, new_code(conn, CHAT_INTENT), chat=chat.platform_id, is_group=True)

    assert chat_of(conn, chat.platform_id).is_group
