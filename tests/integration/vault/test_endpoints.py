"""Several addresses of the model: which is asked, when another one is, and what each try costs."""

import json
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest
from helpers.kill_points import KillFolder
from helpers.vault_client import PROMPT, DoorClient
from helpers.vault_process import KEY, VaultProcess
from helpers.vault_upstream import Call, FakeUpstream, Play, answer
from helpers.waiting import wait_until

from contract.clock import utc_now
from nanoclaw.db import audit, container_configs, tasks
from nanoclaw.db.budgets import BudgetScope
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.db.tasks import NewSeries

SECOND_KEY = "sk-second-marker-99887766"


@pytest.fixture
def second() -> Iterator[FakeUpstream]:
    with FakeUpstream() as made:
        yield made


@pytest.fixture
def pair(tmp_path: Path, upstream: FakeUpstream, second: FakeUpstream) -> Iterator[VaultProcess]:
    """Two endpoints, the second with a key of its own; not started yet."""
    with VaultProcess(tmp_path) as made:
        made.paths.config_file.write_text(
            f'[[endpoints]]\nname = "first"\nbase_url = "{upstream.url}"\n'
            f'[[endpoints]]\nname = "second"\nbase_url = "{second.url}"\n'
            'credential = "second-key"\nkey_header = "x-api-key"\n'
        )
        made.key()
        made.key(SECOND_KEY, name="second-key")
        yield made


def refuse(status: int) -> Play:
    body = json.dumps({"type": "error", "error": {"type": "api_error", "message": "no"}}).encode()
    return lambda call: call.whole(body, status)


def change(vault: VaultProcess, change: ContainerConfigChange) -> None:
    with vault.database() as conn:
        (config, *_) = container_configs.list_all(conn)
        container_configs.update(conn, config.agent_group_id, change, utc_now())


@pytest.mark.parametrize("status", [529, 503, 502, 504])
def test_overload_and_outage_lead_to_the_next_endpoint_with_its_own_key(
    pair: VaultProcess, upstream: FakeUpstream, second: FakeUpstream, status: int
) -> None:
    upstream.play = refuse(status)
    pair.start()

    answered = pair.new_door().ask()

    assert answered.status == 200
    assert upstream.seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert "x-api-key" not in upstream.seen[0].headers
    assert "authorization" not in second.seen[0].headers
    assert KEY not in json.dumps(second.seen[0].headers)
    rows = pair.wait_for_settlement(2)
    assert sorted(row.tokens for row in rows) == [0, 120]


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_clients_error_is_passed_on_and_nobody_else_is_asked(
    pair: VaultProcess, upstream: FakeUpstream, second: FakeUpstream, status: int
) -> None:
    upstream.play = refuse(status)
    pair.start()

    assert pair.new_door().ask().status == status
    assert second.seen == []


