import json
import os
import socket
from pathlib import Path

import pytest

from contract.config import AdditionalMount
from nanoclaw.containers.mounts import (
    ALLOWLIST,
    BLOCKED,
    TEMPLATE,
    Checked,
    MountPolicy,
    read_allowlist,
    target_problem,
)

GOOD = {
    "allowedRoots": [
        {"path": "~/projects", "allowReadWrite": True},
        {"path": "~/docs", "allowReadWrite": False},
        {"path": "~/never-made", "allowReadWrite": True},
    ],
    "blockedPatterns": ["private"],
}


@pytest.fixture
def operator(tmp_path: Path) -> Path:
    """The home of whoever runs the host, with two allowed roots and our own folder beside them."""
    home = tmp_path / "operator"
    for folder in ("projects/site", "docs/work", "other", "nanoclaw/data", ".config/nanoclaw"):
        (home / folder).mkdir(parents=True)
    write(home, GOOD)
    return home


def write(operator: Path, value: object) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    (operator / ALLOWLIST).write_text(text)


def policy(operator: Path) -> MountPolicy:
    return MountPolicy(operator / "nanoclaw", operator)


def check(operator: Path, path: str, **options: object) -> Checked:
    mount = AdditionalMount.read({"hostPath": path, **options})
    return policy(operator).check([mount])


def test_folder_under_an_allowed_root_is_mounted_read_only_by_default(operator: Path) -> None:
    (mount,) = check(operator, "~/projects/site").mounts

    assert mount.source == operator / "projects" / "site"
    assert mount.target == "/workspace/extra/site"
    assert mount.read_only


@pytest.mark.parametrize(
    ("path", "options", "read_only"),
    [
        ("~/projects/site", {"readonly": False}, False),
        ("~/projects/site", {"readonly": True}, True),
        ("~/docs/work", {"readonly": False}, True),
    ],
)
def test_writing_needs_the_mounts_and_the_roots_word(
    operator: Path, path: str, options: dict[str, object], read_only: bool
) -> None:
    (mount,) = check(operator, path, **options).mounts

    assert mount.read_only is read_only


def test_downgrade_to_reading_is_told(operator: Path) -> None:
    assert "reading only" in check(operator, "~/docs/work", readonly=False).refused[0]


@pytest.mark.parametrize(
    "path",
    [
        "~/other", "~", "~/projects/../other", "~/missing", "/", "/etc", "/proc/self", "/dev",
        "/var/run/docker.sock", "projects/site", "", "~/nanoclaw", "~/nanoclaw/data",
        "~/.config/nanoclaw", "~/.config",
    ],
)  # fmt: skip
def test_everything_else_is_refused_with_a_reason(operator: Path, path: str) -> None:
    everything: dict[str, object] = {
        "allowedRoots": [{"path": "~/projects"}],
        "blockedPatterns": [],
    }
    if path.startswith(("/", "~/nanoclaw", "~/.config")):
        everything["allowedRoots"] = [{"path": "/", "allowReadWrite": True}]
    write(operator, everything)

    found = check(operator, path, containerPath="x")

    assert found.mounts == ()
    assert len(found.refused) == 1


def test_link_is_followed_before_it_is_judged(operator: Path) -> None:
    (operator / "projects" / "trap").symlink_to(operator / "other")
    (operator / "projects" / "fine").symlink_to(operator / "projects" / "site")

    assert check(operator, "~/projects/trap").mounts == ()
    (mount,) = check(operator, "~/projects/fine").mounts
    assert mount.source == operator / "projects" / "site"


def test_root_that_is_a_link_counts_for_what_it_is(operator: Path) -> None:
    (operator / "root-link").symlink_to(operator / "docs")
    write(operator, {"allowedRoots": [{"path": "~/root-link"}], "blockedPatterns": []})

    (mount,) = check(operator, "~/docs/work").mounts
    assert mount.source == operator / "docs" / "work"


