"""What agents ask of the host, carried out through the whole of it."""

import json

from helpers.town import Town, TownChannel
from helpers.waiting import wait_until

from nanoclaw.db import destinations
from nanoclaw.db.connection import transaction
from nanoclaw.events import ActionOutcome, Outcome

OWNER_CHAT = "dm-owner"


def call(tool: str, **arguments: object) -> dict[str, object]:
    return {"call": {"tool": f"mcp__nanoclaw__{tool}", "arguments": arguments}}


def script(*rules: tuple[str | None, list[object]]) -> dict[str, object]:
    return {"rules": [{"match": match, "steps": steps} for match, steps in rules]}


def test_question_card_is_answered_by_a_press(town: Town, telegram: TownChannel) -> None:
    ask = call("ask_user_question", title="Tea?", question="Which?", options=["Green", "Black"])
    pip = town.add_agent("Pip", script=script(("tea", [ask, {"say": "You chose: {result}"}])))
    town.wire(town.add_chat("telegram", "family"), pip)

    telegram.say("family", "tea", "1")
    card = telegram.wait_for_card("family", "Tea?")
    assert telegram.press(card, 1, "1").outcome is ActionOutcome.ACCEPTED

    telegram.wait_for("family", "Black")
    assert telegram.press(card, 0, "1").outcome is ActionOutcome.ALREADY_ANSWERED


def test_question_card_is_answered_by_a_typed_number(town: Town, telegram: TownChannel) -> None:
    ask = call("ask_user_question", title="Tea?", question="Which?", options=["Green", "Black"])
    pip = town.add_agent("Pip", script=script(("tea", [ask, {"say": "You chose: {result}"}])))
    town.wire(town.add_chat("telegram", "family"), pip)

    telegram.say("family", "tea", "1")
    telegram.wait_for_card("family", "Tea?")
    telegram.say("family", "2", "1")

    telegram.wait_for("family", "Black")


def test_agents_talk_to_each_other_and_the_answer_finds_its_way_back(
    town: Town, telegram: TownChannel
) -> None:
    pip = town.add_agent(
        "Pip",
        script=script(
            ("ask sam", [call("send_message", to="sam", text="weather?"), {"say": "asked"}]),
            ("sunny", [call("send_message", to="family", text="Sam says it is sunny")]),
        ),
    )
    sam = town.add_agent("Sam", script=script(("weather", [{"say": "sunny"}])))
    town.wire(town.add_chat("telegram", "family"), pip)
    connect(town, pip.id, "sam", sam.id)
    connect(town, sam.id, "pip", pip.id)

    telegram.say("family", "ask sam", "1")

    telegram.wait_for("family", "asked")
    telegram.wait_for("family", "Sam says it is sunny")


def test_two_agents_that_answer_each_other_are_stopped_and_the_owner_hears_it_once(
    town: Town, telegram: TownChannel
) -> None:
    pip = town.add_agent(
        "Pip",
        script=script(
            ("start", [call("send_message", to="sam", text="ping"), {"say": "started"}]),
            ("pong", [{"say": "ping"}]),
        ),
    )
    sam = town.add_agent("Sam", script=script(("ping", [{"say": "pong"}])))
    town.wire(town.add_chat("telegram", "family"), pip)
    connect(town, pip.id, "sam", sam.id)
    connect(town, sam.id, "pip", pip.id)

    telegram.say("family", "start", "1")

    notice = telegram.wait_for(OWNER_CHAT, "Pip")
    assert "Sam" in notice.text
    rows = town.rows("SELECT * FROM effects WHERE kind = 'agent_message'")
    assert len(rows) < 60


def test_task_runs_at_its_time_and_answers_in_the_chat(town: Town, telegram: TownChannel) -> None:
    schedule = call("schedule_task", prompt="say moo", processAfter="2026-01-01T00:00:00Z")
    pip = town.add_agent(
        "Pip",
        script=script(
            ("plan", [schedule, {"say": "planned: {result}"}]), ("moo", [{"say": "Moo!"}])
        ),
    )
    town.wire(town.add_chat("telegram", "family"), pip)

    telegram.say("family", "plan", "owner")

    telegram.wait_for("family", "planned")
    telegram.wait_for("family", "Moo!")


