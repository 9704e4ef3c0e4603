"""``groups`` (N-65, N-66) with its configuration (N-67 to N-72), over real rows and folders."""

import pytest
from helpers.admin_desk import NOW, AdminDesk

from nanoclaw.approvals import requests
from nanoclaw.approvals.requests import NewRequest
from nanoclaw.db import container_configs, sessions
from nanoclaw.db.destinations import NewDestination, create_with_free_name
from nanoclaw.model import CliScope, TargetType

CONFIG_FIELDS = [
    "agent_group_id", "provider", "model", "effort", "image_tag", "assistant_name",
    "max_messages_per_prompt", "skills", "mcp_servers", "packages_apt", "packages_npm",
    "additional_mounts", "cli_scope", "updated_at",
]  # fmt: skip


def folders(desk: AdminDesk) -> set[str]:
    return {path.name for path in desk.config.paths.groups.iterdir()}


# --- create, update -------------------------------------------------------------------------------


def test_scenario_60_create_yields_a_group_that_can_start(desk: AdminDesk) -> None:
    made = desk.get("groups create", name="Gardener", folder="gardener", instructions="Be kind")

    folder = desk.config.paths.groups / "gardener"
    assert list(made) == ["id", "name", "folder", "created_at", "folder_path"]
    assert made["folder_path"] == str(folder)
    assert (folder / "CLAUDE.local.md").read_text() == "Be kind\n"
    config = container_configs.get(desk.conn, made["id"])
    assert config is not None
    assert config.cli_scope is CliScope.GROUP
    assert (desk.config.paths.sessions / made["id"] / "home").is_dir()


@pytest.mark.parametrize(
    "folder",
    ["", " a", "a b", "../x", "a/b", "a\\b", "..", ".hidden", "global", "GLOBAL", "-a", "x" * 65],
)
def test_n65_folder_that_is_not_allowed_is_refused(desk: AdminDesk, folder: str) -> None:
    before, on_disk = desk.dump(), folders(desk)

    code, message = desk.fail("groups create", name="X", folder=folder)

    assert code == "invalid-args"
    assert "--folder" in message
    assert (desk.dump(), folders(desk)) == (before, on_disk)


def test_folder_of_another_group_is_refused_in_any_case(desk: AdminDesk) -> None:
    desk.get("groups create", name="A", folder="garden")

    code, message = desk.fail("groups create", name="B", folder="GARDEN")

    assert code == "handler-error"
    assert "already exists" in message


def test_folder_that_lies_there_already_is_taken_only_when_meant(desk: AdminDesk) -> None:
    place = desk.config.paths.groups / "old"
    place.mkdir()
    (place / "CLAUDE.local.md").write_text("memory")
    assert "--use-existing" in desk.fail("groups create", name="A", folder="old")[1]

    desk.get("groups create", name="A", folder="old", use_existing=True, instructions="new")

    assert (place / "CLAUDE.local.md").read_text() == "memory"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"folder": "x"}, "--name is required"),
        ({"name": "x"}, "--folder is required"),
        ({"name": "a\nb", "folder": "x"}, "visible characters"),
        ({"name": "x" * 81, "folder": "x"}, "visible characters"),
    ],
)
def test_create_says_what_it_needs(desk: AdminDesk, args: dict[str, str], words: str) -> None:
    code, message = desk.fail("groups create", **args)

    assert (code, words in message) == ("invalid-args", True)


def test_dry_run_of_create_makes_neither_row_nor_folder(desk: AdminDesk) -> None:
    before, on_disk = desk.dump(), folders(desk)

    answer = desk.get("groups create", name="A", folder="a", dry_run=True)

    assert answer["result"]["folder"] == "a"
    assert (desk.dump(), folders(desk)) == (before, on_disk)


def test_update_renames_and_returns_the_row(desk: AdminDesk) -> None:
    row = desk.get(f"groups update {desk.group_id}", name="New name")

    assert row["name"] == "New name"
    assert "nothing to update" in desk.fail(f"groups update {desk.group_id}")[1]
    assert desk.fail("groups update ag-x", name="a")[0] == "not-found"
    assert desk.fail(f"groups update {desk.group_id}", folder="x")[0] == "invalid-args"


# --- delete ---------------------------------------------------------------------------------------


def furnish(desk: AdminDesk) -> str:
    """A group with everything that can refer to one."""
    group_id: str = desk.get("groups create", name="Doomed", folder="doomed")["id"]
    user = desk.add_user()
    desk.get("members add", user=user, group=group_id)
    desk.get("roles grant", user=user, role="admin", group=group_id)
    desk.get("wirings create", messaging_group_id=desk.add_chat(), agent_group_id=group_id)
    session = desk.add_session("sess-doomed", group_id)
    requests.request(
        desk.conn,
        NewRequest("req-1", "x", "{}", "Title", "Question", session, group_id, "agent:x"),
        NOW,
    )
    create_with_free_name(
        desk.conn, NewDestination(desk.group_id, "doomed", TargetType.AGENT, group_id, NOW)
    )
    return group_id


