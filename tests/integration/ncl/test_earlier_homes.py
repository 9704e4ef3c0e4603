"""``ncl`` on homes of the earlier program: what was taken over can be read and changed.

Every version of its database there was, and a whole week of work of the last one. Each is converted
first, as the host does at its start; a real admin process then answers.
"""

import contextlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.admin_desk import FakeServices
from helpers.earlier import EARLY, FIXTURES, FULL, convert
from helpers.host import small_host
from helpers.ncl_hands import Hands
from helpers.waiting import wait_until

from nanoclaw.admin.commands import host_registry
from nanoclaw.admin.registry import Command
from nanoclaw.cli.main import ncl_main
from nanoclaw.config import HostConfig
from nanoclaw.paths import HostPaths

LEVELS = "v2-levels"
HOMES = (EARLY, FULL, *(f"{LEVELS}/level-{number:02}" for number in range(1, 14)))
LISTED_BY = {"containers-logs": "sessions list", "why": "messages list"}
"""Commands about one of many that another resource lists."""


class House:
    """``ncl`` in one home."""

    def __init__(self, paths: HostPaths) -> None:
        self.paths = paths

    def run(self, *words: str) -> tuple[int, str, str]:
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = ncl_main([*words, "--home", str(self.paths.home)])
        return status, _written(out), _written(err)

    def text(self, *words: str) -> str:
        status, out, err = self.run(*words)
        assert status == 0, (words, err)
        return out

    def data(self, *words: str) -> Any:
        status, out, err = self.run(*words, "--json")
        assert (status, err) == (0, ""), (words, out, err)
        answer = json.loads(out)
        assert answer["ok"] is True
        return answer["data"]

    def ids(self, words: str) -> list[str]:
        return self.text(*words.split(), "--ids").split("\n")[:-1]


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


def unpack(name: str, folder: Path) -> HostPaths:
    """Also one of the many homes of one archive."""
    uid, gid = os.getuid(), os.getgid()

    def as_ours(member: tarfile.TarInfo, _: str) -> tarfile.TarInfo | None:
        if not f"{member.name}/".startswith(f"{name}/"):
            return None
        return member.replace(uid=uid, gid=gid, uname="", gname="", deep=False)

    with tarfile.open(FIXTURES / f"{name.partition('/')[0]}.tar.gz") as archive:
        archive.extractall(folder, filter=as_ours)
    paths = HostPaths(folder / name / "nanoclaw-v2")
    paths.ensure()
    return paths


@pytest.fixture(scope="module", params=HOMES)
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    paths = unpack(request.param, tmp_path_factory.mktemp("earlier"))
    convert(paths)
    with small_host(paths.home, "admin"), Hands(HostConfig(paths.home), FakeServices):
        yield House(paths)


def reading() -> Iterator[Command]:
    """All that can be asked without knowing more than an id."""
    for command in host_registry():
        operation = command.operation
        needs = [spec for spec in operation.arguments if spec.required and not spec.positional]
        if not (operation.mutating or needs or command.name in ("ping", "search")):
            yield command


def lines_of(house: House, command: Command) -> list[list[str]]:
    """One for each id where one has to be named; none where this home has nothing of the kind."""
    words, target = command.words.split(), command.operation.target
    if target is None or not target.required:
        return [words]
    listing = LISTED_BY.get(command.name, f"{words[0]} list")
    return [[*words, found] for found in house.ids(listing)]


def test_every_reading_command_answers_as_text_and_as_data(house: House) -> None:
    for command in reading():
        for line in lines_of(house, command):
            house.text(*line)
            house.data(*line)


def test_words_of_old_conversations_are_found(house: House) -> None:
    wait_until(
        lambda: '"sessions_to_read": 0' in house.run("search", "the", "--json")[1],
        within=30,
        what="all conversations are read",
    )
    found = house.data("search", "e", "--limit", "5")

    assert found["complete"] is True
    for row in found["results"]:
        assert house.data("why", row["message_id"])["timeline"]
    assert house.text("search", "e") is not None


def changes(house: House) -> dict[str, list[str]]:
    """One line per resource; those of which this home has nothing have none."""
    group, other = house.ids("groups list")[:2]
    chat, user = house.ids("messaging-groups list")[0], house.ids("users list")[-1]
    wiring = house.ids("wirings list")[0]
    lines = {
        "budgets": ["budgets", "set", "install", "--usd", "5"],
        "destinations": [
            *f"destinations add {group} --local-name of-ncl --target-type channel".split(),
            "--target-id", chat,
        ],
        "groups": ["groups", "update", group, "--name", "New Name"],
        "groups config": ["groups", "config", "update", other, "--model", "m"],
        "members": ["members", "add", "--user", user, "--group", other],
        "messaging-groups": ["messaging-groups", "update", chat, "--name", "X"],
        "roles": ["roles", "grant", "--user", user, "--role", "admin"],
        "users": ["users", "update", user, "--display-name", "Somebody"],
        "wirings": ["wirings", "update", wiring, "--priority", "7"],
    }  # fmt: skip
    for task in house.ids("tasks list --state live")[:1]:
        lines["tasks"] = ["tasks", "pause", task]
    for message in house.ids("messages list --failed")[:1]:
        lines["messages"] = ["messages", "retry", message]
    for row in house.data("user-dms", "list")[:1]:
        way = ["--user", row["user_id"], "--channel-type", row["channel_type"]]
        lines["user-dms"] = ["user-dms", "forget", *way]
    for row in house.data("approvals", "list", "--status", "pending"):
        if row["action"] in ("admit_sender", "connect_chat"):
            lines["approvals"] = ["approvals", "reject", row["approval_id"]]
    return lines


def test_something_of_every_resource_can_be_changed(house: House) -> None:
    lines = changes(house)
    for name, line in lines.items():
        status, _, err = house.run(*line)
        assert status == 0 or (name, "it is too late" in err) == ("approvals", True), (line, err)
    for session in house.ids("sessions list"):
        house.run("sessions", "close", session)  # those at work are refused

    group, other = house.ids("groups list")[:2]
    assert house.data("groups", "get", group)["name"] == "New Name"
    assert house.data("groups", "config", "get", other)["model"] == "m"
    assert any(row["local_name"] == "of-ncl" for row in house.data("destinations", "list", group))
    made = house.data("groups", "create", "--name", "Carl", "--folder", "carl-of-ncl")
    assert (house.paths.groups / "carl-of-ncl" / "CLAUDE.local.md").exists()
    deleted = house.data("groups", "delete", made["id"], "--cascade", "--yes")
    assert deleted["deleted"] == made["id"]
    assert not (house.paths.groups / "carl-of-ncl").exists()
    house.data("audit", "verify")
    assert len(house.data("audit", "list", "--kind", "ncl.")) >= len(lines)
