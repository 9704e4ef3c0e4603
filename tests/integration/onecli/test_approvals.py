import json
from http.server import BaseHTTPRequestHandler

import pytest
from helpers.onecli_scene import APPROVE, REJECT, Scene
from helpers.onecli_stand_in import KEY, Raw
from helpers.waiting import wait_until

from contract.clock import to_text, utc_now
from contract.jsontext import parse_object
from nanoclaw.db import card_copies, closed_cards, roles
from nanoclaw.db.connection import transaction
from nanoclaw.events import ActionOutcome


def say(status: int, body: bytes) -> Raw:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def test_h231_approved_request_is_approved_at_the_gateway(scene: Scene) -> None:
    scene.vault.start()
    request_id = scene.onecli.hold(scene.group.id)

    card = scene.card(request_id)
    result = scene.press(card.approval_id, APPROVE)

    assert result.outcome is ActionOutcome.ACCEPTED
    assert scene.onecli.wait_for_decision(request_id) == "approve"
    scene.wait_for_rows(0)
    assert scene.audit() == ["credential.requested", "credential.decided"]
    assert scene.onecli.keys == {f"Bearer {KEY}"}


def test_h235_rejected_request_is_denied(scene: Scene) -> None:
    scene.vault.start()
    request_id = scene.onecli.hold(scene.group.id)

    scene.press(scene.card(request_id).approval_id, REJECT)

    assert scene.onecli.wait_for_decision(request_id) == "deny"
    scene.wait_for_rows(0)


def test_h233_row_has_what_is_asked_and_the_card_no_headers(scene: Scene) -> None:
    scene.vault.start()
    request_id = scene.onecli.hold(
        scene.group.id, more={"bodyPreview": "hello @everyone\n**bold** `x`"}
    )

    row = scene.card(request_id)

    payload = parse_object(row.payload, max_bytes=10_000)
    assert (row.action, row.session_id, row.agent_group_id) == (
        "onecli_credential", None, scene.group.id,
    )  # fmt: skip
    assert payload["oneCliRequestId"] == request_id
    assert (payload["method"], payload["host"], payload["path"]) == (
        "POST", "api.example.com", "/v1/things?x=1",
    )  # fmt: skip
    assert payload["approver"] == "cli:local"
    assert row.expires_at is not None
    assert f"`{scene.group.name}`" in row.question
    assert "`hello @everyone`" in row.question
    assert "`**bold** \\x60x\\x60`" in row.question
    assert "header-marker" not in row.question + row.payload


def test_h237_card_id_is_short(scene: Scene) -> None:
    scene.vault.start()

    row = scene.card(scene.onecli.hold(scene.group.id))

    assert row.approval_id.startswith("oa-")
    assert len(row.approval_id) == 11


def test_h233_without_anybody_to_ask_it_is_denied(scene: Scene) -> None:
    with scene.vault.database() as conn, transaction(conn):
        conn.execute("DELETE FROM user_roles")
        assert not roles.owners(conn)
    scene.vault.start()

    request_id = scene.onecli.hold(scene.group.id)

    assert scene.onecli.wait_for_decision(request_id) == "deny"
    assert scene.rows() == []


def test_h233_unknown_agent_is_asked_of_the_owners_as_a_stranger(scene: Scene) -> None:
    scene.vault.start()

    row = scene.card(scene.onecli.hold("ag-of-somebody-else"))

    assert row.agent_group_id is None
    assert "An agent of another host" in row.question


def test_h226_click_of_a_stranger_decides_nothing(scene: Scene) -> None:
    scene.vault.start()
    request_id = scene.onecli.hold(scene.group.id)
    card = scene.card(request_id)

    result = scene.press(card.approval_id, APPROVE, "telegram:666")
    assert result.outcome is ActionOutcome.NOT_ALLOWED
    assert scene.onecli.decision(request_id) is None
    scene.press(card.approval_id, REJECT)

    assert scene.onecli.wait_for_decision(request_id) == "deny"


