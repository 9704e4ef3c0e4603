import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.clock import utc_now
from nanoclaw.containers.group_folder import (
    ensure_group_folder,
    ensure_home,
    is_valid_folder,
    shared_memory,
)
from nanoclaw.containers.logs import MAX_ENTRY_BYTES, MAX_FILE_BYTES, append_entry
from nanoclaw.containers.ownership import Owner, hand_over
from nanoclaw.containers.usage import measure
from nanoclaw.errors import ConfigError
from nanoclaw.paths import HostPaths


@pytest.fixture
def paths(tmp_path: Path) -> HostPaths:
    made = HostPaths(tmp_path / "home")
    made.ensure()
    return made


@pytest.mark.parametrize("name", ["main", "a", "A-b_9", "x" * 64])
def test_t56_ordinary_folder_names_are_allowed(name: str) -> None:
    assert is_valid_folder(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "-a", "_a", "a/b", "a b", " a", "a\n", "x" * 65, "global", "Global", "ä"],
)
def test_t56_dangerous_folder_names_are_refused(name: str, paths: HostPaths) -> None:
    with pytest.raises(ConfigError):
        ensure_group_folder(paths, name)


def test_new_group_folder_has_a_memory_file(paths: HostPaths) -> None:
    folder = ensure_group_folder(paths, "main", "You like cats.")

    assert (folder / "CLAUDE.local.md").read_text() == "You like cats.\n"


def test_existing_memory_is_never_changed(paths: HostPaths) -> None:
    folder = ensure_group_folder(paths, "main")
    (folder / "CLAUDE.local.md").write_text("mine")

    ensure_group_folder(paths, "main", "other")

    assert (folder / "CLAUDE.local.md").read_text() == "mine"


def test_memory_file_is_not_written_through_a_planted_link(paths: HostPaths) -> None:
    victim = paths.home / "victim"
    folder = paths.groups / "main"
    folder.mkdir()
    (folder / "CLAUDE.local.md").symlink_to(victim)

    ensure_group_folder(paths, "main", "text")

    assert not victim.exists()