@pytest.mark.parametrize("pattern", [*BLOCKED, "private"])
def test_blocked_patterns_hold_in_any_part_of_the_path(operator: Path, pattern: str) -> None:
    folder = operator / "projects" / f"my{pattern}-x" / "inner"
    folder.mkdir(parents=True)

    found = check(operator, str(folder))

    assert found.mounts == ()
    assert "blocked pattern" in found.refused[0]


def test_own_folder_is_never_mounted_whatever_the_file_allows(operator: Path) -> None:
    """H-171: not as a part, and not inside of something larger."""
    write(operator, {"allowedRoots": [{"path": str(operator)}], "blockedPatterns": []})

    for path in ("~/nanoclaw", "~/nanoclaw/data", "~", ".."):
        assert check(operator, path).mounts == ()


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_only_folders_and_files_are_mounted(
    operator: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(operator / "projects")
    if kind == "pipe":
        os.mkfifo("trap")
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("trap")

    assert check(operator, "~/projects/trap").mounts == ()


@pytest.mark.parametrize("name", ["../x", "/x", "a/../b", "a:b", ".", "..", "a//b", "a\0b", "a\nb"])
def test_path_in_the_container_stays_below_its_place(operator: Path, name: str) -> None:
    assert target_problem(name) is not None
    assert check(operator, "~/projects/site", containerPath=name).mounts == ()


def test_nested_path_in_the_container_is_fine(operator: Path) -> None:
    (mount,) = check(operator, "~/projects/site", containerPath="web/site").mounts

    assert mount.target == "/workspace/extra/web/site"


@pytest.mark.parametrize("second", ["x", "x/y", "X/.."])
def test_two_mounts_never_meet(operator: Path, second: str) -> None:
    mounts = [
        AdditionalMount(host_path="~/projects/site", container_path="x"),
        AdditionalMount(host_path="~/docs/work", container_path=second),
    ]

    found = policy(operator).check(mounts)

    assert len(found.mounts) == 1
    assert len(found.refused) == 1


def test_number_of_mounts_is_bounded(operator: Path) -> None:
    mounts = [
        AdditionalMount(host_path="~/projects/site", container_path=f"m{n}") for n in range(40)
    ]

    found = policy(operator).check(mounts)

    assert len(found.mounts) == 32
    assert len(found.refused) == 8


def test_missing_file_allows_nothing_and_is_looked_for_again(operator: Path) -> None:
    (operator / ALLOWLIST).unlink()
    asked = policy(operator)
    wanted = [AdditionalMount(host_path="~/projects/site")]
    assert "nothing is allowed" in asked.check(wanted).refused[0]

    write(operator, GOOD)

    assert asked.check(wanted).mounts


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", '{"allowedRoots": []}', '{"allowedRoots": {}, "blockedPatterns": []}',
        '{"allowedRoots": ["~/x"], "blockedPatterns": []}',
        '{"allowedRoots": [{"path": 1}], "blockedPatterns": []}',
        '{"allowedRoots": [{"path": "~/x", "allowReadWrite": "yes"}], "blockedPatterns": []}',
        '{"allowedRoots": [], "blockedPatterns": [""]}',
    ],
)  # fmt: skip
def test_bad_file_allows_nothing_until_restart(operator: Path, text: str) -> None:
    write(operator, text)
    asked = policy(operator)
    wanted = [AdditionalMount(host_path="~/projects/site")]
    assert "not usable" in asked.check(wanted).refused[0]

    write(operator, GOOD)

    assert asked.check(wanted).mounts == ()
    assert policy(operator).check(wanted).mounts


def test_good_file_counts_until_restart(operator: Path) -> None:
    asked = policy(operator)
    wanted = [AdditionalMount(host_path="~/projects/site")]
    assert asked.check(wanted).mounts

    (operator / ALLOWLIST).unlink()

    assert asked.check(wanted).mounts


def test_template_is_a_usable_file(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(TEMPLATE)

    allowed = read_allowlist(tmp_path / "list.json")

    assert [root.read_write for root in allowed.roots] == [True, True, False]
    assert allowed.patterns == ("password", "secret", "token")


def test_without_wishes_no_file_is_read(tmp_path: Path) -> None:
    assert MountPolicy(tmp_path, tmp_path / "nowhere").check([]) == Checked()
