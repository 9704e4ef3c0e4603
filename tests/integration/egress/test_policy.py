"""What the stored policy decides, asks and records, over a real database."""

from datetime import timedelta

import pytest
from helpers.egress_room import AGENT, EgressRoom, request
from helpers.people import OWNER, STRANGER, typed

from contract.clock import utc_now
from contract.inbound.row import MessageKind, NewInbound
from contract.inbound.writer import open_inbound
from contract.jsontext import parse_object
from nanoclaw import audit
from nanoclaw.approvals import egress
from nanoclaw.approvals.egress import CARDS
from nanoclaw.approvals.intercept import intercept
from nanoclaw.bell import DELIVERY, bell_file
from nanoclaw.db import (
    card_copies,
    closed_cards,
    container_configs,
    effects,
    egress_rules,
    roles,
    services,
    sessions,
)
from nanoclaw.db.card_copies import CopyState, NewCopy, Place
from nanoclaw.db.connection import transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.db.egress_rules import EgressEffect, EgressRule
from nanoclaw.db.services import Service, ServiceKind
from nanoclaw.events import ActionOutcome
from nanoclaw.model import EgressMode
from nanoclaw.policy.egress.rule import parse_rule
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.vault import egress_policy
from nanoclaw.vault.egress_types import Verdict

HOST = "api.example.com"


def add_rule(
    room: EgressRoom, text: str, *, effect: str = "allow", group: str | None = AGENT
) -> None:
    rule = parse_rule(text)
    egress_rules.add(
        room.conn,
        EgressRule(
            rule_id=f"er-{text}-{group}",
            effect=EgressEffect(effect),
            text=rule.text,
            host=rule.host,
            subdomains=rule.subdomains,
            created_at=utc_now(),
            created_by="host",
            agent_group_id=group,
        ),
    )


def set_config(room: EgressRoom, change: ContainerConfigChange) -> None:
    container_configs.ensure(room.conn, AGENT, utc_now())
    container_configs.update(room.conn, AGENT, change, utc_now())


def test_an_unknown_host_is_refused_and_one_card_is_written(room: EgressRoom) -> None:
    door = room.door()

    judgement = room.ask(door)

    assert judgement.verdict is Verdict.ASK
    assert "the owner is being asked" in judgement.text
    (card,) = CARDS.created(room.conn, 10)
    assert [item.value for item in card.options] == ["once", "always", "never"]
    assert card.agent_group_id == AGENT
    for words in ("`Andy`", f"`{HOST}`", "port 443"):
        assert words in card.question
    assert bell_file(room.paths, DELIVERY).exists()
    (row,) = room.audited("egress.ask")
    assert (row.actor, row.subject, row.session_id) == (f"agent:{AGENT}", f"{HOST}:443", "sess-1")


def test_asking_again_bothers_nobody(room: EgressRoom) -> None:
    doors = [room.door(f"sess-{number}") for number in range(3)]

    verdicts = {room.ask(door).verdict for door in doors}

    assert verdicts == {Verdict.ASK}
    assert len(room.open_asks) == 1


def test_always_is_a_rule_of_the_agent_for_this_host_and_port(room: EgressRoom) -> None:
    first, second = room.door("sess-1"), room.door("sess-2")
    room.ask(first)
    room.ask(second)

    result = room.press("always")

    assert result.outcome is ActionOutcome.ACCEPTED
    assert room.ask(second).verdict is Verdict.ALLOW
    assert room.ask(second, port=8443).verdict is Verdict.ASK
    (row,) = room.audited("egress.decided")
    assert row.actor == OWNER
    assert parse_object(row.detail, max_bytes=10_000)["decision"] == "always"
    told = {item.session_id for item in effects.due(room.conn, utc_now(), 10)}
    assert told == {"sess-1", "sess-2"}


def test_never_denies_the_host_on_every_port(room: EgressRoom) -> None:
    door = room.door()
    room.ask(door)

    room.press("never")

    assert room.ask(door).verdict is Verdict.DENY
    assert room.ask(door, port=8443).verdict is Verdict.DENY
    assert room.open_asks == []


def test_once_is_for_the_one_conversation_and_its_container(room: EgressRoom) -> None:
    door, other = room.door("sess-1"), room.door("sess-2")
    room.ask(door)
    room.ask(other)

    room.press("once")

    assert room.ask(door).verdict is Verdict.ALLOW
    assert room.ask(other).verdict is Verdict.ASK
    assert room.ask(room.door("sess-1")).verdict is Verdict.ASK


def test_once_lasts_an_hour_at_most(room: EgressRoom) -> None:
    door = room.door()
    room.ask(door)

    room.press("once", at=utc_now() - timedelta(minutes=61))

    assert room.ask(door).verdict is Verdict.ASK


