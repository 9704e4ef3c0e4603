"""Every command for every scope, as a table that somebody has read (issue: scope tests).

A new command needs a line here: ``yes`` runs, ``asks`` waits for a person, ``no`` is forbidden. In
the scope ``disabled`` everything is forbidden.
"""

from collections.abc import Iterator

import pytest
from helpers.admin_desk import AdminDesk

from nanoclaw.admin.commands import host_registry
from nanoclaw.admin.frames import Failure
from nanoclaw.admin.registry import Access
from nanoclaw.model import CliScope

EXPECTED = """
command                           group   global
approvals-answer                  no      no
approvals-approve                 no      no
approvals-get                     no      yes
approvals-help                    no      yes
approvals-list                    no      yes
approvals-reject                  no      no
audit-help                        no      yes
audit-list                        no      yes
audit-verify                      no      yes
budgets-get                       no      yes
budgets-help                      no      yes
budgets-list                      no      yes
budgets-remove                    no      asks
budgets-rm                        no      asks
budgets-set                       no      asks
containers-help                   no      yes
containers-list                   no      yes
containers-logs                   no      yes
containers-stop                   no      asks
describe                          yes     yes
destinations-add                  asks    asks
destinations-help                 yes     yes
destinations-list                 yes     yes
destinations-remove               asks    asks
dropped-messages-help             no      yes
dropped-messages-list             no      yes
egress-allow                      asks    asks
egress-answer                     no      no
egress-deny                       asks    asks
egress-get                        yes     yes
egress-help                       yes     yes
egress-list                       yes     yes
egress-questions                  yes     yes
egress-remove                     asks    asks
egress-test                       yes     yes
groups-config-add-mcp-server      asks    asks
groups-config-add-mount           asks    asks
groups-config-add-package         asks    asks
groups-config-get                 yes     yes
groups-config-help                yes     yes
groups-config-remove-mcp-server   asks    asks
groups-config-remove-mount        asks    asks
groups-config-remove-package      asks    asks
groups-config-set-skills          asks    asks
groups-config-update              asks    asks
groups-create                     no      asks
groups-delete                     no      asks
groups-get                        yes     yes
groups-help                       yes     yes
groups-list                       yes     yes
groups-restart                    asks    asks
groups-update                     asks    asks
help                              yes     yes
logs                              no      yes
members-add                       asks    asks
members-help                      yes     yes
members-list                      yes     yes
members-remove                    asks    asks
messages-help                     no      yes
messages-list                     no      yes
messages-retry                    no      asks
messages-show                     no      yes
messaging-groups-create           no      asks
messaging-groups-delete           no      asks
messaging-groups-get              no      yes
messaging-groups-help             no      yes
messaging-groups-list             no      yes
messaging-groups-update           no      asks
ping                              yes     yes
roles-grant                       no      asks
roles-help                        no      yes
roles-list                        no      yes
roles-revoke                      no      asks
search                            yes     yes
services-add                      no      asks
services-get                      no      yes
services-help                     no      yes
services-list                     no      yes
services-presets                  no      yes
services-remove                   no      asks
services-update                   no      asks
sessions-close                    asks    asks
sessions-get                      yes     yes
sessions-help                     yes     yes
sessions-list                     yes     yes
sessions-restart                  asks    asks
status                            no      yes
tasks-cancel                      no      asks
tasks-help                        no      yes
tasks-history                     no      yes
tasks-list                        no      yes
tasks-pause                       no      asks
tasks-resume                      no      asks
tasks-run-now                     no      asks
tasks-show                        no      yes
top                               no      yes
usage-help                        no      yes
usage-list                        no      yes
usage-sum                         no      yes
user-dms-forget                   no      asks
user-dms-help                     no      yes
user-dms-list                     no      yes
users-create                      no      asks
users-get                         no      yes
users-help                        no      yes
users-list                        no      yes
users-update                      no      asks
why                               yes     yes
wirings-create                    no      asks
wirings-delete                    no      asks
wirings-get                       no      yes
wirings-help                      no      yes
wirings-list                      no      yes
wirings-update                    no      asks
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdminDesk]:
    """One for all: nothing in here changes anything but the list of requests."""
    made = AdminDesk(tmp_path_factory.mktemp("home"))
    made.add_session("sess-1")
    made.add_session("sess-2", made.add_group())
    yield made
    made.close()


def rows() -> list[tuple[str, str, str]]:
    lines = [line.split() for line in EXPECTED.strip().splitlines()[1:]]
    return [(name, in_group, in_global) for name, in_group, in_global in lines]


def test_every_command_has_a_line() -> None:
    assert [name for name, _, _ in rows()] == list(host_registry().names)


@pytest.mark.parametrize("name", [name for name, _, _ in rows()])
def test_command_is_for_the_scopes_of_its_line(desk: AdminDesk, name: str) -> None:
    (line,) = [row for row in rows() if row[0] == name]
    command = host_registry().find(name)
    assert command is not None
    for scope, word in zip((CliScope.GROUP, CliScope.GLOBAL), line[1:], strict=True):
        answer = desk.ask(command.words, desk.agent(scope))

        is_forbidden = isinstance(answer, Failure) and answer.code == "forbidden"
        assert is_forbidden is (word == "no"), (scope, answer)
        if word != "no":
            assert (command.operation.access is Access.APPROVAL) is (word == "asks")
    answer = desk.ask(command.words, desk.agent(CliScope.DISABLED))
    assert isinstance(answer, Failure)
    assert (answer.code, "disabled" in answer.message) == ("forbidden", True)


@pytest.mark.parametrize("name", [name for name, in_group, _ in rows() if in_group != "no"])
@pytest.mark.parametrize("key", ["group", "agent_group_id", "agent-group-id"])
def test_no_command_of_group_scope_takes_a_foreign_group(
    desk: AdminDesk, name: str, key: str
) -> None:
    command = host_registry().find(name)
    assert command is not None

    code, message = desk.fail(command.words, desk.agent(), **{key: "ag-other"})

    assert code == "forbidden"
    assert "scoped" in message


def test_whatever_changes_anything_asks_a_person_or_is_for_no_agent() -> None:
    words = {name: (in_group, in_global) for name, in_group, in_global in rows()}
    for command in host_registry():
        if command.operation.mutating:
            assert "yes" not in words[command.name], command.name


def test_global_scope_sees_rows_of_all_groups(desk: AdminDesk) -> None:
    assert len(desk.get("groups list", desk.agent(CliScope.GLOBAL))) == 2
    assert len(desk.get("groups list", desk.agent())) == 1


def test_scenario_26_answer_of_another_shape_is_not_taken_for_a_foreign_row(
    desk: AdminDesk,
) -> None:
    config = desk.get("groups config get", desk.agent())

    assert "id" not in config
    assert desk.get("groups restart", desk.agent(), dry_run=True)["dry_run"] is True


def test_own_group_is_filled_in_where_none_is_named(desk: AdminDesk) -> None:
    user = desk.add_user()
    desk.get(f"members add {user}", group="ag-other")
    caller = desk.agent()

    assert desk.get("groups get", caller)["id"] == desk.group_id
    assert desk.get("groups config get", caller)["agent_group_id"] == desk.group_id
    assert [row["id"] for row in desk.get("sessions list", caller)] == ["sess-1"]
    assert desk.get("members list", caller) == []
    assert {row["agent_group_id"] for row in desk.get("destinations list", caller)} == {
        desk.group_id
    }
