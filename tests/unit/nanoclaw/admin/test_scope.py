"""What an agent may ask for (T-63), as tables over a dispatcher with a few commands."""

import pytest

from nanoclaw.admin.caller import HOST, AgentCaller, Caller
from nanoclaw.admin.decide import InvalidArgs, normal_args
from nanoclaw.admin.dispatch import CommandSpec, Dispatcher
from nanoclaw.admin.frames import ErrorCode, Failure, Request, Response, Success
from nanoclaw.model import CliScope

ROWS = [{"id": "ag-1", "name": "mine"}, {"id": "ag-2", "name": "theirs"}]


def echo(request: Request) -> object:
    return dict(request.args)


DISPATCHER = Dispatcher(
    {
        "help": CommandSpec(echo),
        "groups-list": CommandSpec(lambda _: ROWS, "groups", plain=True, scope_field="id"),
        "groups-get": CommandSpec(echo, "groups"),
        "groups-create": CommandSpec(echo, "groups"),
        "members-list": CommandSpec(lambda _: ROWS, "members", plain=True),
        "sessions-get": CommandSpec(lambda _: ROWS[1], "sessions", plain=True, scope_field="id"),
        "users-list": CommandSpec(echo, "users"),
    }
)


def agent(scope: CliScope) -> AgentCaller:
    return AgentCaller("sess-1", "ag-1", "mg-1", scope)


def ask(caller: Caller, command: str, **args: str | bool) -> Response:
    return DISPATCHER.handle(Request("r-1", command, args), caller)


def refusal(response: Response) -> tuple[str, str]:
    assert isinstance(response, Failure), response
    return response.code, response.message


@pytest.mark.parametrize("command", ["help", "groups-list", "users-list", "nonsense"])
def test_t63_disabled_scope_refuses_everything(command: str) -> None:
    code, message = refusal(ask(agent(CliScope.DISABLED), command))

    assert code == ErrorCode.FORBIDDEN
    assert "disabled" in message


@pytest.mark.parametrize(
    ("command", "args", "word"),
    [
        ("users-list", {}, "users"),
        ("groups-create", {}, "groups-create"),
        ("groups-get", {"id": "ag-2"}, "scoped"),
        ("groups-get", {"group": "ag-2"}, "scoped"),
        ("groups-get", {"agent-group-id": "ag-2"}, "scoped"),
        ("groups-get", {"agent_group_id": True}, "scoped"),
        ("groups-get", {"cli_scope": "global"}, "cli_scope"),
        ("groups-get", {"cli-scope": "global"}, "cli_scope"),
        ("members-list", {}, "not available in group scope"),
        ("sessions-get", {"id": "sess-9"}, "different agent group"),
    ],
)
def test_t63_group_scope_refuses_what_is_not_its_own(
    command: str, args: dict[str, str | bool], word: str
) -> None:
    code, message = refusal(ask(agent(CliScope.GROUP), command, **args))

    assert code == ErrorCode.FORBIDDEN
    assert word in message


def test_t63_group_scope_fills_its_own_group_in() -> None:
    answer = ask(agent(CliScope.GROUP), "groups-get")

    own = {"agent_group_id": "ag-1", "group": "ag-1", "id": "ag-1"}
    assert answer == Success("r-1", own)


def test_t63_group_scope_sees_its_own_rows_of_a_list() -> None:
    assert ask(agent(CliScope.GROUP), "groups-list") == Success("r-1", [ROWS[0]])


def test_t63_general_commands_are_for_every_scope() -> None:
    assert isinstance(ask(agent(CliScope.GROUP), "help"), Success)


@pytest.mark.parametrize("caller", [HOST, agent(CliScope.GLOBAL)])
def test_t63_host_and_global_scope_are_unrestricted(caller: Caller) -> None:
    assert ask(caller, "users-list", id="x") == Success("r-1", {"id": "x"})
    assert ask(caller, "groups-list") == Success("r-1", ROWS)
    assert ask(caller, "groups-get", **{"cli-scope": "global"}) == Success(
        "r-1", {"cli_scope": "global"}
    )


def test_an_unknown_command_names_those_the_caller_may_use() -> None:
    code, message = refusal(ask(agent(CliScope.GROUP), "frobnicate"))

    assert code == ErrorCode.UNKNOWN_COMMAND
    assert "'frobnicate'" in message
    assert "groups-list" in message
    assert "users-list" not in message


def test_two_spellings_of_a_key_must_agree() -> None:
    assert normal_args({"a-b": "1", "a_b": "1"}) == {"a_b": "1"}
    assert isinstance(normal_args({"a-b": "1", "a_b": "2"}), InvalidArgs)

    contradictory = {"agent_group_id": "ag-1", "agent-group-id": "ag-2"}
    code, _ = refusal(ask(agent(CliScope.GROUP), "groups-get", **contradictory))
    assert code == ErrorCode.INVALID_ARGS