def test_h234_nobody_answers_and_it_is_denied_in_time(scene: Scene) -> None:
    scene.vault.start()
    request_id = scene.onecli.hold(scene.group.id, seconds=2.5)
    card = scene.card(request_id)

    assert scene.onecli.wait_for_decision(request_id) == "deny"
    scene.wait_for_rows(0)
    late = scene.press(card.approval_id, APPROVE)

    assert late.outcome is ActionOutcome.EXPIRED
    assert scene.audit() == ["credential.requested", "credential.expired"]


def test_h236_click_faster_than_the_card_counts(scene: Scene) -> None:
    """No delivery process runs here, so the click comes before any card was sent."""
    scene.vault.start()
    request_id = scene.onecli.hold(scene.group.id)

    row = scene.card(request_id)
    with scene.vault.database() as conn:
        assert card_copies.of_card(conn, row.approval_id) == []
    scene.press(row.approval_id, APPROVE)

    assert scene.onecli.wait_for_decision(request_id) == "approve"


def test_h231_requests_are_handled_at_the_same_time_and_each_once(scene: Scene) -> None:
    scene.vault.start()
    ids = [scene.onecli.hold(scene.group.id) for _ in range(4)]

    cards = [scene.card(request_id) for request_id in ids]
    for number, card in reversed(list(enumerate(cards))):
        scene.press(card.approval_id, APPROVE if number % 2 else REJECT)

    decisions = [scene.onecli.wait_for_decision(request_id) for request_id in ids]
    assert decisions == ["deny", "approve", "deny", "approve"]
    assert sorted(found for found, _ in scene.onecli.decisions) == sorted(ids)
    assert len({card.approval_id for card in cards}) == 4
    assert any("exclude=" in line for line in scene.onecli.asked)


def test_more_than_a_few_of_one_agent_are_denied_without_asking(scene: Scene) -> None:
    scene.vault.start()
    ids = [scene.onecli.hold(scene.group.id) for _ in range(8)]

    wait_until(lambda: len(scene.onecli.decisions) == 3, within=15, what="three are denied")
    scene.wait_for_rows(5)

    assert {decision for _, decision in scene.onecli.decisions} == {"deny"}
    assert {found for found, _ in scene.onecli.decisions} < set(ids)


def test_h231_gone_at_the_gateway_is_fine(scene: Scene) -> None:
    scene.vault.start()
    request_id = scene.onecli.hold(scene.group.id)
    card = scene.card(request_id)
    del scene.onecli.waiting[request_id]

    scene.press(card.approval_id, APPROVE)

    wait_until(lambda: (request_id, "approve") in scene.onecli.decisions, within=15)
    scene.wait_for_rows(0)
    assert len(scene.onecli.decisions) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"method": 5},
        {"host": None},
        {"path": ["/"]},
        {"bodyPreview": {"a": 1}},
        {"agent": "Andy"},
        {"agent": {"id": 1, "name": "A", "externalId": 7}},
        {"url": "https://elsewhere.example/"},
        {"expiresAt": "soon", "timeoutSeconds": "long"},
    ],
    ids="-".join,
)
def test_request_of_the_wrong_form_is_denied(scene: Scene, change: dict[str, object]) -> None:
    scene.vault.start()

    request_id = scene.onecli.hold(scene.group.id, more=change)

    assert scene.onecli.wait_for_decision(request_id) == "deny"
    assert scene.rows() == []