def test_error_of_the_last_endpoint_is_passed_on_as_it_is(
    pair: VaultProcess, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    upstream.play = refuse(529)
    second.play = lambda call: call.whole(b'{"mine": true}', 503, [("retry-after", "7")])
    pair.start()

    answered = pair.new_door().ask()

    assert (answered.status, answered.body) == (503, b'{"mine": true}')
    assert answered.headers["retry-after"] == "7"


def test_failing_endpoint_rests_and_its_failure_is_in_the_audit_trail_once(
    pair: VaultProcess, upstream: FakeUpstream
) -> None:
    upstream.play = refuse(529)
    pair.start()
    door = pair.new_door()

    for _ in range(4):
        assert door.ask().status == 200

    assert len(upstream.seen) == 1
    with pair.database() as conn:
        kinds = [row.kind for row in audit.after(conn, 0, 100)]
    assert kinds.count("endpoint.failed") == 1


def test_answer_that_has_begun_is_never_begun_elsewhere(
    pair: VaultProcess, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    def play(call: Call) -> None:
        call.begin_stream()
        call.message_start()
        call.break_off()

    upstream.play = play
    pair.start()
    connection, response = pair.new_door().begin()
    with pytest.raises(Exception, match="Incomplete"):
        response.read()
    connection.close()

    pair.wait_for_settlement(1)
    assert second.seen == []


def test_request_that_may_act_twice_is_not_sent_twice(
    pair: VaultProcess, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    upstream.play = refuse(502)
    pair.start()
    servers = [{"type": "url", "name": "shop", "url": "https://shop.example/mcp"}]

    assert pair.new_door().ask({**PROMPT, "mcp_servers": servers}).status == 502
    assert second.seen == []


def test_unreachable_endpoint_costs_nothing_and_the_next_is_asked(
    tmp_path: Path, second: FakeUpstream
) -> None:
    with VaultProcess(tmp_path) as made:
        made.paths.config_file.write_text(
            '[[endpoints]]\nname = "gone"\nbase_url = "http://127.0.0.1:1"\n'
            f'[[endpoints]]\nname = "second"\nbase_url = "{second.url}"\n'
            'credential = "second-key"\n'
        )
        made.key()
        made.key(SECOND_KEY, name="second-key")
        made.start()

        assert made.new_door().ask().status == 200
        assert sorted(row.tokens for row in made.wait_for_settlement(2)) == [0, 120]


def test_agent_with_an_endpoint_of_its_own_never_goes_elsewhere(
    pair: VaultProcess, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    second.play = refuse(529)
    pair.start()
    door = pair.new_door()
    change(pair, ContainerConfigChange(endpoint="second"))

    assert door.ask().status == 529
    assert upstream.seen == []


def test_kept_connection_that_died_is_replaced_without_a_word(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    def play(call: Call) -> None:
        if len(upstream.seen) == 2:
            call.break_off()
        else:
            answer(call)

    upstream.play = play
    vault.start()
    door = vault.new_door()
    connection = door.connect()
    body = json.dumps(PROMPT)
    for _ in range(2):
        connection.request("POST", "/v1/messages", body=body, headers=door.headers())
        response = connection.getresponse()
        assert (response.status, bool(response.read())) == (200, True)
    connection.close()

    assert len(upstream.seen) == 3
    vault.wait_for_settlement(3)


def test_model_that_is_not_allowed_is_refused_with_those_that_are(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()
    door = vault.new_door()
    change(vault, ContainerConfigChange(allowed_models=("claude-opus-*", "claude-sonnet-5")))

    for target in ("/v1/messages", "/v1/messages/count_tokens"):
        refused = door.ask(target=target)
        assert refused.status == 403
        assert "claude-opus-*, claude-sonnet-5" in refused.error[1]
    adviser = {"type": "advisor_20260301", "name": "advisor", "model": "claude-fable-5"}
    assert door.ask({**PROMPT, "model": "claude-opus-5", "tools": [adviser]}).status == 403
    assert door.ask({**PROMPT, "model": "claude-opus-5"}).status == 200
    assert len(upstream.seen) == 1


def test_named_credential_is_used_and_a_missing_one_names_the_agent(
    vault: VaultProcess, upstream: FakeUpstream
) -> None:
    vault.start()
    door = vault.new_door()
    change(vault, ContainerConfigChange(credential="family-key"))
    refused = door.ask()
    vault.key("sk-family-marker-123", name="family-key")

    assert refused.status == 401
    assert "nanoclaw secrets set family-key" in refused.error[1]
    assert "agent group" in refused.error[1]
    assert door.ask().status == 200
    assert "sk-family-marker-123" in json.dumps(upstream.seen[0].headers)


def test_price_of_the_configuration_counts(vault: VaultProcess, upstream: FakeUpstream) -> None:
    with vault.paths.config_file.open("a") as file:
        file.write('[prices."claude-haiku-4-5"]\ninput = 100\noutput = 0\n')
    vault.start()
    vault.new_door().ask()

    (row,) = vault.wait_for_settlement()
    assert row.microusd == 100 * 100


def test_series_counts_only_if_it_is_the_sessions_own(vault: VaultProcess) -> None:
    vault.start()
    door, other = vault.new_door(), vault.new_door()
    with vault.database() as conn:
        (config, *_) = container_configs.list_all(conn)
        tasks.create(
            conn, NewSeries(vault.session_of(1), "task-1", config.agent_group_id, utc_now())
        )
    vault.budget(1, scope=BudgetScope.SERIES, subject="task-1")

    def with_series(client: DoorClient) -> dict[str, str]:
        return {**client.headers(), "x-nanoclaw-series": "task-1"}

    assert door.ask(headers=with_series(door)).status == 402
    assert other.ask(headers=with_series(other)).status == 200
    assert [row.series_id for row in vault.wait_for_settlement()] == [None]


def test_daily_limit_of_the_agent_is_enforced_by_the_vault(vault: VaultProcess) -> None:
    vault.start()
    door = vault.new_door()
    change(vault, ContainerConfigChange(max_cost_per_day_usd=0.000001))

    refused = door.ask()

    assert refused.status == 402
    with vault.database() as conn:
        texts = [row[0] for row in conn.execute("SELECT text FROM owner_notices")]
    assert len(texts) == 1
    assert "--max-cost-per-day-usd" in texts[0]


def test_refusal_is_told_once_in_the_chat_and_once_to_the_owner_until_the_amount_changes(
    vault: VaultProcess,
) -> None:
    vault.budget(1)
    vault.start()
    door = vault.new_door()

    def told() -> tuple[int, int, int]:
        with vault.database() as conn:
            chat = conn.execute("SELECT count(*) FROM deliveries WHERE source = 'host'").fetchone()[
                0
            ]
            owner = conn.execute("SELECT count(*) FROM owner_notices").fetchone()[0]
            rows = audit.after(conn, 0, 100)
        return chat, owner, [row.kind for row in rows].count("budget.refused")

    answers = [door.ask() for _ in range(3)]

    assert [item.status for item in answers] == [402] * 3
    assert json.loads(answers[0].body)["error"]["details"]["error_code"] == "budget_told"
    assert told() == (1, 1, 1)
    vault.budget(2)
    assert door.ask().status == 402
    assert told() == (2, 2, 2)
    vault.budget(1)
    assert door.ask().status == 402
    assert told() == (3, 3, 3)


def test_owner_is_warned_once_when_four_fifths_are_spent(vault: VaultProcess) -> None:
    vault.budget(10_000)
    vault.start()
    door = vault.new_door()
    tiny = {**PROMPT, "max_tokens": 1}

    def warnings() -> list[str]:
        with vault.database() as conn:
            return [row[0] for row in conn.execute("SELECT text FROM owner_notices")]

    door.ask(tiny)
    vault.wait_for_settlement(1)
    assert warnings() == []
    with vault.database() as conn:
        conn.execute("UPDATE spending SET tokens = 8000")
    for number in (2, 3):
        assert door.ask(tiny).status == 200
        vault.wait_for_settlement(number)
    wait_until(lambda: len(warnings()) == 1, what="the warning")
    assert "ncl budgets set install --period day --tokens 20000" in warnings()[0]


@pytest.mark.parametrize("point", ["vault.refused", "vault.recorded"])
def test_vault_that_dies_after_telling_does_not_tell_again(
    pair: VaultProcess, upstream: FakeUpstream, point: str
) -> None:
    kill = KillFolder(pair.home.parent / "kill")
    kill.path.mkdir()
    pair.environment = {"NANOCLAW_KILL_DIR": str(kill.path)}
    if point == "vault.refused":
        pair.budget(1)
    else:
        upstream.play = refuse(529)
    pair.start()
    door = pair.new_door()
    kill.arm(point, "self")
    with suppress(OSError, HTTPException):
        door.ask()
    pair.wait_for_death()
    pair.start()

    door.ask()

    with pair.database() as conn:
        kinds = [row.kind for row in audit.after(conn, 0, 100)]
        rows = [kind for kind in kinds if kind != "role.granted"]
        owner = conn.execute("SELECT count(*) FROM owner_notices").fetchone()[0]
    if point == "vault.refused":
        assert (rows, owner) == (["budget.refused"], 1)
    else:
        # What fails is known to the process only: a new one finds out anew.
        assert rows == ["endpoint.failed"] * 2
