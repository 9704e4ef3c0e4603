import errno
import os
import resource
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.waiting import wait_until

from contract.watch import (
    MAX_POLL_SECONDS,
    MIN_POLL_SECONDS,
    Events,
    InotifyWatch,
    PollingWatch,
    Watch,
    WatchEvent,
)


@pytest.fixture(params=[InotifyWatch, PollingWatch], ids=["inotify", "polling"])
def watch(request: pytest.FixtureRequest) -> Iterator[Watch]:
    opened: Watch = request.param()
    yield opened
    opened.close()


def names(events: list[WatchEvent]) -> set[str]:
    return {event.name for event in events}


def seen(watch: Watch, name: str) -> Callable[[], bool]:
    return lambda: name in names(watch.read())


def test_a_written_file_is_reported_once_with_its_folder(watch: Watch, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    watch.add(other)
    wd = watch.add(tmp_path)

    for _ in range(3):
        (tmp_path / "inbound.db").write_text("x")

    assert watch.read() == [WatchEvent(wd, "inbound.db", Events.CLOSE_WRITE)]
    assert watch.read() == []


def test_a_file_that_changes_again_is_reported_again(watch: Watch, tmp_path: Path) -> None:
    watch.add(tmp_path)
    for text in ("one", "three"):
        (tmp_path / "inbound.db").write_text(text)
        wait_until(seen(watch, "inbound.db"))


def test_a_file_renamed_into_place_is_reported(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    folder = tmp_path / "in"
    folder.mkdir()
    watch.add(folder)

    (tmp_path / "outside").rename(folder / "session.json")

    assert names(watch.read()) == {"session.json"}


def test_reading_a_file_is_no_change(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "inbound.db").write_text("x")
    watch.add(tmp_path)

    (tmp_path / "inbound.db").read_text()

    assert watch.read() == []


def test_a_removed_watch_is_silent(watch: Watch, tmp_path: Path) -> None:
    wd = watch.add(tmp_path)
    watch.remove(wd)
    watch.remove(wd)

    (tmp_path / "inbound.db").write_text("x")

    assert watch.read() == []


def test_a_folder_that_is_not_there_cannot_be_watched(watch: Watch, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        watch.add(tmp_path / "none")


def test_a_folder_that_goes_away_is_no_error(watch: Watch, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    watch.add(folder)

    folder.rmdir()

    assert watch.read() == []


def test_the_kernel_wakes_whoever_waits(tmp_path: Path) -> None:
    watch = InotifyWatch()
    watch.add(tmp_path)
    fd = watch.fileno()
    assert fd is not None
    assert watch.poll_seconds is None
    assert not os.get_inheritable(fd)

    (tmp_path / "inbound.db").write_text("x")

    assert select.select([fd], [], [], 5)[0] == [fd]
    watch.close()


def test_other_events_can_be_asked_for(tmp_path: Path) -> None:
    watch = InotifyWatch()
    wd = watch.add(tmp_path, Events.CREATE | Events.DELETE)
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    (tmp_path / "b").unlink()

    assert watch.read() == [
        WatchEvent(wd, "a", Events.CREATE),
        WatchEvent(wd, "b", Events.DELETE),
    ]
    watch.close()


def test_polling_slows_down_while_nothing_happens_and_wakes_up_again(tmp_path: Path) -> None:
    watch = PollingWatch()
    watch.add(tmp_path)
    assert watch.fileno() is None
    assert watch.poll_seconds == MIN_POLL_SECONDS

    for _ in range(50):
        watch.read()
    assert watch.poll_seconds == MAX_POLL_SECONDS

    (tmp_path / "inbound.db").write_text("x")
    watch.read()
    assert watch.poll_seconds == MIN_POLL_SECONDS


def test_polling_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "target")
    watch = PollingWatch()
    watch.add(tmp_path / "in")

    (tmp_path / "target").write_text("x")

    assert watch.read() == []


def test_inotify_is_chosen_where_there_is_one() -> None:
    watch = Watch.open({})

    assert watch.mode == "inotify"
    watch.close()


def test_polling_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANOCLAW_WATCH", "polling")

    assert Watch.open().mode == "polling"


def test_without_free_descriptors_polling_is_used() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        watch = Watch.open({})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert watch.mode == "polling"
    watch.close()


def test_an_overflow_says_look_everywhere(tmp_path: Path) -> None:
    watch = InotifyWatch()
    watch.add(tmp_path)
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(limit + 2):
        (tmp_path / f"{number % 2}").write_bytes(b"")

    events: list[WatchEvent] = []
    while batch := watch.read():
        events += batch

    assert events[-1] == WatchEvent(-1, "", Events.Q_OVERFLOW)
    watch.close()


def test_a_system_without_inotify_says_so() -> None:
    maps = Path("/proc/self/maps").read_text().splitlines()
    linker = next(line.split()[-1] for line in maps if "/ld-" in line)  # needs no C library

    with pytest.raises(OSError, match="no inotify") as caught:
        InotifyWatch(linker)

    assert caught.value.errno == errno.ENOSYS
