"""Help at every level and the same as data: N-100 to N-102, N-71."""

import pytest
from helpers.admin_desk import NOW, AdminDesk

from nanoclaw.admin.caller import HOST
from nanoclaw.admin.commands import host_registry
from nanoclaw.admin.dispatch import Call
from nanoclaw.admin.frames import Failure, Request, Response, Success
from nanoclaw.model import CliScope


def test_n100_overview_lists_resources_by_plural_with_their_verbs(desk: AdminDesk) -> None:
    lines = desk.get("help").splitlines()

    assert lines[0] == "Resources:"
    at = lines.index(
        "  groups               agents with their workspace, memory and container settings"
    )
    assert lines[at + 1].startswith(
        " " * 23 + "verbs: list, get, create, update, delete, restart, config get"
    )
    plurals = [line.split()[0] for line in lines[1 : lines.index("")] if line[2] != " "]
    assert plurals == sorted(plurals)
    assert "Commands:" in lines
    assert "ncl <resource> help" in lines[-1]


def test_n100_group_scope_sees_its_own_resources(desk: AdminDesk) -> None:
    text = desk.get("help", desk.agent())

    assert "scope: group" in text.splitlines()[0]
    plurals = [
        line.split()[0]
        for line in text.partition("Commands:")[0].splitlines()
        if line.startswith("  ") and line[2] != " "
    ]
    assert plurals == ["destinations", "egress", "groups", "members", "sessions"]
    assert "create" not in text
    assert "scope: group" not in desk.get("help", desk.agent(CliScope.GLOBAL))


def test_n101_resource_help_shows_real_access_and_fields(desk: AdminDesk) -> None:
    text = desk.get("groups help")

    assert text.startswith("groups: agents with")
    assert "  get <id> [open] — show one" in text
    assert "  delete <id> [approval] — " in text
    assert "  restart [id] [approval] — " in text
    assert (
        "--name                       display name; need not be unique (required, updatable)"
        in text
    )
    assert "(auto)" in text
    assert "values: all | known" in desk.get("wirings help")
    assert "default: strict" in desk.get("messaging-groups help")
    assert "[approval, host only]" in desk.get("approvals help")


def test_n101_filled_in_ids_are_left_out_for_a_group(desk: AdminDesk) -> None:
    text = desk.get("groups help", desk.agent())

    assert "filled in automatically" in text
    assert "  get [open]" in text
    assert "auto-filled" in text


def test_n71_config_help_is_its_part_of_the_groups_help(desk: AdminDesk) -> None:
    text = desk.get("groups config help")

    assert "config add-package" in text
    assert "  restart" not in text


@pytest.mark.parametrize("words", ["groups", "groups frobnicate", "help groups"])
def test_help_flag_and_help_word_say_the_same_of_a_resource(desk: AdminDesk, words: str) -> None:
    args: dict[str, str | bool] = {} if words.startswith("help") else {"help": True}
    (answer,) = desk.handle(words, args)

    assert answer == Success(answer.id, desk.get("groups help"))


def test_help_flag_explains_one_command(desk: AdminDesk) -> None:
    (answer,) = desk.handle("groups config update", {"help": True})

    assert isinstance(answer, Success)
    text = str(answer.data)
    assert text.startswith("ncl groups config update [approval]")
    for word in ("--model", "--dry-run", "Examples:", "host only"):
        assert word in text


def test_help_of_what_is_not_there_names_what_is(desk: AdminDesk) -> None:
    code, message = desk.fail("help nonsense")

    assert code == "not-found"
    assert "groups" in message
    assert desk.fail("help wirings", desk.agent())[1].count("wirings") == 1
    assert desk.fail("help groups", desk.agent(CliScope.DISABLED))[0] == "forbidden"


@pytest.mark.parametrize("command", list(host_registry().names))
def test_every_command_explains_itself(desk: AdminDesk, command: str) -> None:
    answers: list[Response] = []
    call = Call(Request("1", command, {"help": True}), HOST, NOW, "c")
    desk.dispatcher.handle(call, answers.append)
    (answer,) = answers
    assert not isinstance(answer, Failure)
    found = host_registry().find(command)
    assert found is not None
    assert found.operation.help


def test_n102_description_has_names_columns_and_flags(desk: AdminDesk) -> None:
    data = desk.get("describe")

    groups = next(item for item in data["resources"] if item["plural"] == "groups")
    assert [column["name"] for column in groups["columns"]] == [
        "id",
        "name",
        "folder",
        "created_at",
    ]
    update = next(item for item in groups["operations"] if item["verb"] == "config update")
    scope = next(item for item in update["arguments"] if item["name"] == "cli_scope")
    assert (scope["flag"], scope["values"]) == ("--cli-scope", ["disabled", "group", "global"])
    assert update["access"] == "approval"
    assert {item["command"] for item in data["commands"]} >= {"help", "ping", "describe"}
    only = desk.get("describe groups")
    assert [item["plural"] for item in only["resources"]] == ["groups"]


def test_description_shows_an_agent_only_what_it_may_run(desk: AdminDesk) -> None:
    data = desk.get("describe", desk.agent())

    assert {item["plural"] for item in data["resources"]} == {
        "destinations", "egress", "groups", "members", "sessions",
    }  # fmt: skip
    verbs = {op["verb"] for item in data["resources"] for op in item["operations"]}
    assert "create" not in verbs