def test_once_answered_between_two_containers_is_for_the_next(room: EgressRoom) -> None:
    door = room.door()
    room.ask(door)
    assert sessions.release_lease(room.conn, door.session_id, door.lease)

    room.press("once")

    assert room.ask(room.door()).verdict is Verdict.ALLOW


def test_nobody_but_an_entitled_person_decides(room: EgressRoom) -> None:
    door = room.door()
    room.ask(door)

    for who in (STRANGER, f"agent:{AGENT}"):
        assert room.press("always", who).outcome is ActionOutcome.NOT_ALLOWED

    assert room.ask(door).verdict is Verdict.ASK


def test_a_second_click_finds_the_card_closed(room: EgressRoom) -> None:
    door = room.door()
    room.ask(door)
    card_id = room.open_asks[0].ask_id
    room.press("never")

    again = room.press("always", card_id=card_id)

    assert again.outcome is ActionOutcome.ALREADY_ANSWERED
    assert room.ask(door).verdict is Verdict.DENY


def test_a_card_that_nobody_answers_is_not_asked_again_for_a_day(room: EgressRoom) -> None:
    door = room.door()
    room.ask(door)
    ask_id = room.open_asks[0].ask_id
    later = utc_now() + timedelta(hours=25)
    with transaction(room.conn):
        CARDS.expire(room.conn, later)

    judgement = room.ask(door)

    assert judgement.verdict is Verdict.DENY
    assert "has not answered" in judgement.text
    assert closed_cards.get(room.conn, ask_id) is not None
    with transaction(room.conn):
        session = sessions.get(room.conn, door.session_id)
        assert session is not None
        unknown = egress.UnknownHost(AGENT, session, HOST, 443)
        assert egress.request(room.conn, unknown, later + timedelta(hours=25)) is egress.Asked.NEW


def test_a_card_that_reaches_nobody_ends(room: EgressRoom) -> None:
    door = room.door()
    room.ask(door)
    with transaction(room.conn):
        CARDS.nobody_reachable(room.conn, room.open_asks[0].ask_id, "no chat", utc_now())

    assert room.open_asks == []
    assert room.ask(door).verdict is Verdict.DENY


def test_without_anybody_to_ask_the_text_says_so(room: EgressRoom) -> None:
    for grant in roles.owners(room.conn):
        roles.revoke(room.conn, grant.user_id, grant.role, grant.agent_group_id)

    judgement = room.ask(room.door())

    assert judgement.verdict is Verdict.DENY
    assert "nobody who could be asked" in judgement.text


def test_open_questions_of_an_agent_are_few(room: EgressRoom) -> None:
    door = room.door()

    judgements = [room.ask(door, f"h{number}.example.com") for number in range(7)]

    assert [item.verdict for item in judgements] == [Verdict.ASK] * 5 + [Verdict.DENY] * 2
    assert "was not asked" in judgements[-1].text
    assert len(room.open_asks) == egress.MAX_OPEN


def test_questions_of_a_day_are_few(room: EgressRoom) -> None:
    door = room.door()
    for number in range(egress.MAX_PER_DAY):
        assert room.ask(door, f"h{number}.example.com").verdict is Verdict.ASK
        room.press("never")

    judgement = room.ask(door, "one.more.example.com")

    assert judgement.verdict is Verdict.DENY
    assert "many hosts today" in judgement.text


def test_the_card_says_that_the_agent_reads_foreign_content(room: EgressRoom) -> None:
    door = room.door()
    folder = SessionFolder.of(room.paths, AGENT, door.session_id)
    folder.create()
    with open_inbound(folder.inbound_db) as writer:
        writer.insert_message(
            NewInbound(id="in-1", kind=MessageKind.CHAT, timestamp=utc_now(), content="{}",
                       taint="mail")
        )  # fmt: skip

    room.ask(door)

    assert "It is reading a mail" in room.open_asks[0].question


def test_rules_of_the_installation_the_group_and_its_settings_let_out(room: EgressRoom) -> None:
    door = room.door()
    add_rule(room, "a.example.com", group=None)
    add_rule(room, "*.b.example.com")
    set_config(room, ContainerConfigChange(egress_allow=("GET c.example.com/v1",)))

    assert room.ask(door, "a.example.com").verdict is Verdict.ALLOW
    assert room.ask(door, "x.b.example.com").verdict is Verdict.ALLOW
    assert room.ask(door, "c.example.com").verdict is Verdict.INSPECT
    assert room.ask(door, "c.example.com", 443, "GET", "/v1/x").verdict is Verdict.ALLOW
    assert room.ask(door, "c.example.com", 443, "GET", "/v2").verdict is Verdict.DENY
    assert room.open_asks == []


def test_a_rule_that_cannot_be_read_allows_nothing_and_denies_the_host(room: EgressRoom) -> None:
    door = room.door()
    set_config(room, ContainerConfigChange(egress_allow=("everything",)))
    add_rule(room, HOST, group=None)
    add_rule(room, f"GET {HOST}", effect="deny")
    room.conn.execute("UPDATE egress_rules SET rule = '???' WHERE effect = 'deny'")

    assert room.ask(door).verdict is Verdict.DENY
    assert room.ask(door, "everything.example.com").verdict is Verdict.ASK