def test_garbage_and_huge_lists_are_survived(scene: Scene) -> None:
    path = "/api/approvals/pending"
    scene.onecli.answers[path] = say(200, b"<html>not json")
    scene.vault.start()
    wait_until(lambda: "no JSON" in scene.vault.log(), within=15, what="garbage is told")

    entries = [{"id": f"x{number}", "method": 1} for number in range(3000)]
    scene.onecli.answers[path] = say(200, json.dumps({"requests": entries}).encode())
    wait_until(lambda: len(scene.onecli.decisions) >= 64, within=25, what="they are denied")
    scene.onecli.answers[path] = say(200, b"[" * 500_000)
    wait_until(lambda: scene.vault.log().count("does not answer") == 2, within=15)
    scene.onecli.answers[path] = say(200, b" " * 2_000_000)
    del scene.onecli.answers[path]
    request_id = scene.onecli.hold(scene.group.id)
    card = scene.card(request_id)
    scene.press(card.approval_id, APPROVE)

    assert scene.onecli.wait_for_decision(request_id) == "approve"


def test_w41_gateway_that_comes_later_is_found(scene: Scene) -> None:
    scene.onecli.down()
    scene.vault.start()
    wait_until(lambda: "gateway does not answer" in scene.vault.log(), within=15)

    scene.onecli.up()
    request_id = scene.onecli.hold(scene.group.id)
    scene.press(scene.card(request_id).approval_id, APPROVE)

    assert scene.onecli.wait_for_decision(request_id) == "approve"
    assert "gateway answers" in scene.vault.log()


def test_decision_is_told_as_soon_as_the_gateway_is_back(scene: Scene) -> None:
    scene.vault.start()
    request_id = scene.onecli.hold(scene.group.id)
    card = scene.card(request_id)
    scene.onecli.down()

    scene.press(card.approval_id, APPROVE)
    wait_until(lambda: "gateway does not answer" in scene.vault.log(), within=15)
    scene.onecli.up()

    assert scene.onecli.wait_for_decision(request_id) == "approve"
    scene.wait_for_rows(0)


def test_wrong_key_is_said_in_plain_words(scene: Scene) -> None:
    scene.vault.key("something-else", name="onecli-api-key")
    scene.vault.start()

    wait_until(lambda: "set ONECLI_API_KEY" in scene.vault.log(), within=15)
    scene.vault.key(KEY, name="onecli-api-key")
    request_id = scene.onecli.hold(scene.group.id)

    assert scene.card(request_id).request_id == request_id
    assert "something-else" not in scene.vault.log()


def test_h230_restart_ends_open_cards_and_asks_again(scene: Scene) -> None:
    scene.vault.start()
    request_id = scene.onecli.hold(scene.group.id)
    first = scene.card(request_id)
    scene.vault.kill()

    scene.vault.start()
    wait_until(lambda: any(row.approval_id != first.approval_id for row in scene.rows()), within=15)
    second = scene.card(request_id)

    assert [row.approval_id for row in scene.rows()] == [second.approval_id]
    with scene.vault.database() as conn:
        closed = closed_cards.get(conn, first.approval_id)
    assert closed is not None
    assert scene.press(first.approval_id, APPROVE).outcome is ActionOutcome.EXPIRED
    assert scene.onecli.decision(request_id) is None


def test_h230_card_of_the_earlier_program_is_edited(scene: Scene) -> None:
    now = to_text(utc_now())
    with scene.vault.database() as conn, transaction(conn):
        conn.execute(
            "INSERT INTO pending_approvals (approval_id, request_id, action, payload, created_at,"
            " channel_type, platform_id, platform_message_id, expires_at, title)"
            " VALUES ('oa-12345678', 'r', 'onecli_credential', '{}', ?, 'telegram', '7', '99', ?,"
            " 'Credential')",
            (now, now),
        )
    scene.vault.start()

    wait_until(lambda: not scene.rows(), within=15, what="the row is gone")

    with scene.vault.database() as conn:
        (row,) = conn.execute("SELECT instance, platform_id, content FROM deliveries").fetchall()
    content = parse_object(row["content"], max_bytes=10_000)
    assert (row["instance"], row["platform_id"]) == ("telegram", "7")
    assert (content["operation"], content["messageId"]) == ("edit", "99")
    assert content["text"] == "Credential: expired, the host was restarted"
