"""Money: reserved before, settled after, never exceeded, charged after a crash."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPException, IncompleteRead

import pytest
from helpers.kill_points import KillFolder
from helpers.vault_client import PROMPT, DoorClient
from helpers.vault_process import VaultProcess
from helpers.vault_upstream import Call, FakeUpstream
from helpers.waiting import wait_until

from contract.clock import utc_now
from nanoclaw.db import usage
from nanoclaw.db.budgets import BudgetScope, BudgetUnit


def test_request_is_settled_at_what_upstream_reports(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    def play(call: Call) -> None:
        call.begin_stream()
        call.message_start(
            1_000_000, cache_read_input_tokens=2_000_000, cache_creation_input_tokens=1_000_000
        )
        call.end_stream(output_tokens=1_000_000)

    upstream.play = play
    vault.start()
    vault.new_door().ask()

    (row,) = vault.wait_for_settlement()
    assert row.state == "settled"
    assert row.session_id == vault.session_of(1)
    assert row.provider == "claude"
    assert row.model == "claude-haiku-4-5"
    assert row.tokens == 5_000_000
    assert row.microusd == 1_000_000 + 2 * 100_000 + 1_250_000 + 5_000_000


def test_used_up_budget_is_told_in_one_sentence_and_nothing_goes_upstream(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.budget(500, unit=BudgetUnit.MICROUSD)
    vault.start()

    answer = vault.new_door().ask()

    assert answer.status == 402
    kind, text = answer.error
    assert kind == "billing_error"
    assert utc_now().date().isoformat() in text
    assert "\n" not in text
    assert upstream.seen == []
    assert vault.usage() == []


def test_budget_of_one_conversation_leaves_the_other_alone(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.budget(1, scope=BudgetScope.CONVERSATION, subject=vault.session_of(1))
    vault.start()
    poor, rich = vault.new_door(), vault.new_door()

    assert poor.ask().status == 402
    assert rich.ask().status == 200


def test_twenty_racing_connections_never_exceed_a_budget(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    def play(call: Call) -> None:
        upstream.gate.wait(20)
        call.begin_stream()
        call.message_start(100)
        call.end_stream(output_tokens=100)

    upstream.play = play
    value = {**PROMPT, "max_tokens": 1000}
    body = len(json.dumps(value).encode())
    one = -(-body // 3) + 1000 + 1000
    vault.budget(5 * one + one // 2)
    vault.start()
    door = vault.new_door()

    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(door.ask, value) for _ in range(20)]
        wait_until(lambda: sum(a.done() for a in asked) == 15, within=20, what="15 refusals")
        with vault.database() as conn:
            day = vault.usage()[0].day
            held = usage.spent(conn, BudgetScope.INSTALL, "", day)
        upstream.gate.set()
        statuses = sorted(a.result().status for a in asked)

    assert statuses == [200] * 5 + [402] * 15
    assert held.reserved_tokens == 5 * one
    vault.wait_for_settlement(5)
    with vault.database() as conn:
        spent = usage.spent(conn, BudgetScope.INSTALL, "", day)
    assert (spent.tokens, spent.reserved_tokens) == (5 * 200, 0)


def test_twenty_agents_with_a_vault_that_dies_in_between_never_exceed_a_budget(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    def play(call: Call) -> None:
        upstream.gate.wait(20)
        call.begin_stream()
        call.message_start(100)
        call.end_stream(output_tokens=100)

    upstream.play = play
    value = {**PROMPT, "max_tokens": 1000}
    one = -(-len(json.dumps(value).encode()) // 3) + 1000 + 1000
    budget = 5 * one + one // 2
    vault.budget(budget)
    vault.start()
    doors = [vault.new_door() for _ in range(20)]

    def ask(door: DoorClient) -> int | None:
        try:
            return door.ask(value).status
        except (OSError, HTTPException):
            return None

    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(ask, door) for door in doors]
        wait_until(lambda: sum(a.done() for a in asked) == 15, within=20, what="15 refusals")
        wait_until(lambda: len(upstream.seen) == 5, what="five requests upstream")
        vault.kill()
        upstream.gate.set()
        assert sorted(map(str, (a.result() for a in asked))) == ["402"] * 15 + ["None"] * 5
    vault.start()
    again = [ask(door) for door in doors]

    rows = vault.usage()
    assert again == [402] * 20
    assert [row.state for row in rows] == ["charged"] * 5
    with vault.database() as conn:
        spent = usage.spent(conn, BudgetScope.INSTALL, "", rows[0].day)
        told = conn.execute("SELECT count(*) FROM owner_notices").fetchone()[0]
    assert (spent.tokens, spent.reserved_tokens) == (5 * one, 0)
    assert spent.tokens <= budget
    assert told == 1


def test_stream_that_ends_in_an_error_is_charged_for_what_it_reported(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    def play(call: Call) -> None:
        call.begin_stream()
        call.message_start(700, cache_read_input_tokens=300, server_tool_use={
            "web_search_requests": 2})  # fmt: skip
        call.event({"type": "error", "error": {"type": "overloaded_error", "message": "no"}})
        call.handler.wfile.write(b"0\r\n\r\n")

    upstream.play = play
    vault.start()
    vault.new_door().ask({**PROMPT, "max_tokens": 1})

    (row,) = vault.wait_for_settlement()
    assert row.tokens == 700 + 300 + 1
    assert row.microusd == 700 + 30 + 5 + 2 * 10_000


def test_searching_requests_reserve_their_searches_and_get_back_what_they_did_not_use(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    """Twenty at once: no more of them are under way than the budget could pay for."""

    def play(call: Call) -> None:
        upstream.gate.wait(20)
        call.begin_stream()
        call.message_start(100, server_tool_use={"web_search_requests": 5})
        call.end_stream(output_tokens=100)

    upstream.play = play
    tool = {"type": "web_search_20260318", "name": "web_search", "max_uses": 5}
    fees = 5 * 10_000
    vault.budget(4 * fees, unit=BudgetUnit.MICROUSD)
    vault.start()
    door = vault.new_door()

    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(door.ask, {**PROMPT, "tools": [tool]}) for _ in range(20)]
        wait_until(lambda: sum(a.done() for a in asked) == 18, within=20, what="18 refusals")
        upstream.gate.set()
        statuses = sorted(a.result().status for a in asked)

    assert statuses == [200] * 2 + [402] * 18
    rows = vault.wait_for_settlement(2)
    assert {row.microusd for row in rows} == {100 + 500 + fees}
    with vault.database() as conn:
        spent = usage.spent(conn, BudgetScope.INSTALL, "", rows[0].day)
    assert (spent.microusd, spent.reserved_microusd) == (2 * (600 + fees), 0)


def test_answer_without_usage_is_charged_as_reserved(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    upstream.play = lambda call: call.whole(b'{"content": []}')
    vault.start()
    vault.new_door().ask()

    (row,) = vault.wait_for_settlement()

    assert (row.tokens, row.microusd) == (row.reserved_tokens, row.reserved_microusd)


def test_cut_answer_is_charged_for_what_was_seen_of_it(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    def play(call: Call) -> None:
        call.begin_stream()
        call.message_start(input_tokens=700)
        call.text("x" * 3000)
        call.break_off()

    upstream.play = play
    vault.start()
    connection, response = vault.new_door().begin({**PROMPT, "max_tokens": 50_000})
    with closing(connection), pytest.raises(IncompleteRead):
        response.read()

    (row,) = vault.wait_for_settlement()
    assert 700 + 950 <= row.tokens < 5000


@pytest.mark.parametrize("point", ["vault.reserved", "vault.settled"])
def test_vault_that_dies_between_books_charges_once(
    vault: VaultProcess, upstream: FakeUpstream, point: str
) -> None:
    kill = KillFolder(vault.home.parent / "kill")
    kill.path.mkdir()
    vault.environment = {"NANOCLAW_KILL_DIR": str(kill.path)}
    vault.start()
    door = vault.new_door()
    kill.arm(point, "self")
    with suppress(OSError):
        door.ask()
    vault.wait_for_death()

    vault.start()

    (row,) = vault.usage()
    crashed = point == "vault.reserved"
    assert row.state == ("charged" if crashed else "settled")
    assert row.tokens == (row.reserved_tokens if crashed else 120)
    assert len(upstream.seen) == (0 if crashed else 1)
    assert door.ask().status == 200


def test_killed_in_the_middle_of_a_stream_it_charges_in_full_and_serves_again(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    def play(call: Call) -> None:
        call.begin_stream()
        call.message_start()
        call.wait_for_hang_up()

    upstream.play = play
    vault.start()
    door = vault.new_door()
    connection, response = door.begin()
    response.readline()

    vault.kill()
    connection.close()
    vault.start()

    (row,) = vault.usage()
    assert (row.state, row.tokens) == ("charged", row.reserved_tokens)


def test_books_that_cannot_be_written_let_nothing_be_spent(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()
    door = vault.new_door()
    with vault.database() as conn:
        conn.execute(
            "CREATE TRIGGER no_more BEFORE INSERT ON usage BEGIN SELECT raise(ABORT, 'full'); END"
        )

    answer = door.ask()

    assert answer.status == 503
    assert upstream.seen == []