def test_group_folder_that_is_a_link_is_refused(paths: HostPaths, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (paths.groups / "main").symlink_to(elsewhere)

    with pytest.raises(OSError, match="main"):
        ensure_group_folder(paths, "main")

    assert not list(elsewhere.iterdir())


def test_home_is_shared_by_the_group(paths: HostPaths) -> None:
    assert ensure_home(paths, "ag-1") == ensure_home(paths, "ag-1") == paths.sessions / "ag-1/home"


def test_shared_memory_is_mounted_only_when_it_is_a_folder(paths: HostPaths) -> None:
    assert shared_memory(paths) is None
    (paths.groups / "global").mkdir()
    assert shared_memory(paths) == paths.groups / "global"


# --- handing over ---------------------------------------------------------------------------------

ME = os.getuid()
OTHER = Owner(ME + 1, 7)


class Handed:
    """Records what would change hands; only root may really do it."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def chown(self, name: str, uid: int, gid: int, *, dir_fd: int, follow_symlinks: bool) -> None:
        assert not follow_symlinks
        self.names.append(name)

    def fchown(self, fd: int, uid: int, gid: int) -> None:
        self.names.append(Path(f"/proc/self/fd/{fd}").readlink().name)


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Handed]:
    record = Handed()
    monkeypatch.setattr(os, "chown", record.chown)
    monkeypatch.setattr(os, "fchown", record.fchown)
    yield record


def test_whole_tree_is_handed_over_and_its_top_last(tmp_path: Path, handed: Handed) -> None:
    top = tmp_path / "top"
    (top / "sub").mkdir(parents=True)
    (top / "sub" / "file").write_text("x")

    assert hand_over(top, OTHER) == 3
    assert handed.names == ["file", "sub", "top"]


def test_links_are_not_followed_when_handing_over(tmp_path: Path, handed: Handed) -> None:
    top, outside = tmp_path / "top", tmp_path / "outside"
    top.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("x")
    (top / "link").symlink_to(outside)

    hand_over(top, OTHER)

    assert handed.names == ["link", "top"]


def test_file_with_a_second_name_is_left_alone(tmp_path: Path, handed: Handed) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (tmp_path / "precious").write_text("x")
    os.link(tmp_path / "precious", top / "alias")

    hand_over(top, OTHER)

    assert handed.names == ["top"]


def test_tree_that_was_handed_over_costs_one_look(tmp_path: Path, handed: Handed) -> None:
    (tmp_path / "file").write_text("x")

    assert hand_over(tmp_path, Owner(ME, 0)) == 0
    assert handed.names == []


def test_top_that_is_a_link_is_refused(tmp_path: Path, handed: Handed) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "top").symlink_to(tmp_path / "real")

    with pytest.raises(OSError, match="top"):
        hand_over(tmp_path / "top", OTHER)


# --- disk use -------------------------------------------------------------------------------------


def test_disk_use_counts_blocks_of_all_folders(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "deep" / "one").write_bytes(b"x" * 100_000)
    (tmp_path / "b" / "two").write_bytes(b"x" * 50_000)

    use = measure((tmp_path / "a", tmp_path / "b", tmp_path / "missing"))

    assert use.used_bytes >= 150_000
    assert use.entries == 3
    assert use.complete


def test_file_with_several_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 1_000_000)
    once = measure((tmp_path,)).used_bytes
    os.link(tmp_path / "one", tmp_path / "two")

    assert measure((tmp_path,)).used_bytes == once


def test_links_and_holes_take_no_space(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "big").write_bytes(b"x" * 1_000_000)
    agent = tmp_path / "agent"
    agent.mkdir()
    (agent / "link").symlink_to(outside)
    with (agent / "sparse").open("wb") as file:
        file.truncate(1 << 40)

    assert measure((agent,)).used_bytes < 100_000


def test_counting_is_bounded(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / str(number)).touch()

    use = measure((tmp_path,), max_entries=5)

    assert (use.entries, use.complete) == (5, False)


def test_deep_tree_is_cut_off(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(70):
        deep = deep / "d"
        deep.mkdir()

    assert not measure((tmp_path,)).complete


def test_empty_files_count_as_a_block_each(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / str(number)).touch()

    assert measure((tmp_path,)).used_bytes >= 100 * 4096


def test_largest_places_are_named_from_the_top(tmp_path: Path) -> None:
    group = tmp_path / "main"
    (group / "cache" / "deep").mkdir(parents=True)
    (group / "cache" / "deep" / "big").write_bytes(b"x" * 300_000)
    (group / "notes.md").write_bytes(b"x" * 9_000)

    places = measure((group,)).places

    assert [name for name, _ in places] == ["main/cache", "main/notes.md"]
    assert places[0][1] >= 300_000


# --- log files ------------------------------------------------------------------------------------


def test_entries_are_kept_under_a_heading(tmp_path: Path) -> None:
    path = tmp_path / "sessions" / "s.log"

    append_entry(path, "container abc ended with code 1", b"Traceback\n", utc_now())
    append_entry(path, "container abc ended with code 0", b"", utc_now())

    lines = path.read_text().splitlines()
    assert lines[0].endswith("container abc ended with code 1")
    assert lines[1] == "Traceback"
    assert len(lines) == 3


def test_control_characters_of_an_agent_are_made_harmless(tmp_path: Path) -> None:
    append_entry(tmp_path / "s.log", "h", b"\x1b[2Jboo\xff\ttab", utc_now())

    text = (tmp_path / "s.log").read_text()
    assert "\x1b" not in text
    assert "boo" in text
    assert "\ttab\n" in text


def test_only_the_end_of_a_long_output_is_kept(tmp_path: Path) -> None:
    append_entry(tmp_path / "s.log", "h", b"start" + b"x" * MAX_ENTRY_BYTES, utc_now())

    assert "start" not in (tmp_path / "s.log").read_text()


def test_log_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "s.log"
    path.write_bytes(b"x" * MAX_FILE_BYTES)

    append_entry(path, "new", b"", utc_now())

    assert path.stat().st_size < 200
    assert (tmp_path / "s.log.1").stat().st_size == MAX_FILE_BYTES