def test_scenario_61_delete_without_cascade_lists_what_refers_to_it(desk: AdminDesk) -> None:
    group_id = furnish(desk)
    before = desk.dump()

    code, message = desk.fail(f"groups delete {group_id}")

    assert code == "handler-error"
    assert "--cascade" in message
    for part in ("sessions: 1", "agent_group_members: 1", "user_roles: 1",
                 "messaging_group_agents: 1", "pending_approvals: 1", "of others: 1"):  # fmt: skip
        assert part in message
    assert desk.dump() == before


def test_cascade_leaves_no_row_and_puts_the_folders_into_the_trash(desk: AdminDesk) -> None:
    group_id = furnish(desk)
    paths = desk.config.paths
    (paths.groups / "doomed" / "notes.md").write_text("remember")

    answer = desk.get(f"groups delete {group_id}", cascade=True)

    assert answer["deleted"] == group_id
    assert desk.fail(f"groups get {group_id}")[0] == "not-found"
    audit_rows = ('INSERT INTO "audit"', 'INSERT INTO "effects"')
    rest = [line for line in desk.dump() if not line.startswith(audit_rows)]
    assert not [line for line in rest if group_id in line]
    assert not (paths.groups / "doomed").exists()
    assert not (paths.sessions / group_id).exists()
    (place,) = (paths.data / "trash").iterdir()
    assert (place / "groups-doomed" / "notes.md").read_text() == "remember"
    assert (place / f"v2-sessions-{group_id}" / "sess-doomed").is_dir()


def test_agents_that_knew_the_deleted_one_are_refreshed(desk: AdminDesk) -> None:
    group_id = furnish(desk)

    desk.get(f"groups delete {group_id}", cascade=True)

    refreshed = desk.conn.execute(
        "SELECT agent_group_id FROM effects WHERE kind = 'refresh_destinations'"
        " ORDER BY rowid DESC LIMIT 1"
    ).fetchone()[0]
    assert refreshed == desk.group_id
    assert desk.has_rung("delivery")


def test_purge_leaves_nothing_behind(desk: AdminDesk) -> None:
    group_id = furnish(desk)

    desk.get(f"groups delete {group_id}", cascade=True, purge=True)

    assert not (desk.config.paths.groups / "doomed").exists()
    assert not (desk.config.paths.data / "trash").exists()


def test_n66_group_at_work_is_not_deleted(desk: AdminDesk) -> None:
    group_id = furnish(desk)
    desk.add_session("sess-busy", group_id, running=True)

    code, message = desk.fail(f"groups delete {group_id}", cascade=True)

    assert code == "handler-error"
    assert "running container" in message
    assert sessions.get(desk.conn, "sess-busy") is not None


def test_dry_run_of_delete_keeps_rows_and_folders(desk: AdminDesk) -> None:
    group_id = furnish(desk)
    before = desk.dump()

    answer = desk.get(f"groups delete {group_id}", cascade=True, dry_run=True)

    assert answer["rows_changed"] > 5
    assert answer["result"]["rows"]["sessions"] == 1
    assert desk.dump() == before
    assert (desk.config.paths.groups / "doomed").is_dir()


# --- configuration --------------------------------------------------------------------------------


def test_n72_config_has_its_fields_in_order_and_decoded(desk: AdminDesk) -> None:
    config = desk.get(f"groups config get {desk.group_id}")

    assert list(config)[: len(CONFIG_FIELDS)] == CONFIG_FIELDS
    assert config["skills"] == "all"
    assert config["mcp_servers"] == {}


def test_config_of_a_group_without_one_says_so(desk: AdminDesk) -> None:
    desk.conn.execute("DELETE FROM container_configs")

    _, message = desk.fail(f"groups config get {desk.group_id}")

    assert message == f"No container config for group: {desk.group_id}"
    assert desk.fail("groups config get ag-x")[0] == "not-found"
    assert desk.fail("groups config get") == ("invalid-args", "--id is required")


def test_config_update_stores_scalars_and_says_when_they_count(desk: AdminDesk) -> None:
    config = desk.get(
        f"groups config update {desk.group_id}",
        **{"model": "opus", "effort": "high", "max-messages-per-prompt": "5", "cpus": "1.5"},
    )

    assert (config["model"], config["effort"], config["max_messages_per_prompt"]) == (
        "opus",
        "high",
        5,
    )
    assert config["cpus"] == 1.5
    assert "next start" in config["note"]


def test_n70_value_is_cleared_by_null(desk: AdminDesk) -> None:
    desk.get(f"groups config update {desk.group_id}", model="opus", effort="low")

    config = desk.get(f"groups config update {desk.group_id}", null="model,effort")

    assert (config["model"], config["effort"]) == (None, None)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"cli_scope": "all"}, "--cli-scope must be one of: disabled, group, global"),
        ({"effort": "huge"}, "--effort must be one of"),
        ({"max_messages_per_prompt": "0"}, "--max-messages-per-prompt must be an integer"),
        ({"provider": "nobody"}, "--provider must be one of"),
        ({}, "Nothing to update"),
        ({"null": "cli_scope"}, "can be emptied"),
    ],
)
def test_n67_config_update_refuses_what_would_be_ignored(
    desk: AdminDesk, args: dict[str, str], words: str
) -> None:
    code, message = desk.fail(f"groups config update {desk.group_id}", **args)

    assert (code, words in message) == ("invalid-args", True)
    if not args:
        for flag in ("--provider", "--model", "--effort", "--image-tag", "--assistant-name",
                     "--max-messages-per-prompt", "--cli-scope"):  # fmt: skip
            assert flag in message


