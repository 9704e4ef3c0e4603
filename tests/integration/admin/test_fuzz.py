"""Whatever is asked, in whatever spelling: an answer, and no agent gets anywhere by it."""

from collections.abc import Iterator
from typing import Any

import pytest
from helpers.admin_desk import NOW, AdminDesk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanoclaw.admin.caller import HOST, Caller
from nanoclaw.admin.commands import host_registry
from nanoclaw.admin.dispatch import Call
from nanoclaw.admin.frames import Failure, Request, Response, Success, dump_response
from nanoclaw.db import container_configs
from nanoclaw.model import CliScope

WRITTEN_BY_ASKING = ("pending_approvals", "audit", "effects", "card_copies")
SLOW = HealthCheck.function_scoped_fixture


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdminDesk]:
    made = AdminDesk(tmp_path_factory.mktemp("home"))
    made.add_session("sess-1")
    made.add_session("sess-2", made.add_group())
    made.add_chat()
    made.add_user()
    made.get("members add telegram:1", group="ag-other")
    yield made
    made.close()


VALUES = st.sampled_from(
    [True, False, "", "null", "1", "true", "ag-other", "OWN", "sess-1", "sess-2", "mg-2", "global",
     "telegram:1", "cli_scope", "cli-scope", "owner", "admin", "channel", "agent", "x", "[]", "{}",
     "-1", "claude", "pattern", ".", "'; --", "\ud800", "\0"],
)  # fmt: skip
FLAGS = sorted(
    {spec.name for command in host_registry() for spec in command.operation.arguments}
    | {"cli_scope", "null", "help", "dry_run", "group", "agent_group_id", "nonsense"}
)
SPELLED = st.sampled_from(FLAGS).flatmap(
    lambda name: st.sampled_from(
        [name, name.replace("_", "-"), name.upper(), f" {name}", f"no_{name}", f"_{name}"]
    )
)
NAMES = st.sampled_from(list(host_registry().names))
REQUESTS = st.tuples(
    NAMES, st.sampled_from([(), ("OWN",), ("sess-2",), ("x", "y")]),
    st.dictionaries(SPELLED, VALUES, max_size=5),
)  # fmt: skip
Drawn = tuple[str, tuple[str, ...], dict[str, Any]]


def handle(desk: AdminDesk, drawn: Drawn, caller: Caller) -> Response | None:
    """None: the answer would come later."""
    name, words, args = drawn
    own = {"OWN": desk.group_id}
    meant = {key: desk.group_id if value == "OWN" else value for key, value in args.items()}
    positionals = (name, *(own.get(word, word) for word in words))
    request = Request("1", "-".join(positionals), meant, positionals)
    answers: list[Response] = []
    desk.dispatcher.handle(Call(request, caller, NOW, "cause-1"), answers.append)
    assert len(answers) < 2
    return answers[0] if answers else None


def books(desk: AdminDesk) -> list[str]:
    """All that an agent must not have changed."""
    marks = tuple(f'INSERT INTO "{name}"' for name in WRITTEN_BY_ASKING)
    return [line for line in desk.dump() if not line.startswith(marks)]


@settings(deadline=None, max_examples=250, suppress_health_check=[SLOW])
@given(REQUESTS)
def test_no_request_of_an_agent_changes_anything_but_what_waits_for_a_person(
    desk: AdminDesk, drawn: Drawn
) -> None:
    before = books(desk)

    answer = handle(desk, drawn, desk.agent())

    assert books(desk) == before
    if answer is not None:
        assert b"\n" in dump_response(answer)


@settings(deadline=None, max_examples=250, suppress_health_check=[SLOW])
@given(REQUESTS)
def test_no_agent_of_a_group_sees_a_foreign_session_or_member(
    desk: AdminDesk, drawn: Drawn
) -> None:
    answer = handle(desk, drawn, desk.agent())

    if isinstance(answer, Success) and not isinstance(answer.data, str):
        assert "sess-2" not in str(answer.data)
        assert "ag-other" not in str(answer.data)


@settings(deadline=None, max_examples=150, suppress_health_check=[SLOW])
@given(st.dictionaries(SPELLED, VALUES, max_size=4), st.sampled_from(["-", "_"]))
def test_no_spelling_asks_for_a_wider_scope(
    desk: AdminDesk, args: dict[str, Any], dash: str
) -> None:
    words = f"cli{dash}scope"
    drawn = ("groups-config-update", (), {**args, words: "global"})

    answer = handle(desk, drawn, desk.agent())

    if "help" not in args:
        assert isinstance(answer, Failure)
        assert answer.code in ("forbidden", "invalid-args")
    for config in container_configs.list_all(desk.conn):
        assert config.cli_scope is CliScope.GROUP
    asked = desk.conn.execute("SELECT payload FROM pending_approvals").fetchall()
    assert not [row for row in asked if '"cli_scope"' in row[0]]


@settings(deadline=None, max_examples=200, suppress_health_check=[SLOW])
@given(REQUESTS)
def test_no_request_of_the_host_ends_in_anything_but_an_answer(
    desk: AdminDesk, drawn: Drawn
) -> None:
    name, words, args = drawn
    command = host_registry().find(name)
    assert command is not None
    given = {key: value for key, value in args.items() if "dry" not in key}
    if command.operation.mutating:
        given["dry_run"] = True

    answer = handle(desk, (name, words, given), HOST)

    if isinstance(answer, Failure):
        assert "Error:" not in answer.message.split(" ")[0], answer