def test_modes_none_and_open(room: EgressRoom) -> None:
    door = room.door()
    add_rule(room, HOST, group=None)
    add_rule(room, "bad.example.com", effect="deny")

    set_config(room, ContainerConfigChange(egress_mode=EgressMode.NONE))
    assert room.ask(door).verdict is Verdict.DENY
    set_config(room, ContainerConfigChange(egress_mode=EgressMode.OPEN))
    assert room.ask(door, "any.example.org").verdict is Verdict.ALLOW
    assert room.ask(door, "bad.example.com").verdict is Verdict.DENY
    assert room.ask(door, "10.0.0.1").verdict is Verdict.DENY


def test_a_service_is_inspected_with_its_name(room: EgressRoom) -> None:
    now = utc_now()
    service = Service("example", ServiceKind.HEADER, (HOST,), "authorization", "Bearer {secret}",
                      "key", now, now, "host")  # fmt: skip
    with transaction(room.conn):
        services.put(room.conn, service)

    judgement = room.ask(room.door())

    assert (judgement.verdict, judgement.service) == (Verdict.INSPECT, "example")


@pytest.mark.parametrize(
    "host", ["Example.com", "example.com.", "0x7f.1", "a b", "ex\u00e4mple.de"]
)
def test_a_host_in_another_spelling_is_refused(room: EgressRoom, host: str) -> None:
    judgement = room.ask(room.door(), host)

    assert judgement.verdict is Verdict.DENY
    assert room.open_asks == []


def test_the_record_has_method_and_path_and_neither_query_nor_secrets(room: EgressRoom) -> None:
    add_rule(room, HOST)

    room.ask(room.door(), HOST, 443, "GET", "/bot/sk-live-0123456789abcdef/x?token=hidden")

    (row,) = room.audited("egress.allow")
    assert '"method":"GET"' in row.detail
    assert "/bot/" in row.detail
    assert "hidden" not in row.detail
    assert "0123456789abcdef" not in row.detail


def test_a_flood_of_one_session_is_cut_and_counted(
    room: EgressRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_rule(room, HOST)
    door, other = room.door("sess-1"), room.door("sess-2")
    limit = egress_policy.MAX_RECORDED_PER_HOUR

    judgements = room.ask_all([request(door)] * (limit + 7))

    assert [item.verdict for item in judgements].count(Verdict.DENY) == 7
    assert "next full hour" in judgements[-1].text
    assert len(room.audited("egress.allow")) == limit
    assert room.ask(other).verdict is Verdict.ALLOW
    room.conn.execute("UPDATE egress_counts SET hour = '2000-01-01T00'")
    assert room.ask(door).verdict is Verdict.ALLOW
    (row,) = room.audited("egress.deny")
    assert parse_object(row.detail, max_bytes=10_000)["not_recorded_one_by_one"] == 7
    assert audit.verify(room.conn).first_bad is None


def test_a_rule_written_elsewhere_answers_the_open_question(room: EgressRoom) -> None:
    door = room.door()
    room.ask(door)
    add_rule(room, HOST)
    (rule,) = egress_rules.for_host(room.conn, AGENT, [HOST], utc_now())

    with transaction(room.conn):
        assert egress.settle_covered(room.conn, rule, parse_rule(HOST), utc_now()) == 1

    assert room.open_asks == []
    assert [item.session_id for item in effects.due(room.conn, utc_now(), 10)] == ["sess-1"]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("2", Verdict.ALLOW),
        ("always allow", Verdict.ALLOW),
        ("never", Verdict.DENY),
        ("allow {card}", Verdict.ALLOW),
        ("reject {card}", Verdict.DENY),
    ],
)
def test_an_owner_answers_by_typing(room: EgressRoom, text: str, verdict: Verdict) -> None:
    door = room.door()
    room.ask(door)
    card_id = room.open_asks[0].ask_id
    show_card(room, card_id)

    with transaction(room.conn):
        taken = intercept(room.conn, typed(text.format(card=card_id)), utc_now())

    assert taken is not None
    assert room.ask(door).verdict is verdict


def show_card(room: EgressRoom, card_id: str) -> None:
    """As the desk does it, and as its channel has answered."""
    with transaction(room.conn):
        copy = NewCopy("copy-1", card_id, CARDS.name, OWNER, Place("telegram", "platform-mg-dm"),
                       utc_now())  # fmt: skip
        card_copies.insert(room.conn, copy, utc_now())
        card_copies.set_state(room.conn, "copy-1", CopyState.QUEUED, CopyState.SHOWN, utc_now())
        assert CARDS.mark_sent(room.conn, card_id, OWNER, utc_now())
    assert CARDS.created(room.conn, 10) == []