def test_n53_change_of_scope_mentions_the_instructions(desk: AdminDesk) -> None:
    config = desk.get(f"groups config update {desk.group_id}", cli_scope="disabled")

    assert config["cli_scope"] == "disabled"
    assert "instructions" in config["note"]


def test_n68_tool_server_is_stored_as_the_runner_reads_it(desk: AdminDesk) -> None:
    answer = desk.get(
        f"groups config add-mcp-server {desk.group_id}",
        name="maps", command="npx", args='["-y","maps"]', env='{"KEY":"s3cret"}',
        instructions="Ask maps",
    )  # fmt: skip

    assert answer["added"] == "maps"
    stored = desk.get(f"groups config get {desk.group_id}")["mcp_servers"]["maps"]
    assert stored["command"] == "npx"
    assert stored["args"] == ["-y", "maps"]
    assert stored["env"] == {"KEY": "s3cret"}
    assert stored["instructions"] == "Ask maps"
    assert "s3cret" not in desk.audited()[0].detail


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"command": "x"}, "--name is required"),
        ({"name": "x"}, "--command is required"),
        ({"name": "nanoclaw", "command": "x"}, "our own tools"),
        ({"name": "x", "command": "x", "args": "{}"}, "JSON array"),
        ({"name": "x", "command": "x", "args": "nonsense"}, "--args"),
        ({"name": "x", "command": "x", "env": "[]"}, "JSON object"),
        ({"name": "x", "command": "x", "env": '{"a":1}'}, "JSON object of texts"),
    ],
)
def test_tool_server_that_could_not_start_is_refused(
    desk: AdminDesk, args: dict[str, str], words: str
) -> None:
    code, message = desk.fail(f"groups config add-mcp-server {desk.group_id}", **args)

    assert (code, words in message) == ("invalid-args", True)


def test_tool_server_is_removed_by_name(desk: AdminDesk) -> None:
    desk.get(f"groups config add-mcp-server {desk.group_id}", name="maps", command="x")

    removed = desk.get(f"groups config remove-mcp-server {desk.group_id}", name="maps")

    assert removed["removed"] == "maps"
    code, message = desk.fail(f"groups config remove-mcp-server {desk.group_id}", name="maps")
    assert (code, message) == ("not-found", 'MCP server "maps" not found')


def test_packages_are_added_once_and_removed_without_complaint(desk: AdminDesk) -> None:
    add, remove = (f"groups config {verb}-package {desk.group_id}" for verb in ("add", "remove"))
    added = [desk.get(add, apt="jq", npm="@a/b") for _ in range(2)][-1]
    assert added["added"] == {"apt": "jq", "npm": "@a/b", "pip": None}
    assert "rebuild" in added["note"]
    config = desk.get(f"groups config get {desk.group_id}")
    assert (config["packages_apt"], config["packages_npm"]) == (["jq"], ["@a/b"])

    removed = [desk.get(remove, apt="jq") for _ in range(2)][-1]

    assert removed["removed"]["apt"] == "jq"
    assert desk.get(f"groups config get {desk.group_id}")["packages_apt"] == []


@pytest.mark.parametrize(
    "args",
    [{"apt": "jq; rm -rf /"}, {"apt": "-y"}, {"npm": "a b"}, {"npm": "https://x"}, {"pip": "x==1"}],
)
def test_n69_package_names_are_names(desk: AdminDesk, args: dict[str, str]) -> None:
    code, _ = desk.fail(f"groups config add-package {desk.group_id}", **args)

    assert code == "invalid-args"
    assert "Provide --apt" in desk.fail(f"groups config add-package {desk.group_id}")[1]


def test_n70_skills_and_mounts_are_edited(desk: AdminDesk) -> None:
    target = f"{desk.group_id}"
    assert desk.get(f"groups config set-skills {target}", skills="a, b,a")["skills"] == ["a", "b"]
    assert desk.get(f"groups config set-skills {target}", skills="all")["skills"] == "all"

    mount = {"host-path": "/srv/x", "container-path": "x"}
    desk.get(f"groups config add-mount {target}", **mount)
    desk.get(f"groups config add-mount {target}", **mount, **{"no-readonly": True})

    (stored,) = desk.get(f"groups config get {target}")["additional_mounts"]
    assert stored == {"hostPath": "/srv/x", "containerPath": "x", "readonly": False}
    assert desk.get(f"groups config remove-mount {target}", container_path="x")["removed"] == "x"
    assert desk.fail(f"groups config remove-mount {target}", container_path="x")[0] == "not-found"
    bad = {"host_path": "relative", "container_path": "../x"}
    assert desk.fail(f"groups config add-mount {target}", **bad)[0] == "invalid-args"
