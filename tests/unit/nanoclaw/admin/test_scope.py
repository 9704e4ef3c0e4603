"""What an agent may ask for: scenarios 4 to 25, as tables over a few commands (N-45 to N-52)."""

import pytest

from nanoclaw.admin.caller import HOST, AgentCaller, Caller
from nanoclaw.admin.decide import (
    Allowed,
    Forbidden,
    InvalidArgs,
    decide_scope,
    may_run,
    normal_args,
    visible,
)
from nanoclaw.admin.registry import Access, ArgumentSpec, Command, Operation, ResourceSpec
from nanoclaw.model import CliScope

ROWS = [{"id": "ag-1", "name": "mine"}, {"id": "ag-2", "name": "theirs"}]
GUARDED = ArgumentSpec("memory_mb", host_only=True)


def resource(plural: str, *, inside: bool = True, keyed: bool = False) -> ResourceSpec:
    return ResourceSpec(
        plural[:-1], plural, "id", "", (), (), "id", for_groups=inside, keyed_by_group=keyed
    )


GROUPS = resource("groups", keyed=True)
DESTINATIONS = resource("destinations", keyed=True)
SESSIONS = resource("sessions")
MEMBERS = resource("members")
TEST = resource("test", inside=False)
WIRINGS = resource("wirings", inside=False)


def command(
    verb: str,
    of: ResourceSpec | None = GROUPS,
    access: Access = Access.OPEN,
    *,
    for_groups: bool = True,
    host_only: bool = False,
) -> Command:
    operation = Operation(
        verb, access, "", lambda *_: None, (GUARDED,), for_groups=for_groups, host_only=host_only
    )
    return Command(f"{of.plural}-{verb}" if of else verb, operation, of)


def agent(scope: CliScope = CliScope.GROUP) -> AgentCaller:
    return AgentCaller("sess-1", "ag-1", "mg-1", scope)


def decide(of: Command, caller: Caller | None = None, **args: str | bool) -> Allowed | Forbidden:
    return decide_scope(caller or agent(), of.about, args)


def args_of(decision: Allowed | Forbidden) -> dict[str, str | bool]:
    assert isinstance(decision, Allowed), decision
    return dict(decision.args)


def reason(decision: Allowed | Forbidden) -> str:
    assert isinstance(decision, Forbidden), decision
    return decision.reason


@pytest.mark.parametrize("of", [command("get"), command("list", WIRINGS), command("help", None)])
def test_scenario_4_disabled_scope_refuses_everything(of: Command) -> None:
    assert "disabled" in reason(decide(of, agent(CliScope.DISABLED)))
    assert not may_run(agent(CliScope.DISABLED), of.about)


def test_scenario_5_id_of_the_groups_resource_is_filled_in() -> None:
    decision = decide(command("get"))

    assert args_of(decision)["id"] == "ag-1"
    assert isinstance(decision, Allowed)
    assert decision.filled == {"id", "group", "agent_group_id"}


def test_scenario_6_foreign_id_of_groups_is_refused() -> None:
    assert "scoped" in reason(decide(command("get"), id="ag-2"))


def test_scenario_7_own_id_of_groups_is_accepted() -> None:
    assert args_of(decide(command("get"), id="ag-1"))["id"] == "ag-1"


@pytest.mark.parametrize(
    "args",
    [
        {"cli_scope": "global"}, {"cli_scope": True}, {"CLI_SCOPE": "global"},
        {"no_cli_scope": True}, {"null": "cli_scope"}, {"null": "model, cli-scope"},
        {" cli_scope": "global"}, {"_cli_scope": "global"}, {"null": "--CLI-scope"},
    ],
)  # fmt: skip
def test_scenario_8_scope_cannot_be_changed_in_any_spelling(args: dict[str, str | bool]) -> None:
    assert "cli_scope" in reason(decide(command("config update"), None, **args))


def test_scenario_9_scope_with_dashes_is_the_same_key() -> None:
    normal = normal_args({"cli-scope": "global"})

    assert normal == {"cli_scope": "global"}


