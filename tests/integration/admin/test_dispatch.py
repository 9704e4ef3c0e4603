"""The order of checks and what becomes of errors: N-16, N-17, N-36 to N-44, N-64."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.admin_desk import NOW, AdminDesk

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.caller import HOST, AgentCaller
from nanoclaw.admin.context import CommandContext, Finish, Later, Services
from nanoclaw.admin.dispatch import MAX_WAITING, Call, Dispatcher, Surroundings
from nanoclaw.admin.frames import Failure, Request, Response, Success
from nanoclaw.admin.help import with_help
from nanoclaw.admin.problems import CommandError, NotFoundError
from nanoclaw.admin.registry import Access, ArgumentSpec, Kind, Operation, ResourceSpec, Run
from nanoclaw.db import users
from nanoclaw.errors import StateError
from nanoclaw.model import CliScope, User


def refuse(context: CommandContext, arguments: Arguments) -> object:
    raise StateError("the database is busy")


def crash(context: CommandContext, arguments: Arguments) -> object:
    raise KeyError("x")


def miss(context: CommandContext, arguments: Arguments) -> object:
    raise NotFoundError("thing not found: 1")


def add_user(context: CommandContext, arguments: Arguments) -> object:
    users.upsert(context.conn, User("x:1", "x", context.now))
    context.ring("router")
    if arguments.flag("fail"):
        raise CommandError("after all not")
    return {"made": "x:1"}


def wait(context: CommandContext, arguments: Arguments) -> object:
    def begin(services: Services, finish: Finish) -> None:
        services.call_later(1, lambda: finish({"done": True}))

    return Later(begin, {"done": False})


def crash_later(context: CommandContext, arguments: Arguments) -> object:
    def begin(services: Services, finish: Finish) -> None:
        raise CommandError("nobody is there")

    return Later(begin)


def echo(context: CommandContext, arguments: Arguments) -> object:
    return dict(arguments.values)


def senseless(context: CommandContext, arguments: Arguments) -> object:
    return [{"id": "1", "agent_group_id": "nobody's"}]


def op(verb: str, run: Run, access: Access = Access.OPEN, *, mutating: bool = False) -> Operation:
    return Operation(verb, access, verb, run, (), mutating=mutating)


OPERATIONS = (
    op("refuse", refuse),
    op("crash", crash),
    op("miss", miss),
    op("wait", wait, mutating=True),
    op("crash-later", crash_later, mutating=True),
    op("secret", echo, Access.HIDDEN),
    Operation(
        "add", Access.APPROVAL, "adds", add_user,
        (ArgumentSpec("fail", kind=Kind.FLAG),),
        mutating=True,
    ),
    Operation("list", Access.OPEN, "lists", senseless, generic=True),
)  # fmt: skip
THINGS = ResourceSpec(
    "thing", "things", "id", "", (), OPERATIONS, "agent_group_id", for_groups=True
)
OPEN_LIST = ResourceSpec("leak", "leaks", "id", "", (), (OPERATIONS[-1],), None, for_groups=True)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[AdminDesk]:
    made = AdminDesk(tmp_path, with_help((THINGS, OPEN_LIST), ()))
    made.add_session("sess-1")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("verb", "code", "message"),
    [
        ("refuse", "handler-error", "the database is busy"),
        ("crash", "handler-error", "KeyError: 'x'"),
        ("miss", "not-found", "thing not found: 1"),
        ("crash-later", "handler-error", "nobody is there"),
        ("dance", "unknown-command", "unknown command 'things-dance'"),
    ],
)
def test_n16_n17_error_of_a_command_is_its_answer_and_nothing_more(
    desk: AdminDesk, verb: str, code: str, message: str
) -> None:
    found, text = desk.fail(f"things {verb}")

    assert found == code
    assert text.startswith(message)
    assert desk.ask("things list") == Success("r-2", [{"id": "1", "agent_group_id": "nobody's"}])


def test_n64_command_is_one_transaction(desk: AdminDesk) -> None:
    before = desk.dump()

    assert desk.fail("things add", fail=True) == ("handler-error", "after all not")

    assert desk.dump() == before
    assert not desk.has_rung("router")


def test_write_is_audited_with_its_caller_in_its_transaction(desk: AdminDesk) -> None:
    assert desk.get("things add") == {"made": "x:1"}

    row = desk.audited()[0]
    assert (row.kind, row.actor) == ("ncl.things-add", "host")
    assert desk.has_rung("router")


def test_dry_run_says_what_would_be_and_changes_nothing(desk: AdminDesk) -> None:
    before = desk.dump()

    answer = desk.get("things add", **{"dry-run": True})

    assert answer == {"dry_run": True, "rows_changed": 1, "result": {"made": "x:1"}}
    assert desk.dump() == before
    assert not desk.has_rung("router")


def test_dry_run_of_something_slow_begins_nothing(desk: AdminDesk) -> None:
    answer = desk.get("things wait", dry_run=True)

    assert answer["result"] == {"done": False}
    assert not desk.services.timers


def test_dry_run_is_no_flag_of_what_only_reads(desk: AdminDesk) -> None:
    assert desk.fail("things list", dry_run=True)[0] == "invalid-args"


def test_answer_that_comes_later_comes_once_and_holds_nobody_up(desk: AdminDesk) -> None:
    answers = desk.handle("things wait")
    assert answers == []
    assert desk.get("things add") == {"made": "x:1"}

    desk.services.tick()
    desk.services.tick()

    assert answers == [Success("r-1", {"done": True})]


def test_slow_commands_are_bounded(desk: AdminDesk) -> None:
    for _ in range(MAX_WAITING):
        assert desk.handle("things wait") == []
    code, message = desk.fail("things wait")
    assert (code, "slow commands" in message) == ("handler-error", True)

    desk.services.tick()

    assert desk.handle("things wait") == []


def test_n36_hidden_command_runs_for_the_host_only_and_stands_in_no_help(desk: AdminDesk) -> None:
    assert desk.get("things secret") == {}
    for scope in (CliScope.GROUP, CliScope.GLOBAL):
        assert desk.fail("things secret", desk.agent(scope))[0] == "forbidden"
    assert "secret" not in desk.get("things help")


def test_n37_agents_write_waits_for_a_person_and_has_done_nothing(desk: AdminDesk) -> None:
    before = desk.count("users")

    code, message = desk.fail("things add", desk.agent())

    assert code == "approval-pending"
    assert "administrator" in message
    assert desk.count("users") == before
    assert desk.count("pending_approvals") == 1
    assert desk.has_rung("delivery")


def test_n37_session_that_is_gone_is_said_first(desk: AdminDesk) -> None:
    caller = AgentCaller("sess-gone", desk.group_id, "", CliScope.GROUP)

    code, message = desk.fail("things add", caller)

    assert (code, message.startswith("Session not found")) == ("handler-error", True)


def test_n41_what_cannot_be_done_is_never_asked_for(desk: AdminDesk) -> None:
    assert desk.fail("things add", desk.agent(), fail=True) == ("handler-error", "after all not")
    assert desk.fail("things add", desk.agent(), nonsense="1")[0] == "invalid-args"

    assert desk.count("pending_approvals") == 0


def test_n41_the_same_request_twice_asks_one_person_once(desk: AdminDesk) -> None:
    desk.add_session("sess-2")
    for _ in range(3):
        assert desk.fail("things add", desk.agent())[0] == "approval-pending"
    assert desk.count("pending_approvals") == 1

    desk.fail("things add", desk.agent(session_id="sess-2"))

    assert desk.count("pending_approvals") == 2


def test_agents_dry_run_asks_nobody(desk: AdminDesk) -> None:
    assert desk.get("things add", desk.agent(), dry_run=True)["dry_run"] is True
    assert desk.count("pending_approvals") == 0


def test_scenario_22_answer_is_filtered_once_more_behind_the_command(desk: AdminDesk) -> None:
    assert desk.get("things list", desk.agent()) == []


def test_scenario_30_list_without_scope_field_is_closed_to_a_group(desk: AdminDesk) -> None:
    code, message = desk.fail("leaks list", desk.agent())

    assert (code, message) == ("forbidden", "not available in group scope")


def test_database_that_is_held_answers_with_the_way_out(desk: AdminDesk) -> None:
    def held() -> sqlite3.Connection:
        raise sqlite3.OperationalError("database is locked")

    dispatcher = Dispatcher(
        desk.dispatcher.registry, Surroundings(desk.config, held, desk.services, lambda _: None)
    )
    answers: list[Response] = []

    dispatcher.handle(Call(Request("1", "things-add"), HOST, NOW, "c-1"), answers.append)

    (answer,) = answers
    assert isinstance(answer, Failure)
    assert (answer.code, "try again" in answer.message) == ("handler-error", True)


def test_caller_never_gets_an_exception(desk: AdminDesk) -> None:
    for words in ("", " ", "things", "things-", "-", "--", "things list x y", "help me"):
        assert isinstance(desk.ask(words), Failure)