def test_agent_creates_another_after_the_owner_allows_it(town: Town, telegram: TownChannel) -> None:
    create = call("create_agent", name="Researcher", instructions="Find things out.")
    pip = town.add_agent("Pip", script=script(("grow", [create, {"say": "asked"}])))
    town.wire(town.add_chat("telegram", "family"), pip)

    telegram.say("family", "grow", "owner")
    card = telegram.wait_for_card(OWNER_CHAT, "Researcher")
    assert "Find things out." in card.text
    assert telegram.press(card, 0, "owner").outcome is ActionOutcome.ACCEPTED

    wait_until(
        lambda: town.rows("SELECT * FROM agent_groups WHERE name = 'Researcher'"),
        within=20,
        what="the new agent exists",
    )
    [row] = town.rows(
        "SELECT target.name FROM agent_destinations JOIN agent_groups AS target"
        " ON target.id = target_id WHERE agent_group_id = ? AND target_type = 'agent'",
        pip.id,
    )
    assert row["name"] == "Researcher"


def test_mcp_server_is_added_after_approval_and_the_agent_restarts(
    town: Town, telegram: TownChannel
) -> None:
    add = call(
        "add_mcp_server",
        name="notes",
        command="python3",
        args=["-c", "print(1)"],
        env={"NOTES_TOKEN": "hunter2-secret"},
    )
    pip = town.add_agent(
        "Pip",
        script=script(("extend", [add, {"say": "asked"}]), ("notes", [{"say": "back again"}])),
    )
    town.wire(town.add_chat("telegram", "family"), pip)

    telegram.say("family", "extend", "owner")
    card = telegram.wait_for_card(OWNER_CHAT, "notes")
    assert "print(1)" in card.text
    assert "NOTES_TOKEN" in card.text
    assert "hunter2-secret" not in card.text
    assert telegram.press(card, 0, "owner").outcome is ActionOutcome.ACCEPTED

    telegram.wait_for("family", "back again")
    [config] = town.rows("SELECT * FROM container_configs WHERE agent_group_id = ?", pip.id)
    assert json.loads(str(config["mcp_servers"]))["notes"]["command"] == "python3"
    audit = town.rows("SELECT kind FROM audit")
    assert audit


def test_refused_request_changes_nothing_and_the_agent_hears_of_it(
    town: Town, telegram: TownChannel
) -> None:
    create = call("create_agent", name="Researcher", instructions="Find things out.")
    pip = town.add_agent(
        "Pip",
        script=script(
            ("grow", [create, {"say": "asked"}]),
            ("not approved", [{"say": "what a pity"}]),
        ),
    )
    town.wire(town.add_chat("telegram", "family"), pip)

    telegram.say("family", "grow", "owner")
    card = telegram.wait_for_card(OWNER_CHAT, "Researcher")
    telegram.press(card, 1, "owner")

    telegram.wait_for("family", "what a pity")
    assert not town.rows("SELECT * FROM agent_groups WHERE name = 'Researcher'")


def test_tainted_turn_may_answer_its_chat_but_asks_before_it_writes_elsewhere(
    town: Town, telegram: TownChannel
) -> None:
    pip = town.add_agent(
        "Pip",
        script=script(
            ("leak", [call("send_message", to="boss", text="the secret"), {"say": "answered here"}])
        ),
    )
    town.wire(town.add_chat("telegram", "family"), pip)
    boss = town.add_chat("telegram", "boss")
    with transaction(town.conn):
        destinations.create_with_free_name(
            town.conn,
            _to_channel(pip.id, "boss", boss.id),
        )

    assert telegram.say("family", "leak", "stranger").outcome is Outcome.ROUTED

    telegram.wait_for("family", "answered here")
    card = telegram.wait_for_card(OWNER_CHAT, "")
    assert "the secret" in card.text
    assert not telegram.texts("boss")
    assert telegram.press(card, 0, "owner").outcome is ActionOutcome.ACCEPTED
    telegram.wait_for("boss", "the secret")
    assert telegram.texts("boss") == ["the secret"]


def test_owners_own_turn_writes_elsewhere_without_asking(town: Town, telegram: TownChannel) -> None:
    pip = town.add_agent(
        "Pip",
        script=script(("tell", [call("send_message", to="boss", text="news"), {"say": "told"}])),
    )
    town.wire(town.add_chat("telegram", "family"), pip)
    boss = town.add_chat("telegram", "boss")
    with transaction(town.conn):
        destinations.create_with_free_name(town.conn, _to_channel(pip.id, "boss", boss.id))

    telegram.say("family", "tell", "owner")

    telegram.wait_for("boss", "news")


def connect(town: Town, from_id: str, name: str, to_id: str) -> None:
    from contract.clock import utc_now
    from nanoclaw.model import DestinationRow, TargetType

    with transaction(town.conn):
        destinations.create(
            town.conn, DestinationRow(from_id, name, TargetType.AGENT, to_id, utc_now())
        )


def _to_channel(agent_id: str, name: str, chat_id: str) -> destinations.NewDestination:
    from contract.clock import utc_now
    from nanoclaw.model import TargetType

    return destinations.NewDestination(agent_id, name, TargetType.CHANNEL, chat_id, utc_now())