@pytest.mark.parametrize("of", [TEST, WIRINGS])
def test_scenario_10_other_resources_are_refused_by_name(of: ResourceSpec) -> None:
    assert of.plural in reason(decide(command("list", of)))
    assert not may_run(agent(), command("list", of).about)


def test_scenario_11_command_without_resource_is_allowed_and_gets_nothing_filled_in() -> None:
    assert args_of(decide(command("help", None))) == {}


def test_scenario_12_sessions_get_the_group_but_no_id() -> None:
    args = args_of(decide(command("list", SESSIONS)))

    assert args == {"agent_group_id": "ag-1", "group": "ag-1"}


def test_scenario_13_destinations_get_the_id_too() -> None:
    assert args_of(decide(command("list", DESTINATIONS)))["id"] == "ag-1"


def test_scenario_14_members_get_the_group() -> None:
    assert args_of(decide(command("add", MEMBERS)))["group"] == "ag-1"


@pytest.mark.parametrize("key", ["agent_group_id", "group"])
@pytest.mark.parametrize("of", [GROUPS, SESSIONS, MEMBERS, DESTINATIONS, None])
def test_scenario_15_16_foreign_group_is_refused(of: ResourceSpec | None, key: str) -> None:
    assert "scoped" in reason(decide(command("list", of), None, **{key: "ag-2"}))
    assert "scoped" in reason(decide(command("list", of), None, **{key: True}))


def test_scenario_17_18_19_global_scope_is_unrestricted_and_fills_nothing_in() -> None:
    caller = agent(CliScope.GLOBAL)

    assert args_of(decide(command("get"), caller, id="ag-2")) == {"id": "ag-2"}
    assert args_of(decide(command("list", WIRINGS), caller)) == {}
    assert args_of(decide(command("x"), caller, cli_scope="global")) == {"cli_scope": "global"}


def test_scenario_21_host_is_never_restricted() -> None:
    hidden = command("x", WIRINGS, Access.HIDDEN, for_groups=False, host_only=True)

    assert args_of(decide(hidden, HOST, id="ag-2", memory_mb="1")) == {
        "id": "ag-2",
        "memory_mb": "1",
    }
    assert visible(HOST, ROWS, None) == ROWS


@pytest.mark.parametrize("scope", [CliScope.GROUP, CliScope.GLOBAL])
def test_commands_and_flags_of_the_host_are_for_no_agent(scope: CliScope) -> None:
    caller = agent(scope)

    assert "host's own user" in reason(decide(command("x", host_only=True), caller))
    assert "host's own user" in reason(decide(command("x", GROUPS, Access.HIDDEN), caller))
    assert "--memory-mb" in reason(decide(command("x"), caller, memory_mb="1"))


def test_n52_what_is_not_for_groups_is_refused_outright() -> None:
    create = command("create", for_groups=False)

    assert "groups create" in reason(decide(create))
    assert not may_run(agent(), create.about)
    assert may_run(agent(CliScope.GLOBAL), create.about)


def test_scenario_22_25_rows_are_filtered_for_group_scope_only() -> None:
    assert visible(agent(), ROWS, "id") == [ROWS[0]]
    assert visible(agent(CliScope.GLOBAL), ROWS, "id") == ROWS


def test_scenario_23_24_single_row_must_be_the_agents_own() -> None:
    foreign = visible(agent(), ROWS[1], "id")

    assert visible(agent(), ROWS[0], "id") == ROWS[0]
    assert isinstance(foreign, Forbidden)
    assert "different agent group" in foreign.reason


def test_scenario_30_resource_without_scope_field_is_closed() -> None:
    closed = visible(agent(), ROWS, None)

    assert isinstance(closed, Forbidden)
    assert "not available in group scope" in closed.reason


def test_scenario_56_two_spellings_of_a_key_must_agree() -> None:
    assert normal_args({"a-b": "1", "a_b": "1"}) == {"a_b": "1"}
    assert isinstance(normal_args({"a-b": "1", "a_b": "2"}), InvalidArgs)
