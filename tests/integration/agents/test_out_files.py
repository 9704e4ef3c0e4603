"""The one reader of files that agents leave in ``out/files`` (H-59 to H-61, W-1, W-2)."""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nanoclaw.sessions.out_files import (
    BadFile,
    CopiedFile,
    FileWanted,
    OutFileLimits,
    clear_out_files,
    copy_out_file,
    copy_out_files,
    is_safe_name,
)

SMALL = OutFileLimits(files=3, file_bytes=100, total_bytes=150)


@dataclass
class Place:
    """An agent's ``out`` and a folder of the host."""

    root: Path
    out_fd: int
    target_fd: int

    @property
    def message(self) -> Path:
        return self.root / "out" / "files" / "m1"

    @property
    def target(self) -> Path:
        return self.root / "target"

    def stored(self) -> list[str]:
        return sorted(path.name for path in self.target.iterdir())

    def copy(self, *names: str, message_id: str = "m1") -> tuple[list[str], list[str]]:
        """Names that were copied, and those that were not."""
        copied, bad = copy_out_files(self.out_fd, message_id, names, self.target_fd, SMALL)
        return [file.name for file in copied], [file.name for file in bad]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "out" / "files" / "m1").mkdir(parents=True)
    (tmp_path / "target").mkdir()
    fds = [os.open(tmp_path / name, os.O_RDONLY | os.O_DIRECTORY) for name in ("out", "target")]
    yield Place(tmp_path, *fds)
    for fd in fds:
        os.close(fd)


def test_plain_file_is_copied_with_size_and_hash(place: Place) -> None:
    (place.message / "a.txt").write_bytes(b"abc")

    (copied,), bad = copy_out_files(place.out_fd, "m1", ["a.txt"], place.target_fd)

    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert copied == CopiedFile("a.txt", "a.txt", 3, digest)
    assert bad == ()
    assert (place.target / "a.txt").read_bytes() == b"abc"
    assert place.stored() == ["a.txt"]


def test_copy_can_have_another_name_and_replaces_an_earlier_one(place: Place) -> None:
    (place.message / "a.txt").write_bytes(b"new")
    (place.target / "spool-1").write_bytes(b"left by a crash, and longer")

    found = copy_out_file(place.out_fd, FileWanted("m1", "a.txt", place.target_fd, "spool-1", 100))

    assert isinstance(found, CopiedFile)
    assert (place.target / "spool-1").read_bytes() == b"new"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "/etc/passwd", "a\\b", "a\0b", "x" * 256]
)
def test_t11_names_that_are_no_names_are_refused(place: Place, name: str) -> None:
    assert not is_safe_name(name)
    assert place.copy(name) == ([], [name])
    assert place.stored() == []


@pytest.mark.parametrize("name", ["a.txt", ".hidden", "with space", "ä", "a..b", "-rf"])
def test_t11_ordinary_names_are_fine(place: Place, name: str) -> None:
    (place.message / name).write_bytes(b"x")

    assert place.copy(name) == ([name], [])


def make_link(path: Path, secret: Path) -> None:
    path.symlink_to(secret)


def make_second_name(path: Path, secret: Path) -> None:
    os.link(secret, path)


def make_pipe(path: Path, secret: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path, secret: Path) -> None:
    path.mkdir()


def make_socket(path: Path, secret: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # socket paths are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("make", [make_link, make_second_name, make_pipe, make_folder, make_socket])
def test_t11_whatever_is_no_plain_file_is_refused_and_blocks_nobody(
    place: Place, make: object
) -> None:
    secret = place.root / "secret"
    secret.write_bytes(b"host only")
    assert callable(make)
    make(place.message / "trap", secret)

    assert place.copy("trap") == ([], ["trap"])
    assert place.stored() == []


def test_file_of_another_owner_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """By who owns ``out``: nobody else can put a file there without a trick."""
    (place.message / "a.txt").write_bytes(b"x")
    real = os.fstat

    def fstat(fd: int) -> os.stat_result:
        found = real(fd)
        return os.stat_result((*found[:4], 4242, *found[5:])) if fd == place.out_fd else found

    monkeypatch.setattr(os, "fstat", fstat)

    assert place.copy("a.txt") == ([], ["a.txt"])


@pytest.mark.parametrize("level", ["files", "m1"])
def test_linked_folder_is_not_entered(place: Place, level: str) -> None:
    elsewhere = place.root / "elsewhere"
    (elsewhere / "m1").mkdir(parents=True)
    for folder in (elsewhere, elsewhere / "m1"):
        (folder / "key").write_bytes(b"host only")
    place.message.rmdir()
    if level == "files":
        place.message.parent.rmdir()
        place.message.parent.symlink_to(elsewhere)
    else:
        place.message.symlink_to(elsewhere / "m1")

    assert place.copy("key") == ([], ["key"])
    assert not clear_out_files(place.out_fd, "m1")
    assert (elsewhere / "m1" / "key").exists()


def test_limits_hold_per_file_per_message_and_in_number(place: Place) -> None:
    for name, size in (("a", 100), ("b", 101), ("c", 50), ("d", 1)):
        (place.message / name).write_bytes(b"x" * size)

    assert place.copy("a", "b", "c", "d") == (["a", "c"], ["b", "d"])
    assert place.copy("a", "a", "a", "a") == (["a"], [])


def test_growing_file_ends_at_the_limit(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size at the beginning says nothing."""
    (place.message / "log").write_bytes(b"x" * 10)
    real = os.read

    def read(fd: int, count: int) -> bytes:
        with (place.message / "log").open("ab") as growing:
            growing.write(b"y" * 64)
        return real(fd, min(count, 64))

    monkeypatch.setattr(os, "read", read)
    wanted = FileWanted("m1", "log", place.target_fd, "log", 1000)

    found = copy_out_file(place.out_fd, wanted)

    assert isinstance(found, BadFile)
    assert "too large" in found.reason
    assert place.stored() == []


def test_missing_file_and_missing_folder_say_so(place: Place) -> None:
    found = copy_out_file(place.out_fd, FileWanted("m9", "a", place.target_fd, "a", 100))

    assert found == BadFile("a", "does not exist")


def test_target_is_never_written_through_a_link(place: Place) -> None:
    """The target is ours; even so a planted name must not lead elsewhere."""
    outside = place.root / "outside"
    outside.write_bytes(b"keep")
    (place.target / "a.txt").symlink_to(outside)
    (place.message / "a.txt").write_bytes(b"x")

    place.copy("a.txt")

    assert outside.read_bytes() == b"keep"
    assert (place.target / "a.txt").read_bytes() == b"x"


def test_clearing_removes_the_folder_and_nothing_behind_links(place: Place) -> None:
    outside = place.root / "outside"
    outside.write_bytes(b"keep")
    (place.message / "link").symlink_to(outside)
    (place.message / "a.txt").write_bytes(b"x")

    assert clear_out_files(place.out_fd, "m1")
    assert clear_out_files(place.out_fd, "m1")  # and once more

    assert not place.message.exists()
    assert outside.read_bytes() == b"keep"


@pytest.mark.parametrize("message_id", ["..", "../..", "", "a/b", "."])
def test_t11_clearing_an_unsafe_id_deletes_nothing(place: Place, message_id: str) -> None:
    (place.root / "keep").write_bytes(b"x")

    assert not clear_out_files(place.out_fd, message_id)

    assert (place.root / "keep").exists()
    assert place.message.exists()


def test_clearing_never_raises_for_what_cannot_be_removed(place: Place) -> None:
    (place.message / "folder" / "deep").mkdir(parents=True)

    assert not clear_out_files(place.out_fd, "m1")
